//! Where to listen: an IP address and a port, or all addresses.
//!
//! Host names are not resolved, except `localhost`: a static binary has no resolver, and an address that has to be
//! looked up before a pod can start is one more way not to start.
//!
//! *Never:* sockets.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListenAddress {
    /// All addresses of both families, or of IPv4 where there is no IPv6.
    All(u16),
    /// This one.
    At(SocketAddr),
}

// === impl ListenAddress ===

impl ListenAddress {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        const ADDRESS: &str = "an IP address and a port, such as 127.0.0.1:9091, [::1]:9091 or :9091";
        let is_vsock = text.starts_with("vsock:");
        let expected = || if is_vsock { format!("{ADDRESS} (vsock is not served)") } else { ADDRESS.to_owned() };
        let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
        if host.is_empty() || host == "localhost" {
            let port = port.parse().map_err(|_| expected())?;
            let localhost = Self::At((Ipv4Addr::LOCALHOST, port).into());
            return Ok(if host.is_empty() { Self::All(port) } else { localhost });
        }
        let address: SocketAddr = text.parse().map_err(|_| expected())?;
        let is_all = address.ip() == Ipv6Addr::UNSPECIFIED;
        Ok(if is_all { Self::All(address.port()) } else { Self::At(address) })
    }

    pub(crate) fn port(self) -> u16 {
        match self {
            Self::All(port) => port,
            Self::At(address) => address.port(),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(port) => write!(f, "[::]:{port}"),
            Self::At(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let at = |text: &str| ListenAddress::At(text.parse().unwrap());
        assert_eq!(ListenAddress::parse(":9091"), Ok(ListenAddress::All(9091)));
        assert_eq!(ListenAddress::parse("[::]:1"), Ok(ListenAddress::All(1)));
        assert_eq!(ListenAddress::parse("0.0.0.0:1"), Ok(at("0.0.0.0:1")));
        assert_eq!(ListenAddress::parse("[::1]:1"), Ok(at("[::1]:1")));
        assert_eq!(ListenAddress::parse("localhost:1"), Ok(at("127.0.0.1:1")));
        for bad in ["", "9091", "::1", "a:1", "127.0.0.1:x", "127.0.0.1:65536", "vsock://:1"] {
            assert!(ListenAddress::parse(bad).is_err(), "{bad}");
        }
    }
}
