//! Whatever strangers send, they get a right answer, memory stays bounded, and the daemon serves
//! the next one.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use guichet::desk::copy::CopyState;
use guichet::store::tables::COPIES;
use guichet::store::{Order, Read as _, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::kit::daemon::{Daemon, guichet};
use crate::kit::desk::{TestDesk, field};
use crate::kit::load::{Client, Dice, Mail, seed};
use crate::kit::sink::Received;

const ACME: &str = "acme@desk.example.org";
/// The most memory that a daemon may take with twenty messages of 35 MB at once, 700 MB in all: room
/// for 256 MiB on their way in, as much on their way out, and what it is itself.
const MOST_MEMORY: u64 = 600 << 20;
/// How many messages are mangled.
const MANGLED: usize = 1500;
/// How many of them go out again.
const RELAYED: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn recipients_that_are_not_ours_are_refused_one_by_one() {
    let desk = TestDesk::start().await;
    let mut client = Client::connect(desk.address()).await.unwrap();
    assert!(client.say("MAIL FROM:<carol@example.com>").await.unwrap().starts_with("250 "));
    for (path, expected) in [
        ("<nobody@desk.example.org>", "550 5.1.1 "),
        ("<acme+nothing@desk.example.org>", "550 5.1.1 "),
        ("<acme@desk.example.org.>", "501 5.1.3 "),
        ("<acme+taaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@desk.example.org>", "550 5.1.1 "),
        ("<bounces+x@desk.example.org>", "550 5.1.1 "),
        ("<acme@example.net>", "550 5.7.1 "),
        ("<acme@mx.desk.example.org>", "550 5.7.1 "),
        ("<victim%example.net@desk.example.org>", "550 5."),
        ("<example.net!victim@desk.example.org>", "550 5."),
        ("<\"victim@example.net\"@desk.example.org>", "550 5."),
        ("<@desk.example.org:victim@example.net>", "550 5."),
        ("<@example.net,@desk.example.org:acme@example.net>", "550 5."),
        ("<acme@[127.0.0.1]>", "550 5."),
        ("<acme>", "501 5.1.3 "),
        ("<>", "5"),
        (&format!("<{}@desk.example.org>", "a".repeat(65)), "5"),
        (&format!("<acme@{}.example.org>", "a".repeat(64)), "5"),
        ("<acme@desk.example.org> BOGUS=1", "555 5.5.4 "),
        (ACME, "5"),
        ("<Postmaster>", "250 2.1.5 "),
        ("<postmaster@desk.example.org>", "250 2.1.5 "),
        ("<ABUSE@DESK.EXAMPLE.ORG>", "250 2.1.5 "),
        ("<acme@desk.example.org>", "250 2.1.5 "),
    ] {
        let reply = client.say(&format!("RCPT TO:{path}")).await.unwrap();
        assert!(reply.starts_with(expected), "{path}: {reply}");
    }
    assert!(client.say("DATA").await.unwrap().starts_with("354"));
    client.write(b"From: <carol@example.com>\r\nSubject: To the postmaster\r\n\r\nHello.\r\n.\r\n").await.unwrap();
    let reply = client.answer().await.unwrap();
    assert!(reply.starts_with("250 2.0.0 acme-1 "), "{reply}");
    assert!(desk.settled().await.is_empty(), "nothing was relayed");
    assert_eq!(desk.messages("acme-1").len(), 1, "three addresses of one property are one");
}

/// What is sent after `RCPT`, and how the answer to it begins.
fn dialogues() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let data = |message: &[u8]| [b"DATA\r\n", message, b"\r\n.\r\n"].concat();
    let header = b"From: <carol@example.com>\r\nSubject: x\r\n";
    let with = |rest: &[u8]| data(&[header, rest].concat());
    vec![
        ("a NUL", with(b"\r\na\0b"), "550 5.6.0 "),
        ("a bare LF", with(b"\r\na\nb"), "550 5.6.11 "),
        ("a bare CR", with(b"\r\na\rb"), "550 5.6.11 "),
        ("a smuggled end", with(b"\r\na\n.\r\nMAIL FROM:<x@example.com>\r\n"), "550 5.6.11 "),
        ("a line of 70 KB", with(&[b"\r\n", vec![b'x'; 70_000].as_slice()].concat()), "550 5.6.0 "),
        ("a line of 60 KB", with(&[b"\r\n", vec![b'x'; 60_000].as_slice()].concat()), "250 "),
        ("an endless header", with(&b"X-Y: z\r\n".repeat(60_000)), "552 5.3.4 "),
        ("a folded field without end", with(&b" and so on\r\n".repeat(40_000)), "552 5.3.4 "),
        ("more than 50 Received", with(&b"Received: from a by b; today\r\n".repeat(51)), "554 5.4.6 "),
        ("no From", data(b"Subject: x\r\n\r\nhi"), "550 5.7.1 "),
        ("two in From", data(b"From: <a@example.com>, <b@example.com>\r\n\r\nhi"), "550 5.7.1 "),
        ("nothing but From", data(b"From: <carol@example.com>"), "250 "),
        ("no blank line", data(b"From: <carol@example.com>\r\nthis is no field"), "250 "),
        (
            "doubled fields",
            with(b"Subject: y\r\nDate: x\r\nDate: y\r\nMessage-ID: <a@b\r\nMessage-ID: <c@d>\r\n\r\nhi"),
            "250 ",
        ),
        (
            "10,000 References",
            with(&[b"References:", "\r\n <ref@x.example>".repeat(10_000).as_bytes(), b"\r\n\r\nhi"].concat()),
            "250 ",
        ),
        (
            "References of itself",
            with(b"Message-ID: <i@x.example>\r\nIn-Reply-To: <i@x.example>\r\nReferences: <i@x.example>\r\n\r\nhi"),
            "250 ",
        ),
        ("no such charset", with(b"Content-Type: text/plain; charset=klingon\r\n\r\n\xff\xfe"), "250 "),
        ("no such encoding", with(b"Content-Transfer-Encoding: rot13\r\n\r\nhi"), "250 "),
        ("broken base64", with(b"Content-Transfer-Encoding: base64\r\n\r\n!!=!\r\n=="), "250 "),
        ("a boundary that never comes", with(b"Content-Type: multipart/mixed; boundary=x\r\n\r\nhi"), "250 "),
        (
            "an empty boundary",
            with(b"Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\n\r\nhi\r\n----"),
            "250 ",
        ),
        ("1,000 parts deep", with(&nested(1000)), "250 "),
        (
            "messages within messages",
            with(&[b"Content-Type: message/rfc822\r\n\r\n".repeat(2000).as_slice(), b"hi"].concat()),
            "250 ",
        ),
        (
            "20,000 parts",
            with(
                &[
                    b"Content-Type: multipart/mixed; boundary=p\r\n\r\n".as_slice(),
                    &b"--p\r\n\r\nx\r\n".repeat(20_000),
                    b"--p--",
                ]
                .concat(),
            ),
            "250 ",
        ),
        ("a subject with line ends", with(b"Subject: =?utf-8?q?a=0D=0ABcc:_x@example.net?=\r\n\r\nhi"), "250 "),
        (
            "RFC 2231 without end",
            with(
                &[
                    b"Content-Disposition: attachment".as_slice(),
                    repeated(5000, |n| format!(";\r\n filename*{n}=x")).as_bytes(),
                    b"\r\n\r\nhi",
                ]
                .concat(),
            ),
            "250 ",
        ),
    ]
}

