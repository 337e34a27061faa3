//! How a page writes names that are not of the classic alphabet.
//!
//! *Never:* headers, which names are legal.

/// How names that are not of the classic alphabet would be written. There are none yet, so each scheme is the truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escaping {
    /// As they are, in quotes.
    AllowUtf8,
    /// With `_` for every other character.
    #[default]
    Underscores,
    /// With `_dot_` for a dot.
    Dots,
    /// With the number of every other character.
    Values,
}

// === impl Escaping ===

impl Escaping {
    /// All schemes.
    pub const ALL: [Self; 4] = [Self::AllowUtf8, Self::Underscores, Self::Dots, Self::Values];

    /// The scheme of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|escaping| escaping.name() == name)
    }

    /// Its name, as headers have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }
}
