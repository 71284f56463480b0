//! Forwarding confirmations: a provider asks whoever gets a forward whether he wants it, before the
//! first mail comes. Nobody fetches what it links to: a person of the property decides.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::address::Address;
use super::ticket::{TicketRef, named};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    Gmail,
    Microsoft,
    Yahoo,
    Zoho,
}

named!(Provider, "provider", Gmail = "gmail", Microsoft = "microsoft", Yahoo = "yahoo", Zoho = "zoho");

impl Provider {
    /// As its house writes it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Gmail => "Gmail",
            Self::Microsoft => "Microsoft",
            Self::Yahoo => "Yahoo",
            Self::Zoho => "Zoho",
        }
    }
}

/// What a provider asks. There is a code or a link, or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub provider: Provider,
    /// The mailbox that wants to forward, where the mail names it.
    pub mailbox: Option<Address>,
    /// Digits to type in at the provider's.
    pub code: Option<String>,
    /// On one of the provider's own hosts, by https.
    pub link: Option<String>,
}

/// A request as a property keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    pub request: Request,
    pub at: Timestamp,
    /// The ticket where the mail itself is kept.
    pub ticket: TicketRef,
}

impl Confirmation {
    /// The most that a property keeps, the newest.
    pub const MOST: usize = 10;
}
