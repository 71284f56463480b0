//! APPEND: messages that pass through.

use super::*;

fn message(size: u64, waits: bool) -> Seen {
    Seen::Message(Append { flags: Vec::new(), date: None, size, waits })
}

fn begin(tag: &str, mailbox: &str) -> Seen {
    Seen::AppendBegin(tag.to_owned(), name(mailbox))
}

fn octets(text: &str) -> Seen {
    Seen::Octets(text.as_bytes().to_vec())
}

fn end(tag: &str) -> Seen {
    Seen::AppendEnd(tag.to_owned())
}

fn noop() -> Seen {
    tagged("b", Command::Noop)
}

#[test]
fn a_message_passes_through() {
    let expected = |waits: bool| {
        let go = waits.then_some(Seen::Go);
        let mut seen = vec![begin("a", "Drafts"), message(5, waits)];
        seen.extend(go);
        seen.extend([octets("a\0\r\n\""), Seen::MessageEnd, end("a"), noop()]);
        seen
    };
    for (line, waits) in [
        ("APPEND Drafts {5}", true),
        ("append \"Drafts\"  {5+}", false),
        ("APPEND Drafts () {5}", true),
        ("APPEND Drafts ~{5}", true),
        ("APPEND Drafts ~{5+}", false),
        ("APPEND {6+}\r\nDrafts {5+}", false),
    ] {
        assert_eq!(read(format!("a {line}\r\na\0\r\n\"\r\nb NOOP\r\n")), expected(waits), "{line}");
    }
    let mut seen = expected(true);
    seen.insert(0, Seen::Go);
    assert_eq!(read("a APPEND {6}\r\nDrafts {5}\r\na\0\r\n\" \r\nb NOOP\r\n"), seen);
}

#[test]
fn a_message_is_in_utf8_where_it_says_so() {
    for line in ["UTF8 (~{2}\r\nhi)\r\n", "UTF8 ( ~{2}\r\nhi ) \r\n", "utf8 ({2}\r\nhi)\n"] {
        let seen = read(format!("a APPEND x {line}b NOOP\r\n"));
        let expected = [begin("a", "x"), message(2, true), Seen::Go, octets("hi"), Seen::MessageEnd, end("a"), noop()];
        assert_eq!(seen, expected, "{line}");
    }
}

