//! Lines, literals, tags and limits.

use super::*;

#[test]
fn commands_follow_each_other() {
    let noop = |tag| tagged(tag, Command::Noop);
    assert_eq!(read("a NOOP\r\nb noop \r\n\r\nA.1]~ NoOp\n"), [noop("a"), noop("b"), noop("A.1]~")]);
    assert_eq!(read("a NOO"), []);
    assert_eq!(read("a NOOP\r"), []);
    assert_eq!(read(""), []);
}

#[test]
fn literals_wait_or_do_not() {
    let bob = tagged("a", login("bob", "p \"\r\n{3}"));
    assert_eq!(read("a LOGIN {3}\r\nbob {8+}\r\np \"\r\n{3}\r\n"), [Seen::Go, bob.clone()]);
    assert_eq!(read("a LOGIN {3+}\r\nbob {8}\r\np \"\r\n{3}\r\n"), [Seen::Go, bob.clone()]);
    assert_eq!(read("a LOGIN {3+}\nbob {8+}\r\np \"\r\n{3}\n"), [bob]);
    assert_eq!(read("a LOGIN {0}\r\n {0+}\r\n\r\n"), [Seen::Go, tagged("a", login("", ""))]);
    assert_eq!(read("a LOGIN {003}\r\nbob b\r\n"), [Seen::Go, tagged("a", login("bob", "b"))]);
}

#[test]
fn in_quotes_no_literal_begins() {
    let seen = read("a LOGIN bob \"{3}\r\nb NOOP\r\n");
    assert!(matches!(seen.as_slice(), [first, _] if bad("a")(first)), "{seen:?}");
    assert_eq!(seen[1], tagged("b", Command::Noop));
}

#[test]
fn who_waits_hears_of_a_mistake_before_he_sends() {
    for line in
        ["FOO {3}", "NOOP {3}", "LOGIN bob x {3}", "LOGIN bob{3}", "FETCH 1 (BODY[FOO {3}", "LOGIN () {3}", "{3}"]
    {
        let seen = read(format!("a {line}\r\nb NOOP\r\n"));
        assert!(matches!(seen.as_slice(), [first, _] if bad("a")(first)), "{line}: {seen:?}");
        assert_eq!(seen[1], tagged("b", Command::Noop), "{line}");
    }
}

#[test]
fn who_does_not_wait_is_read_past() {
    for line in [
        "FOO {3+}\r\nx\r\n",
        "FOO {3+}\r\nx\r\n {10+}\r\nb LOGOUT\r\n more",
        "FOO {3+}\r\nx\r\n \"a {10+}",
        "FOO {3+}\r\nx\r\n b {9}",
        "LOGIN bob{3+}\r\nx\r\n",
        "LOGIN a {3+}\r\nx\0y",
        "LOGIN \"a\" {1+}\r\nx y",
    ] {
        let seen = read(format!("a {line}\r\nb NOOP\r\n"));
        assert!(matches!(seen.as_slice(), [first, _] if bad("a")(first)), "{line}: {seen:?}");
        assert_eq!(seen[1], tagged("b", Command::Noop), "{line}");
    }
}

#[test]
fn tags_have_a_form() {
    for line in
        ["", "NOOP", "a", "+ NOOP", "a+b NOOP", "(a) NOOP", "\"a\" NOOP", "* NOOP", "é NOOP", " NOOP", "a\tNOOP"]
    {
        let line = if line.is_empty() { format!("{} NOOP", "t".repeat(65)) } else { line.to_owned() };
        let seen = read(format!("{line}\r\nb NOOP\r\n"));
        assert!(matches!(seen.as_slice(), [Seen::Bad(None, _), Seen::Command(_)]), "{line}: {seen:?}");
    }
    let longest = "t".repeat(64);
    assert_eq!(read(format!("{longest} NOOP\r\n")), [tagged(&longest, Command::Noop)]);
}

#[test]
fn controls_are_no_part_of_a_command() {
    for line in [
        "LOGIN bob\0 x",
        "LOGIN \"b\0b\" x",
        "LOGIN b\rb x",
        "LOGIN \"b\rb\" x",
        "NOOP\r",
        "NOOP \0",
        "LOGIN b\u{7f} x",
        "LOGIN b\tx",
        "LOGIN bé x",
    ] {
        is_bad(line);
    }
}

#[test]
fn a_command_has_its_limit() {
    let fits = format!("a LOGIN bob {}\r\n", "x".repeat(1_986));
    assert_eq!(fits.len(), 2_000);
    assert_eq!(read(&fits), [tagged("a", login("bob", &"x".repeat(1_986)))]);
    let seen = read(fits.replace("x\r", "xx\r"));
    assert_eq!(seen, [Seen::Over("the line is too long".to_owned())]);
    assert_eq!(read("x".repeat(2_001)).len(), 1);

    // The literal counts, and what follows it.
    let seen = read(format!("a LOGIN {{1000}}\r\n{} {{900+}}\r\n{}\r\n", "u".repeat(1_000), "p".repeat(900)));
    assert_eq!(seen, [Seen::Go, tagged("a", login(&"u".repeat(1_000), &"p".repeat(900)))]);
    let seen = read(format!("a LOGIN {{1000}}\r\n{} {{990}}\r\nb NOOP\r\n", "u".repeat(1_000)));
    assert!(matches!(seen.as_slice(), [Seen::Go, second, Seen::Command(_)] if bad("a")(second)), "{seen:?}");
    let seen = read(format!("a LOGIN b {{1985+}}\r\n{}\r\nb NOOP\r\n", "p".repeat(1_985)));
    assert!(matches!(seen.as_slice(), [first, Seen::Over(_)] if bad("a")(first)), "{seen:?}");
    let roomy = Client { limits: ReaderLimits { skipped: 3_000, ..LIMITS }, ..CLIENT };
    let seen = with(format!("a LOGIN b {{1985+}}\r\n{}\r\nb NOOP\r\n", "p".repeat(1_985)).as_bytes(), roomy);
    assert!(matches!(seen.as_slice(), [first, Seen::Command(_)] if bad("a")(first)), "{seen:?}");
}

