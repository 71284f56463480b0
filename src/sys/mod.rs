//! What the daemon has to do with the system that runs it: the service manager, signals, logs.

mod journal;
pub mod logs;
pub mod notify;
pub mod signals;
