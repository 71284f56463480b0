//! SEARCH, FETCH, STORE and what else is done to messages.

use jiff::SignedDuration;
use jiff::civil::date;

use super::*;

fn search(key: SearchKey) -> Command {
    Command::Search { uid: false, returns: None, charset: None, key }
}

fn not(key: SearchKey) -> SearchKey {
    SearchKey::Not(Box::new(key))
}

#[test]
fn search_keys() {
    use SearchKey as K;
    let text = str::to_owned;
    let seconds = SignedDuration::from_secs;
    for (keys, expected) in [
        ("ALL", K::All),
        ("all ", K::All),
        ("1:5,7", K::Sequence(ranges(&[(1, 5), (7, 7)]))),
        ("$", K::Sequence(Set::Saved)),
        ("UID 5:*", K::Uid(from(5))),
        ("UID $", K::Uid(Set::Saved)),
        ("ANSWERED", K::Flag(Flag::Answered)),
        ("DELETED", K::Flag(Flag::Deleted)),
        ("DRAFT", K::Flag(Flag::Draft)),
        ("FLAGGED", K::Flag(Flag::Flagged)),
        ("SEEN", K::Flag(Flag::Seen)),
        ("UNANSWERED", not(K::Flag(Flag::Answered))),
        ("UNDELETED", not(K::Flag(Flag::Deleted))),
        ("UNDRAFT", not(K::Flag(Flag::Draft))),
        ("UNFLAGGED", not(K::Flag(Flag::Flagged))),
        ("UNSEEN", not(K::Flag(Flag::Seen))),
        ("KEYWORD $Junk", K::Flag(Flag::Keyword(text("$Junk")))),
        ("UNKEYWORD vip", not(K::Flag(Flag::Keyword(text("vip"))))),
        ("RECENT", K::Recent),
        ("OLD", not(K::Recent)),
        ("NEW", K::And(vec![K::Recent, not(K::Flag(Flag::Seen))])),
        ("FROM bob", K::From(text("bob"))),
        ("TO \"b b\"", K::To(text("b b"))),
        ("CC {2}\r\nab", K::Cc(text("ab"))),
        ("BCC \"\"", K::Bcc(text(""))),
        ("SUBJECT \"é\"", K::Subject(text("é"))),
        ("BODY x", K::Body(text("x"))),
        ("TEXT x", K::Text(text("x"))),
        ("HEADER Message-ID \"<a@b>\"", K::Header(text("Message-ID"), text("<a@b>"))),
        ("HEADER \"X-Spam\" \"\"", K::Header(text("X-Spam"), text(""))),
        ("BEFORE 1-Feb-2026", K::Before(date(2026, 2, 1))),
        ("ON \"01-feb-2026\"", K::On(date(2026, 2, 1))),
        ("SINCE 1-Feb-2026", K::Since(date(2026, 2, 1))),
        ("SENTBEFORE 1-Feb-2026", K::SentBefore(date(2026, 2, 1))),
        ("SENTON 1-Feb-2026", K::SentOn(date(2026, 2, 1))),
        ("SENTSINCE 1-Feb-2026", K::SentSince(date(2026, 2, 1))),
        ("LARGER 4294967295", K::Larger(u32::MAX)),
        ("SMALLER 0", K::Smaller(0)),
        ("OLDER 3600", K::Older(seconds(3600))),
        ("YOUNGER 1", K::Younger(seconds(1))),
        ("MODSEQ 0", K::ModSeq(0)),
        ("MODSEQ \"/flags/\\\\draft\" all 9223372036854775807", K::ModSeq(i64::MAX.unsigned_abs())),
        ("EMAILID M6d99ac3275bb4e", K::EmailId(text("M6d99ac3275bb4e"))),
        ("THREADID T-_1", K::ThreadId(text("T-_1"))),
        ("NOT SEEN", not(K::Flag(Flag::Seen))),
        ("NOT NOT ALL", not(not(K::All))),
        ("OR SEEN (DRAFT 1)", {
            let right = K::And(vec![K::Flag(Flag::Draft), K::Sequence(ranges(&[(1, 1)]))]);
            K::Or(Box::new(K::Flag(Flag::Seen)), Box::new(right))
        }),
        ("( ( ALL ) )", K::All),
        ("ALL  NOT (ALL ALL)", K::And(vec![K::All, not(K::And(vec![K::All, K::All]))])),
    ] {
        assert_eq!(command(&format!("SEARCH {keys}")), search(expected), "{keys}");
    }
    for keys in [
        "",
        "FOO",
        "()",
        "(ALL",
        "ALL)",
        "NOT",
        "OR ALL",
        "OR ALL ALL x",
        "FROM",
        "HEADER x",
        "0",
        "UID",
        "UID x",
        "LARGER 4294967296",
        "SMALLER -1",
        "OLDER 0",
        "MODSEQ 9223372036854775808",
        "MODSEQ \"/flags/x\" some 1",
        "BEFORE yesterday",
        "KEYWORD \\Foo",
        "KEYWORD",
        "EMAILID \"\"",
        "ALL CHARSET UTF-8",
        "CHARSET UTF-8",
    ] {
        is_bad(&format!("SEARCH {keys}"));
    }
    is_bad(&format!("SEARCH EMAILID {}", "x".repeat(256)));
}

