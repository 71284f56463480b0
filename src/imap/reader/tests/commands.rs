//! Commands about the session and about mailboxes, as clients write them.

use super::*;

#[test]
fn commands_that_take_nothing() {
    for (line, expected) in [
        ("CAPABILITY", Command::Capability),
        ("NOOP", Command::Noop),
        ("LOGOUT", Command::Logout),
        ("STARTTLS", Command::StartTls),
        ("NAMESPACE", Command::Namespace),
        ("CHECK", Command::Check),
        ("CLOSE", Command::Close),
        ("UNSELECT", Command::Unselect),
        ("EXPUNGE", Command::Expunge(None)),
        ("IDLE", Command::Idle),
    ] {
        assert_eq!(command(line), expected);
        assert_eq!(command(&format!("{}  ", line.to_lowercase())), expected);
        if expected != Command::Idle {
            is_bad(&format!("{line} x"));
        }
        is_bad(&format!("{line}("));
    }
    for line in ["FOO", "FOO bar", "", "UID", "UID NOOP", "UID FOO 1", "UID UID FETCH 1 UID", "SETQUOTA x ()", "GET /"]
    {
        is_bad(line);
    }
}

#[test]
fn who_it_is() {
    let told = |facts: &[(&str, Option<&str>)]| {
        let owned = |fact: &(&str, Option<&str>)| (fact.0.to_owned(), fact.1.map(str::to_owned));
        Command::Id(facts.iter().map(owned).collect())
    };
    assert_eq!(command("ID NIL"), told(&[]));
    assert_eq!(command("ID ()"), told(&[]));
    assert_eq!(
        command("id ( \"name\" \"Thunderbird\" \"os\" nil )"),
        told(&[("name", Some("Thunderbird")), ("os", None)])
    );
    assert_eq!(command("ID (name {2+}\r\nab)"), told(&[("name", Some("ab"))]));
    is_bad("ID");
    is_bad("ID (name)");
    is_bad("ID (\"name\" x)");
    is_bad(&format!("ID ({})", "a NIL ".repeat(31)));
    assert!(matches!(command(&format!("ID ({})", "a NIL ".repeat(30))), Command::Id(facts) if facts.len() == 30));
}

