//! Sockets: binding them, with patience where that is called for, and serving a router on them, within limits.
//!
//! A native sidecar that dies holds its pod in the init phase, so in the sidecar no listener that fails to bind ends
//! the process: it is reported and tried again. Where there is no IPv6, a listener for IPv6 alone is given up after
//! one warning.
//!
//! Connections come in by [`serve`] and live in [`connection`]; there a client has limits for what it takes: connections
//! at once, the time of a head, the time without a request, the size of a head. How long a body may take, and how large
//! it may be, is for whoever reads it.
//!
//! *Never:* what is served.

mod accept;
mod activity;
mod address;
mod answer;
mod connection;
mod delivery;
mod files;
mod limits;
mod stream;
mod systemd;
mod tls;

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use tokio::{net::TcpListener, sync::watch, time::sleep};

use crate::lifecycle::Starting;

pub(crate) use accept::{Serving, serve};
pub(crate) use activity::Awaited;
pub(crate) use address::ListenAddress;
pub(crate) use delivery::Delivery;
pub(crate) use files::allow_many_files;
pub(crate) use limits::ConnectionLimits;
pub(crate) use systemd::{SystemdError, take_from_systemd};

const FIRST_RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// Linux's number for "address family not supported", which has no `io::ErrorKind`.
const NO_SUCH_ADDRESS_FAMILY: i32 = 97;

/// Raised when the process no longer takes connections.
#[derive(Clone, Debug)]
pub(crate) struct Closing(watch::Receiver<bool>);

/// What to serve and where.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) address: ListenAddress,
    /// The listener's name in the log.
    pub(crate) name: &'static str,
    pub(crate) serving: Serving,
}

/// The sender raises the [`Closing`].
pub(crate) fn closing() -> (watch::Sender<bool>, Closing) {
    let (close, closing) = watch::channel(false);
    (close, Closing(closing))
}

/// Opens a socket, and says so in the log.
pub(crate) async fn bind(address: ListenAddress, name: &'static str) -> io::Result<TcpListener> {
    let listener = match address {
        ListenAddress::At(address) => TcpListener::bind(address).await,
        ListenAddress::All(port) => match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
            Err(error) if means_no_ipv6(&error) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await,
            bound => bound,
        },
    }?;
    announce(&listener, name)?;
    Ok(listener)
}

fn announce(listener: &TcpListener, name: &'static str) -> io::Result<()> {
    let address = listener.local_addr()?;
    tracing::info!(%address, listener = name, "listening");
    Ok(())
}

/// Binds as soon as that is possible and serves until closing. Counts as started with the first attempt.
pub(crate) async fn serve_patiently(endpoint: Endpoint, mut closing: Closing, starting: Starting) {
    let Endpoint { address, name, serving } = endpoint;
    let mut starting = Some(starting);
    let mut retry = FIRST_RETRY;
    loop {
        let error = match bind(address, name).await {
            Ok(listener) => {
                drop(starting);
                return serve(listener, serving, closing).await;
            }
            Err(error) => error,
        };
        starting.take();
        if lacks_ipv6(address, &error) {
            tracing::warn!(%address, listener = name, %error, "no IPv6 here, going on without this listener");
            return;
        }
        tracing::error!(%address, listener = name, %error, retry_in = ?retry, "cannot listen");
        tokio::select! {
            () = sleep(retry) => {}
            () = closing.raised() => return,
        }
        retry = (retry * 2).min(LONGEST_RETRY);
    }
}

/// Another address may yet come up; `::1` is there from the start or not at all.
fn lacks_ipv6(address: ListenAddress, error: &io::Error) -> bool {
    let is_loopback = address == ListenAddress::At((Ipv6Addr::LOCALHOST, address.port()).into());
    error.raw_os_error() == Some(NO_SUCH_ADDRESS_FAMILY) || (is_loopback && means_no_ipv6(error))
}

fn means_no_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(NO_SUCH_ADDRESS_FAMILY)
}

// === impl Closing ===

impl Closing {
    /// # Cancel safety
    /// Dropped midway, it loses nothing.
    async fn raised(&mut self) {
        // A sender that is gone cannot raise it any more, and means the same.
        let raised = self.0.wait_for(|closing| *closing).await;
        drop(raised);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_ipv6_loopback_that_is_not_there_is_given_up() {
        let at = |text: &str| ListenAddress::At(text.parse().unwrap());
        let not_there = || io::Error::from(io::ErrorKind::AddrNotAvailable);
        let taken = io::Error::from(io::ErrorKind::AddrInUse);
        assert!(lacks_ipv6(at("[::1]:9091"), &not_there()));
        assert!(lacks_ipv6(at("[2001:db8::1]:9091"), &io::Error::from_raw_os_error(NO_SUCH_ADDRESS_FAMILY)));
        assert!(!lacks_ipv6(at("[::1]:9091"), &taken));
        assert!(!lacks_ipv6(at("[2001:db8::1]:9091"), &not_there()));
        assert!(!lacks_ipv6(at("127.0.0.1:9091"), &not_there()));
    }
}
