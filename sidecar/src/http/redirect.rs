//! Which requests are answered with another place to ask: upstream's rules, for all but the paths of groups.
//!
//! In this order: a path with an empty segment, `.` or `..` is sent to the cleaned one; a root without its slash gets
//! it; a path that nothing is served at by this method is sent to one with a slash more or less, or with other letter
//! case, that something is served at. Clients take a redirected push for a success and lose it, so whatever lies below
//! `P/metrics`, spelled or cleaned, is never redirected, nor is a push to `P/metrics` itself, nor OPTIONS below
//! `P/api/v1/`.
//!
//! *Never:* handlers, whether anything is there in the end.

use axum::http::{Method, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// What is written as an escape in a `Location`: above all `\`, which browsers read as a slash.
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`');

/// What is served besides groups.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The path below which all is data, such as `/metrics`.
    pub(super) groups: String,
    /// Paths that end in a slash, and are redirected to without it by every method.
    pub(super) roots: Vec<String>,
    /// A path below which OPTIONS is never redirected: browsers do not follow that when they ask before a request.
    pub(super) asked_before: Option<String>,
    /// Each path with the methods it is served by, as in `Allow`.
    pub(super) paths: Vec<(String, String)>,
}

/// Where to ask instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Redirect {
    pub(super) status: StatusCode,
    /// A path and maybe a query; ASCII, with one slash at the start.
    pub(super) location: String,
}

/// Decides by the path as sent. The query is kept.
pub(super) fn redirect(method: &Method, path: &str, query: Option<&str>, known: &Known) -> Option<Redirect> {
    if !path.starts_with('/') || known.is_of_groups(method, path) || known.is_asked_before(method, path) {
        return None;
    }
    let cleaned = clean(path);
    let (status, path) = if cleaned != path {
        (StatusCode::TEMPORARY_REDIRECT, cleaned.as_str())
    } else {
        let moved = if *method == Method::GET { StatusCode::MOVED_PERMANENTLY } else { StatusCode::TEMPORARY_REDIRECT };
        (moved, known.instead_of(method, path)?)
    };
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let location = utf8_percent_encode(path, ESCAPED).chain(utf8_percent_encode(&query, ESCAPED)).collect();
    Some(Redirect { status, location })
}

/// Without empty segments and steps; a slash at the end stays.
fn clean(path: &str) -> String {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let end = if path.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}

/// What follows a start that may be spelled in other letter case.
fn after<'a>(path: &'a str, start: &str) -> Option<&'a str> {
    let (found, rest) = path.split_at_checked(start.len())?;
    found.eq_ignore_ascii_case(start).then_some(rest)
}

// === impl Known ===

impl Known {
    fn is_asked_before(&self, method: &Method, path: &str) -> bool {
        *method == Method::OPTIONS && self.asked_before.as_ref().is_some_and(|start| path.starts_with(start))
    }

    fn is_of_groups(&self, method: &Method, path: &str) -> bool {
        let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
        let is_of_groups = |path: &str| match after(path, &self.groups) {
            Some("" | "/") => !reads,
            Some(rest) => rest.starts_with('/'),
            None => false,
        };
        is_of_groups(path) || is_of_groups(&clean(path))
    }

    /// A path that is served in place of this one, if this one is not.
    fn instead_of(&self, method: &Method, path: &str) -> Option<&str> {
        let by_method = self.paths.iter().filter(|(_, methods)| methods.split(", ").any(|one| one == method.as_str()));
        let served: Vec<_> = by_method.map(|(path, _)| path.as_str()).collect();
        if served.contains(&path) {
            return None;
        }
        let root = self.roots.iter().find(|root| root.strip_suffix('/') == Some(path));
        let without_slash = |path: &'_ str| path.strip_suffix('/').unwrap_or(path).to_owned();
        let bare = without_slash(path);
        let same = |one: &&&str| without_slash(one) == bare;
        let alike = |one: &&&str| without_slash(one).eq_ignore_ascii_case(&bare);
        let served = || served.iter().find(same).or_else(|| served.iter().find(alike)).copied();
        root.map(String::as_str).or_else(served)
    }
}

#[cfg(test)]
mod tests;
