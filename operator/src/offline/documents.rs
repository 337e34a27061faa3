//! A stream of manifests as its documents: YAML between lines of `---`, or JSON objects one after the other.
//!
//! Each keeps its own text, so that what does not change is passed on as it came, comments and all. Lines are split where
//! `kubectl` splits them.
//!
//! *Never:* what a document means.

use std::borrow::Cow;

use super::yaml::{self, Form, Tree};

/// One document of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Document<'a> {
    /// Its number in the stream, from 1.
    pub number: usize,
    /// How it is spelled.
    pub form: Form,
    /// All of it, with the line that starts it.
    pub text: &'a str,
    /// What is before its first value: the line that starts it, comments, white space.
    pub head: Cow<'a, str>,
    /// Its values; `None` where there are none.
    pub tree: Option<Tree>,
}

/// A stream that cannot be read, by its first mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("document {number}: {what}")]
pub struct BadDocument {
    /// Which of the documents, from 1.
    pub number: usize,
    /// What is wrong, with the line in the stream.
    pub what: String,
}

/// Reads a stream; what starts with a brace may be JSON, as `kubectl` has it.
///
/// # Errors
/// The first document that cannot be read.
pub fn documents(stream: &str) -> Result<Vec<Document<'_>>, BadDocument> {
    let stream = stream.strip_prefix('\u{feff}').unwrap_or(stream);
    if stream.trim_start().starts_with('{')
        && let Some(documents) = json(stream)
    {
        return Ok(documents);
    }
    let mut documents = Vec::new();
    let (mut start, mut first_line) = (0, 0);
    for (end, next_line) in boundaries(stream).into_iter().chain([(stream.len(), 0)]) {
        if let Some(text) = stream.get(start..end).filter(|text| !text.is_empty()) {
            documents.push(document(text, documents.len() + 1, first_line)?);
        }
        (start, first_line) = (end, next_line);
    }
    Ok(documents)
}

/// Where lines of `---` are: in bytes and in lines.
fn boundaries(stream: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut offset = 0;
    for (number, line) in stream.split_inclusive('\n').enumerate() {
        let rest = line.strip_prefix("---");
        if 0 < offset && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace)) {
            found.push((offset, number));
        }
        offset += line.len();
    }
    found
}

fn document(text: &str, number: usize, lines_before: usize) -> Result<Document<'_>, BadDocument> {
    let is_head = |line: &&str| {
        let line = line.trim();
        line.is_empty() || line.starts_with('#') || line == "---" || line.starts_with("--- #") || line.starts_with('%')
    };
    let head: usize = text.split_inclusive('\n').take_while(is_head).map(str::len).sum();
    let (head, body) = text.split_at(head);
    let is_empty = body.lines().all(|line| matches!(line.trim_end(), "" | "..."));
    let tree = if is_empty {
        None
    } else {
        let tree = yaml::read_yaml(text);
        Some(tree.map_err(|error| BadDocument { number, what: moved(&error.to_string(), lines_before) })?)
    };
    // Values may stand in the line that starts the document.
    let head = if head.is_empty() && text.starts_with("---") { "---\n".into() } else { head.into() };
    Ok(Document { number, form: Form::Yaml, text, head, tree })
}

/// `None` where it is not only JSON.
fn json(stream: &str) -> Option<Vec<Document<'_>>> {
    let mut documents = Vec::new();
    let mut start = 0;
    for range in yaml::json_documents(stream).ok()? {
        let tree = yaml::read_json(stream.get(range.clone())?).ok()?;
        documents.push(Document {
            number: documents.len() + 1,
            form: Form::Json,
            text: stream.get(start..range.end)?,
            head: stream.get(start..range.start)?.into(),
            tree: Some(tree),
        });
        start = range.end;
    }
    // The white space at the end.
    if let Some(last) = documents.last_mut() {
        last.text = stream.get(start - last.text.len()..)?;
    }
    Some(documents)
}

/// A sentence about a document with its lines counted from the start of the stream.
fn moved(sentence: &str, lines: usize) -> String {
    let mut parts = sentence.split(" line ");
    let mut moved = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, rest) = part.split_at(digits);
        let number = number.parse().map_or_else(|_| number.to_owned(), |line: usize| (line + lines).to_string());
        moved.push_str(&format!(" line {number}{rest}"));
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(stream: &str) -> Vec<&str> {
        documents(stream).unwrap().into_iter().map(|document| document.text).collect()
    }

    #[test]
    fn a_stream_is_split_at_lines_of_three_dashes_and_loses_nothing() {
        for (stream, expected) in [
            ("", vec![]),
            ("a: 1", vec!["a: 1"]),
            ("---\na: 1\n---\nb: 2\n", vec!["---\na: 1\n", "---\nb: 2\n"]),
            (
                "# c\n---\n---  # d\r\na: |\n  ---\n  x\n--- {b: 1}\n---",
                vec!["# c\n", "---\n", "---  # d\r\na: |\n  ---\n  x\n", "--- {b: 1}\n", "---"],
            ),
            ("\n\na: 1\n...\n", vec!["\n\na: 1\n...\n"]),
            (" {\"a\": 1}\n{\"b\": 2}\n\n", vec![" {\"a\": 1}", "\n{\"b\": 2}\n\n"]),
            ("{a: 1}\n---\n{\"b\": 2}\n", vec!["{a: 1}\n", "---\n{\"b\": 2}\n"]),
            ("{\"a\": 1}\n---\n{\"b\": 2}\n", vec!["{\"a\": 1}\n", "---\n{\"b\": 2}\n"]),
        ] {
            assert_eq!(texts(stream), expected, "{stream:?}");
            assert_eq!(texts(stream).concat(), stream);
        }
        assert_eq!(texts("\u{feff}a: 1"), ["a: 1"]);
    }

    #[test]
    fn what_is_before_the_values_is_the_head() {
        let stream = "# Source: a.yaml\n---\n# Source: b.yaml\n\na: 1\n# c\n--- {b: 1}\n---\n# nothing\n...\n";
        let documents = documents(stream).unwrap();
        let heads: Vec<_> = documents.iter().map(|document| document.head.as_ref()).collect();
        assert_eq!(heads, ["# Source: a.yaml\n", "---\n# Source: b.yaml\n\n", "---\n", "---\n# nothing\n"]);
        let are_empty: Vec<_> = documents.iter().map(|document| document.tree.is_none()).collect();
        assert_eq!(are_empty, [true, false, false, true]);
    }

    #[test]
    fn a_mistake_is_told_with_its_document_and_its_line_in_the_stream() {
        let stream = "a: 1\n---\n# c\nb: 2\n---\nc: [1,\nd: 3\n";
        let error = documents(stream).unwrap_err();
        assert_eq!(error.number, 3);
        let sentence = error.to_string();
        assert!(sentence.starts_with("document 3: ") && sentence.contains(" at line 6 column 4"), "{sentence}");
        assert_eq!(
            moved("x at line 3 column 1, while y at line 2 column 4", 10),
            "x at line 13 column 1, while y at line 12 column 4"
        );
        assert!(documents("a: 1\n...\nb: 2\n").unwrap_err().to_string().contains("more than one document"));
    }
}
