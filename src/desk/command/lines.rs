//! Which lines of a text are commands, and what each says, as its reader sees it.

use super::Verb;
use super::values::addresses;
use crate::desk::language::commands::{fold, verb};
use crate::desk::mistake::Mistake;

/// The most octets of a line that are looked at.
const LONGEST_LINE: usize = 2_000;

/// What a line is, at the beginning of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Is {
    Command,
    /// The last command goes on: a client wrapped its addresses.
    More,
    Blank,
    /// The text begins; no command comes any more.
    Text,
}

/// Tells the lines of a text, from its first on, until [`Is::Text`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Lines {
    /// The line before was a command that takes addresses.
    addresses: bool,
}

impl Lines {
    pub fn next(&mut self, line: &str) -> Is {
        let line = tidy(line);
        let took_addresses = std::mem::take(&mut self.addresses);
        if line.is_empty() {
            return Is::Blank;
        }
        if let Some((word, _)) = split(&line) {
            self.addresses = matches!(verb(&word), Some(Verb::Cc | Verb::Uncc));
            return Is::Command;
        }
        if took_addresses && !matches!(addresses(&line), Err(Mistake::NoAddress(_))) {
            self.addresses = true;
            return Is::More;
        }
        Is::Text
    }
}

/// Blanks of any kind, and what has no width: zero-width characters, soft hyphens, marks that turn
/// the direction of writing (Unicode UAX #9).
#[must_use]
pub fn is_blank(c: char) -> bool {
    c.is_whitespace() || c.is_control() || is_invisible(c)
}

fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
    )
}

/// A line as a reader sees it, with one blank where there are some. `*#close*`, as a client writes
/// bold text in plain one, is `#close`.
pub(super) fn tidy(line: &str) -> String {
    let start = &line[..line.floor_char_boundary(LONGEST_LINE)];
    let mut out = String::with_capacity(start.len());
    for c in start.chars().filter(|c| !is_invisible(*c)) {
        if !c.is_whitespace() && !c.is_control() {
            out.push(c);
        } else if !out.is_empty() && !out.ends_with(' ') {
            out.push(' ');
        }
    }
    if start.len() < line.len() {
        // What is cut off must not leave another address or name than was written.
        out.push('…');
    }
    let shown = out.trim_end();
    let plain = shown.trim_start_matches(['*', '_']);
    if plain.len() < shown.len() && plain.starts_with(is_sharp) {
        return plain.trim_end_matches(['*', '_']).to_owned();
    }
    shown.to_owned()
}

/// `#`, also in the widths of East Asian keyboards.
pub(super) fn is_sharp(c: char) -> bool {
    matches!(c, '#' | '＃' | '﹟')
}

/// The word of a command and its value, of a tidy line; `None` where it is text.
pub(super) fn split(line: &str) -> Option<(String, &str)> {
    let behind = line.strip_prefix(is_sharp)?;
    let text = behind.strip_prefix(' ').unwrap_or(behind);
    if !text.starts_with(char::is_alphabetic) {
        return None;
    }
    let part_of_word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '\u{300}'..='\u{36f}');
    let (word, value) = text.split_at(text.find(|c| !part_of_word(c)).unwrap_or(text.len()));
    let word = fold(word);
    if text.len() < behind.len() && verb(&word).is_none() {
        return None;
    }
    let value = value.trim_start();
    let value = value.strip_prefix([':', '：']).unwrap_or(value);
    Some((word, value.trim().trim_end_matches(['.', '!']).trim_end()))
}
