//! The hops that a message went through, as far as their records can be told from what a sender
//! wrote himself.

use mail_auth::AuthenticatedMessage;
use mail_auth::common::crypto::Algorithm;

use super::alignment::{aligned, ascii};
use super::results::Results;
use crate::desk::verdict::{Hop, Record};

/// Whether a chain of this form may prove anything: everything in it is signed by an algorithm that
/// still stands (RFC 8301 §3.1), and the newest signature covers From, by the domain that sealed it.
pub(super) fn usable(message: &AuthenticatedMessage<'_>) -> bool {
    let sound = |algorithm: Algorithm| algorithm != Algorithm::RsaSha1;
    let newest = message.as_headers.last().zip(message.ams_headers.last());
    newest.is_none_or(|(seal, signature)| {
        signature.header.h.iter().any(|name| name.eq_ignore_ascii_case("from"))
            && aligned(&seal.header.d, &signature.header.d)
    }) && message.as_headers.iter().all(|seal| sound(seal.header.a))
        && message.ams_headers.iter().all(|signature| sound(signature.header.a))
}

/// The hops that sealed a chain which was verified, the newest first.
///
/// A hop's words are those of the set that it sealed itself (RFC 8617 §5.2): its seal covers them,
/// and every later seal says that the chain before it held.
pub(super) fn sealed(message: &AuthenticatedMessage<'_>, from: &str) -> Vec<Hop> {
    let sets = message.as_headers.iter().zip(&message.aar_headers).rev();
    sets.map(|(seal, results)| {
        let results = Results::read(results.value).filter(|results| results.instance == seal.header.i);
        Hop {
            domain: ascii(&seal.header.d).into_owned(),
            record: Record::Seal,
            pass: results.and_then(|results| results.pass(from)),
        }
    })
    .collect()
}

/// The results in the name of the server that brought the message, if there are any of something
/// that passed (RFC 8601 §5). Whether that server did bring it is still to be seen.
///
/// The field must be the first of its kind, and stand above every trace field but our own: whatever
/// stands below the first one may have come to that server as it is, in its name too.
pub(super) fn reported(message: &AuthenticatedMessage<'_>, from: &str) -> Option<Hop> {
    let is = |name: &[u8], wanted: &str| name.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes());
    let ours = usize::from(message.headers.first().is_some_and(|(name, _)| is(name, "Received")));
    let mut theirs = message.headers.iter().skip(ours);
    let (_, value) = theirs
        .by_ref()
        .take_while(|(name, _)| !is(name, "Received"))
        .find(|(name, _)| is(name, "Authentication-Results"))?;
    // Without a trace of having taken it, that server may have passed the sender's own words on.
    theirs.find(|(name, _)| is(name, "Received"))?;
    let results = Results::read(value).filter(|results| results.instance == 0)?;
    let pass = results.pass(from)?;
    Some(Hop { domain: results.server, record: Record::Results, pass: Some(pass) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One set; `change` alters its fields before they are read.
    fn set(change: impl Fn(String) -> String) -> String {
        change(
            "ARC-Seal: i=1; a=rsa-sha256; cv=none; d=fwd.example; s=s; b=AAAA\r\n\
             ARC-Message-Signature: i=1; a=rsa-sha256; c=relaxed/relaxed; d=mx.fwd.example; s=s; h=from:subject; bh=AAAA; b=AAAA\r\n\
             ARC-Authentication-Results: i=1; mx.fwd.example; dkim=pass header.d=example.com\r\n"
                .to_owned(),
        )
    }

    #[test]
    fn chains_that_prove_nothing_whoever_signed_them() {
        for (what, set, expected) in [
            ("as they should be", set(|set| set), true),
            ("none", String::new(), true),
            ("a seal by sha-1", set(|set| set.replacen("rsa-sha256", "rsa-sha1", 1)), false),
            ("a signature by sha-1", set(|set| set.replace("a=rsa-sha256; c", "a=rsa-sha1; c")), false),
            ("From is not signed", set(|set| set.replace("h=from:", "h=to:")), false),
            ("signed by another domain", set(|set| set.replace("d=mx.fwd", "d=mx.evil")), false),
        ] {
            let raw = format!("{set}From: bob@example.com\r\n\r\nHello\r\n");
            let message = AuthenticatedMessage::parse(raw.as_bytes()).unwrap();
            assert_eq!(message.as_headers.len(), usize::from(!set.is_empty()), "{what}");
            assert_eq!(usable(&message), expected, "{what}");
        }
    }

    #[test]
    fn a_set_speaks_for_its_own_place_in_the_chain() {
        for (what, set, pass) in [
            ("its own", set(|set| set), true),
            ("another's", set(|set| set.replace("Results: i=1; mx", "Results: x=1; i=1; mx")), false),
            ("none", set(|set| set.replace("dkim=pass", "dkim=fail")), false),
        ] {
            let raw = format!("{set}From: bob@example.com\r\n\r\nHello\r\n");
            let message = AuthenticatedMessage::parse(raw.as_bytes()).unwrap();
            let hops = sealed(&message, "example.com");
            assert_eq!((hops.len(), hops[0].domain.as_str()), (1, "fwd.example"), "{what}");
            assert_eq!(hops[0].pass.is_some(), pass, "{what}");
        }
    }
}
