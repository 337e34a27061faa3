//! Carries connections into the cluster's network namespace: loopback port → Unix socket → address inside.
//!
//! A Unix socket with a path is reached from every network namespace; a port is not.
//!
//! *Never:* what is carried.

use std::{
    io,
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    thread,
};

/// Name of the socket in the cluster's folder.
pub(super) const SOCKET: &str = "api-server.sock";

/// Takes connections at a port and hands them to a socket, until the listener fails.
pub(super) fn from_tcp(listener: &TcpListener, socket: &Path) {
    for outside in listener.incoming().map_while(Result::ok) {
        let socket = socket.to_owned();
        thread::spawn(move || carry(outside, UnixStream::connect(socket)?));
    }
}

/// Takes connections at a socket and hands them to an address, until the listener fails.
pub(super) fn to_tcp(listener: &UnixListener, address: &'static str) {
    for outside in listener.incoming().map_while(Result::ok) {
        thread::spawn(move || carry(TcpStream::connect(address)?, outside));
    }
}

fn carry(tcp: TcpStream, unix: UnixStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let (mut tcp_reader, mut unix_writer) = (tcp.try_clone()?, unix.try_clone()?);
    let (mut tcp_writer, mut unix_reader) = (tcp, unix);
    let there = thread::spawn(move || {
        let _ = io::copy(&mut tcp_reader, &mut unix_writer);
        let _ = unix_writer.shutdown(Shutdown::Write);
    });
    let _ = io::copy(&mut unix_reader, &mut tcp_writer);
    let _ = tcp_writer.shutdown(Shutdown::Write);
    let _ = there.join();
    Ok(())
}
