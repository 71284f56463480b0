//! Places of loopback where nobody listens.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

/// Free for UDP and for TCP.
pub fn free_address() -> SocketAddr {
    loop {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = tcp.local_addr().unwrap();
        if UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
}

/// So many addresses of a network of loopback: 127.0.`net`.1, 127.0.`net`.2, ….
pub fn neighbours(net: u8, count: usize) -> Vec<IpAddr> {
    (1..).take(count).map(|last| IpAddr::from([127, 0, net, last])).collect()
}

/// A port that is free at all of these addresses.
pub fn free_port(addresses: &[IpAddr]) -> u16 {
    loop {
        let first = TcpListener::bind((addresses[0], 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        if addresses[1..].iter().all(|address| TcpListener::bind((*address, port)).is_ok()) {
            return port;
        }
    }
}
