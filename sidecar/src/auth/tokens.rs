//! The token file: which tokens are good, for which jobs and how often.
//!
//! Either one token a line, each good for everything, where blank lines and those that start with `#` are nothing; or
//! YAML, which is what starts with more than one word or with a word that ends with a colon:
//!
//! ```yaml
//! tokens:
//!   - name: ci                # for the log; may be left out
//!     token: "…"
//!     jobs: ["backup-.*"]     # patterns for whole jobs; left out, all jobs and administration
//!     rate: {perSecond: 5, burst: 10}
//! ```
//!
//! A file without any text is not a list of no tokens but a mistake, as a file that is being written looks so; `tokens: []`
//! is one. No fault repeats what the file has in place of a token.
//!
//! *Never:* files, requests.

use std::{collections::HashSet, fmt};

use protocol::Excerpt;
use regex_lite::Regex;
use serde::Deserialize;

use super::credentials::Digest;
use crate::{
    pattern,
    rate::Rate,
    yaml::{self, YamlError},
};

/// Most tokens of a file: each is compared with every credential.
const MOST_TOKENS: usize = 10_000;

/// All tokens of a file.
#[derive(Debug)]
pub(crate) struct Tokens {
    tokens: Vec<Token>,
}

/// One token. It is not shown, nor is its hash.
pub(super) struct Token {
    pub(super) name: String,
    pub(super) digest: Digest,
    /// `None` for all jobs.
    jobs: Option<Vec<Regex>>,
    pub(super) rate: Option<Rate>,
}

/// Why a text is no token file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokensError {
    #[error("expected tokens, found an empty file (`tokens: []` lets nobody in)")]
    Empty,
    #[error("{0}")]
    Yaml(#[from] YamlError),
    #[error("line {0}: expected one token, of visible ASCII characters, found something else")]
    Line(usize),
    #[error("{0}: expected a token of visible ASCII characters, found something else")]
    NotVisible(TokenName),
    #[error("{0}: expected a token, found an empty one")]
    EmptyToken(TokenName),
    #[error("{0}: expected a token that is not there yet, found it twice")]
    TokenTwice(TokenName),
    #[error("{0}: expected a name that is not there yet, found it twice")]
    NameTwice(TokenName),
    #[error("{0}: expected patterns in `jobs`, or no `jobs` for all of them, found an empty list")]
    NoJobs(TokenName),
    #[error("{name}: expected a regular expression in `jobs`, found {:?}: {fault}", Excerpt::of(.pattern))]
    Pattern { name: TokenName, pattern: String, fault: String },
    #[error("{name}: {fault} in `rate`, found another number")]
    Rate { name: TokenName, fault: String },
    #[error("expected at most {MOST_TOKENS} tokens, found more")]
    TooMany,
}

