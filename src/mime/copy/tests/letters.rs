//! What the desk writes itself: letters, and the conversation so far.

use super::*;

/// The desk's own mails, complete.
#[test]
fn letters() {
    let ticket: TicketRef = "acme-1042".parse().unwrap();
    let dupre: TicketRef = "dupre-88".parse().unwrap();
    let marie = mailbox("Marie Lefevre", "marie.lefevre@gmail.com");
    let reply = "550 5.1.1 <marie.lefevre@gmail.com>: no such user\r\nhere";
    let (en, fr) = (Language::En, Language::Fr);
    let bob = mailbox("Bob Stone", "bob@team.example");
    let crossed = Held {
        ticket: &ticket,
        entry: EntryId(17),
        subject: &member().subject,
        reason: Reason::Crossed,
        detail: None,
        text: "We will refund you today.\n\nAlice",
        colleague: Some((&bob, "A new parcel is on its way.")),
        ways: Ways::ByMail { address: None },
        more: 0,
    };
    let perso = "alice@perso.example".parse().unwrap();
    let inconnue = Held {
        ticket: &dupre,
        entry: EntryId(18),
        subject: &membre().subject,
        reason: Reason::UnknownAddress,
        detail: Some("alice@perso.example"),
        text: "C’est parti ce matin.",
        colleague: None,
        ways: Ways::ByMail { address: Some(&perso) },
        more: 3,
    };
    let (hours, days) = (SignedDuration::from_hours(4), SignedDuration::from_hours(120));
    let late =
        [(marie.clone(), Some("450 4.7.1 greylisted (mx.gmail.com [192.0.2.1])".to_owned())), (bob.clone(), None)];
    let english = Plan { for_member: None, from: mailbox("Acme Support", "acme@desk.example.org"), ..member() };
    let french = Plan { for_member: None, from: mailbox("Boutique Dupré", "dupre@desk.example.org"), ..membre() };
    for (name, kind, plan) in [
        ("crossed", Letter::held(en, &crossed), &english),
        ("held", Letter::held(fr, &inconnue), &french),
        ("failed", Letter::failed(en, &ticket, &english.subject, &marie, (reply, None), None), &english),
        ("non-remis", Letter::failed(fr, &dupre, &french.subject, &marie, (reply, None), None), &french),
        (
            "expired",
            Letter::failed(
                en,
                &ticket,
                &english.subject,
                &marie,
                (reply, Some("mx.gmail.com [192.0.2.1]")),
                Some(days),
            ),
            &english,
        ),
        (
            "expire",
            Letter::failed(fr, &dupre, &french.subject, &marie, (reply, Some("mx.gmail.com [192.0.2.1]")), Some(days)),
            &french,
        ),
        ("delayed", Letter::delayed(en, &ticket, &english.subject, &late, 3, (hours, days)), &english),
        ("retard", Letter::delayed(fr, &dupre, &french.subject, &late, 1, (hours, days)), &french),
        ("unclear", Letter::unclear(en, &ticket, &english.subject), &english),
        ("incertain", Letter::unclear(fr, &dupre, &french.subject), &french),
        ("too-late", Letter::too_late(en, &ticket, &english.subject, true), &english),
        ("trop-tard", Letter::too_late(fr, &dupre, &french.subject, false), &french),
        ("claim", Letter::claim(en, &perso, &bob, "Acme Support", ClaimId(3)), &english),
        ("reclamation", Letter::claim(fr, &perso, &bob, "Boutique Dupré", ClaimId(3)), &french),
        ("claimed", Letter::claimed(en, &perso, &bob.address), &english),
        ("reclame", Letter::claimed(fr, &perso, &bob.address), &french),
        ("received", Letter::received(en, &ticket, "Acme Support", None), &english),
        ("recu", Letter::received(fr, &dupre, "Boutique Dupré", None), &french),
    ] {
        let mail = letter(&kind, plan);
        golden(&format!("notice.{name}"), &mail);
        let parsed = MessageParser::new().parse(&mail).unwrap();
        let submitted = parsed.header("Auto-Submitted").unwrap().as_text().unwrap().to_owned();
        assert_eq!(submitted, if kind.kind == LetterKind::Response { "auto-replied" } else { "auto-generated" });
        assert_eq!(parsed.header("X-Auto-Response-Suppress").unwrap().as_text(), Some("All"));
        assert!(mail.is_ascii() && mail.ends_with(b"\r\n") && !mail.ends_with(b"\n\r\n"));
        assert!(!String::from_utf8_lossy(&mail).replace("\r\n", "").contains(['\r', '\n']));
    }
}

fn entry(id: u64, kind: Kind, author: &Mailbox, text: &str) -> Entry {
    Entry {
        id: EntryId(id),
        ticket: TicketId(1),
        kind,
        author: Author::Person { person: Person::Contact(ContactId(1)), mailbox: author.clone() },
        state: State::Relayed,
        reason: None,
        machine: None,
        verified: Verified::None,
        door: Door::Smtp,
        at: format!("2026-11-2{}T09:30:00Z", id % 10).parse().unwrap(),
        message_id: None,
        minted_id: None,
        date: None,
        parent: None,
        subject: "s".to_owned(),
        text: text.to_owned(),
        attachments: Vec::new(),
        named: Vec::new(),
        raw: None,
        verdict: None,
        event: None,
        facts: None,
        warning: None,
        claims: None,
        arrived_at: None,
        copies: Vec::new(),
        explained: false,
        commands: Vec::new(),
        turn: 0,
        hands_on: false,
        seen: None,
        trace: None,
        from: None,
        client: None,
    }
}

#[test]
fn the_conversation_so_far() {
    let marie = mailbox("Marie Lefevre", "marie.lefevre@gmail.com");
    let bob = mailbox("Bob Stone", "bob@team.example");
    let mut first = entry(1, Kind::Message, &marie, "My order 4471 has not arrived.\n\nMarie\n");
    first.attachments.push(Attachment {
        name: "order.pdf".into(),
        content_type: "application/pdf".into(),
        size: 48_200,
        inline: false,
    });
    let note = entry(2, Kind::Note, &bob, "The carrier lost it.");
    let event = entry(3, Kind::Event, &bob, "not told");
    let last = entry(4, Kind::Message, &bob, &format!("We send a new one. Write to acme+t{TOKEN}@desk.example.org."));
    let entries = [first, note, event, last];
    let mail = conversation(&entries, &member());
    assert_sound(&mail, &member(), "conversation");
    golden("conversation.member", &mail);
    golden("conversation.membre", &conversation(&entries, &membre()));

    let long = "x".repeat(100_000);
    let many: Vec<_> = (1..6).map(|id| entry(id, Kind::Message, &marie, &format!("{id}{long}"))).collect();
    let (text, _) = read(&conversation(&many, &member()));
    assert!(text.contains("[3 earlier, on the ticket]") && text.contains("5xxx") && !text.contains("3xxx"));
}
