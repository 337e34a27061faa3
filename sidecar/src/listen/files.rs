//! How many files the process may have open; each connection is one.
//!
//! Systems start processes with few, 1024 mostly, for the sake of programs that cannot count further, and let them have
//! more if they ask. The Pushgateway's runtime asks, and so do we.
//!
//! *Never:* what the files are.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Asks for as many as the system lets the process have.
pub(crate) fn allow_many_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, ?current, ?maximum, "the limit of open files stays as it is");
    }
}
