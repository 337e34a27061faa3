//! Upstream's web config file as it is written.
//!
//! *Never:* what a value means.

use std::collections::HashMap;

use serde::Deserialize;

/// The whole file; all of it may be left out.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Written {
    pub(super) tls_server_config: Tls,
    pub(super) http_server_config: Http,
    pub(super) basic_auth_users: HashMap<String, String>,
    pub(super) rate_limit: RateLimit,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) cert: String,
    pub(super) cert_file: String,
    pub(super) key: String,
    pub(super) key_file: String,
    pub(super) client_auth_type: String,
    pub(super) client_ca: String,
    pub(super) client_ca_file: String,
    pub(super) client_allowed_sans: Vec<String>,
    pub(super) min_version: String,
    pub(super) max_version: String,
    pub(super) cipher_suites: Vec<String>,
    pub(super) curve_preferences: Vec<String>,
    pub(super) prefer_server_cipher_suites: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Http {
    /// HTTP/1.1 is served whatever it says.
    #[serde(rename = "http2")]
    pub(super) _http2: Option<bool>,
    pub(super) headers: Headers,
}

/// The five that there may be.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Headers {
    #[serde(rename = "Content-Security-Policy")]
    pub(super) content_security_policy: String,
    #[serde(rename = "Strict-Transport-Security")]
    pub(super) strict_transport_security: String,
    #[serde(rename = "X-Content-Type-Options")]
    pub(super) content_type_options: String,
    #[serde(rename = "X-Frame-Options")]
    pub(super) frame_options: String,
    #[serde(rename = "X-XSS-Protection")]
    pub(super) xss_protection: String,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RateLimit {
    pub(super) interval: String,
    pub(super) burst: u32,
}
