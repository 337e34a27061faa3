//! Regular expressions that mean one thing to the API server, which reads RE2, and another to the crate that decides
//! here: intersections, differences and classes within classes, and words' starts and ends. Whoever wrote one meant RE2,
//! and what it says here might remove other groups; so it is none. Pure.
//!
//! Limits: `\w`, `\d`, `\s` and `\b` go by Unicode here and by ASCII there, which the field's description says. What is
//! no expression here at all, such as `\Q…\E`, is told by the compiler.
//!
//! *Never:* what an expression is for.

use regex_syntax::ast::{
    self, AssertionKind, Ast, ClassBracketed, ClassSetBinaryOp, ClassSetItem, Visitor, parse::Parser,
};

/// What of an expression RE2 would read otherwise, or cannot read by itself; nothing is good.
pub(super) fn other_meaning(expression: &str) -> Option<String> {
    match Parser::new().parse(expression) {
        Ok(read) => ast::visit(&read, Reader(expression)).err().map(str::to_owned),
        Err(error) => Some(error.kind().to_string()),
    }
}

struct Reader<'a>(&'a str);

// === impl Reader ===

impl Reader<'_> {
    /// At the start of a class, `--a` is two of the same here and the characters from `-` to `a` there.
    fn starts_with_dashes(&self, class: &ClassBracketed) -> bool {
        let text = self.0.get(class.span.start.offset..class.span.end.offset).unwrap_or_default();
        let inside = text.trim_start_matches('[').trim_start_matches('^');
        inside.starts_with("--")
    }
}

impl Visitor for Reader<'_> {
    type Output = ();
    type Err = &'static str;

    fn finish(self) -> Result<(), &'static str> {
        Ok(())
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), &'static str> {
        if let Ast::ClassBracketed(class) = ast
            && self.starts_with_dashes(class)
        {
            return Err("RE2 reads -- at the start of a class as a range; write \\- for a dash");
        }
        if let Ast::Assertion(assertion) = ast
            && is_of_words(&assertion.kind)
        {
            return Err(
                "RE2 reads \\< and \\b{start} otherwise; write < for that character, and \\b for the edge of a word",
            );
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), &'static str> {
        if let ClassSetItem::Bracketed(_) = item {
            return Err("RE2 knows no class within a class; write \\[ for a bracket");
        }
        Ok(())
    }

    fn visit_class_set_binary_op_pre(&mut self, _: &ClassSetBinaryOp) -> Result<(), &'static str> {
        Err("RE2 knows no && , -- and ~~ of classes; write each character once, and \\- for a dash")
    }
}

fn is_of_words(kind: &AssertionKind) -> bool {
    match kind {
        AssertionKind::StartLine
        | AssertionKind::EndLine
        | AssertionKind::StartText
        | AssertionKind::EndText
        | AssertionKind::WordBoundary
        | AssertionKind::NotWordBoundary => false,
        AssertionKind::WordBoundaryStart
        | AssertionKind::WordBoundaryEnd
        | AssertionKind::WordBoundaryStartAngle
        | AssertionKind::WordBoundaryEndAngle
        | AssertionKind::WordBoundaryStartHalf
        | AssertionKind::WordBoundaryEndHalf => true,
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    fn is_match(expression: &str, value: &str) -> bool {
        Regex::new(&format!("^(?:{expression})$")).unwrap().is_match(value)
    }

    /// Both dialects agree about these values, by RE2's syntax.
    #[track_caller]
    fn same(expression: &str, matching: &[&str], others: &[&str]) {
        assert_eq!(other_meaning(expression), None, "{expression}");
        for value in matching {
            assert!(is_match(expression, value), "{expression} {value}");
        }
        for value in others {
            assert!(!is_match(expression, value), "{expression} {value}");
        }
    }

    /// RE2 takes it, and matches this value or not; here it is the other way round, so that it is refused.
    #[track_caller]
    fn another(expression: &str, value: &str, is_match_of_re2: bool) {
        assert_eq!(is_match(expression, value), !is_match_of_re2, "{expression} {value}: there is no difference");
        assert!(other_meaning(expression).is_some(), "{expression}");
    }

    #[test]
    fn what_both_dialects_read_alike_is_taken() {
        same("backup-.*|etl", &["backup-1", "etl"], &["etl-1"]);
        same("[a-c-]", &["a", "b", "-"], &["d", ","]);
        same("[-a]", &["-", "a"], &["b"]);
        same("[]a]", &["]", "a"], &["[]a]"]);
        same("[^]a]", &["b"], &["]", "a"]);
        same("[a&b]", &["a", "&", "b"], &["&&"]);
        same("[a~b]", &["~"], &["~~"]);
        same("[&\\&a]", &["&", "a"], &["b"]);
        same("[a\\-\\-z]", &["a", "-", "z"], &["b"]);
        same("[a\\--z]", &["a", "-", "5", "z"], &[","]);
        same("[\\[a\\]]b", &["[b", "ab", "]b"], &["b"]);
        same("[[:alpha:]]+", &["ab"], &["1", "[:alpha:]"]);
        same("[[:^alpha:]_]", &["1", "_"], &["a"]);
        same("\\w\\d\\s", &["a1 "], &["-1 "]);
        same("\\ba\\B.b\\b", &["acb"], &["a-b"]);
        same("(?i)ab(?-i)c", &["ABc"], &["ABC"]);
        same("(?P<name>a)(?:b){2,3}?", &["abb", "abbb"], &["ab"]);
        same("\\pL\\p{Greek}\\x41\\x{3b1}", &["aαAα"], &["aaAα"]);
        same("a--b&&c~~d", &["a--b&&c~~d"], &["a"]);
        same("\\.\\^\\$\\-\\&\\~", &[".^$-&~"], &["a"]);
        same("a]b}", &["a]b}"], &["ab"]);
    }

    #[test]
    fn what_they_read_differently_is_refused() {
        another("[a&&b]", "a", true);
        another("[a-z&&[^b]]", "a", false);
        another("[[a]b]", "[b]", true);
        another("[[a]b]", "b", false);
        another("[a-c~~b-d]", "b", true);
        another("[--a]", "5", true);
        another("[^--a]", "5", false);
        another("[+--a]", "a", true);
        another("\\<a\\>", "<a>", true);
        another("\\b{start}a", "a", false);
    }

    #[test]
    fn what_is_no_expression_by_itself_is_refused() {
        assert!(other_meaning("a)|(?:b").is_some());
    }
}
