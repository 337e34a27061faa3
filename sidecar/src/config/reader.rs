//! Reading values one by one while the mistakes add up.
//!
//! *Never:* which flags there are, what a value means.

use super::word;

/// Reads values, and keeps a sentence for each that is wrong.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) mistakes: Vec<String>,
}

/// The downward API and templates give empty texts for what is not there.
pub(super) fn given(value: Option<String>) -> Option<String> {
    value.filter(|value| !value.is_empty())
}

// === impl Reader ===

impl Reader {
    /// `parse` says what it expected.
    pub(super) fn read<T>(&mut self, flag: &str, value: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        match parse(value) {
            Ok(read) => Some(read),
            Err(expected) => {
                self.mistakes.push(format!("{flag}: expected {expected}, found {value:?}"));
                None
            }
        }
    }

    /// `None` too if there is none.
    pub(super) fn read_given<T>(
        &mut self,
        flag: &str,
        value: Option<String>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        given(value).and_then(|value| self.read(flag, &value, parse))
    }

    pub(super) fn read_all<T>(
        &mut self,
        flag: &str,
        values: &[String],
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let read: Vec<_> = values.iter().map(|value| self.read(flag, value, &parse)).collect();
        read.into_iter().collect()
    }

    pub(super) fn switch(&mut self, flag: &str, value: &str) -> Option<bool> {
        self.read(flag, value, word::switch)
    }
}
