//! What all servers share below their protocols: listening sockets, TLS, limits on connections,
//! the resolver, the word to stop.

pub mod answer;
pub mod limits;
pub mod listen;
pub mod resolver;
pub mod stop;
pub mod tls;