/// Which token of the file a fault is about, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenName {
    number: usize,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTokens {
    tokens: Vec<WrittenToken>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenToken {
    name: Option<String>,
    token: String,
    jobs: Option<Vec<String>>,
    rate: Option<WrittenRate>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WrittenRate {
    per_second: f64,
    burst: Option<u32>,
}

// === impl Tokens ===

impl Tokens {
    /// Reads a token file of either kind.
    ///
    /// # Errors
    /// The first fault.
    pub(crate) fn parse(text: &str) -> Result<Self, TokensError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| is_content(line)).peekable();
        let Some((_, first)) = lines.peek() else { return Err(TokensError::Empty) };
        let tokens = if is_yaml(first) {
            let written: WrittenTokens = yaml::read(text)?;
            let tokens = (1..).zip(written.tokens).map(|(number, token)| Token::read(number, token));
            tokens.collect::<Result<_, _>>()?
        } else {
            lines.map(|(number, line)| Token::of_line(number, line)).collect::<Result<_, _>>()?
        };
        Self::checked(tokens)
    }

    fn checked(tokens: Vec<Token>) -> Result<Self, TokensError> {
        if MOST_TOKENS < tokens.len() {
            return Err(TokensError::TooMany);
        }
        let (mut names, mut digests) = (HashSet::new(), HashSet::new());
        for (number, token) in (1..).zip(&tokens) {
            let name = || TokenName { number, name: Some(token.name.clone()) };
            if !digests.insert(token.digest) {
                return Err(TokensError::TokenTwice(name()));
            }
            if !names.insert(token.name.as_str()) {
                return Err(TokensError::NameTwice(name()));
            }
        }
        Ok(Self { tokens })
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The token with this hash. Compares with all of them, to take the same time for each.
    pub(super) fn find(&self, digest: &Digest) -> Option<&Token> {
        self.tokens.iter().fold(None, |found, token| if token.digest.is(digest) { Some(token) } else { found })
    }

    pub(super) fn has(&self, digest: &Digest) -> bool {
        self.find(digest).is_some()
    }
}

fn is_content(line: &str) -> bool {
    !line.is_empty() && !line.starts_with('#')
}

/// Whether the first line with content is of YAML.
fn is_yaml(line: &str) -> bool {
    line == "---" || line.ends_with(':') || line.starts_with(['{', '[']) || line.contains(char::is_whitespace)
}

fn is_visible(token: &str) -> bool {
    token.bytes().all(|byte| byte.is_ascii_graphic())
}

// === impl Token ===

impl Token {
    fn of_line(number: usize, line: &str) -> Result<Self, TokensError> {
        if !is_visible(line) {
            return Err(TokensError::Line(number));
        }
        Ok(Self { name: format!("line {number}"), digest: Digest::of(line.as_bytes()), jobs: None, rate: None })
    }

    fn read(number: usize, written: WrittenToken) -> Result<Self, TokensError> {
        let WrittenToken { name, token, jobs, rate } = written;
        let named = || TokenName { number, name: name.clone() };
        if token.is_empty() {
            return Err(TokensError::EmptyToken(named()));
        }
        if !is_visible(&token) {
            return Err(TokensError::NotVisible(named()));
        }
        if jobs.as_ref().is_some_and(Vec::is_empty) {
            return Err(TokensError::NoJobs(named()));
        }
        let pattern = |pattern: String| {
            pattern::anchored(&pattern).map_err(|fault| TokensError::Pattern {
                name: named(),
                pattern,
                fault: fault.to_string(),
            })
        };
        let jobs = jobs.map(|jobs| jobs.into_iter().map(pattern).collect()).transpose()?;
        let rate = rate.map(|WrittenRate { per_second, burst }| Rate::new(per_second, burst));
        let rate = rate.transpose().map_err(|fault| TokensError::Rate { name: named(), fault })?;
        let name = name.unwrap_or_else(|| format!("number {number}"));
        Ok(Self { name, digest: Digest::of(token.as_bytes()), jobs, rate })
    }

    pub(super) fn is_for_all_jobs(&self) -> bool {
        self.jobs.is_none()
    }

    pub(super) fn is_for(&self, job: &str) -> bool {
        self.jobs.as_ref().is_none_or(|jobs| jobs.iter().any(|pattern| pattern.is_match(job)))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.name).finish_non_exhaustive()
    }
}

