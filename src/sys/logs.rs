//! Logs: one line an event, on standard error.
//!
//! Where that is systemd's journal, events go there with their fields, or, if it does not take them,
//! as lines with their priority in the place of the time (`sd-daemon(3)`). `GUICHET_LOG` filters, as
//! in `GUICHET_LOG=info,guichet::smtp=debug`. Whatever strangers put into a field, a line stays one
//! line and commands no terminal.

use std::fmt::{self, Write as _};
use std::io;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::journal::{self, Journal};

/// The environment variable with the filter.
pub const FILTER: &str = "GUICHET_LOG";

/// Starts logging. A second call changes nothing.
///
/// # Errors
/// A sentence about a filter that isn't understood; logging has then not started.
pub fn start() -> Result<(), String> {
    let wanted = std::env::var(FILTER).unwrap_or_default();
    let wanted = if wanted.is_empty() { "warn,guichet=info".to_owned() } else { wanted };
    let filter = EnvFilter::try_new(&wanted).map_err(|error| format!("{FILTER}={wanted}: {error}"))?;
    let journal = is_journal();
    // An error means that a subscriber is there already.
    let _ = match journal.then(|| Journal::at(journal::SOCKET.as_ref())) {
        Some(Ok(fields)) => tracing_subscriber::registry().with(filter).with(fields).try_init(),
        _ => tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(io::stderr)
            .event_format(Lines { journal, format: Format::default().with_ansi(false) })
            .finish()
            .try_init(),
    };
    Ok(())
}

/// Whether standard error is the journal's socket: `JOURNAL_STREAM` names its device and inode, and
/// is inherited by children that write elsewhere (`systemd.exec(5)`).
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(io::stderr()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// One event, one line.
struct Lines {
    journal: bool,
    format: Format<Full, SystemTime>,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        if self.journal {
            write!(line, "<{}>", priority(*event.metadata().level()))?;
            let format = self.format.clone().without_time().with_level(false);
            format.format_event(context, Writer::new(&mut line), event)?;
        } else {
            self.format.format_event(context, Writer::new(&mut line), event)?;
        }
        writeln!(to, "{}", one_line(line.trim_end_matches('\n')))
    }
}

/// As syslog(3) counts them.
pub(super) fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// Whatever strangers put into it.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no test panics while it writes").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(journal: bool) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .event_format(Lines { journal, format: Format::default().with_ansi(false) })
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(helo = %"a\r\n<0>forged\x1b[2J", "odd greeting");
        });
        String::from_utf8(captured.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn an_event_is_one_line_whatever_strangers_sent() {
        for journal in [true, false] {
            let line = logged(journal);
            assert_eq!(line.matches('\n').count(), 1, "{line:?}");
            assert!(line.ends_with('\n') && !line.contains('\x1b') && !line.contains('\r'), "{line:?}");
            assert!(line.contains("odd greeting") && line.contains("forged"), "{line:?}");
        }
    }

    #[test]
    fn the_journal_gets_the_priority_and_no_time() {
        assert!(logged(true).starts_with("<4>guichet::sys::logs"), "{:?}", logged(true));
        assert!(logged(false).contains(" WARN "), "{:?}", logged(false));
    }
}
