//! Header fields: mailboxes, encoded words, parameters.

use guichet::desk::address::Mailbox;
use guichet::mime::header::Header;
use guichet::mime::params::Value;
use guichet::mime::{clean, encode, mailboxes as lists, words as encoded};

/// Of a list of mailboxes no more is kept than was asked for, nothing in a name can be taken for
/// anything else, and what was read comes back when it is written and read again.
pub fn mailboxes(data: &[u8]) {
    const MOST: usize = 20;
    let value = String::from_utf8_lossy(data);
    let found = lists::read(&value, MOST);
    assert!(found.list.len() <= MOST);
    for mailbox in &found.list {
        assert!(mailbox.name.len() <= 200);
        assert_eq!(clean::line(&mailbox.name, 200), mailbox.name, "the name is not clean");
    }
    let written = field("To", |out| encode::mailboxes(out, "To", &found.list));
    let again = lists::read(&written, MOST);
    let addresses = |list: &[Mailbox]| list.iter().map(|one| one.address.to_string()).collect::<Vec<_>>();
    assert_eq!(addresses(&again.list), addresses(&found.list), "written as {written}");
    let names = |list: &[Mailbox]| list.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&again.list), names(&found.list), "written as {written}");
    assert!(!again.group && again.broken == 0, "written as {written}");
}

/// Encoded words are read wherever they stand and leave the rest alone; whatever text is written
/// into a field stays in it and comes back.
pub fn words(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let read = encoded::decode(&text);
    if !text.contains("=?") {
        assert_eq!(read, text, "there was nothing to decode");
    }
    let line = clean::line(&text, 2_000);
    let pieces = encode::encoded_words(&line);
    assert!(pieces.iter().all(|word| word.len() <= 75 && word.is_ascii()));
    assert_eq!(encoded::decode(&pieces.join(" ")), line);
    assert_eq!(encoded::decode(&field("Subject", |out| encode::text(out, "Subject", &line))), line);
    // Whatever the text is: it does not leave its field.
    field("Subject", |out| encode::text(out, "Subject", &text));

    let written = field("Content-Disposition", |out| {
        let mut field = encode::Field::new(out, "Content-Disposition");
        field.token("attachment");
        field.parameter("filename", &line);
        field.parameter("last", "x");
        field.end();
    });
    let value = Value::read(&written);
    assert_eq!(value.token, "attachment");
    assert_eq!(value.get("filename").unwrap_or_default(), line, "written as {written}");
    assert_eq!(value.get("last"), Some("x"), "written as {written}");
    let _ = Value::read(&text);
}

/// Writes one field, sees that it is one and fits on its lines, and reads it.
fn field(name: &str, write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    assert!(out.ends_with(b"\r\n"));
    assert!(out.split(|octet| *octet == b'\n').all(|line| line.len() <= 999), "too long a line");
    out.extend_from_slice(b"Next: x\r\n\r\nbody");
    let shown = out.escape_ascii();
    let header = Header::read(&out, 10);
    assert!(header.fields.len() == 2 && !header.broken_lines && out[header.body_at..] == *b"body", "{shown}");
    assert!(header.fields[0].is(name) && header.fields[1].is("Next"), "{shown}");
    header.fields[0].text()
}
