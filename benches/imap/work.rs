//! Members at work in their mail clients: sessions that read, flag, search and move by the gesture table, all at
//! once, and watch that their server is right with each of them.
//!
//! A session believes what it is told and nothing else: EXISTS, EXPUNGE and the UIDs of FETCH. That must never
//! contradict itself, and in the end be the same for all who look at one mailbox.

use std::collections::{BTreeMap, BTreeSet};
use std::str::from_utf8;

use anyhow::{Context, bail, ensure};

use super::client::{Client, Door};

/// The most messages that one command is about: whoever works does not select all.
const FEW: u64 = 5;
const SOME: u64 = 50;

/// One session.
pub struct Worker {
    client: Client,
    dice: u64,
    /// Where messages may be taken to, and looked at.
    mailboxes: Vec<String>,
    at: String,
    /// What the mailbox holds, as far as it was told: UIDs, where they are known.
    view: Vec<Option<u32>>,
    /// UIDs that left, and never come again.
    gone: BTreeSet<u32>,
    /// Commands that were carried out.
    pub commands: u64,
    /// Messages that were moved, copied or marked, as far as they were still there.
    pub gestures: u64,
}

/// What a session ended with.
pub struct Left {
    pub mailbox: String,
    pub uids: Vec<u32>,
}

impl Worker {
    /// Logs in and looks at the first of these mailboxes. Workers with other numbers do other things.
    pub fn connect(door: &Door, mailboxes: &[&str], number: u64) -> anyhow::Result<Self> {
        let mut worker = Self {
            client: Client::connect(door)?,
            dice: number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            mailboxes: mailboxes.iter().map(ToString::to_string).collect(),
            at: String::new(),
            view: Vec::new(),
            gone: BTreeSet::new(),
            commands: 0,
            gestures: 0,
        };
        let at = usize::try_from(number)? % mailboxes.len();
        worker.select(mailboxes[at].to_owned())?;
        Ok(worker)
    }

    /// Does one thing.
    pub fn step(&mut self) -> anyhow::Result<()> {
        let done = match self.roll(100) {
            0..5 => {
                let mailbox = self.mailbox();
                self.select(mailbox)
            }
            _ if self.view.is_empty() => self.nothing(),
            5..35 => self.list(),
            35..45 => self.read(),
            45..62 => self.flag(),
            62..78 => self.relocate("MOVE").map(drop),
            78..83 => self.copy_and_delete(),
            83..93 => self.search(),
            93..99 => self.nothing(),
            _ => self.whole().map(drop),
        };
        done.with_context(|| format!("in {}, after {} commands", self.at, self.commands))
    }

    /// Looks once more, and ends.
    pub fn finish(mut self) -> anyhow::Result<Left> {
        let done = self.nothing().and_then(|()| self.whole());
        let uids = done.with_context(|| format!("in {}, at the end", self.at))?;
        let mailbox = std::mem::take(&mut self.at);
        self.log_out()?;
        Ok(Left { mailbox, uids })
    }

    pub fn log_out(mut self) -> anyhow::Result<()> {
        self.ask("LOGOUT", true)?;
        Ok(())
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % sides
    }

    fn mailbox(&mut self) -> String {
        let at = self.roll(self.mailboxes.len() as u64);
        self.mailboxes[usize::try_from(at).unwrap_or(0)].clone()
    }

    /// Numbers of some messages that stand beside each other.
    fn range(&mut self, most: u64) -> (usize, usize) {
        let count = self.view.len();
        let first = usize::try_from(self.roll(count as u64)).unwrap_or(0);
        let many = usize::try_from(self.roll(most)).unwrap_or(0);
        (first + 1, (first + 1 + many).min(count))
    }

    fn select(&mut self, mailbox: String) -> anyhow::Result<()> {
        self.view.clear();
        self.gone.clear();
        self.ask(&format!("SELECT {mailbox}"), true)?;
        self.at = mailbox;
        Ok(())
    }

    fn nothing(&mut self) -> anyhow::Result<()> {
        self.ask("NOOP", true)?;
        Ok(())
    }

    fn list(&mut self) -> anyhow::Result<()> {
        let (first, last) = self.range(SOME);
        self.ask(&format!("FETCH {first}:{last} (UID FLAGS ENVELOPE RFC822.SIZE)"), false)?;
        Ok(())
    }

    /// Some UIDs, which are asked for first where they are not known.
    fn some(&mut self, most: u64) -> anyhow::Result<Vec<u32>> {
        let (first, last) = self.range(most);
        if self.view[first - 1..last].iter().any(Option::is_none) {
            self.ask(&format!("FETCH {first}:{last} UID"), false)?;
        }
        // Some may have left meanwhile, and not been told of.
        Ok(self.view.get(first - 1..last.min(self.view.len())).unwrap_or_default().iter().flatten().copied().collect())
    }