// === impl TokenName ===

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "token {}", self.number)?;
        self.name.as_ref().map_or(Ok(()), |name| write!(f, " ({:?})", Excerpt::of(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'a>(tokens: &'a Tokens, token: &str) -> Option<&'a Token> {
        tokens.find(&Digest::of(token.as_bytes()))
    }

    fn fault(text: &str) -> String {
        Tokens::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_token_a_line_is_good_for_everything() {
        for text in ["one\ntwo", "\u{feff}# ours\n\n  one \r\n#two\ntwo\r\n", "one\ntwo:\n{three\n"] {
            let tokens = Tokens::parse(text).unwrap();
            let one = find(&tokens, "one").unwrap();
            assert!(one.is_for("anything") && one.is_for_all_jobs() && one.rate.is_none(), "{text:?}");
            assert!(find(&tokens, "three").is_none() && find(&tokens, "#two").is_none());
        }
    }

    #[test]
    fn yaml_says_for_which_jobs_and_how_often() {
        let text = "tokens:\n- {name: ci, token: one, jobs: [a, 'b-.*'], rate: {perSecond: 5, burst: 10}}\n\
                    - token: two\n- {token: three, rate: {perSecond: 0.5}}\n";
        let tokens = Tokens::parse(text).unwrap();
        let one = find(&tokens, "one").unwrap();
        assert_eq!((one.name.as_str(), one.rate), ("ci", Some(Rate::new(5.0, Some(10)).unwrap())));
        for (job, is_good) in [("a", true), ("b-1", true), ("aa", false), ("ab-1", false), ("", false), ("a\n", false)]
        {
            assert_eq!(one.is_for(job), is_good, "{job:?}");
        }
        let two = find(&tokens, "two").unwrap();
        assert_eq!((two.name.as_str(), two.is_for_all_jobs(), two.rate), ("number 2", true, None));
        assert_eq!(find(&tokens, "three").unwrap().rate, Some(Rate::new(0.5, None).unwrap()));
        assert!(find(&tokens, "four").is_none());
    }

    #[test]
    fn a_token_without_quotes_is_taken_as_it_is_written() {
        for token in ["0123", "0x1F", "1e3", "true", "null", "~"] {
            let tokens = Tokens::parse(&format!("tokens: [{{token: {token}}}]")).unwrap();
            assert!(find(&tokens, token).is_some(), "{token}");
        }
    }

    #[test]
    fn json_is_yaml() {
        let tokens = Tokens::parse("{\"tokens\": [{\"token\": \"one\"}]}").unwrap();
        assert!(find(&tokens, "one").is_some());
    }

    #[test]
    fn an_empty_list_is_good_and_lets_nobody_in() {
        assert_eq!(Tokens::parse("tokens: []\n").unwrap().len(), 0);
    }

    #[test]
    fn a_fault_says_where_and_what_was_expected() {
        let rows = [
            ("", "expected tokens, found an empty file (`tokens: []` lets nobody in)"),
            ("\n # nothing\n", "expected tokens, found an empty file (`tokens: []` lets nobody in)"),
            ("one\ntwo words\n", "line 2: expected one token, of visible ASCII characters, found something else"),
            ("one\n\nzwölf\n", "line 3: expected one token, of visible ASCII characters, found something else"),
            ("one\none\n", "token 2 (\"line 2\"): expected a token that is not there yet, found it twice"),
            (
                "tokens:\n- {token: a}\n- {token: a}",
                "token 2 (\"number 2\"): expected a token that is not there yet, found it twice",
            ),
            (
                "tokens: [{token: a, name: n}, {token: b, name: n}]",
                "token 2 (\"n\"): expected a name that is not there yet, found it twice",
            ),
            ("tokens: [{token: ''}]", "token 1: expected a token, found an empty one"),
            (
                "tokens: [{token: 'a b', name: x}]",
                "token 1 (\"x\"): expected a token of visible ASCII characters, found something else",
            ),
            (
                "tokens: [{token: a, jobs: []}]",
                "token 1: expected patterns in `jobs`, or no `jobs` for all of them, found an empty list",
            ),
            (
                "tokens: [{token: a, rate: {perSecond: 0}}]",
                "token 1: expected `perSecond` from 0.001 to 1000000 in `rate`, found another number",
            ),
            (
                "tokens:\n- {token: a}\n- {tokn: b}",
                "line 3, column 4: tokens[1]: unknown field, expected one of `name`, `token`, `jobs`, `rate`",
            ),
            (
                "tokens:\n- name: a\n  Token: b",
                "line 3, column 3: tokens[0]: unknown field, expected one of `name`, `token`, `jobs`, `rate`",
            ),
            ("token:\n- a", "line 1, column 1: unknown field, expected `tokens`"),
            ("tokens: [{token: {5: 6}}]", "line 1, column 18: tokens[0].token: invalid type: map, expected a string"),
            (
                "tokens: [{token: a, rate: {perSecond: 1, burst: -1}}]",
                "line 1, column 49: tokens[0].rate.burst: invalid type: integer, expected u32",
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(fault(text), expected, "{text:?}");
        }
        let pattern = fault("tokens: [{token: a, name: n, jobs: ['a)|(b']}]");
        let start = "token 1 (\"n\"): expected a regular expression in `jobs`, found \"a)|(b\": ";
        assert!(pattern.starts_with(start) && start.len() < pattern.len(), "{pattern}");
        let many: String = (0..=MOST_TOKENS).map(|n| format!("t{n}\n")).collect();
        assert_eq!(fault(&many), "expected at most 10000 tokens, found more");
    }

    #[test]
    fn a_token_is_neither_in_a_fault_nor_shown() {
        let texts = [
            "S\nS",
            "S two",
            "a\nS b",
            "tokens: S",
            "tokens: [S]",
            "tokens: [{token: a, S}]",
            "tokens: [{token: 'S\tb'}]",
            "tokens: [{token: Sö}]",
            "tokens: [{token: S, rate: {perSecond: -1}}]",
            "tokens: [{token: S, jobs: ['(']}]",
            "tokens: [{token: S}, {token: S}]",
            "tokens: [{token: S, name: [S]}]",
            "tokens:\n- token: S: b",
        ];
        for text in texts.map(|text| text.replace('S', "s3cr3t")) {
            let fault = fault(&text);
            assert!(!fault.contains("s3cr3t"), "{text:?}: {fault}");
        }
        let tokens = Tokens::parse("tokens: [{token: s3cr3t, name: n}]").unwrap();
        assert_eq!(format!("{tokens:?}"), "Tokens { tokens: [Token { name: \"n\", .. }] }");
    }
}
