//! The languages that the desk itself writes.

use serde::{Deserialize, Serialize};

use super::ticket::named;

/// A property's language.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    #[default]
    En,
    Fr,
}

named!(Language, "language", En = "en", Fr = "fr");
