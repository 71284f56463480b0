//! What people read: tables that fit the terminal, and text that can't play tricks on it.
//!
//! Everything that strangers wrote goes through [`clean`]: a subject could otherwise move the
//! cursor or rename the window. Piped output is neither cut nor coloured.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};

use jiff::Timestamp;
use serde_json::Value;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::Failure;

/// Where results go, and in which shape.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    pub(super) json: bool,
    /// Columns of the terminal; `None` when the reader is no terminal.
    pub(super) width: Option<usize>,
    pub(super) colour: bool,
}

impl Output {
    /// As standard output is.
    pub(super) fn of_stdout(json: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { json, width: terminal.then(width), colour }
    }

    pub(super) fn style(self, style: &str, text: &str) -> String {
        if self.colour && !text.is_empty() { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.style("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.style("2", text)
    }
}

/// Prints a result as JSON.
pub(super) fn print_json(value: &Value) -> Result<(), Failure> {
    print(&format!("{value:#}\n"))
}

/// Prints a text as it is. A reader that has gone away is [`Failure::Pipe`].
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::Pipe),
        other => other.map_err(|error| Failure::Other(anyhow::anyhow!("cannot write the result: {error}"))),
    }
}

/// Says something beside the result, on standard error. Whoever closed that wants to hear nothing,
/// so a failure is none.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// The terminal's columns: what it says, else `COLUMNS`, else 80.
fn width() -> usize {
    let told = rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_col));
    let from_env = || std::env::var("COLUMNS").ok()?.parse().ok();
    told.filter(|columns| *columns > 0).or_else(from_env).unwrap_or(80).max(20)
}

/// Rows under headings, as wide as the terminal at most.
pub(super) struct Table {
    headings: Vec<&'static str>,
    /// How far each column gives way before the others must.
    floors: Vec<usize>,
    rows: Vec<Vec<String>>,
}

/// No column is cut to less than this, whatever the terminal.
const NARROWEST: usize = 6;
const GAP: usize = 2;

impl Table {
    pub(super) fn new<const N: usize>(headings: [&'static str; N]) -> Self {
        Self { headings: headings.to_vec(), floors: vec![usize::MAX; N], rows: Vec::new() }
    }

    /// Names the columns that give way first, each down to a width.
    pub(super) fn flexible<const N: usize>(mut self, columns: [(&str, usize); N]) -> Self {
        for (heading, floor) in self.headings.iter().zip(&mut self.floors) {
            if let Some((_, width)) = columns.iter().find(|(name, _)| name == heading) {
                *floor = *width;
            }
        }
        self
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into_iter().map(|cell| clean_line(&cell)).collect());
    }

    /// The table as text, or `nothing` when it has no rows.
    pub(super) fn render(&self, output: Output, nothing: &str) -> String {
        if self.rows.is_empty() {
            return format!("{nothing}\n");
        }
        let widths = self.widths(output.width);
        let mut text = String::new();
        let headings: Vec<String> = self.headings.iter().map(|heading| (*heading).to_owned()).collect();
        let line = layout(&headings, &widths);
        writeln!(text, "{}", output.bold(&line)).expect("a String takes all");
        for row in &self.rows {
            writeln!(text, "{}", layout(row, &widths)).expect("a String takes all");
        }
        text
    }

    fn widths(&self, limit: Option<usize>) -> Vec<usize> {
        let widest = |column: usize, heading: &str| {
            let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width());
            cells.max().unwrap_or(0).max(heading.width())
        };
        let mut widths: Vec<usize> =
            self.headings.iter().enumerate().map(|(column, heading)| widest(column, heading)).collect();
        if let Some(limit) = limit {
            let room = limit.saturating_sub(GAP * widths.len().saturating_sub(1));
            shrink(&mut widths, &self.floors, room);
            shrink(&mut widths, &vec![NARROWEST; self.headings.len()], room);
        }
        widths
    }
}

/// Takes from the widest column that is above its floor until all fit.
fn shrink(widths: &mut [usize], floors: &[usize], room: usize) {
    while widths.iter().sum::<usize>() > room {
        let above = widths.iter_mut().zip(floors).filter(|(width, floor)| **width > **floor);
        match above.map(|(width, _)| width).max() {
            Some(widest) => *widest -= 1,
            None => break,
        }
    }
}

fn layout(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (index, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let cell = cut(cell, *width);
        line.push_str(&cell);
        if index + 1 < cells.len() {
            line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.width()) + GAP));
        }
    }
    line.truncate(line.trim_end().len());
    line
}

/// What is known of one thing, a line a fact, under its title.
pub(super) struct Facts {
    output: Output,
    text: String,
}

impl Facts {
    /// The column that values start in.
    const INDENT: usize = 16;

    pub(super) fn new(output: Output) -> Self {
        Self { output, text: String::new() }
    }

    pub(super) fn title(&mut self, title: &str) {
        let title = self.output.bold(&clean_line(title));
        self.text(&format!("{title}\n"));
    }

    pub(super) fn fact(&mut self, name: &str, value: &str) {
        let name = self.output.dim(&format!("{name:<width$}", width = Self::INDENT - 2));
        self.text(&format!("  {name}{}\n", clean_line(value)));
    }

    /// Lines that are clean already.
    pub(super) fn text(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub(super) fn done(self) -> String {
        self.text
    }
}

/// At most `width` columns of a text, with an ellipsis where something was left out.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    kept
}

