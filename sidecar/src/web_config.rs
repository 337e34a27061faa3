//! Upstream's web config file: TLS, users, headers and a rate, for all of the process alone; read again when it, or a
//! file that it names, has changed.
//!
//! Paths in it are relative to it. Unlike upstream's, a file that turns bad leaves the settings in force that were read last,
//! and so does one that takes TLS or the users away: a file that is being written may look so, and would open the door.
//!
//! *Never:* sockets, requests.

mod users;
mod written;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use axum::http::{HeaderName, HeaderValue, header};
use rustls::ServerConfig;
use tokio::time::Instant;

use crate::{
    duration,
    metrics::ReloadedFile,
    rate::Rate,
    reload::Files,
    tls::{ClientAuth, TlsError, TlsSettings, Version},
    yaml::{self, YamlError},
};
pub(crate) use users::{Login, Users};
use written::{Headers, RateLimit, Tls, Written};

/// What the file says.
#[derive(Debug)]
pub(crate) struct WebConfig {
    /// Absent where plain HTTP is served.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// Absent where everybody is let in.
    pub(crate) users: Option<Arc<Users>>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) rate: Option<Rate>,
}

/// The file, as it was last when it was good.
pub(crate) struct Web {
    path: PathBuf,
    state: Mutex<State>,
    /// Called when a changed file is not taken.
    failed: Box<dyn Fn(ReloadedFile) + Send + Sync>,
}

/// Why the file is not in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebConfigError {
    #[error("expected a file that can be read, found {path:?}: {source}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("expected a web config in {path:?}, found a fault: {source}")]
    Malformed { path: PathBuf, source: YamlError },
    #[error("expected in {path:?} {fault}")]
    Fault { path: PathBuf, fault: Fault },
}

