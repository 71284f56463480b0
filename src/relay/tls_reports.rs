//! Reports about TLS to the domains that want them (RFC 8460): once a day, about the day before, to
//! whom `_smtp._tls.` names, by mail or HTTPS.
//!
//! They go out beside the queue, since they belong to no ticket: what can't be handed over now is
//! tried again for two days, and then forgotten.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::client::{Outcome, Transaction};
use super::https::Https;
use super::mx::Finder;
use super::tally::DAY;
use super::worker::Relay;
use crate::desk::address::Address;
use crate::desk::message_id::MessageId;
use crate::desk::tls_report::{Counts, DateRange, Report, ReportTo, Wish};
use crate::mime::tls_report::{GZIP, Letter, compose, pack};
use crate::net::stop::Stop;
use crate::store::tables::TLS_COUNTS;
use crate::store::{Order, Read, StoreError};

/// How often what was counted is written down.
const WRITE: Duration = Duration::from_mins(1);
/// How often it is looked whether reports are due, or can be tried again.
const LOOK: SignedDuration = SignedDuration::from_hours(1);
/// Reports leave up to so long after midnight, each machine at a time of its own (RFC 8460 §4.1).
const SPREAD: u64 = 4 * 3_600;
/// So many days a report is tried.
const DAYS: i64 = 2;
/// The most reports under way at one time.
const AT_ONCE: usize = 4;
/// The most that are read at one time.
const PAGE: usize = 200;

/// Sends reports.
pub struct Reporter {
    pub relay: Arc<Relay>,
    pub finder: Arc<Finder>,
    pub https: Https,
}

/// What came of handing a report over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// It was taken, or never will be.
    Done,
    /// Later, perhaps.
    Later,
}

/// Why somebody did not take a report.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error("{0}")]
    ForNow(String),
    #[error("{0}")]
    Ever(String),
}

impl NotTaken {
    fn ever(error: &dyn ToString) -> Self {
        Self::Ever(error.to_string())
    }
}

impl Reporter {
    /// Writes down what is counted, and sends what is due, until told to stop.
    pub async fn run(self: Arc<Self>, mut stop: Stop) {
        let random = u64::from_ne_bytes((self.relay.desk.random)()[..8].try_into().expect("eight of sixteen octets"));
        let spread = SignedDuration::from_secs(i64::try_from(random % SPREAD).unwrap_or(0));
        let mut looked = None;
        loop {
            tokio::select! {
                () = stop.stopped() => break,
                () = sleep(WRITE) => {}
            }
            self.write().await;
            let now = (self.relay.now)();
            // Also where the clock was put back.
            if looked.is_none_or(|looked| now.duration_since(looked).abs() >= LOOK) {
                looked = Some(now);
                tokio::select! {
                    () = stop.stopped() => break,
                    sent = self.send_due(now - spread) => if let Err(error) = sent {
                        tracing::error!(%error, "TLS reports can't be read");
                    }
                }
            }
        }
        self.write().await;
    }

    async fn write(&self) {
        if let Some(tally) = self.finder.tally()
            && let Err(error) = tally.write(&self.relay.store).await
        {
            tracing::error!(%error, "what TLS reports count can't be written down yet");
        }
    }

