//! What a reader would call attachments, with names that are safe to save under.

use super::encode::is_media_type;
use super::parts::{Part, Tree};
use super::understand::one_line;
use crate::desk::entry::Attachment;

/// Octets of a name.
const LONGEST_NAME: usize = 120;

/// Every part that is not the text itself; `used` are the parts that the text was read from.
#[must_use]
pub fn list(tree: &Tree<'_>, used: &[usize]) -> Vec<Attachment> {
    let mut found = Vec::new();
    if !tree.parts.is_empty() {
        walk(tree, 0, used, &mut found);
    }
    found
}

/// As deep as the tree, which is limited.
fn walk(tree: &Tree<'_>, index: usize, used: &[usize], found: &mut Vec<Attachment>) {
    let part = &tree.parts[index];
    let protected = part.is("multipart/encrypted");
    if part.is_multipart() && part.is_open() && !protected {
        // The signature of multipart/signed is no attachment, and neither are a report's fields.
        let skip = |at: usize| match part.content_type.token.as_str() {
            "multipart/signed" => at == 1,
            "multipart/report" => at > 0,
            _ => false,
        };
        for (at, child) in part.children.iter().enumerate() {
            if !skip(at) {
                walk(tree, *child, used, found);
            }
        }
        return;
    }
    let alone = index == 0 && (protected || part.content_type.token.ends_with("pkcs7-mime"));
    if used.contains(&index) || alone || protected || is_empty_text(part) {
        return;
    }
    found.push(Attachment {
        name: name(part),
        content_type: media_type(&part.content_type.token),
        size: part.encoding.decoded_len(part.body) as u64,
        inline: part.disposition.token != "attachment" && !part.content_id.is_empty(),
    });
}

/// Text parts without a name that hold nothing: what some clients put around images.
fn is_empty_text(part: &Part<'_>) -> bool {
    part.content_type.token.starts_with("text/") && part.body.iter().all(u8::is_ascii_whitespace)
}

/// A type that can be one; else what stands for any (RFC 2046 §4.5.1).
fn media_type(given: &str) -> String {
    if is_media_type(given) { given.to_owned() } else { "application/octet-stream".to_owned() }
}

fn name(part: &Part<'_>) -> String {
    let given = part.disposition.get("filename").or(part.content_type.get("name")).unwrap_or_default();
    let safe = safe_name(given);
    if !safe.is_empty() {
        return safe;
    }
    if part.is("message/rfc822") {
        let subject =
            super::header::Header::of_part(part.body, 100).first("Subject").map(|field| one_line(&field.text()));
        let subject = safe_name(&format!("{}.eml", subject.unwrap_or_default()));
        return if subject == "eml" || subject.is_empty() { "message.eml".to_owned() } else { subject };
    }
    let stem = match part.content_type.token.split('/').next() {
        _ if part.is("text/calendar") => "invite",
        Some("image") => "image",
        Some("audio") => "audio",
        Some("video") => "video",
        Some("text") => "text",
        _ => "attachment",
    };
    let extension = EXTENSIONS.iter().find(|(kind, _)| part.is(kind)).map_or("bin", |(_, extension)| extension);
    format!("{stem}.{extension}")
}

const EXTENSIONS: [(&str, &str); 17] = [
    ("application/gzip", "gz"),
    ("application/json", "json"),
    ("application/msword", "doc"),
    ("application/pdf", "pdf"),
    ("application/pgp-keys", "asc"),
    ("application/zip", "zip"),
    ("audio/mpeg", "mp3"),
    ("image/gif", "gif"),
    ("image/jpeg", "jpg"),
    ("image/png", "png"),
    ("image/svg+xml", "svg"),
    ("image/webp", "webp"),
    ("text/calendar", "ics"),
    ("text/csv", "csv"),
    ("text/html", "html"),
    ("text/plain", "txt"),
    ("video/mp4", "mp4"),
];

/// A name that can be saved under on any system: no path, no controls or direction marks, no
/// leading dots, none that a system keeps for itself, and the extension kept when it is too long.
#[must_use]
pub fn safe_name(given: &str) -> String {
    let line = one_line(given);
    let last = line.rsplit(['/', '\\']).next().unwrap_or_default();
    let mapped: String = last.chars().map(|c| if "<>:\"|?*".contains(c) { '_' } else { c }).collect();
    let trimmed = mapped.trim_matches(|c: char| c == '.' || c.is_whitespace());
    let stem = trimmed.split('.').next().unwrap_or_default();
    let reserved = ["con", "prn", "aux", "nul"].iter().any(|name| stem.eq_ignore_ascii_case(name))
        || stem.len() == 4
            && stem.get(..3).is_some_and(|start| ["com", "lpt"].iter().any(|name| start.eq_ignore_ascii_case(name)))
            && stem.ends_with(|c: char| c.is_ascii_digit());
    let name = if reserved { format!("_{trimmed}") } else { trimmed.to_owned() };
    if name.len() <= LONGEST_NAME {
        return name;
    }
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if extension.len() <= 16 => (stem, format!(".{extension}")),
        _ => (name.as_str(), String::new()),
    };
    let stem = super::clean::start(stem, LONGEST_NAME - extension.len());
    let stem = stem.trim_end_matches(|c: char| c == '.' || c.is_whitespace());
    format!("{stem}{extension}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_to_save_under() {
        let long = format!("{}.tar.gz", "é".repeat(100));
        for (given, safe) in [
            ("invoice.pdf", "invoice.pdf"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\bob\\report.docx", "report.docx"),
            ("..", ""),
            (".bashrc", "bashrc"),
            ("invoice\u{202e}fdp.exe", "invoicefdp.exe"),
            ("a\r\nb\u{0}.txt", "a b .txt"),
            ("what?.txt", "what_.txt"),
            ("nul.txt", "_nul.txt"),
            ("COM1", "_COM1"),
            ("  name . ", "name"),
            ("=?utf-8?Q?caf=C3=A9.pdf?=", "café.pdf"),
            ("", ""),
        ] {
            assert_eq!(safe_name(given), safe, "{given:?}");
        }
        let dots = safe_name(&format!("{}.{}", "a".repeat(LONGEST_NAME - 1), "b".repeat(20)));
        assert_eq!(dots, "a".repeat(LONGEST_NAME - 1));
        let cut = safe_name(&long);
        assert!(cut.len() <= LONGEST_NAME && cut.rsplit_once('.').unwrap().1 == "gz", "{cut}");
    }
}
