//! Events to systemd's journal with their fields, by its own protocol (systemd.io,
//! "JOURNAL_NATIVE_PROTOCOL"): `journalctl -u guichet GUICHET_TICKET=acme-1042` finds them.
//!
//! The text has the fields too: who reads the journal sees what he would see in a file.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::logs::{one_line, priority};

/// Where the journal listens.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";
/// Before the names of our own fields.
const PREFIX: &str = "GUICHET_";
/// Octets of the longest name that the journal takes.
const LONGEST_NAME: usize = 64;
/// Octets of a value; more is cut, so that an event always is one datagram.
const LONGEST_VALUE: usize = 4 << 10;

/// Sends events there.
pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journal {
    /// # Errors
    /// When nobody listens there.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let journal = Self { socket: UnixDatagram::unbound()?, path: path.to_owned() };
        // The journal passes over what is empty.
        journal.socket.send_to(&[], path)?;
        Ok(journal)
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let text = one_line(&fields.text());
        let priority = priority(*metadata.level());
        let mut entry = Entry::default();
        entry.put("MESSAGE", &text);
        entry.put("PRIORITY", &priority.to_string());
        entry.put("SYSLOG_IDENTIFIER", "guichet");
        if let (Some(file), Some(line)) = (metadata.file(), metadata.line()) {
            entry.put("CODE_FILE", file);
            entry.put("CODE_LINE", &line.to_string());
        }
        entry.put(&format!("{PREFIX}MODULE"), metadata.target());
        for (name, value) in &fields.others {
            entry.put(&journal_name(name), value);
        }
        // By its address each time: a journal that was started anew listens on another socket.
        if self.socket.send_to(&entry.0, &self.path).is_err() {
            let _ = writeln!(io::stderr(), "<{priority}>{text}");
        }
    }
}

/// What an event says.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Fields {
    fn text(&self) -> String {
        let mut text = self.message.clone();
        for (name, value) in &self.others {
            let between = if text.is_empty() { "" } else { " " };
            let _ = write!(text, "{between}{name}={value}");
        }
        text
    }

    fn keep(&mut self, field: &Field, mut value: String) {
        if value.len() > LONGEST_VALUE {
            value.truncate(value.floor_char_boundary(LONGEST_VALUE));
            value.push('…');
        }
        match field.name() {
            "message" => self.message = value,
            name => self.others.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.keep(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.keep(field, format!("{value:?}"));
    }
}

/// Capitals, digits and underscores are what a name may have.
fn journal_name(field: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    PREFIX.chars().chain(field.chars().map(letter)).take(LONGEST_NAME).collect()
}

/// The octets of one.
#[derive(Default)]
struct Entry(Vec<u8>);

impl Entry {
    /// With its length, so that nothing in the value can begin another field.
    fn put(&mut self, name: &str, value: &str) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(b'\n');
        self.0.extend_from_slice(&(value.len() as u64).to_le_bytes());
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    /// What the journal understands of a datagram.
    fn read(mut bytes: &[u8]) -> BTreeMap<String, String> {
        let mut fields = BTreeMap::new();
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
            let name = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let length = u64::from_le_bytes(*bytes[end + 1..].first_chunk().unwrap());
            let (value, rest) = bytes[end + 9..].split_at(usize::try_from(length).unwrap());
            fields.insert(name, String::from_utf8(value.to_vec()).unwrap());
            bytes = rest.strip_prefix(b"\n").unwrap();
        }
        fields
    }

    fn sent(log: impl FnOnce()) -> BTreeMap<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listening = UnixDatagram::bind(&path).unwrap();
        let subscriber = tracing_subscriber::registry().with(Journal::at(&path).unwrap());
        tracing::subscriber::with_default(subscriber, log);
        let mut datagram = vec![0; 1 << 20];
        assert_eq!(listening.recv(&mut datagram).unwrap(), 0, "the knock");
        let length = listening.recv(&mut datagram).unwrap();
        read(&datagram[..length])
    }

    #[test]
    fn an_event_has_its_fields_and_a_text_with_them() {
        let fields = sent(|| tracing::warn!(ticket = %"acme-1", attempt = 2, to = ?"a@b", "offered"));
        for (name, value) in [
            ("MESSAGE", "offered ticket=acme-1 attempt=2 to=\"a@b\""),
            ("PRIORITY", "4"),
            ("SYSLOG_IDENTIFIER", "guichet"),
            ("GUICHET_MODULE", "guichet::sys::journal::tests"),
            ("GUICHET_TICKET", "acme-1"),
            ("GUICHET_ATTEMPT", "2"),
        ] {
            assert_eq!(fields[name], value, "{name}");
        }
        assert!(fields["CODE_FILE"].ends_with("journal.rs"));
    }

    #[test]
    fn strangers_add_no_field_and_no_line() {
        let forged = "a\nPRIORITY=0\nMESSAGE=forged\x1b[2J";
        let fields = sent(|| tracing::info!(helo = %forged, "odd greeting"));
        assert_eq!(fields["PRIORITY"], "6");
        assert_eq!(fields["GUICHET_HELO"], forged);
        assert!(!fields["MESSAGE"].chars().any(char::is_control), "{fields:?}");
        let long = "é".repeat(LONGEST_VALUE * 40);
        let fields = sent(|| tracing::info!(reply = long, "refused"));
        assert!(fields["GUICHET_REPLY"].len() < LONGEST_VALUE + 4 && fields["GUICHET_REPLY"].ends_with('…'));
    }

    #[test]
    fn without_a_journal_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Journal::at(&folder.path().join("socket")).is_err());
    }
}