/// A text of several lines without anything that a terminal obeys: controls but line feed and tab,
/// and the marks that turn the direction of writing (Unicode UAX #9).
pub(super) fn clean(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    text.chars().map(|c| if matches!(c, '\n' | '\t') { c } else { harmless(c) }).collect()
}

/// The same for a single line: line feeds and tabs become blanks.
pub(super) fn clean_line(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { harmless(c) }).collect()
}

fn harmless(c: char) -> char {
    let turns = matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if c.is_control() || turns { '\u{fffd}' } else { c }
}

/// A time to the minute in UTC, `2026-03-14 09:26Z`.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%MZ").to_string()
}

/// A time in a list: how long ago on a terminal, where people look; in UTC elsewhere.
pub(super) fn when(at: Timestamp, output: Output) -> String {
    if output.width.is_some() { age(at, Timestamp::now()) } else { time(at) }
}

/// `3 h ago`, `in 2 d`: the largest unit that fits, rounded down.
fn age(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - at.as_second();
    let span = match seconds.abs() {
        0..60 => return "now".to_owned(),
        span @ 60..3600 => format!("{} min", span / 60),
        span @ 3600..86_400 => format!("{} h", span / 3600),
        span @ 86_400..31_536_000 => format!("{} d", span / 86_400),
        span => format!("{} y", span / 31_536_000),
    };
    if seconds > 0 { format!("{span} ago") } else { format!("in {span}") }
}

/// Octets for people, in units of 1,024.
pub(super) fn size(octets: u64) -> String {
    let mut whole = octets;
    for unit in ["bytes", "KiB", "MiB"] {
        if whole < 1024 {
            return format!("{whole} {unit}");
        }
        whole = whole.div_ceil(1024);
    }
    format!("{whole} GiB")
}

/// A name with its address, or the address alone.
pub(super) fn person(name: &str, address: &str) -> String {
    if name.is_empty() { address.to_owned() } else { format!("{} <{address}>", clean_line(name)) }
}

/// `a, b` or a dash.
pub(super) fn list<T: ToString>(items: &[T]) -> String {
    if items.is_empty() {
        return "-".to_owned();
    }
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(width: Option<usize>) -> Output {
        Output { json: false, width, colour: false }
    }

    fn table() -> Table {
        let mut table = Table::new(["TICKET", "SUBJECT", "STATUS"]).flexible([("SUBJECT", 10)]);
        table.row(["acme-1".into(), "The printer on the third floor is on fire".into(), "open".into()]);
        table.row(["acme-22".into(), "日本語の件名です、とても長い件名".into(), "pending".into()]);
        table
    }

    #[test]
    fn a_table_fits_the_terminal_and_cuts_the_widest_column() {
        let text = table().render(output(Some(40)), "");
        assert!(text.lines().all(|line| line.width() <= 40), "{text}");
        assert!(text.contains("acme-22") && text.contains("pending") && text.contains('…'), "{text}");
        let text = table().render(output(Some(24)), "");
        assert!(text.lines().all(|line| line.width() <= 24), "{text}");
    }

    #[test]
    fn a_piped_table_is_whole() {
        let text = table().render(output(None), "");
        assert!(text.contains("The printer on the third floor is on fire  "), "{text}");
        assert!(!text.contains('…') && !text.contains('\x1b'), "{text}");
    }

    #[test]
    fn columns_stand_under_their_headings_whatever_the_script() {
        let text = table().render(output(None), "");
        let column = |line: &str, word: &str| line.find(word).map(|at| line[..at].width());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(column(lines[0], "STATUS"), column(lines[1], "open"));
        assert_eq!(column(lines[0], "STATUS"), column(lines[2], "pending"));
    }

    #[test]
    fn an_empty_table_says_so() {
        assert_eq!(Table::new(["A"]).render(output(None), "No tickets."), "No tickets.\n");
    }

    #[test]
    fn nothing_that_a_stranger_wrote_commands_the_terminal() {
        assert_eq!(clean("a\x1b]0;x\x07b\r\n\tc\u{202e}d"), "a\u{fffd}]0;x\u{fffd}b\n\tc\u{fffd}d");
        assert_eq!(clean_line("a\nb"), "a b");
        let mut table = Table::new(["A"]);
        table.row(["\x1b[2J\nx".into()]);
        assert_eq!(table.render(output(None), ""), "A\n\u{fffd}[2J x\n");
    }

    #[test]
    fn ages_for_people() {
        let now: Timestamp = "2026-03-14T09:26:53Z".parse().unwrap();
        for (at, text) in [
            ("2026-03-14T09:26:00Z", "now"),
            ("2026-03-14T09:20:00Z", "6 min ago"),
            ("2026-03-13T10:00:00Z", "23 h ago"),
            ("2026-03-12T09:00:00Z", "2 d ago"),
            ("2024-01-01T00:00:00Z", "2 y ago"),
            ("2026-03-14T11:30:00Z", "in 2 h"),
        ] {
            assert_eq!(age(at.parse().unwrap(), now), text, "{at}");
        }
        assert_eq!(when(now, output(None)), "2026-03-14 09:26Z");
    }

    #[test]
    fn sizes_for_people() {
        for (octets, text) in [(0, "0 bytes"), (1023, "1023 bytes"), (1025, "2 KiB"), (36_700_160, "35 MiB")] {
            assert_eq!(size(octets), text);
        }
    }
}
