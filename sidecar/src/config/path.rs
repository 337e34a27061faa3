//! Paths: what stands before all others, and where the page is.
//!
//! They are made of plain characters, so that they are the same encoded and decoded and mean nothing to the router.
//!
//! *Never:* which flag has it, routes.

use axum::http::Uri;
use protocol::endpoints::METRICS_PATH;

const PLAIN: &str = "a path of letters, digits, `-`, `.`, `_` and `~` between single slashes";

/// What starts other paths than the page's.
const TAKEN: [&str; 5] = ["-", "api", "debug", "static", "status"];

/// A slash is added in front and removed at the end; `/` means none.
pub(super) fn prefix(path: &str) -> Result<String, String> {
    let is_plain = |segment: &str| {
        !["", ".", ".."].contains(&segment)
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    match path.trim_matches('/') {
        "" => Ok(String::new()),
        inner if inner.split('/').all(is_plain) => Ok(format!("/{inner}")),
        _ => Err(PLAIN.to_owned()),
    }
}

/// The path of a URL, as a prefix. A bare path will do, as it does for upstream.
pub(super) fn of_external_url(url: &str) -> Result<String, String> {
    let expected = || "a URL such as https://example.com/pushgateway, without query".to_owned();
    let uri: Uri = url.parse().map_err(|_| expected())?;
    let is_absolute = matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
    let is_path = uri.scheme().is_none() && url.starts_with('/');
    if !(is_absolute || is_path) || uri.query().is_some() || url.contains('#') {
        return Err(expected());
    }
    prefix(uri.path()).map_err(|_| format!("{}, its path being {PLAIN}", expected()))
}

/// Joined and cleaned: a slash in front and none behind, none twice, neither `.` nor `..`.
pub(super) fn telemetry(path: &str) -> Result<String, String> {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let is_taken = segments.first().is_none_or(|first| TAKEN.contains(first));
    let cleaned = prefix(&segments.join("/"))?;
    if is_taken || cleaned.strip_prefix(METRICS_PATH).is_some_and(|below| below.starts_with('/')) {
        return Err("a path that nothing else is served at, such as /metrics or /federate".to_owned());
    }
    Ok(cleaned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_a_slash_in_front_and_none_behind() {
        for (written, expected) in [("/", ""), ("", ""), ("a", "/a"), ("/a/b/", "/a/b"), ("//a//", "/a")] {
            assert_eq!(prefix(written).as_deref(), Ok(expected), "{written}");
        }
        for bad in ["/a//b", "/{a}", "/a b", "/a%20b", "/..", "/a/./b", "/ä", "/*a", "a?b"] {
            assert_eq!(prefix(bad).unwrap_err(), PLAIN, "{bad}");
        }
    }

    #[test]
    fn an_external_url_counts_by_its_path() {
        let rows = [
            ("http://host", ""),
            ("http://host/", ""),
            ("http://host/a/", "/a"),
            ("https://user@host:1/a/b", "/a/b"),
            ("http://[::1]:9091/a", "/a"),
            ("/a/", "/a"),
        ];
        for (written, expected) in rows {
            assert_eq!(of_external_url(written).as_deref(), Ok(expected), "{written}");
        }
        for bad in ["host", "host:9091", "host/a", "ftp://host/a", "http://", "http://h/a?b", "http://h/a#b", "\"/a\""]
        {
            let error = of_external_url(bad).unwrap_err();
            assert!(error.starts_with("a URL such as https://example.com/pushgateway"), "{bad}: {error}");
        }
        assert!(of_external_url("http://host/a//b").unwrap_err().contains("single slashes"));
    }

    #[test]
    fn a_telemetry_path_is_cleaned() {
        let rows = [
            ("/metrics", "/metrics"),
            ("metrics/", "/metrics"),
            ("/a//b/../c/.", "/a/c"),
            ("/../federate", "/federate"),
            ("/metrics2", "/metrics2"),
        ];
        for (written, expected) in rows {
            assert_eq!(telemetry(written).as_deref(), Ok(expected), "{written}");
        }
        assert_eq!(telemetry("/a b").unwrap_err(), PLAIN);
    }

    #[test]
    fn a_telemetry_path_takes_no_place_of_another() {
        for bad in ["", "/", "/a/..", "/-/ready", "/api/v1/metrics", "/static", "/status", "/metrics/job"] {
            let error = telemetry(bad).unwrap_err();
            assert!(error.starts_with("a path that nothing else is served at"), "{bad}: {error}");
        }
    }
}