/// What is wrong in it. No sentence has anything of a key or a hash.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("`{field}` or `{field}_file`, found both")]
    Both { field: &'static str },
    #[error("both a certificate and a key in `tls_server_config`, found one of the two or none")]
    HalfPair,
    #[error("`{field}` to be {expected}, found {found:?}")]
    Word { field: &'static str, expected: &'static str, found: String },
    #[error("a bcrypt hash for user {0:?}, found something else")]
    Hash(String),
    #[error("`{0}` to be text that a header can have, found other characters")]
    Header(HeaderName),
    #[error("TLS that can be served: {0}")]
    Tls(#[from] TlsError),
    #[error("TLS as there was before, found none; a restart takes it away")]
    TlsGone,
    #[error("users as there were before, found none; a restart takes them away")]
    UsersGone,
}

#[derive(Debug)]
struct State {
    files: Files,
    config: Arc<WebConfig>,
}

/// Reads a web config for its faults alone.
///
/// # Errors
/// The first fault.
pub(crate) fn check(path: &Path) -> Result<(), WebConfigError> {
    WebConfig::read(&mut Files::new(Instant::now()), path).map(drop)
}

// === impl WebConfig ===

impl WebConfig {
    fn read(files: &mut Files, path: &Path) -> Result<Self, WebConfigError> {
        let text = read(files, path)?;
        let is_empty = text.lines().all(|line| matches!(line.trim().bytes().next(), None | Some(b'#')));
        let written = if is_empty { Ok(Written::default()) } else { yaml::read(&text) };
        let written: Written = written.map_err(|source| WebConfigError::Malformed { path: path.to_owned(), source })?;
        let fault = |fault| WebConfigError::Fault { path: path.to_owned(), fault };
        let tls = read_tls(files, path, written.tls_server_config)?;
        let tls = tls.map(|settings| settings.config()).transpose().map_err(|error| fault(Fault::Tls(error)))?;
        let users = Users::new(written.basic_auth_users).map_err(|name| fault(Fault::Hash(name)))?;
        Ok(Self {
            tls,
            users: (!users.is_empty()).then(|| Arc::new(users)),
            headers: read_headers(written.http_server_config.headers).map_err(fault)?,
            rate: read_rate(&written.rate_limit).map_err(fault)?,
        })
    }

    /// Whether it may take another's place while the process runs.
    fn may_follow(&self, before: &Self) -> Result<(), Fault> {
        if before.tls.is_some() && self.tls.is_none() {
            return Err(Fault::TlsGone);
        }
        if before.users.is_some() && self.users.is_none() { Err(Fault::UsersGone) } else { Ok(()) }
    }
}

fn read(files: &mut Files, path: &Path) -> Result<String, WebConfigError> {
    files.read(path).map_err(|source| WebConfigError::Unreadable { path: path.to_owned(), source })
}

/// `None` where nothing of it is written.
fn read_tls(files: &mut Files, path: &Path, written: Tls) -> Result<Option<TlsSettings>, WebConfigError> {
    let fault = |fault| WebConfigError::Fault { path: path.to_owned(), fault };
    let mut pem = |field, inline: String, file: &str| match (inline.is_empty(), file.is_empty()) {
        (false, false) => Err(fault(Fault::Both { field })),
        (true, false) => read(files, &path.parent().unwrap_or(Path::new("")).join(file)).map(Some),
        (false, true) => Ok(Some(inline)),
        (true, true) => Ok(None),
    };
    let certificate = pem("cert", written.cert, &written.cert_file)?;
    let key = pem("key", written.key, &written.key_file)?;
    let client_ca = pem("client_ca", written.client_ca, &written.client_ca_file)?;
    let is_absent = certificate.is_none() && key.is_none() && client_ca.is_none();
    if is_absent && written.client_auth_type.is_empty() {
        return Ok(None);
    }
    let (Some(certificate), Some(key)) = (certificate, key) else { return Err(fault(Fault::HalfPair)) };
    Ok(Some(TlsSettings {
        certificate,
        key,
        clients: client_auth(written.client_auth_type).map_err(fault)?,
        client_ca,
        allowed_names: written.client_allowed_sans,
        least: version("min_version", written.min_version, Version::Tls12).map_err(fault)?,
        most: version("max_version", written.max_version, Version::Tls13).map_err(fault)?,
        suites: written.cipher_suites,
        curves: written.curve_preferences,
        prefers_own_suites: written.prefer_server_cipher_suites.unwrap_or(true),
    }))
}

fn client_auth(written: String) -> Result<ClientAuth, Fault> {
    match written.as_str() {
        "" | "NoClientCert" => Ok(ClientAuth::NoClientCert),
        "RequestClientCert" => Ok(ClientAuth::RequestClientCert),
        "RequireAnyClientCert" | "RequireClientCert" => Ok(ClientAuth::RequireAnyClientCert),
        "VerifyClientCertIfGiven" => Ok(ClientAuth::VerifyClientCertIfGiven),
        "RequireAndVerifyClientCert" => Ok(ClientAuth::RequireAndVerifyClientCert),
        _ => Err(Fault::Word {
            field: "client_auth_type",
            expected: "NoClientCert, RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven or \
                       RequireAndVerifyClientCert",
            found: written,
        }),
    }
}

fn version(field: &'static str, written: String, default: Version) -> Result<Version, Fault> {
    match written.as_str() {
        "" => Ok(default),
        "TLS12" => Ok(Version::Tls12),
        "TLS13" => Ok(Version::Tls13),
        _ => Err(Fault::Word { field, expected: "TLS12 or TLS13, since older ones are not served", found: written }),
    }
}

fn read_headers(written: Headers) -> Result<Vec<(HeaderName, HeaderValue)>, Fault> {
    let one_of = |field, value: String, words: &[&str], expected| {
        let is_known = value.is_empty() || words.iter().any(|word| value.eq_ignore_ascii_case(word));
        if is_known { Ok(value) } else { Err(Fault::Word { field, expected, found: value }) }
    };
    let frame = one_of("X-Frame-Options", written.frame_options, &["deny", "sameorigin"], "deny or sameorigin")?;
    let content = one_of("X-Content-Type-Options", written.content_type_options, &["nosniff"], "nosniff")?;
    let written = [
        (header::CONTENT_SECURITY_POLICY, written.content_security_policy),
        (header::STRICT_TRANSPORT_SECURITY, written.strict_transport_security),
        (header::X_CONTENT_TYPE_OPTIONS, content),
        (header::X_FRAME_OPTIONS, frame),
        (header::X_XSS_PROTECTION, written.xss_protection),
    ];
    let written = written.into_iter().filter(|(_, value)| !value.is_empty());
    let read = written.map(|(name, value)| match HeaderValue::try_from(value) {
        Ok(value) => Ok((name, value)),
        Err(_) => Err(Fault::Header(name)),
    });
    read.collect()
}

fn read_rate(written: &RateLimit) -> Result<Option<Rate>, Fault> {
    if written.interval.is_empty() {
        return Ok(None);
    }
    let interval = duration::parse(&written.interval).map_err(|_| Fault::Word {
        field: "interval",
        expected: "a duration such as 10ms or 1s",
        found: written.interval.clone(),
    })?;
    Ok((!interval.is_zero()).then(|| Rate::every(interval, written.burst)))
}

// === impl Web ===

impl Web {
    /// Reads it for the first time.
    ///
    /// # Errors
    /// The first fault; there is nothing to fall back to.
    pub(crate) fn open(
        path: PathBuf,
        failed: impl Fn(ReloadedFile) + Send + Sync + 'static,
    ) -> Result<Self, WebConfigError> {
        let mut files = Files::new(Instant::now());
        let config = Arc::new(WebConfig::read(&mut files, &path)?);
        Ok(Self { path, state: Mutex::new(State { files, config }), failed: Box::new(failed) })
    }

    /// What is in force. Looks at the files if it is time.
    pub(crate) fn current(&self) -> Arc<WebConfig> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if state.files.have_changed(now) {
            let mut files = Files::new(now);
            let read = WebConfig::read(&mut files, &self.path).and_then(|config| {
                let may = config.may_follow(&state.config);
                may.map(|()| config).map_err(|fault| WebConfigError::Fault { path: self.path.clone(), fault })
            });
            state.files = files;
            match read {
                Ok(config) => {
                    state.config = Arc::new(config);
                    tracing::info!(path = %self.path.display(), "web config read");
                }
                Err(error) => {
                    (self.failed)(ReloadedFile::WebConfig);
                    tracing::error!(%error, "web config not taken, the one before stays in force");
                }
            }
        }
        Arc::clone(&state.config)
    }
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
