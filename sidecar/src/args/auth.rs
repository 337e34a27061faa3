//! Flags about who may do what.
//!
//! *Never:* what a value means.

/// Who may push, and who may read.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Auth")]
pub(crate) struct AuthArgs {
    /// Take pushes, deletions and administration only with a token of this file, which has one a line, or YAML; it is
    /// read again when it has changed, and without this flag every credential is ignored.
    #[arg(long = "auth.token-file", env = "SIDEGATE_AUTH_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<String>,

    /// Ask for a token for the page, the API and the status page too, but not for health, and in a sidecar not at the
    /// port that is scraped.
    #[arg(long = "auth.reads", env = "SIDEGATE_AUTH_READS", default_value = "false")]
    pub(crate) reads: String,
}
