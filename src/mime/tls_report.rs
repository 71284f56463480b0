//! Reports about TLS (RFC 8460 §5) as mail: ours written, others' read.
//!
//! A report comes compressed, and whoever writes one decides how much it unpacks to: reading ends at
//! a bound.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;

use super::encode;
use super::parts::Tree;
use crate::desk::address::{Address, Mailbox};
use crate::desk::message_id::MessageId;
use crate::desk::tls_report::Report;

/// The media type of a compressed report (RFC 8460 §6.4).
pub const GZIP: &str = "application/tlsrpt+gzip";
/// The media type of one that is not (RFC 8460 §6.3).
pub const JSON: &str = "application/tlsrpt+json";
/// The most octets of JSON that a report is read from: those of the largest receivers have a tenth.
pub const LONGEST: u64 = 4 << 20;

/// A report of ours, to be sent.
pub struct Letter<'r> {
    pub report: &'r Report,
    /// The domain that it is about.
    pub domain: &'r str,
    /// Who sends it: our hostname.
    pub submitter: &'r str,
    pub from: &'r Address,
    pub to: &'r Address,
    pub date: Timestamp,
    pub message_id: &'r MessageId,
    /// `submitter!domain!from!to!id.json.gz` (RFC 8460 §5.1).
    pub file_name: &'r str,
}

/// The JSON of a report, compressed.
///
/// # Errors
/// None that memory does not have.
pub fn pack(report: &Report) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec_pretty(report)?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&json)?;
    encoder.finish()
}

/// The report in a part of a message, compressed or not; `None` where it is none, or more than
/// [`LONGEST`].
#[must_use]
pub fn unpack(bytes: &[u8]) -> Option<Report> {
    let mut json = Vec::new();
    let packed = bytes.starts_with(&[0x1f, 0x8b]);
    // One octet more than may be tells that there are more.
    let read = if packed {
        MultiGzDecoder::new(bytes).take(LONGEST + 1).read_to_end(&mut json)
    } else {
        bytes.take(LONGEST + 1).read_to_end(&mut json)
    };
    read.ok().filter(|length| u64::try_from(*length).is_ok_and(|length| length <= LONGEST))?;
    serde_json::from_slice(&json).ok()
}

/// The report that a mail carries, if it is one: among its first parts, as RFC 8460 §5.3 has them.
#[must_use]
pub fn read(tree: &Tree<'_>) -> Option<Report> {
    let part = tree.parts.iter().take(4).find(|part| part.is(GZIP) || part.is(JSON))?;
    let small = u64::try_from(part.body.len()).is_ok_and(|length| length <= 2 * LONGEST);
    small.then(|| unpack(&part.encoding.decode(part.body))).flatten()
}