#[test]
fn a_size_that_is_none_ends_it() {
    let seen = read("a LOGIN {99999999999999999999999}\r\nb NOOP\r\n");
    assert!(matches!(seen.as_slice(), [first, Seen::Command(_)] if bad("a")(first)), "{seen:?}");
    let seen = read("a LOGIN {99999999999999999999999+}\r\nb NOOP\r\n");
    assert!(matches!(seen.as_slice(), [first, Seen::Over(_)] if bad("a")(first)), "{seen:?}");
}

#[test]
fn what_is_read_past_has_its_limit() {
    let literals = "{1+}\r\nx".repeat(100);
    let seen = read(format!("a FOO {literals}\r\nb NOOP\r\n"));
    assert!(matches!(seen.as_slice(), [first, Seen::Over(_)] if bad("a")(first)), "{seen:?}");
}

#[test]
fn many_literals_are_gathered_without_being_looked_at_each() {
    let text = format!("a SEARCH {}ALL\r\n", "SUBJECT {1}\r\nx ".repeat(20));
    let seen = read(&text);
    assert_eq!(seen.len(), 21);
    let Some(Seen::Command(Tagged { command: Command::Search { key: SearchKey::And(keys), .. }, .. })) = seen.last()
    else {
        panic!("{seen:?}")
    };
    assert_eq!(keys.len(), 21);
    // A mistake behind them is told at the end.
    let seen = read(format!("a SEARCH {}FOO {{1}}\r\nx\r\nb NOOP\r\n", "SUBJECT {1+}\r\nx ".repeat(20)));
    assert!(matches!(seen.as_slice(), [Seen::Go, second, Seen::Command(_)] if bad("a")(second)), "{seen:?}");
    // A literal that is too large for what is left has its tag too.
    let seen = read(format!("a SEARCH {}SUBJECT {{2000}}\r\nb NOOP\r\n", "SUBJECT {1+}\r\nx ".repeat(20)));
    assert!(matches!(seen.as_slice(), [first, Seen::Command(_)] if bad("a")(first)), "{seen:?}");
}

#[test]
fn empty_lines_are_skipped_but_not_for_ever() {
    let empty = "\r\n".repeat(20);
    let noop = tagged("a", Command::Noop);
    assert_eq!(read(format!("{empty}a NOOP\r\n{empty}a NOOP\r\n")), [noop.clone(), noop]);
    assert_eq!(read(format!("{empty}\na NOOP\r\n")), [Seen::Over("there are empty lines alone".to_owned())]);
}

#[test]
fn a_tls_handshake_is_no_command() {
    assert!(matches!(read(b"\x16\x03\x01\x02\0\n").as_slice(), [Seen::Over(_)]));
    assert!(matches!(read(b"a NOOP\r\n\x16\x03\x01").as_slice(), [Seen::Command(_), Seen::Over(_)]));
}

#[test]
fn what_is_over_stays_so() {
    let mut reader = Reader::new(LIMITS);
    let flood = vec![b'x'; 3_000];
    for _ in 0..3 {
        let mut input = flood.as_slice();
        assert!(matches!(reader.advance(&mut input), Input::Over(_)));
        assert!(input.is_empty());
    }
    assert_eq!(reader.held(), 0);
}

#[test]
fn a_line_may_come_between_commands() {
    let idle = tagged("a", Command::Idle);
    let done = |text: &str| Seen::Line(text.as_bytes().to_vec());
    let noop = tagged("b", Command::Noop);
    assert_eq!(read("a IDLE\r\nDONE\r\nb NOOP\r\n"), [idle.clone(), done("DONE"), noop.clone()]);
    assert_eq!(read("a IDLE\r\ndone\nb NOOP\r\n"), [idle.clone(), done("done"), noop.clone()]);
    assert_eq!(read("a IDLE\r\n\r\nb NOOP\r\n"), [idle.clone(), done(""), noop.clone()]);
    // Nothing in it is looked at.
    assert_eq!(read("a IDLE\r\n\"x\0\r {5+}\r\nb NOOP\r\n"), [idle.clone(), done("\"x\0\r {5+}"), noop]);
    let longest = "=".repeat(RAW_LINE);
    let client = |text: String| Client { parts: &[text.as_bytes()], ..CLIENT }.play();
    assert_eq!(client(format!("a IDLE\r\n{longest}\r\n")), [idle.clone(), done(&longest)]);
    assert_eq!(client(format!("a IDLE\r\n{longest}=\n")).len(), 2);
    for text in [format!("a IDLE\r\n{longest}=\n"), format!("a IDLE\r\n{longest}===")] {
        assert_eq!(client(text), [idle.clone(), Seen::Over("the line is too long".to_owned())]);
    }
}
