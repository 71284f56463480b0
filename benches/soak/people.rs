//! Those who write: customers with something new, members who answer them, customers who answer
//! that, and a server that reports what it could not deliver.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::load;
use super::mails::{Mail, TO};
use super::servers::Copy;

/// The team: the first answers, the other reads.
pub const MEMBERS: [&str; 2] = ["alice@good.example", "bob@good.example"];
/// Where customers are.
const CUSTOMERS: [&str; 6] =
    ["good.example", "good.example", "slow.example", "broken.example", "bouncing.example", "gone.example"];
/// One customer in so many is where nobody answers the phone.
const SILENT: u32 = 50;
/// Connections to the desk at one time.
const SESSIONS: usize = 20;
/// Of so many answers that could be written, a customer writes one.
const CUSTOMERS_ANSWER: u32 = 2;

/// People at work.
pub struct People {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

struct Shared {
    desk: SocketAddr,
    number: AtomicU32,
    sent: AtomicU32,
    failed: AtomicU32,
    sessions: Semaphore,
}

impl People {
    /// So many new mails a second, and whatever answers come of them.
    pub fn start(desk: SocketAddr, rate: u32, mut copies: mpsc::UnboundedReceiver<Copy>) -> Self {
        let shared = Arc::new(Shared {
            desk,
            number: AtomicU32::new(0),
            sent: AtomicU32::new(0),
            failed: AtomicU32::new(0),
            sessions: Semaphore::new(SESSIONS),
        });
        let (writing, answering) = (Arc::clone(&shared), Arc::clone(&shared));
        let writing = tokio::spawn(async move {
            let mut ticks = interval(Duration::from_secs(1) / rate);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                ticks.tick().await;
                let number = writing.next();
                writing.send(new(number)).await;
            }
        });
        let answering = tokio::spawn(async move {
            while let Some(copy) = copies.recv().await {
                if let Some(mail) = answer(&copy, answering.next()) {
                    answering.send(mail).await;
                }
            }
        });
        Self { shared, tasks: vec![writing, answering] }
    }

    /// How many mails the desk has taken.
    pub fn sent(&self) -> u32 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Stops them; how many mails the desk took in all.
    pub async fn stop(self) -> anyhow::Result<u32> {
        for task in self.tasks {
            task.abort();
        }
        // Those under way end.
        let _all = self.shared.sessions.acquire_many(u32::try_from(SESSIONS)?).await?;
        let failed = self.shared.failed.load(Ordering::Relaxed);
        anyhow::ensure!(failed == 0, "{failed} mails were not taken");
        Ok(self.shared.sent.load(Ordering::Relaxed))
    }
}

impl Shared {
    fn next(&self) -> u32 {
        self.number.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends beside whatever else is under way; waits where that is too much.
    async fn send(self: &Arc<Self>, mail: Mail) {
        let shared = Arc::clone(self);
        // Held until all is over, and never closed.
        let Ok(place) = self.sessions.acquire().await else { return };
        place.forget();
        tokio::spawn(async move {
            match load::send(shared.desk, &mail).await {
                Ok(_) => shared.sent.fetch_add(1, Ordering::Relaxed),
                Err(error) => {
                    eprintln!("a mail of <{}> to {}: {error:#}", mail.from, mail.to);
                    shared.failed.fetch_add(1, Ordering::Relaxed)
                }
            };
            shared.sessions.add_permits(1);
        });
    }
}

/// A customer has a question.
fn new(number: u32) -> Mail {
    let domain = if number.is_multiple_of(SILENT) { "silent.example" } else { CUSTOMERS[(number % 6) as usize] };
    let from = format!("customer{number}@{domain}");
    let subject = format!("{} {number}", words(number, 4));
    Mail { data: message(&from, TO, &subject, number, ""), from, to: TO.to_owned() }
}

/// What somebody does with a mail of the desk.
fn answer(copy: &Copy, number: u32) -> Option<Mail> {
    let text = String::from_utf8_lossy(&copy.message);
    let (header, _) = text.split_once("\r\n\r\n")?;
    let header = header.replace("\r\n ", " ").replace("\r\n\t", " ");
    let field = |name: &str| header.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    if copy.to.ends_with("@bouncing.example") {
        return Some(report(copy, field("Message-ID:")?, number));
    }
    let member = copy.to == MEMBERS[0];
    let answers = member || copy.to != MEMBERS[1] && number.is_multiple_of(CUSTOMERS_ANSWER);
    if field("Auto-Submitted:").is_some() || !answers {
        return None;
    }
    let to = field("Reply-To:")?.rsplit(['<', ' ']).next()?.trim_end_matches('>').to_owned();
    let (subject, id) = (field("Subject:")?, field("Message-ID:")?);
    let subject = if subject.starts_with("Re:") { subject.to_owned() } else { format!("Re: {subject}") };
    let more = format!("In-Reply-To: {id}\r\nReferences: {id}\r\n");
    Some(Mail { from: copy.to.clone(), data: message(&copy.to, &to, &subject, number, &more), to })
}

/// It could not be delivered after all (RFC 3464).
fn report(copy: &Copy, id: &str, number: u32) -> Mail {
    let data = format!(
        "From: Mail Delivery System <mailer-daemon@bouncing.example>\r\nTo: <{from}>\r\nSubject: Undelivered mail\r\n\
         Message-ID: <r{number}@bouncing.example>\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n\
         Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\nThe mailbox is full.\r\n\
         --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.bouncing.example\r\n\r\n\
         Final-Recipient: rfc822; {to}\r\nAction: failed\r\nStatus: 5.2.2\r\nDiagnostic-Code: smtp; 552 5.2.2 full\r\n\
         \r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: {id}\r\n--b--\r\n.\r\n",
        from = copy.from,
        to = copy.to,
    );
    Mail { from: String::new(), to: copy.from.clone(), data: data.into_bytes() }
}

/// A message of between 1 and 30 KiB, with the dot at its end.
fn message(from: &str, to: &str, subject: &str, number: u32, more: &str) -> Vec<u8> {
    let mut text = format!(
        "From: <{from}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n\
         Message-ID: <m{number}.{from}>\r\n{more}MIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\n"
    );
    let size = 1_024 + (number as usize * 7_919) % 29_000;
    let mut line = 0;
    while text.len() < size {
        let _ = write!(text, "{}.\r\n", words(number.wrapping_mul(31).wrapping_add(line), 9));
        line += 1;
    }
    text.push_str(".\r\n");
    text.into_bytes()
}

fn words(mut seed: u32, count: usize) -> String {
    const WORDS: [&str; 16] = [
        "order", "invoice", "parcel", "account", "broken", "colour", "address", "monday", "printer", "late", "refund",
        "garden", "small", "delivery", "question", "ticket",
    ];
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        seed = seed.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        words.push(WORDS[(seed >> 28) as usize]);
    }
    words.join(" ")
}
