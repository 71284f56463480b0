//! An accepted message becomes an entry of a ticket: what it is, which ticket it belongs to, and
//! what it may do there. One function an arrow; the rules are [`desk`](crate::desk)'s, the writing
//! is done by [`actions`](crate::actions), all in one transaction for all recipients.

mod arrival;
mod decision;
mod directory;
mod exchange;
mod filing;
pub mod gate;
pub mod looks;
pub mod placed;
pub mod quota;
pub mod rates;
mod report;
mod submission;
mod threads;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;

use decision::Question;
pub use directory::StoredDirectory;
use gate::Gate;
use looks::{Looks, Sight};
use quota::Quota;

use jiff::Timestamp;

use crate::actions::{Act, ActionError, Actor, Desk, trace};
use crate::desk::address::{Address, Mailbox};
use crate::desk::entry::{Door, Machine, Reason};
use crate::desk::envelope::{Envelope, Visit};
use crate::desk::id::{PropertyId, RawId};
use crate::desk::message_id::MessageId;
use crate::desk::recipient::{self, Target};
use crate::desk::spam::Listed;
use crate::desk::ticket::TicketRef;
use crate::desk::trace::Arrival as Way;
use crate::desk::verdict::Verdict;
use crate::metrics::{Rate, Refusal};
use crate::mime::marks;
use crate::mime::report::Report;
use crate::mime::understand::{Limits, TooMuch, Understood, understand};
use crate::store::tables::PROPERTIES;
use crate::store::tables::TICKETS;
use crate::store::{Read, Store, StoreError, Tx};
use crate::trust::{Authenticator, judge::Origin};

/// Servers that a message may have gone through before it is taken for one that loops (RFC 5321 §6.3).
const MOST_RECEIVED: usize = 50;

/// The way in for mail from the world.
pub struct Intake {
    pub store: Store,
    pub desk: Arc<Desk>,
    pub trust: Authenticator,
    pub looks: Looks,
    pub quota: Quota,
    pub gate: Gate,
}

/// What became of a message that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The tickets that it joined, opened, or is noted on.
    pub tickets: Vec<TicketRef>,
}

/// Why a message is not taken, as a reply to it (RFC 5321 §4.2, RFC 3463).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code} {}.{}.{} {text}", enhanced.0, enhanced.1, enhanced.2)]
pub struct Rejection {
    pub code: u16,
    pub enhanced: (u8, u16, u16),
    pub text: String,
    /// What it is counted as.
    pub reason: Refusal,
}

impl Rejection {
    fn new(code: u16, enhanced: (u8, u16, u16), text: impl Into<String>) -> Self {
        Self { code, enhanced, text: text.into(), reason: Refusal::Other }
    }

    /// The same, counted under a reason.
    fn because(self, reason: Refusal) -> Self {
        Self { reason, ..self }
    }
}

impl From<recipient::Refusal> for Rejection {
    fn from(refusal: recipient::Refusal) -> Self {
        use recipient::Refusal::{BadToken, Foreign, Unknown};
        match refusal {
            Foreign => Self::new(550, (5, 7, 1), refusal.to_string()).because(Refusal::Foreign),
            Unknown | BadToken => Self::new(550, (5, 1, 1), refusal.to_string()).because(Refusal::Unknown),
        }
    }
}

impl From<StoreError> for Rejection {
    /// Whatever is wrong with the store is ours to mend: the client keeps the message meanwhile.
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        if matches!(error, StoreError::Full) {
            Self::new(452, (4, 3, 1), "no room on the disk; try again later").because(Refusal::Store)
        } else {
            Self::new(451, (4, 3, 0), "the message could not be stored; try again later").because(Refusal::Store)
        }
    }
}

impl From<ActionError> for Rejection {
    fn from(error: ActionError) -> Self {
        match error {
            ActionError::Store(error) => error.into(),
            // To try it again would be the same mistake.
            error @ ActionError::Mistake(_) => Self::new(550, (5, 7, 1), error.to_string()),
            error => {
                tracing::error!(%error, "a message could not be filed");
                Self::new(451, (4, 3, 0), "the message could not be filed; try again later").because(Refusal::Store)
            }
        }
    }
}

/// A message with everything that was found out about it before its ticket is looked for.
#[derive(Clone)]
struct Mail<'a> {
    envelope: &'a Envelope,
    understood: &'a Understood,
    /// The one mailbox of From.
    from: Mailbox,
    /// What was found out about where it comes from; nothing of a member's who is logged in.
    verdict: Option<&'a Verdict>,
    machine: Option<(Machine, Option<Reason>)>,
    /// The delivery report that it is, if it may be believed to be one.
    report: Option<&'a Report>,
    /// The sender's own, or one made of what the message says.
    message_id: MessageId,
    looks: &'a Looks,
    gate: &'a Gate,
    /// Another recipient has taken it: the client will not hear of a refusal any more.
    must_keep: bool,
}

