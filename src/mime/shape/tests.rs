use std::borrow::Cow;

use super::section::{What, binary, binary_size, section};
use super::*;
use crate::mime::understand::Limits;

/// Envelope, body and structure of a message.
fn shown(message: &str) -> [String; 3] {
    let shape = shape(message.as_bytes());
    assert_eq!(shape.size as usize, message.len());
    [shape.envelope, shape.body, shape.structure].map(|octets| String::from_utf8(octets).unwrap())
}

/// Dovecot 2.3 says the same of these, but for the case of names.
#[test]
fn envelopes() {
    let nobody = "((NIL NIL \"nobody\" \"MISSING_DOMAIN\"))";
    let bob = "((\"Bob Smith\" NIL \"bob\" \"example.org\"))";
    for (header, expected) in [
        ("", "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)".to_owned()),
        ("From: nobody", format!("(NIL NIL {nobody} {nobody} {nobody} NIL NIL NIL NIL NIL)")),
        (
            "Date: Mon, 23 Nov 2026 12:00:00 +0100\r\nSubject: a\r\n\tb\r\n  c\r\nIn-Reply-To: <0@x>\r\nMessage-ID: <1@x>",
            "(\"Mon, 23 Nov 2026 12:00:00 +0100\" \"a b c\" NIL NIL NIL NIL NIL NIL \"<0@x>\" \"<1@x>\")".to_owned(),
        ),
        (
            "From: bob@example.org (Bob Smith)\r\nSender:\r\nReply-To:\r\nSubject:\r\nIn-Reply-To:",
            format!("(NIL \"\" {bob} {bob} {bob} NIL NIL NIL \"\" NIL)"),
        ),
        (
            "To: undisclosed-recipients:;\r\nCc: Team: a@x.example, Bo <b@x.example>;, c@x.example",
            "(NIL NIL NIL NIL NIL ((NIL NIL \"undisclosed-recipients\" NIL)(NIL NIL NIL NIL)) ((NIL NIL \"Team\" NIL)\
             (NIL NIL \"a\" \"x.example\")(\"Bo\" NIL \"b\" \"x.example\")(NIL NIL NIL NIL)(NIL NIL \"c\" \"x.example\")) NIL NIL NIL)"
                .to_owned(),
        ),
        (
            "To: <>\r\nTo: Bob Smith\r\nCc: \"b \\\"o\\\" b\"@x.example\r\nBcc: \"A \\\\ \\\"B\\\"\"\r\n  <a@X.example>",
            "(NIL NIL NIL NIL NIL ((NIL NIL \"MISSING_MAILBOX\" \"MISSING_DOMAIN\")\
             (\"Bob Smith\" NIL \"MISSING_MAILBOX\" \"MISSING_DOMAIN\")) ((NIL NIL \"b \\\"o\\\" b\" \"x.example\")) \
             ((\"A \\\\ \\\"B\\\"\" NIL \"a\" \"X.example\")) NIL NIL)"
                .to_owned(),
        ),
    ] {
        assert_eq!(shown(&format!("{header}\r\n\r\n"))[0], expected, "{header}");
    }
}

/// Where another server hands on what old clients can't read, or what means nothing.
#[test]
fn envelopes_of_our_own() {
    for (header, expected) in [
        (
            "Subject: =?utf-8?q?=C3=A9?= caf\u{e9}\r\nTo: \"Zo\u{e9}, Z\" <zo\u{e9}@x.example>",
            "(NIL \"=?utf-8?b?w6kgY2Fmw6k=?=\" NIL NIL NIL ((\"=?utf-8?b?Wm/DqSwgWg==?=\" NIL {4}\r\nzo\u{e9} \"x.example\")) NIL NIL NIL NIL)",
        ),
        ("To: <@route.example:a@x.example>", "(NIL NIL NIL NIL NIL ((NIL NIL \"a\" \"x.example\")) NIL NIL NIL NIL)"),
        (
            "Cc: Never ended: a@x.example, Next: b@x.example",
            "(NIL NIL NIL NIL NIL NIL ((NIL NIL \"Never ended\" NIL)(NIL NIL \"a\" \"x.example\")(NIL NIL NIL NIL)\
             (NIL NIL \"Next\" NIL)(NIL NIL \"b\" \"x.example\")(NIL NIL NIL NIL)) NIL NIL NIL)",
        ),
        (
            "To: Both <a@x.example> <b@x.example>",
            "(NIL NIL NIL NIL NIL ((\"Both\" NIL \"a\" \"x.example\")(NIL NIL \"b\" \"x.example\")) NIL NIL NIL NIL)",
        ),
        ("Subject: one\r\nSubject: two", "(NIL \"one\" NIL NIL NIL NIL NIL NIL NIL NIL)"),
        ("Subject: a\0b\u{1}", "(NIL \"ab\u{1}\" NIL NIL NIL NIL NIL NIL NIL NIL)"),
        ("Message-ID: <\u{e9}@x>", "(NIL NIL NIL NIL NIL NIL NIL NIL NIL {6}\r\n<\u{e9}@x>)"),
    ] {
        assert_eq!(shown(&format!("{header}\r\n\r\n"))[0], expected, "{header}");
    }
}