#[test]
fn searches_have_limits() {
    let roomy = Client { limits: ReaderLimits { command: 100_000, skipped: 0 }, ..CLIENT };
    let is_read = |keys: String| {
        let text = format!("a SEARCH {keys}\r\n");
        matches!(Client { parts: &[text.as_bytes()], ..roomy }.play().as_slice(), [Seen::Command(_)])
    };
    let nested = |depth: usize| format!("{}ALL{}", "(".repeat(depth), ")".repeat(depth));
    assert!(is_read(nested(50)));
    assert!(!is_read(nested(51)));
    assert!(is_read(format!("{}ALL", "NOT ".repeat(50))));
    assert!(!is_read(format!("{}ALL", "NOT ".repeat(51))));
    assert!(!is_read(format!("{}ALL{}", "OR ".repeat(51), " ALL".repeat(51))));
    assert!(is_read("ALL ".repeat(1_000)));
    assert!(!is_read("ALL ".repeat(1_001)));
    assert!(!is_read("(ALL ALL) ".repeat(334)));
    assert!(!is_read("(".repeat(90_000)));
    assert!(!is_read("NOT ".repeat(20_000)));
}

#[test]
fn searches_of_all_kinds() {
    use SearchReturn as R;
    let returning = |returns: &[R]| Command::Search {
        uid: true,
        returns: Some(returns.to_vec()),
        charset: None,
        key: SearchKey::All,
    };
    assert_eq!(
        command("UID SEARCH RETURN (MIN max ALL COUNT SAVE) ALL"),
        returning(&[R::Min, R::Max, R::All, R::Count, R::Save])
    );
    assert_eq!(command("UID SEARCH RETURN () ALL"), returning(&[R::All]));
    is_bad("SEARCH RETURN (FOO) ALL");
    is_bad("SEARCH RETURN (MIN)");
    is_bad("SEARCH RETURN ALL");

    let found = |charset: &str, text: &str| Command::Search {
        uid: false,
        returns: None,
        charset: Some(charset.to_owned()),
        key: SearchKey::Subject(text.to_owned()),
    };
    let in_charset = |octets: &[u8]| match read([b"a SEARCH CHARSET ", octets, b"\r\n"].concat()).pop() {
        Some(Seen::Command(tagged)) => tagged.command,
        other => panic!("{other:?}"),
    };
    assert_eq!(in_charset("utf-8 SUBJECT \"é\"".as_bytes()), found("utf-8", "é"));
    assert_eq!(in_charset("UTF-8 SUBJECT {2}\r\né".as_bytes()), found("UTF-8", "é"));
    assert_eq!(in_charset(b"US-ASCII SUBJECT x"), found("US-ASCII", "x"));
    assert_eq!(in_charset(b"\"ISO-8859-1\" SUBJECT {1+}\r\n\xe9"), found("ISO-8859-1", "é"));
    assert_eq!(in_charset(b"koi8-r SUBJECT \"\xf0\xd2\xc9\""), found("koi8-r", "При"));
    // The session says BADCHARSET; a text there is nevertheless.
    assert_eq!(in_charset(b"x-klingon SUBJECT {1+}\r\n\xe9"), found("x-klingon", "é"));
    assert!(bad("a")(&read(b"a SEARCH SUBJECT \"\xe9\"\r\n")[0]));

    let sort = |uid: bool, returns: Option<Vec<R>>, by: &[(SortBy, bool)]| Command::Sort {
        uid,
        returns,
        criteria: by.iter().map(|(by, reverse)| SortCriterion { by: *by, reverse: *reverse }).collect(),
        charset: "UTF-8".to_owned(),
        key: SearchKey::All,
    };
    assert_eq!(command("SORT (DATE) UTF-8 ALL"), sort(false, None, &[(SortBy::Date, false)]));
    assert_eq!(
        command(
            "UID SORT RETURN (COUNT) (REVERSE arrival Subject REVERSE SIZE CC FROM TO DISPLAYFROM DISPLAYTO) UTF-8 ALL"
        ),
        sort(
            true,
            Some(vec![R::Count]),
            &[
                (SortBy::Arrival, true),
                (SortBy::Subject, false),
                (SortBy::Size, true),
                (SortBy::Cc, false),
                (SortBy::From, false),
                (SortBy::To, false),
                (SortBy::DisplayFrom, false),
                (SortBy::DisplayTo, false),
            ]
        )
    );
    for line in [
        "SORT () UTF-8 ALL",
        "SORT (FOO) UTF-8 ALL",
        "SORT (REVERSE) UTF-8 ALL",
        "SORT (DATE) UTF-8",
        "SORT (DATE)",
        "SORT DATE UTF-8 ALL",
    ] {
        is_bad(line);
    }
    for (line, uid, algorithm) in [
        ("THREAD REFERENCES \"UTF-8\" ALL", false, ThreadAlgorithm::References),
        ("uid thread orderedsubject UTF-8 ALL", true, ThreadAlgorithm::OrderedSubject),
    ] {
        let expected = Command::Thread { uid, algorithm, charset: "UTF-8".to_owned(), key: SearchKey::All };
        assert_eq!(command(line), expected);
    }
    is_bad("THREAD REFS UTF-8 ALL");
    is_bad("THREAD REFERENCES UTF-8");
}

