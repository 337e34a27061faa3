//! Binding a socket, with IPv4 in place of IPv6 where a node has none, and patience with those who connect.
//!
//! Not held yet: a connection that is silent after the TLS handshake, and headers over HTTP/2.
//!
//! *Never:* what is served.

use std::{
    io::{self, ErrorKind},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    time::Duration,
};

use axum_server::Server;
use hyper_util::rt::TokioTimer;

/// What the system calls an address family it does not have (`EAFNOSUPPORT`).
const NO_SUCH_FAMILY: i32 = 97;

/// How long the headers of a request may take.
const HEADERS: Duration = Duration::from_secs(5);

/// A socket could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("expected to listen at {address}: {cause}")]
pub struct BindError {
    address: SocketAddr,
    #[source]
    cause: io::Error,
}

/// Binds an address. `[::]` takes IPv4 too where the system has it, and becomes `0.0.0.0` where there is no IPv6.
///
/// # Errors
/// When the address cannot be bound.
pub fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    let bound = match TcpListener::bind(address) {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && is_without_ipv6(&error) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port()))
        }
        bound => bound,
    };
    let listener = bound.and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    listener.map_err(|cause| BindError { address, cause })
}

/// Closes connections whose headers do not come.
pub fn limit_headers<A>(server: &mut Server<SocketAddr, A>) {
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEADERS);
}

fn is_without_ipv6(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::Unsupported)
        || error.raw_os_error() == Some(NO_SUCH_FAMILY)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn an_address_in_use_is_named() {
        let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        let error = bind(address).unwrap_err().to_string();
        assert!(error.starts_with(&format!("expected to listen at {address}: ")), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_whose_headers_do_not_end_is_not_waited_for() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = axum_server::from_tcp(listener).unwrap();
        limit_headers(&mut server);
        tokio::spawn(server.serve(axum::Router::new().into_make_service()));
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n").await.unwrap();
        let mut answer = Vec::new();
        // It is an answer or none; what counts is that the connection ends.
        let ended = tokio::time::timeout(Duration::from_secs(15), stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "still open");
    }

    #[test]
    fn a_missing_ipv6_is_told_from_other_faults() {
        assert!(is_without_ipv6(&io::Error::from_raw_os_error(NO_SUCH_FAMILY)));
        assert!(!is_without_ipv6(&io::Error::from(ErrorKind::AddrInUse)));
    }
}
