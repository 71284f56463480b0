//! The DNS resolver that everything shares: one cache, one set of bounds, handed in where it is
//! needed, so that tests bring a name server of their own.
//!
//! Not a recursive resolver, and no DNSSEC validation of its own.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf::read_system_conf;

/// How long one query to one server may take.
const QUERY_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a query is repeated before it counts as failed.
const ATTEMPTS: usize = 2;
/// The most answers that are remembered.
const CACHE_ENTRIES: u64 = 4_096;
/// The longest that an answer is remembered: a rotated DKIM key must not be missed for long.
const LONGEST_POSITIVE: Duration = Duration::from_hours(1);
/// The longest that the absence of an answer is remembered.
const LONGEST_NEGATIVE: Duration = Duration::from_mins(5);

/// Why there is no resolver.
#[derive(Debug, thiserror::Error)]
pub enum ResolverError {
    /// An entry of `[dns] resolvers` is no address.
    #[error("{0:?} in [dns] resolvers is no IP address with a port, such as 127.0.0.1:53 or [::1]:53")]
    Server(String),
    /// The system's configuration can't be read.
    #[error("the system's resolver configuration can't be used ({0}); name servers in [dns] resolvers")]
    System(#[source] NetError),
    /// The library refused the settings.
    #[error("the resolver can't be started: {0}")]
    Start(#[source] NetError),
}

/// A resolver that asks `servers` (`ip:port`, or an address alone for port 53), or the system's
/// where the list is empty. Names are always taken as complete: no search domains.
///
/// # Errors
/// [`ResolverError`].
pub fn resolver(servers: &[String]) -> Result<TokioResolver, ResolverError> {
    build(servers, ResolveHosts::Auto)
}

/// The same that knows nothing of the machine's own `hosts` file: what others find in the DNS.
///
/// # Errors
/// [`ResolverError`].
pub fn outside_view(servers: &[String]) -> Result<TokioResolver, ResolverError> {
    build(servers, ResolveHosts::Never)
}

fn build(servers: &[String], hosts: ResolveHosts) -> Result<TokioResolver, ResolverError> {
    let (name_servers, mut options) = if servers.is_empty() {
        let (system, options) = read_system_conf().map_err(ResolverError::System)?;
        (system.name_servers().to_vec(), options)
    } else {
        let servers = servers.iter().map(|server| name_server(server)).collect::<Result<_, _>>()?;
        (servers, ResolverOpts::default())
    };
    options.timeout = QUERY_TIMEOUT;
    options.attempts = ATTEMPTS;
    options.cache_size = CACHE_ENTRIES;
    options.positive_max_ttl = Some(LONGEST_POSITIVE);
    options.negative_max_ttl = Some(LONGEST_NEGATIVE);
    options.use_hosts_file = hosts;
    options.edns0 = true;
    options.try_tcp_on_error = true;
    // With the aliases on the way, so that an answer can be held against the question.
    options.preserve_intermediates = true;
    TokioResolver::builder_with_config(
        ResolverConfig::from_parts(None, Vec::new(), name_servers),
        TokioRuntimeProvider::default(),
    )
    .with_options(options)
    .build()
    .map_err(ResolverError::Start)
}

fn name_server(text: &str) -> Result<NameServerConfig, ResolverError> {
    let address = text
        .parse::<SocketAddr>()
        .or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)))
        .map_err(|_| ResolverError::Server(text.to_owned()))?;
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    Ok(NameServerConfig::new(address.ip(), true, connections.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn servers_are_addresses_with_an_optional_port() {
        for good in ["127.0.0.1:5353", "127.0.0.1", "[::1]:53", "::1"] {
            assert!(resolver(&[good.to_owned()]).is_ok(), "{good}");
        }
        for bad in ["", "localhost:53", "127.0.0.1:", "127.0.0.1:99999", "dns.example"] {
            let error = resolver(&[bad.to_owned()]).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains("[dns] resolvers"), "{error}");
        }
    }
}
