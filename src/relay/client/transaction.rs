//! One message over one session: MAIL, RCPT, DATA, and what each recipient's outcome is.

use std::fmt::Write as _;

use super::data::Stuffer;
use super::{Outcome, Reply, Session, Transaction};
use crate::desk::address::Address;
use crate::relay::route::Protocol;
use crate::trust::alignment::ascii;

/// How much of the message goes out at once.
const BLOCK: usize = 64 * 1024;
/// The most RCPT commands that are sent before their replies are read, so that neither side's
/// buffers fill up while both write (RFC 2920 §3.1).
const MOST_PIPELINED: usize = 50;

/// What came of a transaction.
pub struct Done {
    /// One for each recipient, in their order.
    pub outcomes: Vec<Outcome>,
    /// The session is fit for another.
    pub alive: bool,
    /// The session broke off before it had decided anything, and before it was given the message:
    /// on another session it may go well.
    pub untouched: bool,
}

/// Where one recipient stands.
enum Standing {
    /// Still to be decided; how his address is written to this server.
    Open(String),
    Decided(Outcome),
}

impl Session {
    /// Offers a message. Every recipient gets an outcome, whatever happens.
    pub async fn deliver(&mut self, transaction: &Transaction<'_>) -> Done {
        self.transactions += 1;
        let mut standings = self.check(transaction);
        let mut handed_over = false;
        let ended = if standings.iter().any(|standing| matches!(standing, Standing::Open(_))) {
            self.exchange(transaction, &mut standings, &mut handed_over).await
        } else {
            Ok(())
        };
        self.used = tokio::time::Instant::now();
        let alive = ended.is_ok();
        let undecided = standings.iter().all(|standing| matches!(standing, Standing::Open(_)));
        let reply = ended.err().unwrap_or_else(|| Reply::ours("the server gave no answer"));
        let outcomes = standings
            .into_iter()
            .map(|standing| match standing {
                Standing::Open(_) => Outcome::Deferred(reply.clone()),
                Standing::Decided(outcome) => outcome,
            })
            .collect();
        Done { outcomes, alive, untouched: !alive && undecided && !handed_over }
    }

    /// What can be told from the server's extensions alone.
    fn check(&self, transaction: &Transaction<'_>) -> Vec<Standing> {
        let size = transaction.message.len() as u64;
        let utf8 = self.extensions.smtputf8;
        let failure = if self.extensions.size.is_some_and(|limit| limit > 0 && size > limit) {
            let limit = self.extensions.size.unwrap_or_default();
            Some(Reply::ours_with([5, 3, 4], format!("the message has {size} octets, the server takes {limit}")))
        } else if transaction.eight_bit && !self.extensions.eight_bit {
            Some(Reply::ours_with([5, 6, 3], "the server takes 7-bit mail only, and this must not be re-encoded"))
        } else if transaction.smtputf8 && !utf8 {
            Some(Reply::ours_with([5, 6, 7], "the server takes no header in UTF-8"))
        } else if transaction.reverse_path.as_ref().is_some_and(|path| wire(path, utf8).is_none()) {
            Some(Reply::ours_with([5, 6, 7], "the server takes no sender's address in UTF-8"))
        } else {
            None
        };
        let standing = |recipient| match (&failure, wire(recipient, utf8)) {
            (Some(reply), _) => Standing::Decided(Outcome::Failed(reply.clone())),
            (None, Some(address)) => Standing::Open(address),
            (None, None) => {
                let reply = Reply::ours_with([5, 6, 7], "the server takes no address in UTF-8");
                Standing::Decided(Outcome::Failed(reply))
            }
        };
        transaction.recipients.iter().map(standing).collect()
    }