#[test]
fn flags_and_a_date_stand_before_it() {
    let date: jiff::Timestamp = "2026-02-05T13:05:06Z".parse().unwrap();
    let flags = vec![Flag::Seen, Flag::Keyword("$Forwarded".to_owned())];
    for (line, flags, date) in [
        (r#"(\Seen $Forwarded) " 5-Feb-2026 14:05:06 +0100""#, flags.clone(), Some(date)),
        (r"( \seen $Forwarded \Recent ) ", flags, None),
        (r#""05-Feb-2026 14:05:06 +0100""#, Vec::new(), Some(date)),
    ] {
        let seen = read(format!("a APPEND INBOX {line} {{0+}}\r\n\r\n"));
        let message = Seen::Message(Append { flags, date, size: 0, waits: false });
        assert_eq!(seen, [begin("a", "INBOX"), message, Seen::MessageEnd, end("a")], "{line}");
    }
}

#[test]
fn several_messages_are_one_command() {
    let seen = read("a APPEND x {1}\r\na (\\Draft) {2+}\r\nbc UTF8 (~{1}\r\nd)\r\nb NOOP\r\n");
    let draft = Seen::Message(Append { flags: vec![Flag::Draft], date: None, size: 2, waits: false });
    let expected = [
        vec![begin("a", "x"), message(1, true), Seen::Go, octets("a"), Seen::MessageEnd],
        vec![draft, octets("bc"), Seen::MessageEnd],
        vec![message(1, true), Seen::Go, octets("d"), Seen::MessageEnd, end("a"), noop()],
    ];
    assert_eq!(seen, expected.concat());
}

#[test]
fn a_refused_message_is_not_sent_or_not_told() {
    // Who waits does not send it.
    let seen = read("a APPEND x {1001}\r\nb NOOP\r\n");
    assert_eq!(seen, [begin("a", "x"), message(1001, true), noop()]);
    // Of who does not wait, all is read past.
    let roomy = Client { limits: ReaderLimits { skipped: 5_000, ..LIMITS }, ..CLIENT };
    let body = "b NOOP\r\n".repeat(200);
    for rest in ["", ")", " {8+}\r\nb NOOP\r\n {3+}\r\nabc", " {8}"] {
        let text = format!("a APPEND x {{1600+}}\r\n{body}{rest}\r\nb NOOP\r\n");
        assert_eq!(with(text.as_bytes(), roomy), [begin("a", "x"), message(1600, false), noop()], "{rest}");
    }
    // A later one takes the others with it.
    let seen = read("a APPEND x {1}\r\na {1001}\r\nb NOOP\r\n");
    let first = [begin("a", "x"), message(1, true), Seen::Go, octets("a"), Seen::MessageEnd];
    assert_eq!(seen, [&first[..], &[message(1001, true), noop()]].concat());
    // Nobody reads past everything.
    let seen = read(format!("a APPEND x {{1600+}}\r\n{body}\r\nb NOOP\r\n"));
    assert!(matches!(seen.as_slice(), [_, _, Seen::Over(_)]), "{seen:?}");
}

#[test]
fn a_message_may_be_larger_than_a_command() {
    let body = "x".repeat(5_000);
    let client = Client { most: 10_000, ..CLIENT };
    let seen = with(format!("a APPEND x {{5000}}\r\n{body}\r\nb NOOP\r\n").as_bytes(), client);
    assert_eq!(seen[3..], [octets(&body), Seen::MessageEnd, end("a"), noop()]);
    // What stands between messages counts.
    let seen = read(format!("a APPEND x {{1+}}\r\na{}\r\n", " {1+}\r\na".repeat(400)));
    assert!(matches!(seen.last(), Some(Seen::Over(_))), "{:?}", seen.last());
}

#[test]
fn what_goes_on_as_no_append_does_is_void() {
    for (rest, noop_follows) in [
        ("x\r\n", true),
        (")\r\n", true),
        (" x\r\n", true),
        (" (\\Seen)\r\n", true),
        (" (\\Foo) {3}\r\n", true),
        (" (\\Foo) {3+}\r\nabc\r\n", true),
        (" \"quoted\"\r\n", true),
        (" ()\r \r\n", true),
        (" {3} \r\n", true),
    ] {
        let seen = read(format!("a APPEND x {{1+}}\r\na{rest}b NOOP\r\n"));
        let Some((void, behind)) = seen[4..].split_first() else { panic!("{rest:?}: {seen:?}") };
        assert!(bad("a")(void), "{rest:?}: {seen:?}");
        assert_eq!(behind == [noop()], noop_follows, "{rest:?}: {seen:?}");
    }
    let seen = read("a APPEND x UTF8 (~{1+}\r\na\r\nb NOOP\r\n");
    assert!(bad("a")(&seen[4]) && seen[5] == noop(), "{seen:?}");
}

#[test]
fn what_begins_as_no_append_does_is_bad() {
    for line in [
        "APPEND",
        "APPEND Drafts",
        "APPEND Drafts ()",
        "APPEND Drafts \"message\"",
        "APPEND Drafts (\\Seen) {3",
        "APPEND Drafts (\\Foo) {3}",
        "APPEND Drafts () () {3}",
        "APPEND Drafts \"yesterday\" {3}",
        "APPEND Drafts UTF8 {3}",
        "APPEND Drafts UTF8 (x) {3}",
        "APPEND Drafts CATENATE (TEXT {3}",
        "APPEND Drafts {3} ",
        "APPEND Drafts x{3}",
        "APPEND (x) {3}",
        "APPEND {3}",
    ] {
        if line == "APPEND {3}" {
            // That was the mailbox.
            assert!(bad("a")(&read("a APPEND {3}\r\nabc\r\n")[1]));
        } else {
            is_bad(line);
        }
    }
}