    fn read(&mut self) -> anyhow::Result<()> {
        let Some(uid) = self.some(1)?.pop() else { return Ok(()) };
        let answer = self.ask(&format!("UID FETCH {uid} (RFC822.SIZE BODY.PEEK[])"), true)?;
        for response in responses(&answer)?.iter().filter(|response| response.literal > 0) {
            let size = format!("RFC822.SIZE {} ", response.literal);
            ensure!(
                response.text.contains(&size),
                "{} octets are not as many as was told: {}",
                response.literal,
                response.text
            );
        }
        Ok(())
    }

    fn flag(&mut self) -> anyhow::Result<()> {
        const FLAGS: [&str; 7] = [
            "+FLAGS (\\Seen)",
            "-FLAGS (\\Seen)",
            "+FLAGS (\\Flagged)",
            "-FLAGS (\\Flagged)",
            "+FLAGS (refund)",
            "-FLAGS (refund)",
            "+FLAGS.SILENT (\\Answered)",
        ];
        let uids = self.some(FEW)?;
        let flags = FLAGS[usize::try_from(self.roll(FLAGS.len() as u64))?];
        if !uids.is_empty() {
            self.ask(&format!("UID STORE {} {flags}", set(&uids)), true)?;
            self.gestures += 1;
        }
        Ok(())
    }

    fn relocate(&mut self, verb: &str) -> anyhow::Result<Vec<u32>> {
        let uids = self.some(FEW)?;
        let to = self.mailbox();
        if uids.is_empty() {
            return Ok(uids);
        }
        let answer = self.ask(&format!("UID {verb} {} {to}", set(&uids)), true)?;
        let answer = from_utf8(&answer).context("COPYUID is no text")?;
        // Who was where is told in one order, and of those that were asked for.
        if let Some((_, code)) = answer.split_once("[COPYUID ") {
            let code = code.split(']').next().unwrap_or_default();
            let [_, from, there] = code.split(' ').collect::<Vec<_>>()[..] else { bail!("COPYUID {code}") };
            let (from, there) = (numbers(from)?, numbers(there)?);
            ensure!(from.len() == there.len(), "COPYUID {code}");
            ensure!(from.iter().all(|uid| uids.contains(uid)), "COPYUID {code} for {uids:?}");
        }
        if verb == "MOVE" {
            let left = self.view.iter().flatten().find(|uid| uids.contains(uid));
            ensure!(left.is_none(), "{left:?} was moved to {to} and is here: {answer}");
        }
        self.gestures += 1;
        Ok(uids)
    }

    /// As a client moves that knows no MOVE.
    fn copy_and_delete(&mut self) -> anyhow::Result<()> {
        let uids = self.relocate("COPY")?;
        if !uids.is_empty() {
            let uids = set(&uids);
            self.ask(&format!("UID STORE {uids} +FLAGS.SILENT (\\Deleted)"), true)?;
            self.ask(&format!("UID EXPUNGE {uids}"), true)?;
        }
        Ok(())
    }

    fn search(&mut self) -> anyhow::Result<()> {
        const KEYS: [&str; 5] =
            ["UNSEEN", "FLAGGED", "KEYWORD refund", "FROM \"Customer 77\"", "SUBJECT \"number 77\""];
        let key = KEYS[usize::try_from(self.roll(KEYS.len() as u64))?];
        let answer = self.ask(&format!("SEARCH {key}"), false)?;
        let line = responses(&answer)?.into_iter().find(|response| response.text.starts_with("* SEARCH"));
        let line = line.context("a search without an answer")?.text;
        for number in line["* SEARCH".len()..].split_whitespace() {
            let number: usize = number.parse()?;
            ensure!((1..=self.view.len()).contains(&number), "{key} found {number} of {}", self.view.len());
        }
        Ok(())
    }

    /// All UIDs, told anew: as many as there are, or some have just left.
    fn whole(&mut self) -> anyhow::Result<Vec<u32>> {
        loop {
            if self.view.is_empty() {
                return Ok(Vec::new());
            }
            let count = self.view.len();
            let answer = self.ask("FETCH 1:* UID", false)?;
            let told = responses(&answer)?.iter().filter(|response| fetched(&response.text).is_some()).count();
            if answer_is_ok(&answer) {
                ensure!(told >= count, "{told} of {count} messages are told of");
                return self.view.iter().take(count).map(|uid| uid.context("a message without a UID")).collect();
            }
            // Some have left: they are told of now.
            self.nothing()?;
        }
    }

