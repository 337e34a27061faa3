//! A sentence for whoever made a pod, as short as Kubernetes asks for.
//!
//! Where there are many, the API server cuts what is longer than 256 characters; what has a line break or another control
//! character in it, it drops. So whatever somebody else wrote is shown with such characters escaped, and gives way to what
//! is ours around it, which says what to do.
//!
//! *Never:* what there is to say.

/// The longest, in characters.
pub const LONGEST: usize = 120;

/// A sentence of parts: the first is ours, the second somebody else's, and so on in turn.
#[must_use]
pub fn warning(parts: &[&str]) -> String {
    let ours: usize = parts.iter().step_by(2).map(|part| part.chars().count()).sum();
    let theirs: Vec<_> = parts.iter().skip(1).step_by(2).map(|part| visible(part)).collect();
    let each = share(&theirs, LONGEST.saturating_sub(ours));
    let mut theirs = theirs.into_iter().map(|part| shortened(part, each));
    let mut sentence = String::new();
    for part in parts.iter().step_by(2) {
        sentence.push_str(part);
        sentence.extend(theirs.next());
    }
    // Ours alone are shorter: a test shows each of them.
    shortened(visible(&sentence), LONGEST)
}

/// The characters of a text, each as it is shown: what cannot be seen is escaped.
fn visible(text: &str) -> Vec<String> {
    let shown = |character: char| match character {
        '"' | '\'' | '\\' => character.to_string(),
        other => other.escape_debug().to_string(),
    };
    // More is never shown.
    text.chars().take(LONGEST + 1).map(shown).collect()
}

fn width(shown: &[String]) -> usize {
    shown.iter().map(|character| character.chars().count()).sum()
}

/// The most that each of some texts may take, so that they have room together.
fn share(texts: &[Vec<String>], room: usize) -> usize {
    let taken = |each: usize| texts.iter().map(|text| width(text).min(each)).sum::<usize>();
    (0..=LONGEST).rev().find(|each| taken(*each) <= room).unwrap_or_default()
}

/// A text of so many characters at most, what is left out told by dots.
fn shortened(mut shown: Vec<String>, most: usize) -> String {
    if most < width(&shown) {
        while most < width(&shown) + 1 && shown.pop().is_some() {}
        shown.push("…".to_owned());
    }
    shown.concat()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What Kubernetes takes as it is.
    #[track_caller]
    pub(crate) fn is_fit(warning: &str) {
        assert!(warning.chars().count() <= LONGEST, "{} characters: {warning}", warning.chars().count());
        assert!(!warning.is_empty() && warning.chars().all(|character| !character.is_control()), "{warning:?}");
    }

    #[track_caller]
    fn check(parts: &[&str], expected: &str) {
        let found = warning(parts);
        is_fit(&found);
        assert_eq!(found, expected);
    }

    #[test]
    fn what_others_wrote_is_shown_as_far_as_there_is_room() {
        check(&["container ", "app", " is taken"], "container app is taken");
        let long = "b".repeat(1000);
        check(&["found ", &long, ", which stays"], &format!("found {}…, which stays", "b".repeat(100)));
        let both = format!("a {} b {}… c", "x".repeat(30), "b".repeat(82));
        check(&["a ", &"x".repeat(30), " b ", &long, " c"], &both);
        check(&["a ", &long, " b ", &long, " c"], &format!("a {0}… b {0}… c", "b".repeat(55)));
        check(&[&long], &format!("{}…", "b".repeat(LONGEST - 1)));
        check(&[&long, "a"], &format!("{}…", "b".repeat(LONGEST - 1)));
    }

    #[test]
    fn what_cannot_be_seen_is_escaped_before_it_is_shortened() {
        check(&["found ", "a\nb\t\"c\\\""], "found a\\nb\\t\"c\\\"");
        check(&["found ", "a\u{200b}é"], "found a\\u{200b}é");
        let hidden = "\u{200b}".repeat(1000);
        check(&["found ", &hidden, "!"], &format!("found {}…!", "\\u{200b}".repeat(14)));
        check(&["found ", &"\u{1}".repeat(1000), "!"], &format!("found {}…!", "\\u{1}".repeat(22)));
    }
}
