//! Who may push, administrate and read: whoever shows a token of the token file.
//!
//! Without a token file nobody is asked for anything. With one, some token of a request has to be good for what it asks;
//! the file is read again when it has changed. While there was never a good file, nobody is let in: a sidecar goes on then, as it
//! would hold its pod. A file that turns bad leaves those tokens in force that were read last.
//!
//! *Never:* routes, status codes, what is asked for.

mod credentials;
mod tokens;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use protocol::Excerpt;
use tokio::time::Instant;

use crate::{
    metrics::AuthRefusal,
    rate::{Used, whole_seconds},
    reload::Files,
};
pub(crate) use credentials::{Credentials, user_and_password};
use credentials::{Digest, TOKEN_NAME};
use tokens::{Token, Tokens, TokensError};

/// What the process was told about tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuthSettings {
    pub(crate) token_file: PathBuf,
    /// Whether pages and lists are guarded too.
    pub(crate) guards_reads: bool,
}

/// The guard. The default one lets everybody do everything.
#[derive(Debug, Default)]
pub(crate) struct Access {
    guard: Option<Guard>,
}

/// What somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish<'a> {
    /// To change one group; `None` for a path that names none, which nobody can.
    Push {
        job: Option<&'a str>,
    },
    /// To change any group, or to end the process.
    Administrate,
    Read,
}

/// Why somebody is not let in. No sentence has a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error(
        "expected a token, as `Authorization: Bearer TOKEN`, as the password of Basic or as `{TOKEN_NAME}`, found none"
    )]
    Missing,
    #[error("expected a token that is known here, found {}", if *.several { "several that are not" } else { "one that is not" })]
    Unknown { several: bool },
    #[error("expected a token for job {:?}, found one for other jobs", Excerpt::of(.job))]
    Job { job: String },
    #[error("expected a token for all jobs, since this is about all groups, found one for some")]
    NotForAll,
    #[error("expected fewer requests with this token, found more than its rate allows; try again in {retry_after} s")]
    TooOften {
        /// In seconds, rounded up.
        retry_after: u64,
    },
    #[error("expected a token file to compare tokens with, found none that can be read; the log says why")]
    Unavailable,
}

/// Why a token file is not in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenFileError {
    #[error("expected a file that can be read, found {path:?}: {source}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("expected a token file in {path:?}, found a fault: {source}")]
    Malformed { path: PathBuf, source: TokensError },
}

#[derive(Debug)]
struct Guard {
    settings: AuthSettings,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Absent before the first look.
    files: Option<Files>,
    /// Those of the last good file.
    tokens: Option<Arc<Tokens>>,
    used: HashMap<Digest, Used>,
}

/// Reads a token file for its faults alone.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(path: &Path) -> Result<(), TokenFileError> {
    read(&mut Files::new(Instant::now()), path).map(drop)
}

fn read(files: &mut Files, path: &Path) -> Result<Tokens, TokenFileError> {
    let text = files.read(path).map_err(|source| TokenFileError::Unreadable { path: path.to_owned(), source })?;
    Tokens::parse(&text).map_err(|source| TokenFileError::Malformed { path: path.to_owned(), source })
}

// === impl Access ===

impl Access {
    /// Nothing is read before the first look.
    pub(crate) fn new(settings: Option<AuthSettings>) -> Self {
        Self { guard: settings.map(|settings| Guard { settings, state: Mutex::default() }) }
    }

    /// Whether a wish of this kind has to show anything.
    pub(crate) fn guards(&self, wish: Wish<'_>) -> bool {
        self.guard.as_ref().is_some_and(|guard| wish != Wish::Read || guard.settings.guards_reads)
    }

    /// Reads the file if it is time to look and it is another one than before. `None` if nothing was read, otherwise
    /// how many tokens there are, or why those before stay.
    pub(crate) fn refresh(&self, now: Instant) -> Option<Result<usize, TokenFileError>> {
        self.guard.as_ref().and_then(|guard| guard.refresh(now))
    }

    /// Whether one of these is good for it. Uses up the rate of the first one that is.
    ///
    /// # Errors
    /// What was missing, of the credential that came nearest.
    pub(crate) fn admit(&self, shown: &Credentials, wish: Wish<'_>, now: Instant) -> Result<(), Refused> {
        if !self.guards(wish) {
            return Ok(());
        }
        self.guard.as_ref().map_or(Ok(()), |guard| guard.admit(shown, wish, now))
    }
}

// === impl Guard ===

impl Guard {
    fn refresh(&self, now: Instant) -> Option<Result<usize, TokenFileError>> {
        let mut state = self.lock();
        if state.files.as_mut().is_some_and(|files| !files.have_changed(now)) {
            return None;
        }
        let mut files = Files::new(now);
        let found = read(&mut files, &self.settings.token_file);
        state.files = Some(files);
        Some(found.map(|tokens| {
            state.used.retain(|digest, _| tokens.has(digest));
            state.tokens.insert(Arc::new(tokens)).len()
        }))
    }

    fn admit(&self, shown: &Credentials, wish: Wish<'_>, now: Instant) -> Result<(), Refused> {
        let tokens = self.lock().tokens.clone().ok_or(Refused::Unavailable)?;
        let mut refused = match shown.digests.len() {
            0 => Refused::Missing,
            count => Refused::Unknown { several: 1 < count },
        };
        for token in shown.digests.iter().filter_map(|digest| tokens.find(digest)) {
            match self.admit_with(token, wish, now) {
                Ok(()) => return Ok(()),
                // One that may is nearer than one that may not.
                Err(_) if matches!(refused, Refused::TooOften { .. }) => {}
                Err(why) => refused = why,
            }
        }
        Err(refused)
    }

    fn admit_with(&self, token: &Token, wish: Wish<'_>, now: Instant) -> Result<(), Refused> {
        match wish {
            Wish::Push { job: Some(job) } if !token.is_for(job) => return Err(Refused::Job { job: job.to_owned() }),
            Wish::Administrate if !token.is_for_all_jobs() => return Err(Refused::NotForAll),
            Wish::Push { .. } | Wish::Administrate | Wish::Read => {}
        }
        let Some(rate) = token.rate else { return Ok(()) };
        let taken = self.lock().used.entry(token.digest).or_default().take(rate, now);
        taken.map_err(|wait| {
            tracing::debug!(token = token.name, ?wait, "token used too often");
            Refused::TooOften { retry_after: whole_seconds(wait) }
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Refused ===

impl Refused {
    /// The word it is counted under.
    pub(crate) fn reason(&self) -> AuthRefusal {
        match self {
            Self::Missing => AuthRefusal::Missing,
            Self::Unknown { .. } => AuthRefusal::Unknown,
            Self::Job { .. } | Self::NotForAll => AuthRefusal::Forbidden,
            Self::TooOften { .. } => AuthRefusal::TooOften,
            Self::Unavailable => AuthRefusal::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests;
