//! net

pub mod resolver;
