//! What members read on top is theirs: contacts never see it quoted.

use super::*;

/// A member's answer, with the text parts of his copy quoted whole.
fn answer_quoting(text: &str, html: &str) -> String {
    let marked: String = text.lines().flat_map(|line| ["> ", line, "\r\n"]).collect();
    format!(
        "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nYes.\r\n\r\n{marked}--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Yes.</p><blockquote type=\"cite\">{html}</blockquote>\r\n--b--\r\n"
    )
}

#[test]
fn what_members_read_on_top_is_not_quoted_to_contacts() {
    let (text, html) = ("It is broken.\r\n", "<div>It is broken.</div>");
    let note = |plan: Plan| Plan { for_member: plan.for_member.map(|line| MemberLine { note: true, ..line }), ..plan };
    let crowd = |plan: Plan| {
        let mut line = plan.for_member.unwrap();
        let long = mailbox(&"long name ".repeat(50), "x@y.example");
        line.facts.proposed = vec![long.clone(); 12];
        line.facts.answered = vec![long.clone(); 12];
        line.writer = Some(long);
        line.facts.tags = vec!["a long tag".to_owned(); 100];
        Plan { for_member: Some(line), ..plan }
    };
    for (what, plan) in [
        ("member", member()),
        ("membre", membre()),
        ("shrunk", shrunk()),
        ("note", note(member())),
        ("mot", note(membre())),
        ("crowd", crowd(membre())),
    ] {
        let contact = Plan { property: plan.property.clone(), eight_bit: true, ..contact() };
        let top = Top::of(&plan).unwrap();
        let quoted = |text: String, html: Vec<u8>| answer_quoting(&text, &String::from_utf8(html).unwrap());
        let bare = quoted(text.to_owned(), html.into());
        let answer = quoted(top.plain() + text, top.onto_html(html.as_bytes()));
        let folded = quoted(folded(&top.plain()) + text, top.onto_html(html.as_bytes()));
        for answer in [&answer, &folded] {
            assert!(answer.matches(&plan.for_member.as_ref().unwrap().reference.to_string()).count() >= 2, "{what}");
            let squeezed = |raw: &str| read(&build(raw.as_bytes(), &contact).unwrap()).0.replace("\n<div>", "<div>");
            assert_eq!(squeezed(answer), squeezed(&bare), "{what}");
            // Another member may read it.
            let (copied, _) = read(&build(answer.as_bytes(), &plan).unwrap());
            assert!(copied.matches(top::RULE).count() >= 4, "{what}: {copied}");
        }
        // What is signed goes on as it was signed.
        let signed = format!("Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n{answer}\r\n--s--\r\n");
        assert!(String::from_utf8(build(signed.as_bytes(), &contact).unwrap()).unwrap().contains(&answer), "{what}");
    }
}

/// Lines of 65 columns at most, as mail clients fold them.
fn folded(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut column = 0;
        for word in line.split_inclusive(' ') {
            if column + word.chars().count() > 65 {
                out.push_str("\r\n");
                column = 0;
            }
            out.push_str(word);
            column += word.chars().count();
        }
        out.push_str("\r\n");
    }
    out
}

#[test]
fn the_quoted_line_is_found_in_any_charset_and_encoding() {
    for (charset, encoding, head, rest) in [
        ("iso-8859-1", "8bit", b"> acme-1 \xb7 Open \xb7 vip".as_slice(), b"> caf\xe9".as_slice()),
        ("iso-8859-1", "quoted-printable", b"> acme-1 =B7 Open =B7 v=\r\nip", b"> caf=E9"),
        ("x-nobody", "8bit", b"> acme-1 | Open | vip", b"> caf\xe9"),
        ("utf-8", "base64", "> acme-1 · Open · vip".as_bytes(), "> café".as_bytes()),
    ] {
        let header =
            format!("Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n");
        let mut body = [head, b"\r\n> ", top::RULE.as_bytes(), b"\r\n>\r\n", rest].concat();
        if encoding == "base64" {
            body = data_encoding::BASE64.encode(&body).into_bytes();
        }
        let copy = build(&[header.as_bytes(), &body].concat(), &contact()).unwrap();
        let (text, _) = read(&copy);
        assert!(text.starts_with("> caf") && !text.contains("vip"), "{charset} {encoding}: {text}");
    }
}