#[test]
fn structures() {
    // Between bars stands what BODYSTRUCTURE alone has.
    let text = "\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\"";
    for (message, expected) in [
        ("\r\nhi\r\n", format!("({text} 4 1| NIL NIL NIL NIL|)")),
        ("Content-Type: text\r\n\r\n", format!("({text} 0 0| NIL NIL NIL NIL|)")),
        (
            "Content-Type: TEXT/Html; Charset=UTF-8\r\nContent-Transfer-Encoding: Quoted-Printable\r\n\r\na\r\nb",
            "(\"text\" \"html\" (\"charset\" \"UTF-8\") NIL NIL \"quoted-printable\" 4 1| NIL NIL NIL NIL|)".to_owned(),
        ),
        (
            "Content-Type: image/png; name=\"a \\\"b\\\".png\"\r\nContent-ID: <i@x>\r\nContent-Description: a\r\n picture\r\n\
             Content-Transfer-Encoding: base64 (c)\r\nContent-MD5: abc==\r\nContent-Disposition: inline; filename=a.png; size=7\r\n\
             Content-Language: en, fr\r\nContent-Location: http://x.example/\r\n\r\nAAAA",
            "(\"image\" \"png\" (\"name\" \"a \\\"b\\\".png\") \"<i@x>\" \"a picture\" \"base64\" 4| \"abc==\" \
             (\"inline\" (\"filename\" \"a.png\" \"size\" \"7\")) (\"en\" \"fr\") \"http://x.example/\"|)"
                .to_owned(),
        ),
        (
            "Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nbody\r\n",
            format!(
                "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 21 (NIL \"in\" NIL NIL NIL NIL NIL NIL NIL NIL) \
                 ({text} 6 1| NIL NIL NIL NIL|) 3| NIL NIL NIL NIL|)"
            ),
        ),
        (
            "Content-Type: multipart/digest; boundary=x\r\n\r\n--x\r\n\r\nSubject: s\r\n\r\nhi\r\n--x\r\nContent-Type: message/delivery-status\r\n\r\nA: b\r\n--x--\r\n",
            format!(
                "((\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 16 (NIL \"s\" NIL NIL NIL NIL NIL NIL NIL NIL) \
                 ({text} 2 0| NIL NIL NIL NIL|) 2| NIL NIL NIL NIL|)(\"message\" \"delivery-status\" NIL NIL NIL \"7bit\" 4| NIL NIL NIL NIL|) \
                 \"digest\"| (\"boundary\" \"x\") NIL NIL NIL|)"
            ),
        ),
        (
            "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n--x--\r\n",
            format!("(({text} 0 0| NIL NIL NIL NIL|) \"mixed\"| (\"boundary\" \"x\") NIL NIL NIL|)"),
        ),
        // Another server shows nothing of it.
        (
            "Content-Type: multipart/mixed; boundary=x\r\nContent-Transfer-Encoding: base64\r\n\r\nhi\r\n",
            format!("({text} 4 1| NIL NIL NIL NIL|)"),
        ),
        (
            "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nQTogYg==\r\n",
            "(\"application\" \"octet-stream\" NIL NIL NIL \"base64\" 10| NIL NIL NIL NIL|)".to_owned(),
        ),
        (
            "Content-Type: application/x; name=caf\u{e9}\r\nContent-Disposition: \u{e9}\r\n\r\n",
            "(\"application\" \"x\" (\"name\" \"=?utf-8?b?Y2Fmw6k=?=\") NIL NIL \"7bit\" 0| NIL (\"=?utf-8?b?w6k=?=\" NIL) NIL NIL|)"
                .to_owned(),
        ),
    ] {
        let [_, body, structure] = shown(message);
        assert_eq!(structure, expected.replace('|', ""), "{message}");
        assert_eq!(body, expected.split('|').step_by(2).collect::<String>(), "{message}");
    }
}

