//! Plain requests to a gateway: where it is, and what comes back.
//!
//! *Never:* what is asked for.

use std::{fmt, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use ureq::{
    Agent,
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
};

/// How long one answer may take, from the connection to its last byte.
const PATIENCE: Duration = Duration::from_secs(120);

/// How large an answer may be; it is held as a whole.
const MOST_BYTES: u64 = 4 << 30;

/// Where a gateway is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Scheme, host, port and route prefix, without credentials and without a slash at the end.
    base: String,
    /// The header that the credentials of the URL make.
    authorization: Option<String>,
}

/// Sends requests.
pub(crate) struct Client {
    agent: Agent,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

/// Why nothing came back, or not what was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("{url}: {fault}")]
    Request { url: String, fault: ureq::Error },
    #[error("{url}: expected status 200, found {status}: {sentence}")]
    Status { url: String, status: u16, sentence: String },
    #[error("{file}: expected certificates in PEM, found {found}")]
    Certificates { file: String, found: String },
}

// === impl Endpoint ===

impl Endpoint {
    /// Takes `http://[USER:PASSWORD@]HOST[:PORT][/PREFIX]`, or the same with `https`.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let expected = || "a URL such as http://pushgateway:9091".to_owned();
        let (scheme, rest) = url.split_once("://").ok_or_else(expected)?;
        if scheme != "http" && scheme != "https" {
            return Err(expected());
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (credentials, host) = match authority.rsplit_once('@') {
            Some((credentials, host)) => (Some(credentials), host),
            None => (None, authority),
        };
        if host.is_empty() || path.contains(['?', '#']) {
            return Err(expected());
        }
        let authorization = credentials.map(|credentials| {
            let plain: Vec<u8> = percent_decode_str(credentials).collect();
            format!("Basic {}", STANDARD.encode(plain))
        });
        Ok(Self { base: format!("{scheme}://{host}{}", path.trim_end_matches('/')), authorization })
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

/// Credentials are not printed.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.base)
    }
}

// === impl Client ===

impl Client {
    /// A client that trusts the public certificate authorities or, where a file is given, those in it.
    pub(crate) fn new(ca_file: Option<&str>) -> Result<Self, ClientError> {
        let mut tls = TlsConfig::builder();
        if let Some(file) = ca_file {
            tls = tls.root_certs(RootCerts::from(certificates(file)?));
        }
        let config = Agent::config_builder()
            .tls_config(tls.build())
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .max_redirects(0)
            .build();
        Ok(Self { agent: config.into() })
    }

    /// GET with headers; anything but 200 is an error.
    pub(super) fn get(&self, at: &Endpoint, path: &str, accept: &str) -> Result<Bytes, ClientError> {
        let url = at.url(path);
        let mut request = self.agent.get(&url).header("accept", accept);
        if let Some(authorization) = &at.authorization {
            request = request.header("authorization", authorization);
        }
        let answer = answer(request.call()).map_err(|fault| ClientError::Request { url: url.clone(), fault })?;
        if answer.status == 200 { Ok(answer.body) } else { Err(answer.unexpected(url)) }
    }

    /// PUT or POST; every status is an answer.
    pub(super) fn push(
        &self,
        at: &Endpoint,
        method: Method,
        path: &str,
        headers: &[(&str, String)],
        body: &[u8],
    ) -> Result<Answer, ClientError> {
        let url = at.url(path);
        let mut request = match method {
            Method::Put => self.agent.put(&url),
            Method::Post => self.agent.post(&url),
        };
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if let Some(authorization) = &at.authorization {
            request = request.header("authorization", authorization);
        }
        answer(request.send(body)).map_err(|fault| ClientError::Request { url, fault })
    }
}

/// How to push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// Takes the place of the whole group.
    Put,
    /// Takes the place of the families of the same names.
    Post,
}

fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Answer, ureq::Error> {
    let mut response = response?;
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(MOST_BYTES).read_to_vec()?;
    Ok(Answer { status, body: body.into() })
}

fn certificates(file: &str) -> Result<Vec<Certificate<'static>>, ClientError> {
    let unreadable = |found: String| ClientError::Certificates { file: file.to_owned(), found };
    let pem = std::fs::read(file).map_err(|error| unreadable(error.to_string()))?;
    let mut found = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| unreadable(error.to_string()))? {
            found.push(certificate);
        }
    }
    if found.is_empty() { Err(unreadable("none".to_owned())) } else { Ok(found) }
}

// === impl Answer ===

impl Answer {
    /// Its first line.
    pub(super) fn sentence(&self) -> String {
        String::from_utf8_lossy(&self.body).lines().next().unwrap_or_default().to_owned()
    }

    pub(super) fn unexpected(&self, url: String) -> ClientError {
        ClientError::Status { url, status: self.status, sentence: self.sentence() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_split_into_base_and_credentials() {
        let parsed = |url| Endpoint::parse(url).map(|it| (it.url("/metrics"), it.authorization));
        assert_eq!(parsed("http://a:9091"), Ok(("http://a:9091/metrics".to_owned(), None)));
        assert_eq!(parsed("https://a/b/c/"), Ok(("https://a/b/c/metrics".to_owned(), None)));
        let basic = Some("Basic dTpwQHc=".to_owned());
        assert_eq!(parsed("http://u:p%40w@a:1"), Ok(("http://a:1/metrics".to_owned(), basic)));
        for bad in ["", "a:9091", "ftp://a", "http://", "http:///x", "http://a/b?c"] {
            assert!(Endpoint::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn credentials_are_not_printed() {
        let endpoint = Endpoint::parse("http://user:secret@a").unwrap();
        assert_eq!(format!("{endpoint} {endpoint:?}"), "http://a \"http://a\"");
    }
}