#[test]
fn logging_in() {
    assert_eq!(command("LOGIN bob pencil"), login("bob", "pencil"));
    assert_eq!(command("LOGIN alice@team.example \"p \\\"\\\\\""), login("alice@team.example", "p \"\\"));
    assert_eq!(command("LOGIN \"\" \"\""), login("", ""));
    assert_eq!(command("LOGIN {3}\r\nbob {7}\r\npéncil"), login("bob", "péncil"));
    assert_eq!(command("LOGIN \"bób\" NIL"), login("bób", "NIL"));
    assert_eq!(command("LOGIN ~bob a]b"), login("~bob", "a]b"));
    for line in [
        "LOGIN",
        "LOGIN bob",
        "LOGIN bob x y",
        "LOGIN bob \"x",
        "LOGIN \"a\\b\" x",
        "LOGIN bob (x)",
        "LOGIN bob x*",
        "LOGIN bob ~{3+}\r\nabc",
    ] {
        is_bad(line);
    }
    let seen = read(b"a LOGIN \"b\xe9\" x\r\n");
    assert!(bad("a")(&seen[0]));

    let by = |mechanism: &str, initial: Option<&str>| Command::Authenticate {
        mechanism: mechanism.to_owned(),
        initial: initial.map(|text| Secret(text.as_bytes().to_vec())),
    };
    let first = |line: &str| match read(format!("a {line}\r\n")).remove(0) {
        Seen::Command(tagged) => tagged.command,
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(first("AUTHENTICATE scram-sha-256"), by("SCRAM-SHA-256", None));
    assert_eq!(first("AUTHENTICATE PLAIN "), by("PLAIN", None));
    assert_eq!(first("AUTHENTICATE PLAIN AGJvYgBwZW5jaWw="), by("PLAIN", Some("\0bob\0pencil")));
    assert_eq!(first("AUTHENTICATE EXTERNAL ="), by("EXTERNAL", Some("")));
    for line in [
        "AUTHENTICATE",
        "AUTHENTICATE PLAIN a",
        "AUTHENTICATE PLAIN ==",
        "AUTHENTICATE PLAIN (",
        "AUTHENTICATE PLAIN AA== x",
    ] {
        is_bad(line);
    }
}

#[test]
fn switches() {
    let enabled = |names: &[&str]| Command::Enable(names.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(command("ENABLE condstore UTF8=ACCEPT"), enabled(&["CONDSTORE", "UTF8=ACCEPT"]));
    assert_eq!(command("ENABLE IMAP4rev2 "), enabled(&["IMAP4REV2"]));
    is_bad("ENABLE");
    is_bad("ENABLE (CONDSTORE)");
    assert_eq!(command("COMPRESS deflate"), Command::Compress("DEFLATE".to_owned()));
    is_bad("COMPRESS");
}

#[test]
fn selecting() {
    let select = |mailbox: &str, condstore: bool, qresync: Option<Resync>| Command::Select {
        mailbox: name(mailbox),
        read_only: false,
        condstore,
        qresync,
    };
    let resync = |known_uids: Option<Set>, known_sequence: Option<(Set, Set)>| {
        Some(Resync { uid_validity: 67_890_007, modseq: 90_060_115_194_045_000, known_uids, known_sequence })
    };
    assert_eq!(command("SELECT inbox"), select("INBOX", false, None));
    assert_eq!(command("SELECT \"acme/Open\" "), select("acme/Open", false, None));
    assert_eq!(command("SELECT acme/Open (condstore)"), select("acme/Open", true, None));
    assert_eq!(command("SELECT x (QRESYNC (67890007 90060115194045000))"), select("x", false, resync(None, None)));
    assert_eq!(
        command("SELECT x (CONDSTORE QRESYNC (67890007 90060115194045000 41:211,214))"),
        select("x", true, resync(Some(ranges(&[(41, 211), (214, 214)])), None))
    );
    let sequence = Some((ranges(&[(1, 1), (3, 3)]), ranges(&[(10, 10), (30, 30)])));
    assert_eq!(
        command("SELECT x (QRESYNC (67890007 90060115194045000 41:211 (1,3 10,30)))"),
        select("x", false, resync(Some(ranges(&[(41, 211)])), sequence.clone()))
    );
    assert_eq!(
        command("SELECT x ( QRESYNC ( 67890007 90060115194045000 ( 1,3 10,30 ) ) )"),
        select("x", false, resync(None, sequence))
    );
    assert_eq!(
        command("EXAMINE x"),
        Command::Select { mailbox: name("x"), read_only: true, condstore: false, qresync: None }
    );
    for line in [
        "SELECT",
        "SELECT x y",
        "SELECT x (FOO)",
        "SELECT x (QRESYNC)",
        "SELECT x (QRESYNC (1))",
        "SELECT x (QRESYNC (0 1))",
        "SELECT x (QRESYNC (1 1 *))",
        "SELECT x (QRESYNC (1 1 $))",
        "SELECT x (QRESYNC (1 1 1 (1)))",
        "SELECT x (QRESYNC (1 9223372036854775808))",
        "SELECT x (CONDSTORE",
    ] {
        is_bad(line);
    }
}

#[test]
fn mailboxes() {
    let create = |mailbox: &str, uses: &[&str]| Command::Create {
        mailbox: name(mailbox),
        special_use: uses.iter().map(|name| (*name).to_owned()).collect(),
    };
    assert_eq!(command("CREATE a/b"), create("a/b", &[]));
    assert_eq!(command("CREATE a (USE (\\archive \\Foo))"), create("a", &["\\Archive", "\\Foo"]));
    assert_eq!(command("CREATE a (USE ())"), create("a", &[]));
    is_bad("CREATE a (USE (Archive))");
    is_bad("CREATE a (FOO)");
    assert_eq!(command("DELETE a"), Command::Delete(name("a")));
    assert_eq!(command("RENAME a \"b c\""), Command::Rename(name("a"), name("b c")));
    is_bad("RENAME a");
    assert_eq!(command("SUBSCRIBE D&AOk-p&-"), Command::Subscribe(name("Dép&")));
    assert_eq!(command("UNSUBSCRIBE \"Dép\""), Command::Unsubscribe(name("Dép")));
    assert_eq!(command("GETQUOTA \"\""), Command::GetQuota(String::new()));
    assert_eq!(command("GETQUOTAROOT INBOX"), Command::GetQuotaRoot(name("INBOX")));
    for line in ["DELETE R&D", "DELETE \"&AAA-\"", "DELETE {1+}\r\n\t", "DELETE a b", "DELETE %", "DELETE &AEE-"] {
        is_bad(line);
    }
    assert_eq!(read_in_utf8("a DELETE R&D\r\n"), [tagged("a", Command::Delete(name("R&D")))]);
    assert_eq!(read_in_utf8("a DELETE \"Dép&AOk-\"\r\n"), [tagged("a", Command::Delete(name("Dép&AOk-")))]);
    assert!(bad("a")(&read_in_utf8("a DELETE {1+}\r\n\t\r\n")[0]));
}

#[test]
fn listing() {
    let plain = |reference: &str, pattern: &str| List {
        by: ListBy::List,
        select: ListSelect::default(),
        reference: name(reference),
        patterns: vec![pattern.to_owned()],
        returns: ListReturn::default(),
        extended: false,
    };
    let extended = |reference: &str, pattern: &str| List { extended: true, ..plain(reference, pattern) };
    let subscribed = ListSelect { subscribed: true, ..ListSelect::default() };
    for (line, expected) in [
        ("LIST \"\" *", plain("", "*")),
        ("LIST \"\" \"\"", plain("", "")),
        ("LIST \"\" acme/%", plain("", "acme/%")),
        ("LIST \"acme/\" \"D&AOk-p%\" ", plain("acme/", "Dép%")),
        ("LIST \"\" inbox", plain("", "INBOX")),
        ("LSUB \"\" \"*\"", List { by: ListBy::Lsub, ..plain("", "*") }),
        ("XLIST \"\" %", List { by: ListBy::Xlist, ..plain("", "%") }),
        ("LIST () \"\" %", extended("", "%")),
        ("LIST (SUBSCRIBED) \"\" *", List { select: subscribed, ..extended("", "*") }),
        (
            "LIST (SUBSCRIBED remote RECURSIVEMATCH SPECIAL-USE) \"\" *",
            List {
                select: ListSelect { subscribed: true, remote: true, recursive_match: true, special_use: true },
                ..extended("", "*")
            },
        ),
        (
            "LIST \"\" (INBOX \"Drafts\" Sent/% )",
            List { patterns: ["INBOX", "Drafts", "Sent/%"].map(str::to_owned).to_vec(), ..extended("", "") },
        ),
        ("LIST \"\" % RETURN ()", extended("", "%")),
        (
            "LIST \"\" % RETURN (SUBSCRIBED children SPECIAL-USE STATUS (MESSAGES UNSEEN))",
            List {
                returns: ListReturn {
                    subscribed: true,
                    children: true,
                    special_use: true,
                    status: vec![StatusItem::Messages, StatusItem::Unseen],
                },
                ..extended("", "%")
            },
        ),
    ] {
        assert_eq!(command(line), Command::List(expected), "{line}");
    }
    for line in [
        "LIST",
        "LIST \"\"",
        "LIST \"\" ()",
        "LIST (FOO) \"\" *",
        "LIST (RECURSIVEMATCH) \"\" *",
        "LIST (REMOTE RECURSIVEMATCH) \"\" *",
        "LIST \"\" * RETURN",
        "LIST \"\" * RETURN (FOO)",
        "LIST \"\" * RETURN (STATUS)",
        "LIST \"\" * RETURN (STATUS ())",
        "LIST \"\" * FOO",
        "LSUB (SUBSCRIBED) \"\" *",
        "LSUB \"\" * RETURN ()",
        "LIST \"\" &*",
    ] {
        is_bad(line);
    }
    assert_eq!(
        command(
            "STATUS INBOX (MESSAGES recent UIDNEXT UIDVALIDITY UNSEEN HIGHESTMODSEQ SIZE MAILBOXID DELETED APPENDLIMIT )"
        ),
        Command::Status {
            mailbox: name("INBOX"),
            items: vec![
                StatusItem::Messages,
                StatusItem::Recent,
                StatusItem::UidNext,
                StatusItem::UidValidity,
                StatusItem::Unseen,
                StatusItem::HighestModSeq,
                StatusItem::Size,
                StatusItem::MailboxId,
                StatusItem::Deleted,
                StatusItem::AppendLimit,
            ],
        }
    );
    for line in ["STATUS INBOX", "STATUS INBOX ()", "STATUS INBOX MESSAGES", "STATUS INBOX (FOO)"] {
        is_bad(line);
    }
}