    /// The conversation. `Err`: the session ended early; who is undecided is deferred. From
    /// `handed_over` on the server has octets of the message, and may take it all the same.
    async fn exchange(
        &mut self,
        transaction: &Transaction<'_>,
        standings: &mut [Standing],
        handed_over: &mut bool,
    ) -> Result<(), Reply> {
        self.expect_silence()?;
        let mail = self.mail(transaction, standings);
        let pipelining = self.extensions.pipelining;
        let timeouts = self.timeouts;

        let rcpts: Vec<(usize, String)> = standings
            .iter()
            .enumerate()
            .filter_map(|(index, standing)| match standing {
                Standing::Open(address) => Some((index, format!("RCPT TO:<{address}>\r\n"))),
                Standing::Decided(_) => None,
            })
            .collect();
        let group = if pipelining { MOST_PIPELINED } else { 1 };
        let groups = rcpts.len().div_ceil(group);
        let mut refused = None;
        let mut accepted = Vec::with_capacity(rcpts.len());
        if !pipelining {
            self.send(mail.as_bytes()).await?;
            let reply = self.reply(timeouts.command).await?;
            if !reply.is_positive() {
                decide_all(standings, &refusal(&reply));
                return self.reset().await;
            }
        }
        for (number, rcpts) in rcpts.chunks(group).enumerate() {
            let mut commands = if pipelining && number == 0 { mail.clone() } else { String::new() };
            commands.extend(rcpts.iter().map(|(_, command)| command.as_str()));
            if pipelining && number + 1 == groups {
                commands.push_str("DATA\r\n");
            }
            self.send(commands.as_bytes()).await?;
            if pipelining && number == 0 {
                let reply = self.reply(timeouts.command).await?;
                refused = (!reply.is_positive()).then(|| refusal(&reply));
            }
            for (index, _) in rcpts {
                let reply = self.reply(timeouts.command).await?;
                if reply.is_positive() && refused.is_none() {
                    accepted.push(*index);
                } else {
                    let outcome = refused.clone().unwrap_or_else(|| refusal(&reply));
                    standings[*index] = Standing::Decided(outcome);
                }
            }
        }
        if !pipelining {
            if accepted.is_empty() {
                return self.reset().await;
            }
            self.send(b"DATA\r\n").await?;
        }
        let reply = self.reply(timeouts.data).await?;
        self.expect_silence()?;
        if reply.code != Some(354) {
            for index in accepted {
                standings[index] = Standing::Decided(refusal(&reply));
            }
            return self.reset().await;
        }
        if accepted.is_empty() {
            // It was pipelined, and nobody is left to get a message: an empty one ends it, and
            // what is said of that concerns nobody (RFC 2920 §3.1).
            self.send(b".\r\n").await?;
            return match self.protocol {
                Protocol::Smtp => self.reply(timeouts.end).await.map(drop),
                // An answer for each of no recipients: there is nothing to wait for.
                Protocol::Lmtp => Err(Reply::ours("the server wanted a message for nobody")),
            };
        }
        *handed_over = true;
        self.data(transaction.message).await?;
        match self.protocol {
            Protocol::Smtp => {
                let reply = self.verdict().await?;
                for index in accepted {
                    standings[index] = Standing::Decided(verdict(&reply));
                }
            }
            Protocol::Lmtp => {
                for index in accepted {
                    let reply = self.verdict().await?;
                    standings[index] = Standing::Decided(verdict(&reply));
                }
            }
        }
        Ok(())
    }

    fn mail(&self, transaction: &Transaction<'_>, standings: &[Standing]) -> String {
        let utf8 = self.extensions.smtputf8;
        let path = transaction.reverse_path.as_ref().and_then(|path| wire(path, utf8)).unwrap_or_default();
        let mut mail = format!("MAIL FROM:<{path}>");
        if self.extensions.size.is_some() {
            write!(mail, " SIZE={}", transaction.message.len()).expect("a string takes what is written");
        }
        if transaction.eight_bit {
            mail.push_str(" BODY=8BITMIME");
        }
        let beyond_ascii = |standing: &Standing| matches!(standing, Standing::Open(address) if !address.is_ascii());
        if transaction.smtputf8 || !path.is_ascii() || standings.iter().any(beyond_ascii) {
            mail.push_str(" SMTPUTF8");
        }
        mail.push_str("\r\n");
        mail
    }

    async fn data(&mut self, message: &[u8]) -> Result<(), Reply> {
        let mut stuffer = Stuffer::new();
        let mut out = Vec::with_capacity(BLOCK.min(message.len()) + 1024);
        for piece in message.chunks(BLOCK) {
            if out.len() >= BLOCK {
                self.send(&out).await?;
                out.clear();
            }
            stuffer.push(piece, &mut out);
        }
        stuffer.finish(&mut out);
        self.send(&out).await
    }

    /// The answer to the whole message, or to its next recipient. Where none comes, the server may
    /// have taken it all the same.
    async fn verdict(&mut self) -> Result<Reply, Reply> {
        self.reply(self.timeouts.end).await.map_err(|reply| match reply.code {
            Some(_) => reply,
            None => Reply::ours(format!("{}, after the whole message: it may have been taken", reply.text)),
        })
    }

    async fn reset(&mut self) -> Result<(), Reply> {
        let reply = self.command("RSET").await?;
        if reply.is_positive() { Ok(()) } else { Err(reply) }
    }
}

/// What a refusal means: `530` asks for a login that was not configured or not done, which is no
/// recipient's fault.
fn refusal(reply: &Reply) -> Outcome {
    if reply.code == Some(530) {
        Outcome::RouteDown(reply.clone())
    } else if reply.is_permanent() {
        Outcome::Failed(reply.clone())
    } else {
        Outcome::Deferred(reply.clone())
    }
}

fn verdict(reply: &Reply) -> Outcome {
    if reply.is_positive() { Outcome::Sent(reply.clone()) } else { refusal(reply) }
}

fn decide_all(standings: &mut [Standing], outcome: &Outcome) {
    for standing in standings {
        if matches!(standing, Standing::Open(_)) {
            *standing = Standing::Decided(outcome.clone());
        }
    }
}

/// How an address is written: as it is, or with its domain in A-labels for a server without
/// SMTPUTF8; `None` where that does not do.
fn wire(address: &Address, utf8: bool) -> Option<String> {
    if address.is_ascii() || utf8 {
        return Some(address.as_str().to_owned());
    }
    let domain = ascii(address.domain());
    (address.local().is_ascii() && domain.is_ascii()).then(|| format!("{}@{domain}", address.local()))
}
