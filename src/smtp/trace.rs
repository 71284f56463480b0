//! The trace field that this server puts on top of every message (RFC 5321 §4.4).

use std::net::IpAddr;

use crate::desk::envelope::Envelope;

/// `Received:` for a message, with its CRLF.
///
/// Names the client as it called itself and by its address, the protocol in the words of RFC 3848
/// and RFC 6531 §4.3, the message's id, and the recipient when it is the only one: of several,
/// none may learn of another (RFC 5321 §7.2).
#[must_use]
pub fn received(envelope: &Envelope, hostname: &str) -> String {
    let client = match envelope.client.to_canonical() {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => format!("[IPv6:{address}]"),
    };
    let recipient = match envelope.recipients.as_slice() {
        [only] => format!("\r\n\tfor <{only}>"),
        _ => String::new(),
    };
    format!(
        "Received: from {} ({client})\r\n\tby {hostname} with {} id {}{recipient};\r\n\t{}\r\n",
        envelope.helo,
        protocol(envelope),
        envelope.id,
        envelope.at.strftime("%a, %d %b %Y %H:%M:%S +0000"),
    )
}

/// There is no registered word for HELO under TLS, so that is `SMTP` too. Whoever is logged in is so
/// under TLS alone.
fn protocol(envelope: &Envelope) -> &'static str {
    match (envelope.extended, envelope.smtputf8, envelope.tls.is_some()) {
        (true, false, true) if envelope.login.is_some() => "ESMTPSA",
        (true, true, true) if envelope.login.is_some() => "UTF8SMTPSA",
        (false, _, _) => "SMTP",
        (true, false, false) => "ESMTP",
        (true, false, true) => "ESMTPS",
        (true, true, false) => "UTF8SMTP",
        (true, true, true) => "UTF8SMTPS",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Envelope {
        Envelope {
            client: "::ffff:192.0.2.1".parse().unwrap(),
            helo: "client.example".into(),
            reverse_path: None,
            recipients: vec!["acme@desk.example".parse().unwrap()],
            tls: Some("TLSv1.3 TLS13_AES_256_GCM_SHA384".into()),
            extended: true,
            eight_bit: false,
            smtputf8: false,
            login: None,
            at: "2026-03-01T08:09:10.5Z".parse().unwrap(),
            id: "s1.1".into(),
        }
    }

    #[test]
    fn the_field_is_as_rfc_5321_wants_it() {
        assert_eq!(
            received(&envelope(), "desk.example"),
            "Received: from client.example ([192.0.2.1])\r\n\tby desk.example with ESMTPS id s1.1\r\n\
             \tfor <acme@desk.example>;\r\n\tSun, 01 Mar 2026 08:09:10 +0000\r\n"
        );
    }

    #[test]
    fn several_recipients_are_not_told_of_each_other() {
        let mut envelope = envelope();
        envelope.client = "2001:db8::1".parse().unwrap();
        envelope.recipients.push("beta@desk.example".parse().unwrap());
        let field = received(&envelope, "desk.example");
        assert!(!field.contains("for <") && field.contains("([IPv6:2001:db8::1])"), "{field}");
    }

    #[test]
    fn the_protocol_word_tells_extension_encryption_and_utf8() {
        for (extended, utf8, tls, word) in [
            (false, false, false, "SMTP"),
            (true, false, false, "ESMTP"),
            (true, false, true, "ESMTPS"),
            (true, true, false, "UTF8SMTP"),
            (true, true, true, "UTF8SMTPS"),
        ] {
            let tls = tls.then(String::new);
            assert_eq!(protocol(&Envelope { extended, smtputf8: utf8, tls, ..envelope() }), word);
        }
    }
}