fn fetch(items: Vec<FetchItem>) -> Command {
    Command::Fetch { uid: false, set: ranges(&[(1, 1)]), items, changed_since: None, vanished: false }
}

#[test]
fn fetch_items() {
    use FetchItem as F;
    let section = |part: &[u32], what: What| Section { part: part.to_vec(), what };
    let body = |section: Section| F::Section { section, peek: false, partial: None, old_name: None };
    let peek = |section: Section| F::Section { section, peek: true, partial: None, old_name: None };
    let old = |what: What, peek: bool, name: &'static str| F::Section {
        section: section(&[], what),
        peek,
        partial: None,
        old_name: Some(name),
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let partial = |first, count| Some(Partial { first, count });
    for (items, expected) in [
        ("UID", vec![F::Uid]),
        ("( uid  Flags )", vec![F::Uid, F::Flags]),
        ("ALL", vec![F::Flags, F::InternalDate, F::Rfc822Size, F::Envelope]),
        ("FAST", vec![F::Flags, F::InternalDate, F::Rfc822Size]),
        ("FULL", vec![F::Flags, F::InternalDate, F::Rfc822Size, F::Envelope, F::Body]),
        (
            "(INTERNALDATE ENVELOPE BODY BODYSTRUCTURE RFC822.SIZE MODSEQ EMAILID THREADID)",
            vec![
                F::InternalDate,
                F::Envelope,
                F::Body,
                F::BodyStructure,
                F::Rfc822Size,
                F::ModSeq,
                F::EmailId,
                F::ThreadId,
            ],
        ),
        ("RFC822", vec![old(What::Whole, false, "RFC822")]),
        ("RFC822.HEADER", vec![old(What::Header, true, "RFC822.HEADER")]),
        ("RFC822.TEXT", vec![old(What::Text, false, "RFC822.TEXT")]),
        (
            "(RFC822.PEEK RFC822.TEXT.PEEK)",
            vec![old(What::Whole, true, "RFC822"), old(What::Text, true, "RFC822.TEXT")],
        ),
        ("BODY[]", vec![body(Section::default())]),
        ("body.peek[header]", vec![peek(section(&[], What::Header))]),
        ("BODY[TEXT]", vec![body(section(&[], What::Text))]),
        ("BODY[1]", vec![body(section(&[1], What::Whole))]),
        ("BODY.PEEK[1.2.3.MIME]", vec![peek(section(&[1, 2, 3], What::Mime))]),
        ("BODY.PEEK[2.HEADER]", vec![peek(section(&[2], What::Header))]),
        ("BODY.PEEK[2.TEXT]", vec![peek(section(&[2], What::Text))]),
        (
            "BODY.PEEK[HEADER.FIELDS (From \"To\" {2+}\r\nCc )]",
            vec![peek(section(&[], What::HeaderFields(names(&["From", "To", "Cc"]))))],
        ),
        (
            "(UID BODY.PEEK[1.HEADER.FIELDS.NOT (X-a)]<0.10>)",
            vec![
                F::Uid,
                F::Section {
                    section: section(&[1], What::HeaderFieldsNot(names(&["X-a"]))),
                    peek: true,
                    partial: partial(0, 10),
                    old_name: None,
                },
            ],
        ),
        (
            "BODY[]<4294967295.1>",
            vec![F::Section {
                section: Section::default(),
                peek: false,
                partial: partial(u32::MAX, 1),
                old_name: None,
            }],
        ),
        ("BINARY[1.2]", vec![F::Binary { part: vec![1, 2], peek: false, partial: None }]),
        ("BINARY.PEEK[]<1.2>", vec![F::Binary { part: vec![], peek: true, partial: partial(1, 2) }]),
        ("BINARY.SIZE[3]", vec![F::BinarySize(vec![3])]),
    ] {
        assert_eq!(command(&format!("FETCH 1 {items}")), fetch(expected), "{items}");
    }
    for items in [
        "",
        "()",
        "FOO",
        "(UID",
        "UID)",
        "UID FLAGS",
        "(UID)(FLAGS)",
        "BODY[",
        "BODY[]]",
        "BODY[FOO]",
        "BODY[MIME]",
        "BODY[0]",
        "BODY[1.]",
        "BODY[.1]",
        "BODY[1..2]",
        "BODY[4294967296]",
        "BODY[1 TEXT]",
        "BODY[HEADER.FIELDS]",
        "BODY[HEADER.FIELDS (a:b)]",
        "BODY[HEADER.FIELDS (\"a b\")]",
        "BODY[HEADER.FIELDS (\"\")]",
        "BODY[]<0>",
        "BODY[]<0.0>",
        "BODY[]<0.4294967296>",
        "BODY.PEEK",
        "BINARY",
        "BINARY[TEXT]",
        "BINARY.SIZE",
        "BINARY.SIZE[1]<0.1>",
    ] {
        is_bad(&format!("FETCH 1 {items}"));
    }
    is_bad("FETCH 0 UID");
    is_bad("FETCH");
    is_bad(&format!("FETCH 1 BODY[{}1]", "1.".repeat(50)));
    assert!(matches!(command(&format!("FETCH 1 BODY[{}1]", "1.".repeat(49))), Command::Fetch { .. }));
    let parts = |count: u32| (1..=count).map(|part| format!("BODY[{part}]")).collect::<Vec<_>>().join(" ");
    for (count, is_fetch) in [(300, true), (301, false)] {
        let text = format!("a FETCH 1 ({})\r\n", parts(count));
        let limits = ReaderLimits { command: 10_000, ..LIMITS };
        let seen = Client { limits, parts: &[text.as_bytes()], ..CLIENT }.play();
        assert_eq!(matches!(seen.as_slice(), [Seen::Command(_)]), is_fetch, "{count}");
    }
    let Command::Fetch { items, .. } = command("FETCH 1 (FLAGS FAST UID FLAGS BODY[1] BODY[1] BODY.PEEK[1])") else {
        panic!("is a FETCH")
    };
    assert_eq!(items.len(), 6, "what is asked for twice is answered once: {items:?}");
}