fn nested(depth: usize) -> Vec<u8> {
    let part = |n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n");
    (repeated(depth, part) + "\r\nhi\r\n").into_bytes()
}

fn repeated(times: usize, text: impl Fn(usize) -> String) -> String {
    (0..times).map(text).collect::<Vec<_>>().concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_every_wrong_kind_get_a_right_answer_and_the_next_one_is_taken() {
    let desk = TestDesk::with("[limits]\nlook_alike = 1000\n").await;
    desk.members(&["alice"]).await;
    for (what, bytes, expected) in dialogues() {
        let mut client = Client::connect(desk.address()).await.unwrap();
        for line in ["MAIL FROM:<carol@example.com>", "RCPT TO:<acme@desk.example.org>"] {
            assert!(client.say(line).await.unwrap().starts_with("250 "));
        }
        client.write(&bytes).await.unwrap();
        assert!(client.answer().await.unwrap().starts_with("354 "));
        let reply = client.answer().await.unwrap();
        assert!(reply.starts_with(expected), "{what}: {reply}");
        good(&mut client, what).await;
    }
    // All that was taken went on, and nothing that leaves is broken.
    let accepted = dialogues().into_iter().filter(|(_, _, expected)| *expected == "250 ").count();
    let received = desk.settled().await;
    assert_eq!(received.len(), accepted + dialogues().len());
    received.iter().for_each(is_sound);
    assert!(desk.verify().is_clean());
}

/// Nothing that leaves is broken.
fn is_sound(received: &Received) {
    let text = String::from_utf8_lossy(&received.message);
    assert!(field(&text, "Bcc").is_none() && field(&text, "Message-ID").is_some(), "{text}");
    assert!(!received.message.contains(&0), "{text}");
    for line in received.message.split_inclusive(|byte| *byte == b'\n') {
        assert!(line.len() <= 1000, "a line is too long in\n{text}");
        let line = line.strip_suffix(b"\r\n").unwrap();
        assert!(!line.contains(&b'\r'), "a CR alone in\n{text}");
    }
    let header = &received.message[..received.message.windows(4).position(|four| four == b"\r\n\r\n").unwrap()];
    for line in String::from_utf8_lossy(header).split("\r\n") {
        let is_field = line.split_once(':').is_some_and(|(name, _)| name.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(line.starts_with([' ', '\t']) || is_field, "{line:?} in the header of\n{text}");
    }
}

/// The same connection, or a new one if that is over, takes a good message.
async fn good(client: &mut Client, what: &str) {
    let mail = Mail {
        id: String::new(),
        from: "dave@example.com".to_owned(),
        to: vec![ACME.to_owned()],
        text: format!("From: <dave@example.com>\nSubject: After {what}\n\nHello."),
    };
    let reply = client.send(&mail, |_| {}).await.unwrap();
    assert!(reply.starts_with("250 2.0.0 acme-"), "after {what}: {reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_smtp_is_told_so_and_cut_off() {
    let desk = TestDesk::start().await;
    let mut tls = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc];
    tls.resize(600, 7);
    for (what, bytes, expected) in [
        ("HTTP", b"GET / HTTP/1.1\r\nHost: desk.example.org\r\n\r\n".to_vec(), "5"),
        ("a POST with mail in it", b"POST / HTTP/1.1\r\n\r\nMAIL FROM:<a@example.com>\r\n".to_vec(), "5"),
        ("TLS", tls, "554 5.5.1 "),
        ("a line without end", vec![b'a'; 1 << 20], "5"),
        ("bare line ends", b"EHLO a\nMAIL FROM:<a@example.com>\n".repeat(2000), "421 4.7.0 "),
        ("noise", (0..1u32 << 16).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect(), "421 4.7.0 "),
        ("commands and no mail", b"EHLO a.example\r\n".repeat(1000), "421 4.7.0 "),
        ("commands in the wrong order", b"DATA\r\nRCPT TO:<a@b.example>\r\n".repeat(1000), "421 4.7.0 "),
    ] {
        let mut stream = TcpStream::connect(desk.address()).await.unwrap();
        // The server may hang up before it has read all of it.
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said).await;
        let said = String::from_utf8_lossy(&said).into_owned();
        let last = said.lines().last().unwrap();
        assert!(said.starts_with("220 ") && last.starts_with(expected), "{what}: {last}");
        assert!(said.len() < 64 << 10, "{what}: {} octets of answers", said.len());
        good(&mut Client::connect(desk.address()).await.unwrap(), what).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn size_and_recipients_have_limits_that_are_told() {
    let desk = TestDesk::with("[limits]\nrecipients = 1000\n").await;
    let mut client = Client::connect(desk.address()).await.unwrap();
    let reply = client.say("MAIL FROM:<carol@example.com> SIZE=40000000").await.unwrap();
    assert!(reply.starts_with("552 5.3.4 "), "{reply}");

    assert!(client.say("MAIL FROM:<carol@example.com>").await.unwrap().starts_with("250 "));
    // Written at once: a client may pipeline, and nothing may wait for ever for the other.
    let path = |n: usize| format!("RCPT TO:<acme+{n}@desk.example.org>\r\n");
    let all: String = (0..95).map(path).chain(["RCPT TO:<acme@desk.example.org>\r\n".to_owned()]).collect();
    client.write(all.as_bytes()).await.unwrap();
    for _ in 0..95 {
        assert!(client.answer().await.unwrap().starts_with("550 5.1.1 "));
    }
    assert!(client.answer().await.unwrap().starts_with("250 "));
    assert!(client.say("DATA").await.unwrap().starts_with("354 "));
    let line = [b"x".repeat(998).as_slice(), b"\r\n"].concat();
    client.write(b"From: <carol@example.com>\r\n\r\n").await.unwrap();
    for _ in 0..37_000 {
        client.write(&line).await.unwrap();
    }
    client.write(b".\r\n").await.unwrap();
    let reply = client.answer().await.unwrap();
    assert!(reply.starts_with("552 5.3.4 "), "{reply}");
    good(&mut client, "a message that was too large").await;

    desk.act(|tx, act| {
        for n in 0..1000 {
            let new = guichet::actions::property::New {
                slug: format!("p{n}").parse().unwrap(),
                name: format!("P {n}"),
                addresses: Vec::new(),
                public: None,
                language: guichet::desk::language::Language::En,
            };
            guichet::actions::property::add(tx, act, new)?;
        }
        Ok(())
    })
    .await;
    let mail = Mail {
        id: String::new(),
        from: "carol@example.com".to_owned(),
        to: (0..1000).map(|n| format!("p{n}@desk.example.org")).collect(),
        text: "From: <carol@example.com>\nSubject: To all\n\nHello.".to_owned(),
    };
    let mut client = Client::connect(desk.address()).await.unwrap();
    let reply = client.send(&mail, |_| {}).await.unwrap();
    assert!(reply.starts_with("250 "), "{reply}");
    assert_eq!(desk.messages("p999-1").len(), 1);
    assert!(client.say("NOOP").await.unwrap().starts_with("250 "), "the reply was one that the client understood");
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_large_messages_at_once_are_relayed_intact_within_bounded_memory() {
    let mut desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    desk.stop().await;
    let config = desk.config_file();
    let daemon = tokio::task::spawn_blocking(move || Daemon::start(&config)).await.unwrap();
    let started = Instant::now();
    let blob = repeated(38_800, |n| format!("{n:0900}\r\n"));
    let header = |n: usize| {
        format!(
            "From: <carol{n}@example.com>\r\nTo: {ACME}\r\nSubject: Large {n}\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nSee the file.\r\n--b\r\n\
             Content-Type: text/x-log; name=large.log\r\nContent-Disposition: attachment; filename=large.log\r\n\r\n"
        )
    };
    assert!(blob.len() > 33 << 20 && blob.len() < 35 << 20);
    let blob = std::sync::Arc::new(blob);
    let mut senders = JoinSet::new();
    for n in 0..20 {
        // In bulle nobody gets a copy.
        let to = if n < RELAYED { ACME } else { "bulle@desk.example.org" };
        let (address, blob, header) = (daemon.address, std::sync::Arc::clone(&blob), header(n));
        senders.spawn(async move {
            let mut client = Client::connect(address).await.unwrap();
            for line in [format!("MAIL FROM:<carol{n}@example.com>"), format!("RCPT TO:<{to}>")] {
                assert!(client.say(&line).await.unwrap().starts_with("250 "));
            }
            assert!(client.say("DATA").await.unwrap().starts_with("354 "));
            client.write(header.as_bytes()).await.unwrap();
            client.write(blob.as_bytes()).await.unwrap();
            client.write(b"--b--\r\n.\r\n").await.unwrap();
            let reply = client.answer().await.unwrap();
            assert!(reply.starts_with("250 "), "{reply}");
        });
    }
    senders.join_all().await;
    println!("taken after {:?}, {} MiB", started.elapsed(), daemon.peak_memory() >> 20);
    for received in desk.sink.wait(RELAYED).await {
        let at = received.message.windows(100).position(|window| window == &blob.as_bytes()[..100]).unwrap();
        assert!(received.message[at..].starts_with(blob.as_bytes()), "the file is another");
    }
    let peak = daemon.peak_memory();
    println!("relayed after {:?}, {} MiB", started.elapsed(), peak >> 20);
    assert!(peak < MOST_MEMORY, "{} MiB", peak >> 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_cannot_start_says_why_in_one_line() {
    let mut desk = TestDesk::start().await;
    desk.stop().await;
    let config = desk.config_file();
    let text = std::fs::read_to_string(&config).unwrap();
    let daemon = {
        let config = config.clone();
        tokio::task::spawn_blocking(move || Daemon::start(&config)).await.unwrap()
    };
    let other = desk.dir.path().join("other.toml");
    let data = format!("data_dir = {:?}", desk.dir.path().join("data"));
    let fails = |text: &str, exit: i32, words: &[&str]| {
        std::fs::write(&other, text).unwrap();
        let output = guichet(&other, &["serve"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(exit), "{said}");
        let lines: Vec<_> = said.lines().filter(|line| words.iter().all(|word| line.contains(word))).collect();
        assert_eq!(lines.len(), 1, "{words:?} in\n{said}");
    };

    fails(&text, 75, &["another guichet runs on"]);
    // The lock of the store holds without the socket, too.
    std::fs::rename(desk.dir.path().join("data/api.sock"), desk.dir.path().join("data/away.sock")).unwrap();
    fails(&text, 75, &["data/store is in use by another process"]);
    let elsewhere = text.replace(&data, &format!("data_dir = {:?}", desk.dir.path().join("elsewhere")));
    let taken = elsewhere.replace("127.0.0.1:0", &daemon.address.to_string());
    fails(&taken, 78, &["other.toml:6", "smtp.listen", "in use"]);
    let file = desk.dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let unwritable = text.replace(&data, &format!("data_dir = {:?}", file.join("data")));
    fails(&unwritable, 78, &["other.toml:3", "data_dir"]);
    let missing = "[tls]\ncertificate = \"none.pem\"\nkey = \"none.key\"\n";
    fails(&format!("{elsewhere}{missing}"), 78, &["tls.certificate", "none.pem"]);
    for name in ["none.pem", "none.key"] {
        let mark = if name == "none.pem" { "CERTIFICATE" } else { "PRIVATE KEY" };
        let broken = format!("-----BEGIN {mark}-----\nAAAA\n-----END {mark}-----\n");
        std::fs::write(desk.dir.path().join("elsewhere").join(name), broken).unwrap();
    }
    fails(&format!("{elsewhere}{missing}"), 78, &["tls.certificate"]);
    let closed = desk.dir.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o500)).unwrap();
    if std::fs::write(closed.join("probe"), "").is_err() {
        let closed = text.replace(&data, &format!("data_dir = {closed:?}"));
        fails(&closed, 78, &["other.toml:3", "data_dir"]);
    }

    good(&mut Client::connect(daemon.address).await.unwrap(), "all that").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mangled_mail_is_taken_or_refused_and_what_is_taken_goes_on() {
    let seed = seed();
    let mut dice = Dice::new(seed);
    let desk = TestDesk::on(Store::memory()).await;
    desk.members(&["alice"]).await;
    let messages = fixtures();
    let mut client = Client::connect(desk.address()).await.unwrap();
    let mut taken = 0;
    for round in 0..MANGLED {
        let mut message = messages[dice.roll(messages.len())].clone();
        for _ in 0..=dice.roll(4) {
            mangle(&mut message, &messages, &mut dice);
        }
        // Line ends are the SMTP dialogue's affair, in other tests.
        let text: Vec<_> = message
            .split(|byte| *byte == b'\n')
            .map(|line| {
                let line: Vec<u8> = line.iter().copied().filter(|byte| !matches!(byte, b'\r' | 0)).collect();
                if line.starts_with(b".") { [b".", line.as_slice()].concat() } else { line }
            })
            .collect();
        let text = [text.join(b"\r\n".as_slice()).as_slice(), b"\r\n.\r\n"].concat();
        for line in ["MAIL FROM:<carol@example.com>", "RCPT TO:<acme@desk.example.org>", "DATA"] {
            let reply = client.say(line).await.unwrap();
            assert!(reply.starts_with(['2', '3']), "{reply}");
        }
        client.write(&text).await.unwrap();
        let reply = client.answer().await;
        let is_answer = reply.as_ref().is_ok_and(|reply| reply.starts_with(['2', '5']));
        assert!(is_answer, "round {round}: {reply:?} to\n{}", String::from_utf8_lossy(&text));
        if reply.unwrap().starts_with('2') {
            taken += 1;
        } else {
            client = Client::connect(desk.address()).await.unwrap();
        }
    }
    let received = desk.settled().await;
    println!("{taken} of {MANGLED} taken, {} copies", received.len());
    received.iter().for_each(is_sound);
    let failed = desk.read(|view| {
        let copies = view.range(&COPIES, .., Order::Up, usize::MAX)?;
        Ok(copies.into_iter().map(|(_, copy)| copy).filter(|copy| copy.state != CopyState::Sent).collect::<Vec<_>>())
    });
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(desk.verify().is_clean());
}

fn fixtures() -> Vec<Vec<u8>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/mail");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "eml"));
    files.sort();
    let messages: Vec<_> = files.into_iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(messages.len() > 10);
    messages
}

/// Does one harm to a message.
fn mangle(message: &mut Vec<u8>, others: &[Vec<u8>], dice: &mut Dice) {
    const WORDS: [&[u8]; 24] = [
        b"=?utf-8?q?=E2=82?=",
        b"=?utf-8?b?4oKs",
        b"\"",
        b"<",
        b">",
        b"(",
        b"\\",
        b";",
        b"=",
        b"=\n",
        b"--",
        b"\n\n",
        b"\n ",
        b"\xff\xfe",
        b"\xe2\x82",
        b"boundary=",
        b"charset=",
        b"multipart/mixed",
        b"message/rfc822",
        b"text/html",
        b"base64",
        b"<!--",
        b"&#x110000;",
        b"99999999999999999999",
    ];
    let at = dice.roll(message.len() + 1);
    let end = (at + 1 + dice.roll(200)).min(message.len());
    match dice.roll(8) {
        0 => message.truncate(at),
        1 => drop(message.drain(at..end)),
        2 => {
            let again = message[at..end].to_vec();
            message.splice(at..at, again);
        }
        3 | 4 => drop(message.splice(at..at, WORDS[dice.roll(WORDS.len())].iter().copied())),
        5 => {
            let other = &others[dice.roll(others.len())];
            let from = dice.roll(other.len() + 1);
            message.splice(at..end, other[from..(from + 300).min(other.len())].iter().copied());
        }
        6 => {
            let mut lines: Vec<_> = message.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            let (one, two) = (dice.roll(lines.len()), dice.roll(lines.len()));
            lines.swap(one, two);
            *message = lines.join(b"\n".as_slice());
        }
        _ => {
            if let Some(byte) = message.get_mut(at) {
                *byte = u8::try_from(dice.roll(256)).unwrap();
            }
        }
    }
}
