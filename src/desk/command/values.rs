//! What a command's line asks for, or what is wrong with it.

use jiff::Timestamp;

use super::lines::{is_sharp, split};
use super::{Command, Joins, Verb, Who};
use crate::desk::address::Address;
use crate::desk::id::EntryId;
use crate::desk::language::commands::{Word, near, verb, word};
use crate::desk::mistake::Mistake;
use crate::desk::snooze;

/// The most addresses or tags of one command.
const MOST_VALUES: usize = 10;

/// Reads one command.
pub(super) fn read(line: &str, now: Timestamp) -> Result<Command, Mistake> {
    let (name, value) = split(line).ok_or(Mistake::Unknown { near: None })?;
    let verb = verb(&name).ok_or_else(|| Mistake::Unknown { near: near(&name) })?;
    let value = unquoted(value);
    let alone = |command| if value.is_empty() { Ok(command) } else { Err(Mistake::Alone(verb)) };
    let given = || if value.is_empty() { Err(Mistake::Missing(verb)) } else { Ok(value) };
    match verb {
        Verb::Close => alone(Command::Close),
        Verb::Open => alone(Command::Open),
        Verb::Pending => alone(Command::Pending),
        Verb::Spam => alone(Command::Spam),
        Verb::Follow => alone(Command::Follow),
        Verb::Unfollow => alone(Command::Unfollow),
        Verb::Note => alone(Command::Note),
        Verb::Help => alone(Command::Help),
        Verb::Status => alone(Command::Status),
        Verb::Snooze => snooze::until(given()?, now).map(Command::Snooze),
        Verb::Assign => given().map(|who| Command::Assign(assignee(who))),
        Verb::Tag => tags(given()?).map(Command::Tag),
        Verb::Untag => tags(given()?).map(Command::Untag),
        Verb::Priority => match word(given()?) {
            Some(Word::Priority(priority)) => Ok(Command::Priority(priority)),
            _ => Err(Mistake::NoPriority),
        },
        Verb::Cc => addresses(given()?).map(Command::Cc),
        Verb::Uncc => addresses(given()?).map(Command::Uncc),
        Verb::Accept => {
            let (entry, joins) = decision(value)?;
            Ok(Command::Accept { entry, joins })
        }
        Verb::Reject => match decision(value) {
            Ok((entry, None)) => Ok(Command::Reject { entry }),
            Ok((_, Some(_))) | Err(_) => Err(Mistake::NoNumber(value.to_owned())),
        },
        Verb::Merge => {
            let name = given()?;
            let name = name.strip_prefix(is_sharp).unwrap_or(name);
            name.parse().map(Command::Merge).map_err(|_| Mistake::NoTicket(name.to_owned()))
        }
    }
}

/// Without the quotes, straight or typographic, that it stands in.
fn unquoted(value: &str) -> &str {
    value.trim_matches(['"', '\'', '“', '”', '„', '‘', '’', '‚', '«', '»', '‹', '›', ' '])
}

fn assignee(who: &str) -> Who {
    match word(who) {
        Some(Word::Me) => Who::Me,
        Some(Word::Nobody) => Who::Nobody,
        _ => match addresses(who).as_deref() {
            Ok([address]) => Who::Named(address.to_string()),
            _ => Who::Named(who.strip_prefix('@').unwrap_or(who).to_owned()),
        },
    }
}

fn tags(value: &str) -> Result<Vec<String>, Mistake> {
    let words = value.split([' ', ',', ';']).map(unquoted).map(|tag| tag.strip_prefix(is_sharp).unwrap_or(tag));
    let tags: Vec<String> = words.filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
    if tags.len() > MOST_VALUES { Err(Mistake::TooManyValues(MOST_VALUES)) } else { Ok(tags) }
}

/// `a@b`, several of them between blanks or commas, `Name <a@b>`, and what clients make of a link:
/// `a@b<mailto:a@b>`.
pub(super) fn addresses(value: &str) -> Result<Vec<Address>, Mistake> {
    let mut found: Vec<Address> = Vec::new();
    let wrong = |piece: &str| Mistake::NoAddress(piece.to_owned());
    let mut take = |text: &str| {
        let text = text.trim_matches(['<', '>', '(', ')', '[', ']', ' ']);
        let text = text.strip_prefix("mailto:").unwrap_or(text);
        let address: Address = unquoted(text).parse().map_err(|_| wrong(text))?;
        match found.len() {
            _ if found.contains(&address) => {}
            MOST_VALUES => return Err(Mistake::TooManyValues(MOST_VALUES)),
            _ => found.push(address),
        }
        Ok(())
    };
    let list = value.trim().trim_end_matches([',', ';']);
    for piece in list.split([',', ';']) {
        let mut rest = piece.trim();
        // Of a name nothing is kept: the contact is called as he calls himself.
        while let Some((_, inner)) = rest.split_once('<').filter(|(name, _)| !name.contains('@')) {
            let (address, behind) = inner.split_once('>').unwrap_or((inner, ""));
            take(address)?;
            rest = behind.trim();
        }
        for word in rest.replace('<', " <").split(' ').filter(|word| !word.is_empty()) {
            take(word)?;
        }
    }
    if found.is_empty() { Err(wrong(value)) } else { Ok(found) }
}

/// `17`, `#17`, `same`, `cc`, or both.
fn decision(value: &str) -> Result<(Option<EntryId>, Option<Joins>), Mistake> {
    let (mut entry, mut joins) = (None, None);
    for piece in value.split(' ').filter(|piece| !piece.is_empty()) {
        let number = piece.strip_prefix(is_sharp).unwrap_or(piece).parse().map(EntryId);
        match (number, word(piece)) {
            (Ok(number), _) if entry.is_none() => entry = Some(number),
            (_, Some(Word::Joins(how))) if joins.is_none() => joins = Some(how),
            _ => return Err(Mistake::NoEntry(piece.to_owned())),
        }
    }
    Ok((entry, joins))
}