    /// Says a command and takes in all that is answered; `may_expunge`: whether numbers may change.
    fn ask(&mut self, command: &str, may_expunge: bool) -> anyhow::Result<Vec<u8>> {
        let answer = self.client.ask(command)?.to_vec();
        self.commands += 1;
        for response in responses(&answer)? {
            self.hear(&response.text, may_expunge).with_context(|| format!("{command}: {}", response.text))?;
        }
        // What has left meanwhile is said so, where it was asked for by its number.
        let text = String::from_utf8_lossy(&answer);
        let status = text.trim_end().rsplit('\n').next().unwrap_or_default();
        let ok = answer_is_ok(&answer) || !may_expunge && status.contains(" NO [EXPUNGEISSUED]");
        ensure!(ok, "{command}: {status}");
        Ok(answer)
    }

    fn hear(&mut self, line: &str, may_expunge: bool) -> anyhow::Result<()> {
        ensure!(!line.starts_with("* BYE") || line.contains("until next time"), "the server sends us away");
        let mut words = line.split(' ');
        let (Some("*"), Some(number), Some(what)) = (words.next(), words.next(), words.next()) else { return Ok(()) };
        let Ok(number) = number.parse::<usize>() else { return Ok(()) };
        match what {
            "EXISTS" => {
                ensure!(number >= self.view.len(), "there were {} messages", self.view.len());
                self.view.resize(number, None);
            }
            "EXPUNGE" => {
                ensure!(may_expunge, "numbers change while they are in use");
                ensure!((1..=self.view.len()).contains(&number), "there are {} messages", self.view.len());
                if let Some(uid) = self.view.remove(number - 1) {
                    self.gone.insert(uid);
                }
            }
            "FETCH" => {
                ensure!((1..=self.view.len()).contains(&number), "there are {} messages", self.view.len());
                let Some(uid) = fetched(line) else { return Ok(()) };
                ensure!(!self.gone.contains(&uid), "{uid} was gone");
                let known = self.view[number - 1];
                ensure!(known.is_none_or(|known| known == uid), "it was {known:?}");
                let before = self.view[..number - 1].iter().rev().flatten().next();
                let behind = self.view[number..].iter().flatten().next();
                ensure!(before.is_none_or(|before| *before < uid), "it stands behind {before:?}");
                ensure!(behind.is_none_or(|behind| *behind > uid), "it stands before {behind:?}");
                self.view[number - 1] = Some(uid);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether all who ended in one mailbox saw the same there. `whose`: the mailboxes of each member alone.
pub fn agree(left: &[(usize, Left)], whose: &[&str]) -> anyhow::Result<()> {
    let mut seen: BTreeMap<(Option<usize>, &str), &[u32]> = BTreeMap::new();
    for (member, Left { mailbox, uids }) in left {
        let key = (whose.contains(&mailbox.as_str()).then_some(*member), mailbox.as_str());
        let first = seen.entry(key).or_insert(uids);
        ensure!(*first == uids, "two who look at {mailbox} see {} and {} messages, or others", first.len(), uids.len());
    }
    Ok(())
}

/// How many messages a STATUS tells of.
pub fn messages(status: &[u8]) -> Option<u32> {
    let (_, count) = from_utf8(status).ok()?.split_once("(MESSAGES ")?;
    count.split(')').next()?.parse().ok()
}

/// A response without what its literals hold.
struct Response {
    text: String,
    /// Octets of its literals.
    literal: usize,
}

fn responses(answer: &[u8]) -> anyhow::Result<Vec<Response>> {
    let mut all = Vec::new();
    let mut rest = answer;
    let mut response = Response { text: String::new(), literal: 0 };
    while let Some(end) = memchr::memmem::find(rest, b"\r\n") {
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        rest = &rest[end + 2..];
        response.text.push_str(&line);
        let octets = line.strip_suffix('}').and_then(|line| line.rsplit_once('{')).and_then(|(_, n)| n.parse().ok());
        if let Some(octets) = octets {
            rest = rest.get(octets..).context("a literal ends too early")?;
            response.literal += octets;
        } else {
            all.push(std::mem::replace(&mut response, Response { text: String::new(), literal: 0 }));
        }
    }
    Ok(all)
}

fn answer_is_ok(answer: &[u8]) -> bool {
    let text = answer.strip_suffix(b"\r\n").unwrap_or(answer);
    let last = memchr::memrchr(b'\n', text).map_or(text, |at| &text[at + 1..]);
    last.split(|octet| *octet == b' ').nth(1) == Some(b"OK")
}

/// The UID in a FETCH.
fn fetched(line: &str) -> Option<u32> {
    let (_, rest) = line.split_once(" FETCH (")?;
    let (_, uid) = rest.split_once("UID ")?;
    uid.split([' ', ')']).next()?.parse().ok()
}

fn set(uids: &[u32]) -> String {
    uids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// The numbers of a set.
fn numbers(set: &str) -> anyhow::Result<Vec<u32>> {
    let mut all = Vec::new();
    for range in set.split(',') {
        match range.split_once(':') {
            Some((one, other)) => all.extend(one.parse::<u32>()?..=other.parse()?),
            None => all.push(range.parse()?),
        }
    }
    Ok(all)
}