/// The message (RFC 8460 §5.3), ASCII with CRLF line ends but for addresses beyond ASCII.
///
/// It asks to be delivered whatever is wrong with TLS on the way (RFC 8689 §3): that may be just what
/// it tells.
///
/// # Errors
/// As [`pack`].
pub fn compose(letter: &Letter<'_>) -> io::Result<Vec<u8>> {
    let Letter { report, domain, submitter, .. } = letter;
    let mut out = Vec::with_capacity(4_096);
    encode::mailboxes(&mut out, "From", &[Mailbox::new("", letter.from.clone())]);
    encode::mailboxes(&mut out, "To", &[Mailbox::new("", letter.to.clone())]);
    let subject = format!("Report Domain: {domain} Submitter: {submitter} Report-ID: <{}>", report.report_id);
    encode::text(&mut out, "Subject", &subject);
    encode::date(&mut out, letter.date);
    encode::ids(&mut out, "Message-ID", [letter.message_id]);
    let fields = format!(
        "TLS-Report-Domain: {domain}\r\nTLS-Report-Submitter: {submitter}\r\nTLS-Required: No\r\n\
         Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
    );
    out.extend_from_slice(fields.as_bytes());
    let mut field = encode::Field::new(&mut out, "Content-Type");
    field.token("multipart/report");
    field.parameter("report-type", "tlsrpt");
    // It can come about in neither part.
    field.parameter("boundary", "=_tlsrpt");
    field.end();
    let text = format!(
        "How TLS went between {submitter} and the mail servers of {domain}, for programs to read (RFC 8460).\n\
         État de TLS entre {submitter} et les serveurs de messagerie de {domain}, à l'usage de programmes \
         (RFC 8460).\n"
    );
    out.extend_from_slice(b"\r\n--=_tlsrpt\r\nContent-Type: text/plain; charset=utf-8\r\n");
    out.extend_from_slice(b"Content-Transfer-Encoding: quoted-printable\r\n\r\n");
    encode::quoted_printable(&mut out, text.as_bytes());
    out.extend_from_slice(format!("\r\n--=_tlsrpt\r\nContent-Type: {GZIP}\r\n").as_bytes());
    let mut field = encode::Field::new(&mut out, "Content-Disposition");
    field.token("attachment");
    field.parameter("filename", letter.file_name);
    field.end();
    out.extend_from_slice(b"Content-Transfer-Encoding: base64\r\n\r\n");
    encode::base64(&mut out, &pack(report)?);
    out.extend_from_slice(b"\r\n--=_tlsrpt--\r\n");
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk::tls_report::PolicyReport;

    fn report() -> Report {
        Report {
            organization_name: "desk.example.org".into(),
            policies: vec![PolicyReport::default()],
            ..Report::default()
        }
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        assert_eq!(unpack(&pack(&report()).unwrap()), Some(report()));
        assert_eq!(unpack(&serde_json::to_vec(&report()).unwrap()), Some(report()));
        for none in [&b""[..], b"{", b"7", b"\x1f\x8b", b"\x1f\x8b\x08\x00garbage"] {
            assert_eq!(unpack(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_bomb_goes_off_nowhere() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let spaces = vec![b' '; 1 << 20];
        encoder.write_all(b"{").unwrap();
        for _ in 0..100 {
            encoder.write_all(&spaces).unwrap();
        }
        encoder.write_all(b"}").unwrap();
        let bomb = encoder.finish().unwrap();
        assert!(bomb.len() < 200_000, "{}", bomb.len());
        assert_eq!(unpack(&bomb), None);
        // Neither do a thousand small ones.
        assert_eq!(unpack(&pack(&report()).unwrap().repeat(1_000)), None);
        // Nor does what is deeply nested.
        assert_eq!(unpack(&[b"{\"policies\":".to_vec(), vec![b'['; 1 << 20]].concat()), None);
    }

    #[test]
    fn a_letter_is_what_the_rfc_wants() {
        let (from, to) = ("postmaster@desk.example.org".parse().unwrap(), "tls@example.com".parse().unwrap());
        let report = Report { report_id: "2026-11-25-example.com@mx.desk.example.org".into(), ..report() };
        let letter = Letter {
            report: &report,
            domain: "example.com",
            submitter: "mx.desk.example.org",
            from: &from,
            to: &to,
            date: Timestamp::UNIX_EPOCH,
            message_id: &"a@desk.example.org".parse().unwrap(),
            file_name: "mx.desk.example.org!example.com!1764028800!1764115199!1.json.gz",
        };
        let mail = compose(&letter).unwrap();
        let parsed = mail_parser::MessageParser::new().parse(&mail).unwrap();
        let subject = "Report Domain: example.com Submitter: mx.desk.example.org Report-ID: \
                       <2026-11-25-example.com@mx.desk.example.org>";
        assert_eq!(parsed.subject(), Some(subject));
        for (name, value) in [
            ("TLS-Report-Domain", "example.com"),
            ("TLS-Report-Submitter", "mx.desk.example.org"),
            ("TLS-Required", "No"),
        ] {
            assert_eq!(parsed.header(name).and_then(|value| value.as_text()), Some(value), "{name}");
        }
        let packed = parsed.attachment(0).unwrap();
        assert_eq!(unpack(packed.contents()), Some(report));
    }
}
