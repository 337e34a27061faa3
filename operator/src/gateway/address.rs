//! Where a gateway answers: from a URL as a user writes it to host, port and prefix. Pure.
//!
//! *Never:* names and what they resolve to, sending anything.

use std::fmt;

use hyper::Uri;

/// Where a gateway answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayAddress {
    is_tls: bool,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    /// As a request's `Host` has it.
    authority: String,
    /// What all paths start with, without a slash at the end.
    prefix: String,
}

/// A text that is no address of a gateway.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected spec.gateway.url to be such as https://pushgateway.example:9091/prefix, without user, query or fragment, \
     found {found:?}: {cause}"
)]
pub struct BadAddress {
    found: String,
    cause: String,
}

// === impl GatewayAddress ===

impl GatewayAddress {
    /// Reads a URL.
    ///
    /// # Errors
    /// When it is no `http` or `https` URL of a host, or has more than a path. A user's name is not repeated.
    pub fn parse(url: &str) -> Result<Self, BadAddress> {
        // A password that somebody put into it is not for a status or a log.
        let shown = url.rsplit_once('@').map_or(url, |(_, rest)| rest);
        let bad = |cause: &str| BadAddress { found: shown.to_owned(), cause: cause.to_owned() };
        if url.contains('@') {
            return Err(bad("it has an @"));
        }
        if url.contains(['?', '#']) {
            return Err(bad("it has a query or a fragment"));
        }
        let uri: Uri = url.parse().map_err(|error: hyper::http::uri::InvalidUri| bad(&error.to_string()))?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(bad("its scheme is neither http nor https")),
        };
        let authority = uri.authority().filter(|authority| !authority.host().is_empty());
        let authority = authority.ok_or_else(|| bad("it has no host"))?;
        // The library takes a number that is no port for none.
        let written = authority.as_str().strip_prefix(authority.host()).and_then(|rest| rest.strip_prefix(':'));
        let port = match (written, is_tls) {
            (Some(port), _) => port.parse().map_err(|_| bad("its port is no number from 0 to 65535"))?,
            (None, true) => 443,
            (None, false) => 80,
        };
        let prefix = uri.path().trim_end_matches('/');
        if prefix.split('/').any(|part| matches!(part, "." | "..")) {
            return Err(bad("its path has a . or .. in it"));
        }
        Ok(Self {
            is_tls,
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port,
            authority: authority.as_str().to_owned(),
            prefix: prefix.to_owned(),
        })
    }

    /// Whether it is the place where another one is, however either is written.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let of = |one: &Self| (one.is_tls, one.port, one.prefix.clone());
        of(self) == of(other) && self.host.eq_ignore_ascii_case(&other.host)
    }

    /// Whether it is spoken to over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The name or address to connect to.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What a request's `Host` says.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// A path below the prefix.
    #[must_use]
    pub fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}

impl fmt::Display for GatewayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.is_tls { "https" } else { "http" }, self.authority, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, host: &str, port: u16, path: &str) {
        let address = GatewayAddress::parse(url).unwrap();
        assert_eq!((address.host(), address.port(), address.path("/x").as_str()), (host, port, path), "{url}");
    }

    #[test]
    fn a_url_is_a_host_a_port_and_a_prefix() {
        check("http://pg", "pg", 80, "/x");
        check("https://pg.example/", "pg.example", 443, "/x");
        check("http://pg.data.svc:9091", "pg.data.svc", 9091, "/x");
        check("http://10.0.0.7:9091/a/b%20c/", "10.0.0.7", 9091, "/a/b%20c/x");
        check("https://[fd00::7]:9091/a", "fd00::7", 9091, "/a/x");
        assert_eq!(GatewayAddress::parse("https://[fd00::7]:9091/a/").unwrap().to_string(), "https://[fd00::7]:9091/a");
    }

    #[test]
    fn anything_else_is_refused_with_a_sentence() {
        for (url, cause) in [
            ("ftp://pg", "its scheme is neither http nor https"),
            ("pg:9091", "its scheme is neither http nor https"),
            ("/metrics", "its scheme is neither http nor https"),
            ("http://pg?a=b", "it has a query or a fragment"),
            ("http://pg/#a", "it has a query or a fragment"),
            ("http://pg/a/../b", "its path has a . or .. in it"),
            ("http://pg:70000", "its port is no number from 0 to 65535"),
        ] {
            let error = GatewayAddress::parse(url).unwrap_err().to_string();
            assert!(error.starts_with("expected spec.gateway.url to be such as https://"), "{error}");
            assert!(error.ends_with(&format!("found {url:?}: {cause}")), "{error}");
        }
        for url in ["", "http://", "http://:9091", "http://p g"] {
            assert!(GatewayAddress::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_refused_and_not_repeated() {
        let error = GatewayAddress::parse("http://me:secret@pg").unwrap_err().to_string();
        assert!(error.ends_with("found \"pg\": it has an @"), "{error}");
    }
}
