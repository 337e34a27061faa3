//! Binding a socket, with IPv4 in place of IPv6 where a node has none.
//!
//! *Never:* what is served.

use std::{
    io::{self, ErrorKind},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
};

/// What the system calls an address family it does not have (`EAFNOSUPPORT`).
const NO_SUCH_FAMILY: i32 = 97;

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

fn is_without_ipv6(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::Unsupported)
        || error.raw_os_error() == Some(NO_SUCH_FAMILY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_use_is_named() {
        let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        let error = bind(address).unwrap_err().to_string();
        assert!(error.starts_with(&format!("expected to listen at {address}: ")), "{error}");
    }

    #[test]
    fn a_missing_ipv6_is_told_from_other_faults() {
        assert!(is_without_ipv6(&io::Error::from_raw_os_error(NO_SUCH_FAMILY)));
        assert!(!is_without_ipv6(&io::Error::from(ErrorKind::AddrInUse)));
    }
}
