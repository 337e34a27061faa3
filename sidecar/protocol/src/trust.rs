//! The file by which the operator tells sidecars whose signatures are good.
//!
//! It is one key of the ConfigMap `sidegate-trust`, which the injector mounts into every sidecar as an optional
//! volume: one Ed25519 public key a line, 32 bytes in standard base64. Old and new keys stand side by side while a
//! key is replaced. Empty lines and lines that start with `#` are notes.
//!
//! *Never:* cryptography, where the file lies, when it is read again.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Name of the ConfigMap in each namespace that has a `PushGroup`.
pub const CONFIG_MAP_NAME: &str = "sidegate-trust";

/// Key of the ConfigMap, and so the file's name in the mounted folder.
pub const OPERATOR_KEYS_FILE: &str = "operator-keys";

/// An Ed25519 public key.
pub type PublicKey = [u8; 32];

/// A line of the file that is no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustError {
    line: usize,
}

/// Reads the file.
///
/// # Errors
/// The first line that is neither a key nor a note; no key of a file with such a line is used.
pub fn parse_operator_keys(text: &str) -> Result<Vec<PublicKey>, TrustError> {
    let mut keys = Vec::new();
    for (index, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let bytes = STANDARD.decode(line).ok().and_then(|bytes| PublicKey::try_from(bytes).ok());
        keys.push(bytes.ok_or(TrustError { line: index + 1 })?);
    }
    Ok(keys)
}

/// Prints what [`parse_operator_keys`] reads.
#[must_use]
pub fn print_operator_keys(keys: &[PublicKey]) -> String {
    keys.iter().map(|key| STANDARD.encode(key) + "\n").collect()
}

// === impl TrustError ===

impl fmt::Display for TrustError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: expected an Ed25519 public key, 32 bytes in base64, found something else", self.line)
    }
}

impl std::error::Error for TrustError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_keys_read_back() {
        let keys = [[7; 32], [255; 32]];
        assert_eq!(parse_operator_keys(&print_operator_keys(&keys)), Ok(keys.to_vec()));
    }

    #[test]
    fn notes_and_empty_lines_are_no_keys() {
        let text = format!("# old\n\n{}", print_operator_keys(&[[1; 32]]));
        assert_eq!(parse_operator_keys(&text), Ok(vec![[1; 32]]));
    }

    #[test]
    fn a_broken_line_is_named_and_voids_the_file() {
        let text = format!("{}c2hvcnQ=\n", print_operator_keys(&[[1; 32]]));
        let error = parse_operator_keys(&text).unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 2: expected an Ed25519 public key, 32 bytes in base64, found something else"
        );
    }
}