    /// Sends a report to every domain that wants one about a day that has ended `now`, unless nothing is
    /// counted here.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn send_due(self: &Arc<Self>, now: Timestamp) -> Result<(), StoreError> {
        if let Some(policies) = self.finder.policies() {
            policies.forget().await?;
        }
        if self.finder.tally().is_none() {
            return Ok(());
        }
        let today = now.as_second().div_euclid(DAY);
        let mut after = None;
        loop {
            let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
            let span = (from, std::ops::Bound::Excluded((today, String::new())));
            let page = self.relay.store.read(|view| view.range(&TLS_COUNTS, span, Order::Up, PAGE))?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            let mut under_way = JoinSet::new();
            let mut waiting = page.into_iter();
            loop {
                while under_way.len() < AT_ONCE
                    && let Some((key, counts)) = waiting.next()
                {
                    let reporter = Arc::clone(self);
                    under_way.spawn(async move {
                        let too_old = today - key.0 > DAYS;
                        let done = too_old || reporter.send(key.0, &key.1, &counts).await == Sent::Done;
                        done.then_some(key)
                    });
                }
                match under_way.join_next().await {
                    Some(Ok(Some(done))) => self.forget(done).await?,
                    // It is tried again; also what broke down, until it is too old.
                    Some(_) => {}
                    None => break,
                }
            }
        }
    }

    async fn forget(&self, key: (i64, String)) -> Result<(), StoreError> {
        self.relay
            .store
            .transact(|tx| {
                tx.delete(&TLS_COUNTS, &key);
                Ok::<_, StoreError>(())
            })
            .await
    }

    /// Sends one report, to everyone whom the domain names; done when one of them has it, or none will.
    async fn send(&self, day: i64, domain: &str, counts: &Counts) -> Sent {
        let wish = match self.finder.texts(&format!("_smtp._tls.{domain}")).await {
            Ok(texts) => Wish::among(&texts),
            Err(_) => return Sent::Later,
        };
        let Some(wish) = wish else { return Sent::Done };
        let Some(report) = self.report(day, domain, counts) else { return Sent::Done };
        let (mut taken, mut later) = (false, false);
        for to in &wish.to {
            let outcome = match to {
                ReportTo::Mail(address) => self.mail(&report, day, domain, address).await,
                ReportTo::Https { host, port, path } => self.post(&report, host, *port, path).await,
            };
            match outcome {
                Ok(()) => {
                    tracing::info!(domain, ?to, "a TLS report was sent");
                    taken = true;
                }
                Err(reply) => {
                    let again = matches!(reply, NotTaken::ForNow(_));
                    tracing::warn!(domain, ?to, again, %reply, "a TLS report was not taken");
                    later |= again;
                }
            }
        }
        if later && !taken { Sent::Later } else { Sent::Done }
    }

    /// `None`: the day is no day.
    fn report(&self, day: i64, domain: &str, counts: &Counts) -> Option<Report> {
        let start = Timestamp::from_second(day.checked_mul(DAY)?).ok()?;
        let end = Timestamp::from_second(start.as_second() + DAY - 1).ok()?;
        let date = &start.to_string()[..10];
        let desk = &self.relay.desk;
        Some(Report {
            organization_name: desk.hostname.clone(),
            date_range: DateRange { start_datetime: start.to_string(), end_datetime: end.to_string() },
            contact_info: format!("postmaster@{}", desk.domains.first()),
            // The same when it is sent once more.
            report_id: format!("{date}-{domain}@{}", desk.hostname),
            policies: counts.report(domain),
        })
    }

    async fn post(&self, report: &Report, host: &str, port: Option<u16>, path: &str) -> Result<(), NotTaken> {
        let packed = pack(report).map_err(|error| NotTaken::ever(&error))?;
        let posted = self.https.post(host, port, path, GZIP, packed).await;
        posted.map_err(|error| NotTaken::ForNow(error.to_string()))
    }

    async fn mail(&self, report: &Report, day: i64, domain: &str, to: &Address) -> Result<(), NotTaken> {
        let desk = &self.relay.desk;
        let now = (self.relay.now)();
        let from = Address::new("postmaster", desk.domains.first()).map_err(|error| NotTaken::ever(&error))?;
        let message_id = MessageId::mint((desk.random)(), desk.domains.first());
        let (start, end) = (day * DAY, day * DAY + DAY - 1);
        let file_name = format!("{}!{domain}!{start}!{end}!1.json.gz", desk.hostname);
        let letter = Letter {
            report,
            domain,
            submitter: &desk.hostname,
            from: &from,
            to,
            date: now,
            message_id: &message_id,
            file_name: &file_name,
        };
        let body = compose(&letter).map_err(|error| NotTaken::ever(&error))?;
        let signer = self.relay.signers.get(desk.domains.first());
        let fields =
            signer.map(|signer| signer.sign(&body, now)).transpose().map_err(|error| NotTaken::ever(&error))?;
        let mut message = fields.unwrap_or_default().into_bytes();
        message.extend(body);
        let transaction = Transaction {
            // What comes back of it tells nobody anything.
            reverse_path: None,
            recipients: vec![to.clone()],
            message: &message,
            eight_bit: false,
            smtputf8: !to.is_ascii(),
        };
        match self.relay.exit.deliver_anyhow(&transaction).await.into_iter().next() {
            Some(Outcome::Sent(_)) => Ok(()),
            Some(Outcome::Failed(reply)) => Err(NotTaken::Ever(reply.to_string())),
            Some(Outcome::Deferred(reply) | Outcome::RouteDown(reply) | Outcome::Busy(reply)) => {
                Err(NotTaken::ForNow(reply.to_string()))
            }
            None => Err(NotTaken::Ever("nobody was asked".to_owned())),
        }
    }
}