/// What one recipient's property made of a message.
enum Arrival {
    /// On a ticket.
    Filed(TicketRef, Counts),
    Refused(Rejection),
}

/// What counts of a message that was filed, once it is on disk.
#[derive(Default)]
struct Counts {
    /// What it looks like, and where it went.
    sight: Option<Box<Sight>>,
    /// The property where it opened a ticket.
    opened: Option<PropertyId>,
}

impl Intake {
    /// Whether mail for an address is taken from a client.
    ///
    /// One that a blocklist names is told here, where the reason is heard. Not so where an address
    /// that we made proves that we wrote first, for the postmaster, and where the property always
    /// lets somebody in: whether it is him, only From will tell.
    pub async fn recipient(&self, visit: &Visit, address: &Address) -> Result<(), Rejection> {
        let property = match self.target(address)? {
            Target::Property(property) | Target::Department(property, _) => property,
            Target::Reply(..) | Target::Bounce(_) | Target::Confirm(_) | Target::Claim(_) => return Ok(()),
        };
        let Some(blocklists) = &self.gate.blocklists else { return Ok(()) };
        if self.gate.listed != Listed::Reject || gate::is_postmaster(address) {
            return Ok(());
        }
        let Some(list) = blocklists.naming(visit.client).await else { return Ok(()) };
        let property = self.store.read(|view| view.get(&PROPERTIES, &property))?;
        if property.is_some_and(|property| !property.allowed.is_empty()) { Ok(()) } else { Err(gate::listed(&list)) }
    }

    fn target(&self, address: &Address) -> Result<Target, Rejection> {
        Ok(self.store.read(|view| resolve(view, &self.desk, address))??)
    }

    /// Takes a message, or says why not. When it answers `Ok`, the message, the change of every
    /// ticket and the intent to send every copy are on disk.
    ///
    /// `raw` begins with our own trace field.
    pub async fn receive(&self, envelope: &Envelope, raw: Vec<u8>) -> Result<Accepted, Rejection> {
        let raw: Arc<[u8]> = raw.into();
        let understood = read(&raw)?;
        let targets = self.targets(&envelope.recipients)?;
        let from = writer::from(&understood, envelope)?;
        let origin = Origin {
            client: envelope.client,
            helo: &envelope.helo,
            reverse_path: envelope.reverse_path.as_ref(),
            from_domain: Some(from.address.domain()),
        };
        // What answers us is nobody's business.
        let bare = |(_, target): &(_, Target)| matches!(target, Target::Property(_) | Target::Department(..));
        let asked = targets.iter().any(bare);
        let others = async {
            if asked {
                tokio::join!(self.gate.filter(envelope, &raw), self.gate.listing(envelope))
            } else {
                Default::default()
            }
        };
        let (mut verdict, ((filter, score), listed)) = tokio::join!(self.trust.judge(origin, &raw), others);
        (verdict.filter, verdict.score, verdict.listed) = (filter, score, listed);
        self.gate.sender(&from.address, &verdict, envelope.at)?;
        let mail = Mail {
            envelope,
            report: report::believed(&understood, &from, envelope),
            machine: marks::machine(&understood.marks, envelope.reverse_path.is_none()),
            message_id: writer::message_id(&understood, &self.desk),
            understood: &understood,
            from,
            verdict: Some(&verdict),
            looks: &self.looks,
            gate: &self.gate,
            must_keep: false,
        };
        let (accepted, counts) = self
            .store
            .transact(|tx| {
                let act = act(&self.desk, envelope, Door::Smtp);
                trace::arrived(tx, &act, Way::of(envelope, raw.len()))?;
                let raw = tx.put_raw(Arc::clone(&raw))?;
                file(tx, &act, &mail, &targets, raw)
            })
            .await
            .inspect_err(|rejection| {
                // The sender's rate was refused before.
                if rejection.reason == Refusal::Rate {
                    self.gate.metrics.count(Rate::Property);
                }
            })?;
        self.count(counts, envelope.at);
        Ok(accepted)
    }

    /// Counts what is on disk now.
    fn count(&self, counts: Vec<Counts>, now: Timestamp) {
        for Counts { sight, opened } in counts {
            if let Some(sight) = sight {
                self.looks.remember(*sight, now);
            }
            if let Some(property) = opened {
                self.gate.new_tickets.count(property, now);
            }
        }
    }

    /// Where the message goes: within one property only to the most specific recipient.
    fn targets(&self, recipients: &[Address]) -> Result<Vec<(Address, Target)>, Rejection> {
        let mut by_property: BTreeMap<PropertyId, (Address, Target)> = BTreeMap::new();
        let mut targets = Vec::new();
        for address in recipients {
            let target = self.target(address)?;
            match self.property(&target)? {
                None => targets.push((address.clone(), target)),
                Some(property) => {
                    let better =
                        by_property.get(&property).is_none_or(|(_, known)| target.specificity() > known.specificity());
                    // Two reply addresses name two tickets: both get it.
                    if is_exact(&target) {
                        targets.push((address.clone(), target));
                    }
                    if better {
                        by_property.insert(property, (address.clone(), target));
                    }
                }
            }
        }
        targets.extend(by_property.into_values().filter(|(_, target)| !is_exact(target)));
        targets.dedup_by(|one, two| one.1 == two.1);
        Ok(targets)
    }