#[test]
fn fetching_what_changed() {
    let changed = |uid: bool, changed_since: u64, vanished: bool| Command::Fetch {
        uid,
        set: from(1),
        items: vec![FetchItem::Flags],
        changed_since: Some(changed_since),
        vanished,
    };
    assert_eq!(command("FETCH 1:* (FLAGS) (CHANGEDSINCE 12345)"), changed(false, 12_345, false));
    assert_eq!(command("UID FETCH 1:* FLAGS (CHANGEDSINCE 12345 VANISHED)"), changed(true, 12_345, true));
    assert_eq!(command("uid fetch 1:* flags ( vanished changedsince 0 )"), changed(true, 0, true));
    for line in [
        "FETCH 1 FLAGS (CHANGEDSINCE)",
        "FETCH 1 FLAGS (CHANGEDSINCE 9223372036854775808)",
        "FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)",
        "UID FETCH 1 FLAGS (VANISHED)",
        "FETCH 1 FLAGS ()",
        "FETCH 1 FLAGS (FOO)",
        "FETCH 1 FLAGS CHANGEDSINCE 1",
    ] {
        is_bad(line);
    }
}

#[test]
fn changing_messages() {
    let store = |how: StoreHow, silent: bool, flags: &[Flag]| Command::Store {
        uid: false,
        set: ranges(&[(1, 3)]),
        unchanged_since: None,
        how,
        silent,
        flags: flags.to_vec(),
    };
    let vip = Flag::Keyword("VIP".to_owned());
    for (line, expected) in [
        ("STORE 1:3 +FLAGS (\\Seen)", store(StoreHow::Add, false, &[Flag::Seen])),
        ("STORE 1:3 -flags.silent \\Deleted VIP", store(StoreHow::Remove, true, &[Flag::Deleted, vip.clone()])),
        ("STORE 1:3 FLAGS ()", store(StoreHow::Replace, false, &[])),
        ("STORE 1:3 FLAGS ( \\answered \\FLAGGED \\Draft \\Recent )", {
            store(StoreHow::Replace, false, &[Flag::Answered, Flag::Flagged, Flag::Draft])
        }),
        ("STORE 1:3 FLAGS.SILENT VIP ", store(StoreHow::Replace, true, &[vip])),
    ] {
        assert_eq!(command(line), expected, "{line}");
    }
    assert_eq!(
        command("UID STORE $ (UNCHANGEDSINCE 320162338) +FLAGS.SILENT (\\Deleted)"),
        Command::Store {
            uid: true,
            set: Set::Saved,
            unchanged_since: Some(320_162_338),
            how: StoreHow::Add,
            silent: true,
            flags: vec![Flag::Deleted],
        }
    );
    for line in [
        "STORE 1 FLAGS",
        "STORE 1 FOO (x)",
        "STORE 1 +-FLAGS (x)",
        "STORE 1 FLAGS (\\Foo)",
        "STORE 1 FLAGS (\\*)",
        "STORE 1 FLAGS (\"x\")",
        "STORE 1 (UNCHANGEDSINCE) FLAGS ()",
        "STORE 1 () FLAGS ()",
        "STORE 1 FLAGS (a) (b)",
        "STORE FLAGS (a)",
    ] {
        is_bad(line);
    }
    let many = |count: usize| {
        let text = format!("a STORE 1 FLAGS ({})\r\n", "x ".repeat(count));
        Client { limits: ReaderLimits { command: 9_000, skipped: 0 }, parts: &[text.as_bytes()], ..CLIENT }.play()
    };
    assert!(matches!(many(1_000).as_slice(), [Seen::Command(_)]));
    assert!(matches!(many(1_001).as_slice(), [Seen::Bad(..)]));

    for uid in [false, true] {
        let before = if uid { "UID " } else { "" };
        let (set, to) = (from(2), name("acme/Closed"));
        assert_eq!(
            command(&format!("{before}COPY 2:* acme/Closed")),
            Command::Copy { uid, set: set.clone(), to: to.clone() }
        );
        assert_eq!(command(&format!("{before}MOVE 2:* \"acme/Closed\"")), Command::Move { uid, set, to });
    }
    is_bad("COPY 1");
    is_bad("MOVE x y");
    is_bad("UID COPY 1 y z");
    assert_eq!(command("UID EXPUNGE 3:5"), Command::Expunge(Some(ranges(&[(3, 5)]))));
    is_bad("UID EXPUNGE");
    is_bad("EXPUNGE 3:5");
}
