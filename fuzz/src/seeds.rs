//! What to begin with: the fixtures, in the form that a target takes.

use std::fs;
use std::path::{Path, PathBuf};

use guichet::mime::header::Header;

use super::smtp::FLIGHT;

/// What is in a folder, in the order of its names.
fn listing(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a folder can be read").path()).collect();
    paths.sort();
    paths
}

/// The files of a folder with such an ending.
fn files(folder: &Path, ending: &str) -> Vec<Vec<u8>> {
    let mut paths = listing(folder);
    paths.retain(|path| path.extension().is_some_and(|extension| extension == ending));
    paths.iter().map(|path| fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))).collect()
}

/// Only what is in the folder under `corpus/`.
pub fn none(_: &Path) -> Vec<Vec<u8>> {
    Vec::new()
}

/// The client's side of every SMTP dialogue.
pub fn dialogues(root: &Path) -> Vec<Vec<u8>> {
    let files = files(&root.join("fixtures/smtp"), "txt");
    files.iter().map(|file| dialogue(&String::from_utf8_lossy(file))).collect()
}

fn dialogue(text: &str) -> Vec<u8> {
    let is_set = |setting: &str| text.lines().any(|line| line == setting);
    let ways = [("! tls offered", 1), ("! service submission", 4), ("! tls active", 8)];
    let mut out = vec![b'0' + ways.iter().filter(|way| is_set(way.0)).map(|way| way.1).sum::<u8>(), b'0'];
    if is_set("! start ehlo") {
        out.extend_from_slice(b"EHLO client.example\r\n");
    }
    let mut answered = false;
    for line in text.lines() {
        let (mark, rest) = line.split_at_checked(2).unwrap_or((line, ""));
        if !matches!(mark, "C:" | "C>") {
            answered |= mark == "S:";
            continue;
        }
        if std::mem::take(&mut answered) {
            out.push(FLIGHT);
        }
        out.extend(unescape(rest.strip_prefix(' ').unwrap_or(rest)));
        if mark == "C:" {
            out.extend_from_slice(b"\r\n");
        }
    }
    // The longest repeat one thing until a limit is met.
    out.truncate(8_000);
    out
}

/// The octets of a line of a dialogue: `\r \n \0 \\ \xHH` are what they look like, `\{40:ab}` is
/// `ab` 40 times.
///
/// # Panics
/// On what is no escape.
pub fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        let length = match escape.as_bytes().first() {
            Some(b'r') => (out.push(b'\r'), 1).1,
            Some(b'n') => (out.push(b'\n'), 1).1,
            Some(b'0') => (out.push(b'\0'), 1).1,
            Some(b'\\') => (out.push(b'\\'), 1).1,
            Some(b'x') => (out.push(u8::from_str_radix(&escape[1..3], 16).expect("two digits")), 3).1,
            Some(b'{') => {
                let end = escape.find('}').expect("a repetition ends");
                let (count, what) = escape[1..end].split_once(':').expect("a repetition has a count");
                out.extend(unescape(what).repeat(count.parse().expect("a count is a number")));
                end + 1
            }
            _ => panic!("no escape: \\{escape}"),
        };
        rest = &escape[length..];
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// Messages as DATA and as BDAT send them, the dialogues' endings among them.
pub fn contents(root: &Path) -> Vec<Vec<u8>> {
    let mut seeds: Vec<_> = dialogues(root)
        .into_iter()
        .filter_map(|dialogue| {
            let data = dialogue.windows(6).position(|six| six.eq_ignore_ascii_case(b"DATA\r\n"))?;
            Some([b"00", &dialogue[data + 6..]].concat())
        })
        .collect();
    for mail in mails(root).iter().filter(|mail| mail.len() < 2_500) {
        seeds.push([b"00", mail.as_slice(), b"\r\n.\r\nQUIT\r\n"].concat());
        seeds.push([b"10", mail.as_slice()].concat());
    }
    seeds
}

/// All the mail there is.
pub fn mails(root: &Path) -> Vec<Vec<u8>> {
    [files(&root.join("fixtures/mail"), "eml"), files(&root.join("fixtures/copies"), "eml")].concat()
}

/// All the mail, each for another reader.
pub fn mails_with_options(root: &Path) -> Vec<Vec<u8>> {
    let ways = b"0123456789:;<=>?QRSTUVWX".iter().cycle();
    mails(root).into_iter().zip(ways).map(|(mail, way)| [&[*way], mail.as_slice()].concat()).collect()
}

/// The bodies of all mail, in turn as a new text, an answer, and a text that is handed on, plain and
/// HTML.
pub fn texts(root: &Path) -> Vec<Vec<u8>> {
    let ways = b"012".iter().cycle();
    let text = |(mail, way): (Vec<u8>, &u8)| {
        let body = Header::read(&mail, 1_000).body_at.min(mail.len());
        let html = mail[body..].windows(5).any(|five| five.eq_ignore_ascii_case(b"<html") || five == b"<div ");
        [&[if html { way + 4 } else { *way }], &mail[body..]].concat()
    };
    mails(root).into_iter().zip(ways).map(text).collect()
}

/// The values of all fields that hold mailboxes or text.
pub fn fields(root: &Path) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    for mail in mails(root) {
        let header = Header::read(&mail, 1_000);
        for name in ["From", "To", "Cc", "Reply-To", "Subject", "Content-Type"] {
            values.extend(header.all(name).map(|field| field.text().into_bytes()));
        }
    }
    values.sort();
    values.dedup();
    values
}

/// Whatever has an `@` in them.
pub fn words_of_fields(root: &Path) -> Vec<Vec<u8>> {
    let values = fields(root);
    let words = values.iter().flat_map(|value| value.split(|octet| b" ,;<>\"()".contains(octet)));
    let mut words: Vec<_> = words.filter(|word| word.contains(&b'@')).map(<[u8]>::to_vec).collect();
    words.sort();
    words.dedup();
    words
}

/// Every config, right and wrong.
pub fn configs(root: &Path) -> Vec<Vec<u8>> {
    let mut configs = files(&root.join("config"), "toml");
    configs.extend(listing(&root.join("fixtures/config")).iter().flat_map(|folder| files(folder, "toml")));
    configs
}
