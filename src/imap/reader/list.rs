//! LIST in its forms, and STATUS (RFC 3501 §6.3.8 to §6.3.10, RFC 5258, RFC 5819, RFC 6154).

use super::cursor::{Cursor, Read, is_astring, utf8, wrong};
use crate::imap::command::{Command, List, ListBy, ListReturn, ListSelect, StatusItem};

pub(super) fn list(cursor: &mut Cursor<'_>, by: ListBy) -> Read<Command> {
    let may_extend = by == ListBy::List;
    let mut extended = false;
    let mut select = ListSelect::default();
    if may_extend && cursor.peek()? == b'(' {
        extended = true;
        select = selection(cursor)?;
        cursor.space()?;
    }
    let reference = cursor.mailbox()?;
    cursor.space()?;
    let patterns = if may_extend && cursor.peek()? == b'(' {
        extended = true;
        cursor.filled(pattern)?
    } else {
        vec![pattern(cursor)?]
    };
    let mut returns = ListReturn::default();
    if may_extend && cursor.another()? {
        extended = true;
        if cursor.word()? != "RETURN" {
            return wrong("behind its patterns LIST has RETURN alone");
        }
        cursor.space()?;
        cursor.list(|cursor| to_return(cursor, &mut returns))?;
    }
    Ok(Command::List(List { by, select, reference, patterns, returns, extended }))
}

fn selection(cursor: &mut Cursor<'_>) -> Read<ListSelect> {
    let mut select = ListSelect::default();
    cursor.list(|cursor| {
        match cursor.word()?.as_str() {
            "SUBSCRIBED" => select.subscribed = true,
            "REMOTE" => select.remote = true,
            "RECURSIVEMATCH" => select.recursive_match = true,
            "SPECIAL-USE" => select.special_use = true,
            _ => return wrong("LIST selects by SUBSCRIBED, REMOTE, RECURSIVEMATCH and SPECIAL-USE"),
        }
        Ok(())
    })?;
    if select.recursive_match && !(select.subscribed || select.special_use) {
        return wrong("RECURSIVEMATCH needs something to match, as SUBSCRIBED");
    }
    Ok(select)
}

fn to_return(cursor: &mut Cursor<'_>, returns: &mut ListReturn) -> Read<()> {
    match cursor.word()?.as_str() {
        "SUBSCRIBED" => returns.subscribed = true,
        "CHILDREN" => returns.children = true,
        "SPECIAL-USE" => returns.special_use = true,
        "STATUS" => {
            cursor.space()?;
            returns.status = status_items(cursor)?;
        }
        _ => return wrong("LIST returns SUBSCRIBED, CHILDREN, SPECIAL-USE and STATUS"),
    }
    Ok(())
}

/// A mailbox's name with wildcards, which an atom may have here.
fn pattern(cursor: &mut Cursor<'_>) -> Read<String> {
    let is_bare = |octet: u8| is_astring(octet) || matches!(octet, b'%' | b'*');
    let text = match cursor.peek()? {
        b'"' | b'{' => utf8(cursor.string()?)?,
        _ => cursor.some(is_bare, "a pattern is missing")?.to_owned(),
    };
    Ok(cursor.name(text)?.0)
}

pub(super) fn status(cursor: &mut Cursor<'_>) -> Read<Command> {
    let mailbox = cursor.mailbox()?;
    cursor.space()?;
    Ok(Command::Status { mailbox, items: status_items(cursor)? })
}

/// What is asked for twice is answered once: some of it takes a look at each message.
fn status_items(cursor: &mut Cursor<'_>) -> Read<Vec<StatusItem>> {
    let mut items = Vec::new();
    for item in cursor.filled(status_item)? {
        if !items.contains(&item) {
            items.push(item);
        }
    }
    Ok(items)
}

fn status_item(cursor: &mut Cursor<'_>) -> Read<StatusItem> {
    Ok(match cursor.word()?.as_str() {
        "MESSAGES" => StatusItem::Messages,
        "RECENT" => StatusItem::Recent,
        "UIDNEXT" => StatusItem::UidNext,
        "UIDVALIDITY" => StatusItem::UidValidity,
        "UNSEEN" => StatusItem::Unseen,
        "HIGHESTMODSEQ" => StatusItem::HighestModSeq,
        "SIZE" => StatusItem::Size,
        "MAILBOXID" => StatusItem::MailboxId,
        "DELETED" => StatusItem::Deleted,
        "APPENDLIMIT" => StatusItem::AppendLimit,
        _ => return wrong("STATUS knows no such item"),
    })
}
