//! Sockets that systemd has opened and passed, as `LISTEN_FDS` and `LISTEN_PID` say; their names do not matter.
//!
//! Only TCP is served: connections have to tell when an answer was written.
//!
//! *Never:* what is served.

use std::io;

use listenfd::ListenFd;
use tokio::net::TcpListener;

use super::announce;

/// Why there is nothing to serve on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SystemdError {
    #[error("expected sockets passed by systemd (LISTEN_FDS and LISTEN_PID), found none")]
    NonePassed,
    #[error("expected every socket passed by systemd to be a TCP socket, found that number {number} is none: {source}")]
    NotTcp { number: usize, source: io::Error },
}

/// Takes all sockets that were passed to this process, and says so in the log.
pub(crate) fn take_from_systemd(name: &'static str) -> Result<Vec<TcpListener>, SystemdError> {
    let mut passed = ListenFd::from_env();
    let mut listeners = Vec::new();
    for index in 0..passed.len() {
        let not_tcp = |source| SystemdError::NotTcp { number: index + 1, source };
        let Some(listener) = passed.take_tcp_listener(index).map_err(not_tcp)? else { continue };
        listener.set_nonblocking(true).map_err(not_tcp)?;
        let listener = TcpListener::from_std(listener).map_err(not_tcp)?;
        announce(&listener, name).map_err(not_tcp)?;
        listeners.push(listener);
    }
    if listeners.is_empty() { Err(SystemdError::NonePassed) } else { Ok(listeners) }
}
