//! The MIME fields of a part (RFC 2045 §3): as they came where they are sound, else written anew.

use std::borrow::Cow;

use super::charset::Charset;
use super::render::fits;
use super::strip::{strip, strip_text};
use crate::mime::encode;
use crate::mime::tree::{ContentType, Part};

/// A Content-Transfer-Encoding field of ours.
pub fn encoding_field(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(format!("Content-Transfer-Encoding: {name}\r\n").as_bytes());
}

/// The part's own Content-Transfer-Encoding, where it is sound.
pub fn encoding_as_it_came(out: &mut Vec<u8>, part: &Part<'_>) {
    if let Some(field) = part.field("Content-Transfer-Encoding").filter(|field| is_sound(field.whole)) {
        whole(out, field.whole);
    }
}

/// A Content-Type field of ours.
pub fn content_type(out: &mut Vec<u8>, name: &str, parameters: &[(String, Vec<u8>)], boundary: Option<&str>) {
    let mut field = encode::Field::new(out, "Content-Type");
    field.token(name);
    if let Some(boundary) = boundary {
        field.parameter("boundary", boundary);
    }
    write_parameters(&mut field, parameters.iter().filter(|(name, _)| boundary.is_none() || name != "boundary"));
    field.end();
}

/// Parameters as they came, but for what could break the field.
fn write_parameters<'p>(field: &mut encode::Field<'_>, parameters: impl IntoIterator<Item = &'p (String, Vec<u8>)>) {
    for (name, value) in parameters {
        if name.len() < 40 && name.bytes().all(encode::is_token) {
            let value = guessed(value);
            let value = strip_text(&value);
            field.parameter(name.strip_suffix('*').filter(|_| !value.is_ascii()).unwrap_or(name), &value);
        }
    }
}

/// Octets that came without a charset, as text.
fn guessed(bytes: &[u8]) -> String {
    Charset::Unnamed.to_utf8(bytes).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
}

/// Whether a Content-Type field says what the part was taken for.
pub fn is_of(value: &[u8], content: &ContentType) -> bool {
    ContentType::parse(value).name == content.name
}

/// The part's MIME fields but for its encoding.
pub fn content_fields(out: &mut Vec<u8>, part: &Part<'_>) {
    if let Some(field) = part.field("Content-Type") {
        if is_sound(field.whole) && is_of(field.value, &part.content) {
            whole(out, field.whole);
        } else {
            content_type(out, &part.content.name, &part.content.parameters, None);
        }
    }
    other_fields(out, part);
}

/// The part's MIME fields but for its type and its encoding: those that readers use, one of each,
/// as they came where they are sound.
pub fn other_fields(out: &mut Vec<u8>, part: &Part<'_>) {
    const GO_ON: [&str; 6] = [
        "Content-Disposition",
        "Content-ID",
        "Content-Description",
        "Content-Language",
        "Content-Location",
        "Content-Base",
    ];
    for field in GO_ON.iter().filter_map(|name| part.field(name)) {
        if is_sound(field.whole) {
            whole(out, field.whole);
            continue;
        }
        if field.is("Content-Disposition") {
            let disposition = ContentType::parse(field.value);
            let word = if disposition.name == "inline" { "inline" } else { "attachment" };
            let mut written = encode::Field::new(out, "Content-Disposition");
            written.token(word);
            write_parameters(&mut written, &disposition.parameters);
            written.end();
        } else {
            let value = guessed(field.value);
            encode::text(out, field.name, &strip_text(value.trim()));
        }
    }
}

fn whole(out: &mut Vec<u8>, field: &[u8]) {
    out.extend_from_slice(field.trim_ascii_end());
    out.extend_from_slice(b"\r\n");
}

/// Whether a field can go on as it came: ASCII in short lines, no controls, no line of blanks
/// alone, and no token of ours.
fn is_sound(field: &[u8]) -> bool {
    fits(field)
        && field.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n'))
        && field.split(|byte| *byte == b'\n').rev().skip(1).all(|line| !line.trim_ascii().is_empty())
        && matches!(strip(field), Cow::Borrowed(_))
}
