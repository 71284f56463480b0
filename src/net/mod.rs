//! What all servers share below their protocols: listening sockets, TLS and where its certificates
//! come from, limits on connections, the resolver, the word to stop, and the proof that they move.

pub mod acme;
pub mod answer;
pub mod beat;
pub mod limits;
pub mod listen;
pub mod passed;
pub mod resolver;
pub mod serve;
pub mod stop;
pub mod tls;
pub mod validator;
