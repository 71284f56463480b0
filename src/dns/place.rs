//! This machine's own addresses, as far as it knows them itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::expected::Places;
use crate::config::Config;
use crate::trust::blocklist::is_public;

/// Where mail comes in and goes out: what the configuration says, else what the system would choose.
/// Behind a router that translates addresses nothing here knows them.
#[must_use]
pub fn places(config: &Config) -> Places {
    let named: Vec<_> = config.smtp.listen.iter().map(SocketAddr::ip).filter(|ip| is_public(*ip)).collect();
    let chosen = || {
        [outward(Ipv4Addr::new(192, 0, 2, 1).into()), outward(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into())]
    };
    let chosen: Vec<_> = chosen().into_iter().flatten().filter(|ip| is_public(*ip)).collect();
    let senders = if config.egress.source.is_empty() { chosen.clone() } else { config.egress.source.clone() };
    let listens = |ip: &IpAddr| {
        config.smtp.listen.iter().any(|listen| match listen.ip() {
            IpAddr::V6(any) if any.is_unspecified() => true,
            IpAddr::V4(any) if any.is_unspecified() => ip.is_ipv4(),
            _ => false,
        })
    };
    let host_sure = !named.is_empty();
    let reached: Vec<_> = chosen.iter().copied().filter(listens).collect();
    // Where nothing listens to the world, something before it does; most likely at the address that mail
    // leaves from, whose reverse name must lead back to it anyway.
    let sending = senders.iter().copied().filter(|ip| is_public(*ip)).collect();
    let host = [named, reached, sending].into_iter().find(|host| !host.is_empty()).unwrap_or_default();
    Places { host, host_sure, senders }
}

/// The address that a connection to `there` would come from. Nothing is sent.
fn outward(there: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = if there.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((there, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}