    /// The property that a target is in: for an answer to a question of the desk its ticket's.
    fn property(&self, target: &Target) -> Result<Option<PropertyId>, Rejection> {
        let ticket = match target {
            Target::Confirm(token) => token.ticket,
            _ => return Ok(target.property()),
        };
        Ok(self.store.read(|view| view.get(&TICKETS, &ticket))?.map(|ticket| ticket.property))
    }
}

/// What a message does by itself, as a part of the story that is named after it.
fn act<'a>(desk: &'a Desk, envelope: &Envelope, door: Door) -> Act<'a> {
    Act { desk, now: envelope.at, door, actor: Actor::System, trace: envelope.id.parse().ok(), client: None }
}

/// Whether a target is one thing alone, besides which others count too.
fn is_exact(target: &Target) -> bool {
    matches!(target, Target::Reply(..) | Target::Confirm(_) | Target::Claim(_))
}

/// Reads a message that begins with our own trace field.
fn read(raw: &[u8]) -> Result<Understood, Rejection> {
    let understood = understand(raw, &Limits::default()).map_err(|error| match error {
        TooMuch::Fields(_) | TooMuch::Header(_) => {
            Rejection::new(552, (5, 3, 4), error.to_string()).because(Refusal::TooMuch)
        }
    })?;
    if understood.received > MOST_RECEIVED + 1 {
        let text = format!("more than {MOST_RECEIVED} Received fields: the message goes round in circles");
        return Err(Rejection::new(554, (5, 4, 6), text).because(Refusal::Loop));
    }
    Ok(understood)
}

/// What a recipient means here. `<postmaster>` alone is the postmaster of this host (RFC 5321 §4.5.1).
fn resolve(tx: &impl Read, desk: &Desk, address: &Address) -> Result<Result<Target, recipient::Refusal>, StoreError> {
    let of_host = address.domain() == desk.hostname && address.local().eq_ignore_ascii_case("postmaster");
    let of_host = of_host.then(|| Address::new("postmaster", desk.domains.first()).ok()).flatten();
    let directory = StoredDirectory { tx, postmaster: desk.postmaster.as_ref() };
    recipient::resolve(of_host.as_ref().unwrap_or(address), &desk.domains, &desk.keys, &directory)
}

/// Files a message for all its recipients. It is refused only when all of them refuse it: where one
/// has taken it, those that would only have thought ill of it, or have too much at the moment, keep it.
/// Answers besides what is to be counted.
fn file(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    mail: &Mail<'_>,
    targets: &[(Address, Target)],
    raw: RawId,
) -> Result<(Accepted, Vec<Counts>), Rejection> {
    let mut tickets = Vec::new();
    let mut counts = Vec::new();
    let mut refused: Vec<(usize, Rejection)> = Vec::new();
    for (place, (address, target)) in targets.iter().enumerate() {
        match file_at(tx, act, mail, address, target, raw)? {
            Arrival::Filed(ticket, count) => {
                tickets.push(ticket);
                counts.push(count);
            }
            Arrival::Refused(rejection) => refused.push((place, rejection)),
        }
    }
    if tickets.is_empty() {
        // One that passes comes first: the client tries again, and who would take it then gets it.
        let first = refused.into_iter().min_by_key(|(place, rejection)| (rejection.code >= 500, *place));
        if let Some((_, rejection)) = first {
            return Err(rejection);
        }
    } else {
        let kept = Mail { must_keep: true, ..mail.clone() };
        for (place, _) in refused {
            let (address, target) = &targets[place];
            if let Arrival::Filed(ticket, count) = file_at(tx, act, &kept, address, target, raw)? {
                tickets.push(ticket);
                counts.push(count);
            }
        }
    }
    tickets.sort();
    tickets.dedup();
    Ok((Accepted { tickets }, counts))
}

fn file_at(
    tx: &mut Tx<'_>,
    act: &Act<'_>,
    mail: &Mail<'_>,
    address: &Address,
    target: &Target,
    raw: RawId,
) -> Result<Arrival, ActionError> {
    match *target {
        Target::Bounce(copy) => report::at_copy(tx, act, mail, copy, raw),
        Target::Confirm(token) => decision::answer(tx, act, mail, address, Question::Held(token), raw, None),
        Target::Claim(token) => decision::answer(tx, act, mail, address, Question::Claim(token), raw, None),
        Target::Property(property) => arrival::at_property(tx, act, mail, address, property, None, None, raw),
        Target::Department(property, department) => {
            arrival::at_property(tx, act, mail, address, property, Some(department), None, raw)
        }
        Target::Reply(property, token) => {
            arrival::at_property(tx, act, mail, address, property, None, Some(token), raw)
        }
    }
}
