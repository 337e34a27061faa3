//! What a sidecar leaves in its termination message when it ends before every pushed group was scraped.
//!
//! The kubelet shows it in the pod's status, where the operator finds it.
//!
//! *Never:* files, pods, when a group counts as unseen.

/// Says how many groups nobody has seen; nothing unseen has no word.
#[must_use]
pub fn print(unseen: usize) -> String {
    if unseen == 0 { String::new() } else { format!("{unseen} groups unseen") }
}

/// How many groups a message says that nobody has seen; `None` for any other message.
#[must_use]
pub fn parse(message: &str) -> Option<u32> {
    let number = message.trim_end().strip_suffix(" groups unseen")?;
    let unseen = number.parse().ok().filter(|unseen| *unseen != 0)?;
    // Numbers are read in more ways than they are printed in.
    (u32::to_string(&unseen) == number).then_some(unseen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_reads_back() {
        assert_eq!(print(0), "");
        for unseen in [1, 17] {
            assert_eq!(parse(&print(unseen)), u32::try_from(unseen).ok());
        }
        assert_eq!(print(3), "3 groups unseen");
        assert_eq!(parse("3 groups unseen\n"), Some(3));
    }

    #[test]
    fn other_messages_are_no_word() {
        for message in ["", "0 groups unseen", "+3 groups unseen", "-1 groups unseen", "99999999999 groups unseen"] {
            assert_eq!(parse(message), None, "{message}");
        }
        assert_eq!(parse("panicked: 3 groups unseen"), None);
        assert_eq!(parse("3 groups unseen, and more"), None);
    }
}