#[test]
fn numbered_parameters_are_put_together() {
    for (parameters, expected) in [
        ("name*0=\"abc\"; name*1=\"def\"", "\"name\" \"abcdef\""),
        ("name*1=\"def\"; x=y; name*0=\"abc\"", "\"name\" \"abcdef\" \"x\" \"y\""),
        ("name*0*=utf-8''a%20; name*1=\"b c\"; name*2*=%C3%A9", "\"name*\" \"utf-8''a%20b%20c%C3%A9\""),
        ("name*0=a; name*1*=%C3%A9", "\"name*\" \"''a%C3%A9\""),
        ("name*=utf-8''a; name=b", "\"name*\" \"utf-8''a\" \"name\" \"b\""),
        ("name*1=x; name*2=y", "\"name*1\" \"x\" \"name*2\" \"y\""),
        ("name*0=x; name*2=y", "\"name\" \"x\" \"name*2\" \"y\""),
        ("name*0=x; name*0=y; name*1=z; name*1*=w", "\"name\" \"xz\""),
        ("name*x=x; *=y", "\"name*x\" \"x\" \"*\" \"y\""),
    ] {
        let [_, body, _] = shown(&format!("Content-Type: a/b; {parameters}\r\n\r\n"));
        assert_eq!(body, format!("(\"a\" \"b\" ({expected}) NIL NIL \"7bit\" 0)"), "{parameters}");
    }
}

#[test]
fn what_is_past_a_limit_is_opaque() {
    let opaque = |size: usize| format!("(\"application\" \"octet-stream\" NIL NIL NIL \"7bit\" {size})");
    let wide = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}", "--b\r\n\r\nx\r\n".repeat(5_000));
    assert_eq!(shown(&wide)[1], opaque(50_000));
    assert_eq!(section(wide.as_bytes(), &[1], What::Whole).unwrap().len(), 50_000);
    assert_eq!(section(wide.as_bytes(), &[2], What::Whole), None);
    let mut deep = String::new();
    for level in 0..100 {
        let name = format!("b{level}\r\n");
        deep.extend(["Content-Type: multipart/mixed; boundary=", &name, "\r\n--", &name]);
    }
    let found = &shown(&deep)[1];
    let nesting = Limits::default().nesting;
    assert!(found.starts_with(&format!("{}\"application\" \"octet-stream\"", "(".repeat(nesting + 1))), "{found}");
    let within = "Content-Type: message/rfc822\r\n\r\n".repeat(100);
    assert_eq!(shown(&within)[1].matches("\"rfc822\"").count(), nesting);
}

const NESTED: &str = "Subject: out\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\npreamble\r\n--a\r\nX: 1\r\n\r\none\r\n--a\r\n\
    Content-Type: message/rfc822\r\n\r\nSubject: in\r\nTo: a@x,\r\n\tb@x\r\nFrom: c@x\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n\
    --b\r\n\r\ntwo-one\r\n--b\r\nContent-Type: text/html\r\n\r\n<b>\r\n--b--\r\n--a\r\nContent-Type: message/rfc822\r\n\r\nSubject: plain\r\n\r\nthree\r\n\
    --a\r\nContent-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\naGVs\r\nbG8=\r\n--a\r\nContent-Transfer-Encoding: x-uue\r\n\r\n?\r\n--a--\r\n";

