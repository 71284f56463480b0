//! What stands before the desk for mail from the world: the filter, blocklists, each property's own
//! lists, and how much goes on an hour. What they come to is the table of
//! [`desk::spam`](crate::desk::spam).

use std::sync::Arc;

use hyper::body::Bytes;
use jiff::Timestamp;

use super::arrival::Case;
use super::rates::Rates;
use super::{Arrival, Rejection};
use crate::actions::Act;
use crate::desk::address::Address;
use crate::desk::authority::{Authority, Writer};
use crate::desk::envelope::Envelope;
use crate::desk::id::PropertyId;
use crate::desk::sender::Sender;
use crate::desk::spam::{Fate, Listed, Sentence, Suspicion, Thresholds, Why, fate, sentence};
use crate::desk::thread::Found;
use crate::desk::verdict::Verdict;
use crate::metrics::{Filter, Metrics, Rate, Refusal};
use crate::trust::alignment::ascii;
use crate::trust::blocklist::Blocklists;
use crate::trust::rspamd::Rspamd;

/// What is asked, and what counts.
pub struct Gate {
    pub rspamd: Option<Rspamd>,
    pub thresholds: Thresholds,
    pub blocklists: Option<Blocklists>,
    /// What a blocklist that names the client does to mail.
    pub listed: Listed,
    /// Messages of one From whose domain vouches for it. What proves nothing could use up somebody
    /// else's share; it is limited by its network.
    pub senders: Rates<Address>,
    /// New tickets of one property.
    pub new_tickets: Rates<PropertyId>,
    pub metrics: Arc<Metrics>,
}

impl Gate {
    /// Asks nobody, and lets so many messages of one sender and new tickets of one property in an hour.
    #[must_use]
    pub fn open(senders: u32, new_tickets: u32) -> Self {
        Self {
            rspamd: None,
            thresholds: Thresholds::default(),
            blocklists: None,
            listed: Listed::default(),
            senders: Rates::an_hour(senders),
            new_tickets: Rates::an_hour(new_tickets),
            metrics: Arc::default(),
        }
    }

    /// The filter's sentence with its score in hundredths.
    pub(super) async fn filter(&self, envelope: &Envelope, raw: &Arc<[u8]>) -> (Sentence, Option<i32>) {
        let Some(rspamd) = &self.rspamd else { return (Sentence::Unasked, None) };
        let (sentence, score) = match rspamd.ask(envelope, Bytes::from_owner(Arc::clone(raw))).await {
            Ok(opinion) => (sentence(&opinion, &self.thresholds), Some(hundredths(opinion.score))),
            Err(error) => {
                tracing::warn!(id = envelope.id, %error, "the spam filter has no opinion; the message is unfiltered");
                (Sentence::Unfiltered, None)
            }
        };
        let counted = match sentence {
            Sentence::Unasked => None,
            Sentence::Unfiltered => Some(Filter::Unfiltered),
            Sentence::Ham => Some(Filter::Ham),
            Sentence::Spam => Some(Filter::Spam),
            Sentence::Later => Some(Filter::Later),
            Sentence::Reject => Some(Filter::Reject),
        };
        if let Some(counted) = counted {
            self.metrics.count(counted);
        }
        (sentence, score)
    }

    /// The blocklist that names the client of a message.
    pub(super) async fn listing(&self, envelope: &Envelope) -> Option<String> {
        self.blocklists.as_ref()?.naming(envelope.client).await
    }

    /// Counts a message of its sender, or refuses it.
    pub(super) fn sender(&self, from: &Address, verdict: &Verdict, now: Timestamp) -> Result<(), Rejection> {
        if !verdict.is_aligned() || self.senders.count(from.clone(), now) {
            return Ok(());
        }
        self.metrics.count(Rate::Sender);
        Err(Rejection::new(450, (4, 7, 1), format!("too much mail from {from} within an hour; try again later"))
            .because(Refusal::Rate))
    }
}

/// What becomes of a message at a property, before it is filed there.
pub(super) fn at(case: &Case<'_>, authority: Authority) -> Fate {
    let Some(verdict) = case.mail.verdict else { return Fate::Taken };
    fate(&Suspicion {
        sentence: verdict.filter,
        listed: verdict.listed.as_ref().map(|_| case.mail.gate.listed),
        blocked: is_blocked(case),
        allowed: verdict.is_aligned() && covers(&case.property.allowed, &case.mail.from.address),
        member: matches!(case.author.writer, Writer::Member(_)),
        proven: matches!(authority, Authority::Member { .. }),
        conversation: case.holder.is_some() || case.found == Some(Found::Minted),
        must_keep: case.mail.must_keep || is_postmaster(case.address),
    })
}

/// Whether a property blocks whom a message is from, by any of its names.
pub(super) fn is_blocked(case: &Case<'_>) -> bool {
    let names = [Some(&case.mail.from.address), Some(&case.author.mailbox.address)];
    let names = names.into_iter().chain([case.mail.envelope.reverse_path.as_ref()]);
    names.flatten().any(|address| covers(&case.property.blocked, address))
}

fn covers(list: &[Sender], address: &Address) -> bool {
    list.iter().any(|sender| sender.covers(address, ascii))
}

/// The refusal that the client hears.
pub(super) fn refusal(case: &Case<'_>, why: Why) -> Arrival {
    let name = &case.property.name;
    let list = case.mail.verdict.and_then(|verdict| verdict.listed.as_deref()).unwrap_or_default();
    Arrival::Refused(match why {
        Why::Blocked => {
            Rejection::new(550, (5, 7, 1), format!("{name} takes no mail from this sender")).because(Refusal::Blocked)
        }
        Why::Listed => listed(list),
        Why::Rejected => {
            Rejection::new(550, (5, 7, 1), "the message looks like spam; write in other words, or by another way")
                .because(Refusal::Spam)
        }
        Why::Later => {
            Rejection::new(451, (4, 7, 1), "not yet; try again in a few minutes").because(Refusal::Greylisted)
        }
    })
}

/// The refusal of a client that a list names.
pub(super) fn listed(list: &str) -> Rejection {
    Rejection::new(
        550,
        (5, 7, 1),
        format!("your address is on the blocklist {list}; write to postmaster@ if it should not be"),
    )
    .because(Refusal::Blocklist)
}

/// Refuses a message that would open one more ticket than a property may have within an hour. What a
/// member wrote is not counted against it, and what another recipient has taken is taken here too.
pub(super) fn ceiling(act: &Act<'_>, case: &Case<'_>, authority: Authority) -> Option<Arrival> {
    let gate = case.mail.gate;
    let opens = case.ticket.is_none() && !matches!(authority, Authority::Member { .. });
    if !opens || case.mail.must_keep || !gate.new_tickets.is_spent(&case.property.id, act.now) {
        return None;
    }
    let text = format!("{} gets too many new messages at the moment; try again later", case.property.name);
    Some(Arrival::Refused(Rejection::new(451, (4, 7, 1), text).because(Refusal::Rate)))
}

/// Mail for a postmaster or about abuse is never refused for what is thought of it: whoever is refused
/// for nothing must be able to say so (RFC 5321 §4.5.1, RFC 2142 §5).
pub(super) fn is_postmaster(address: &Address) -> bool {
    ["postmaster", "abuse"].iter().any(|name| address.local().eq_ignore_ascii_case(name))
}

fn hundredths(score: f64) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "clamped to what fits")]
    let rounded = (score * 100.0).round().clamp(-1e9, 1e9) as i32;
    rounded
}
