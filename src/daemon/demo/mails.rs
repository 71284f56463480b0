//! The demonstration's way to send mail: through its own SMTP port, as anybody's server would, and
//! to answer what the desk sent out, which lies in the Maildir.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;
use mail_parser::MessageParser;

use crate::desk::address::Address;
use crate::net::resolver::resolver;
use crate::relay::client::{Client, Outcome, Tls, Transaction};
use crate::relay::exit::{Exit, Way};
use crate::relay::pool::PoolLimits;
use crate::relay::route::{NextHop, Place, Protocol, Security};
use crate::store::tables::QUEUE;
use crate::store::{Order, Read, Store, StoreError};

/// The longest that the desk may take to send its copies.
const PATIENCE: Duration = Duration::from_secs(20);

/// Everybody's mail client.
pub(super) struct Mailer {
    exit: Exit,
    store: Store,
    outbox: PathBuf,
}

/// A copy as its reader has it, as far as an answer needs it.
#[derive(Debug)]
pub(super) struct Received {
    reply_to: Address,
    message_id: String,
    subject: String,
}

impl Mailer {
    pub(super) fn new(smtp: u16, name_server: &str, store: Store, outbox: &Path) -> anyhow::Result<Self> {
        let client = Client::new(
            "mail.example".to_owned(),
            resolver(&[name_server.to_owned()])?,
            Tls::with_roots(rustls::RootCertStore::empty())?,
        );
        let hop = NextHop {
            protocol: Protocol::Smtp,
            place: Place::Host("127.0.0.1".to_owned(), smtp),
            security: Security::Opportunistic,
            credentials: None,
        };
        let exit = Exit::to_servers(Way::Hop(hop), client, PoolLimits::default());
        Ok(Self { exit, store, outbox: outbox.to_owned() })
    }

    /// Sends a mail.
    pub(super) async fn send(&self, from: &str, to: &str, mail: &str) -> anyhow::Result<()> {
        let date = rfc2822::to_string(&Timestamp::now().to_zoned(TimeZone::UTC))?;
        let message = mail.replace("{date}", &date).replace('\n', "\r\n");
        let transaction = Transaction {
            reverse_path: Some(from.parse()?),
            recipients: vec![to.parse()?],
            message: message.as_bytes(),
            eight_bit: !message.is_ascii(),
            smtputf8: false,
        };
        match self.exit.deliver("mail", &transaction).await.first() {
            Some(Outcome::Sent(_)) => Ok(()),
            Some(other) => bail!("a mail from {from} to {to} was not taken: {}", other.reply()),
            None => bail!("a mail from {from} to {to} was not offered"),
        }
    }

    /// Answers the newest copy that `reader` got.
    pub(super) async fn answer(&self, reader: &str, from: &str, mail: &str) -> anyhow::Result<()> {
        let received = self.newest_about(reader, "").await?;
        self.answer_to(&received, from, mail).await
    }

    /// Answers a copy, at its reply address.
    pub(super) async fn answer_to(&self, received: &Received, from: &str, mail: &str) -> anyhow::Result<()> {
        let mail = mail
            .replace("{reply}", received.reply_to.as_str())
            .replace("{message_id}", &received.message_id)
            .replace("{subject}", &format!("Re: {}", received.subject.trim_start_matches("Re: ")));
        self.send(from, received.reply_to.as_str(), &mail).await
    }

    /// The newest copy in the Maildir that went to `reader`, with a part of its subject, once
    /// everything has gone out.
    pub(super) async fn newest_about(&self, reader: &str, subject: &str) -> anyhow::Result<Received> {
        self.all_sent().await?;
        let mut newest: Option<(u64, Received)> = None;
        for entry in fs::read_dir(self.outbox.join("new"))? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_string_lossy();
            let number = number.trim_start_matches("copy-").trim_end_matches(".guichet").parse().unwrap_or(0);
            if newest.as_ref().is_none_or(|(newest, _)| number > *newest)
                && let Some(received) = read(&fs::read(entry.path())?, reader)
                && received.subject.contains(subject)
            {
                newest = Some((number, received));
            }
        }
        Ok(newest.with_context(|| format!("{reader} got no mail"))?.1)
    }

    /// Waits until no copy waits any more.
    async fn all_sent(&self) -> anyhow::Result<()> {
        let mut changed = self.store.changed();
        let waiting = async {
            while !self.store.read(|view| view.range(&QUEUE, .., Order::Up, 1))?.is_empty() {
                if changed.changed().await.is_err() {
                    break;
                }
            }
            Ok::<_, StoreError>(())
        };
        Ok(tokio::time::timeout(PATIENCE, waiting).await.context("the copies were not delivered in time")??)
    }

    pub(super) async fn close(self) {
        self.exit.close().await;
    }
}

fn read(raw: &[u8], reader: &str) -> Option<Received> {
    let mail = MessageParser::new().parse(raw)?;
    let to = mail.to()?.first()?.address()?;
    if to != reader {
        return None;
    }
    Some(Received {
        reply_to: mail.reply_to()?.first()?.address()?.parse().ok()?,
        message_id: mail.message_id()?.to_owned(),
        subject: mail.subject()?.to_owned(),
    })
}