#[test]
fn sections() {
    let names = ["subject".to_owned(), "TO".to_owned(), "X-None".to_owned()];
    let (of, not) = (What::HeaderFields(&names), What::HeaderFieldsNot(&names));
    let inner =
        "Subject: in\r\nTo: a@x,\r\n\tb@x\r\nFrom: c@x\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n";
    let inner_text = "--b\r\n\r\ntwo-one\r\n--b\r\nContent-Type: text/html\r\n\r\n<b>\r\n--b--";
    let inner_all = format!("{inner}{inner_text}");
    let outer = "Subject: out\r\nContent-Type: multipart/mixed; boundary=a\r\n\r\n";
    for (part, what, expected) in [
        (&[][..], What::Whole, Some(NESTED)),
        (&[], What::Header, Some(outer)),
        (&[], What::Text, Some(&NESTED[outer.len()..])),
        (&[], What::Mime, None),
        (&[], of, Some("Subject: out\r\n\r\n")),
        (&[], not, Some("Content-Type: multipart/mixed; boundary=a\r\n\r\n")),
        (&[1], What::Whole, Some("one")),
        (&[1], What::Mime, Some("X: 1\r\n\r\n")),
        (&[1], What::Header, None),
        (&[1], What::Text, None),
        (&[1], of, None),
        (&[1, 1], What::Whole, None),
        (&[2], What::Whole, Some(inner_all.as_str())),
        (&[2], What::Mime, Some("Content-Type: message/rfc822\r\n\r\n")),
        (&[2], What::Header, Some(inner)),
        (&[2], What::Text, Some(inner_text)),
        (&[2], of, Some("Subject: in\r\nTo: a@x,\r\n\tb@x\r\n\r\n")),
        (&[2], not, Some("From: c@x\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n")),
        (&[2, 1], What::Whole, Some("two-one")),
        (&[2, 1], What::Mime, Some("\r\n")),
        (&[2, 2], What::Whole, Some("<b>")),
        (&[2, 3], What::Whole, None),
        (&[3, 1], What::Whole, Some("three")),
        (&[3, 1], What::Mime, Some("Subject: plain\r\n\r\n")),
        (&[3, 1, 1], What::Whole, None),
        (&[3, 2], What::Whole, None),
        (&[4], What::Whole, Some("aGVs\r\nbG8=")),
        (&[0], What::Whole, None),
        (&[6], What::Whole, None),
        (&[u32::MAX], What::Whole, None),
    ] {
        let found = section(NESTED.as_bytes(), part, what);
        assert_eq!(found.as_deref().map(|octets| str::from_utf8(octets).unwrap()), expected, "{part:?} {what:?}");
    }
}

#[test]
fn a_message_that_is_no_multipart_has_one_part() {
    let message = b"Subject: s\r\n\r\nhi";
    assert_eq!(section(message, &[1], What::Whole).as_deref(), Some(&b"hi"[..]));
    assert_eq!(section(message, &[1], What::Mime).as_deref(), Some(&b"Subject: s\r\n\r\n"[..]));
    assert_eq!(section(message, &[2], What::Whole), None);
    let within = b"Content-Type: message/rfc822\r\n\r\nSubject: s\r\n\r\nhi";
    assert_eq!(section(within, &[1], What::Whole).as_deref(), Some(&b"Subject: s\r\n\r\nhi"[..]));
    assert_eq!(section(within, &[1], What::Header).as_deref(), Some(&b"Subject: s\r\n\r\n"[..]));
    assert_eq!(section(within, &[1, 1], What::Whole).as_deref(), Some(&b"hi"[..]));
    // A message that ends with its header.
    let cut = b"Content-Type: multipart/digest; boundary=x\r\n\r\n--x\r\n\r\nSubject: s\r\n--x--";
    assert_eq!(section(cut, &[1], What::Whole).as_deref(), Some(&b"Subject: s"[..]));
    assert_eq!(section(cut, &[1], What::Header).as_deref(), Some(&b"Subject: s"[..]));
    assert_eq!(section(cut, &[1], What::Text).as_deref(), Some(&b""[..]));
}

#[test]
fn fields_end_with_a_blank_line_even_where_there_is_none() {
    let names = ["Subject".to_owned()];
    for (message, expected) in [
        ("", "\r\n"),
        ("From: a@x\r\n\r\nhi", "\r\n"),
        ("Subject: s", "Subject: s\r\n\r\n"),
        ("A: b\r\nsubject : s\r\n  t\r\nSubject: u\r\n\r\n", "subject : s\r\n  t\r\nSubject: u\r\n\r\n"),
    ] {
        let found = section(message.as_bytes(), &[], What::HeaderFields(&names)).unwrap();
        assert_eq!(str::from_utf8(&found).unwrap(), expected, "{message}");
    }
}

#[test]
fn parts_without_their_encoding() {
    let octets = |part: &[u32]| binary(NESTED.as_bytes(), part).map(|found| found.map(Cow::into_owned));
    assert_eq!(octets(&[4]), Ok(Some(b"hello".to_vec())));
    assert_eq!(binary_size(NESTED.as_bytes(), &[4]), Ok(Some(5)));
    assert_eq!(octets(&[5]), Err(section::UnknownEncoding));
    assert_eq!(octets(&[2, 2]), Ok(Some(b"<b>".to_vec())));
    assert_eq!(octets(&[7]), Ok(None));
    assert_eq!(octets(&[]), Ok(Some(NESTED.as_bytes().to_vec())));
}

#[test]
fn the_header_is_as_long_as_it_is() {
    for (message, header) in [("", 0), ("A: b\r\n\r\nhi", 8), ("\r\nhi", 2), ("no header", 0), ("A: b", 4)] {
        assert_eq!(shape(message.as_bytes()).header, header, "{message}");
    }
}
