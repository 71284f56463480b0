//! Text from outside made fit to show: no controls, nothing that turns the reading direction round.

/// One line: control characters and line breaks become a blank, runs of blanks one, direction marks
/// and overrides go (Unicode UAX #9), at most `most` octets.
#[must_use]
pub fn line(text: &str, most: usize) -> String {
    let mut clean = String::with_capacity(text.len().min(most));
    let mut blank = false;
    for c in text.chars() {
        if turns_direction(c) || c == '\u{feff}' {
            continue;
        }
        if c.is_control() || c.is_whitespace() {
            blank = !clean.is_empty();
            continue;
        }
        if clean.len() + usize::from(blank) + c.len_utf8() > most {
            break;
        }
        if blank {
            clean.push(' ');
            blank = false;
        }
        clean.push(c);
    }
    clean
}

/// Several lines: line ends become `\n`, other controls but the tabulator go, and so do direction
/// overrides.
#[must_use]
pub fn lines(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        // Nearly all of nearly every text, taken at once.
        let plain = rest.bytes().take_while(|b| matches!(b, b' '..=b'~')).count();
        clean.push_str(&rest[..plain]);
        let mut chars = rest[plain..].chars();
        let Some(c) = chars.next() else { return clean };
        rest = chars.as_str();
        match c {
            '\r' if rest.starts_with('\n') => {}
            '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}' => clean.push('\n'),
            '\t' => clean.push('\t'),
            '\u{a0}' => clean.push(' '),
            c if c.is_control() || turns_direction(c) || c == '\u{feff}' => {}
            c => clean.push(c),
        }
    }
}

/// Marks that change the direction of what follows, and so what a reader takes a text for.
#[must_use]
pub fn turns_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The start of a text, at most `most` octets, cut between characters.
#[must_use]
pub fn start(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_of_what_was_written() {
        for (from, to) in [
            ("  a \r\n b\t\u{0}c  ", "a b c"),
            ("invoice\u{202e}fdp.exe", "invoicefdp.exe"),
            ("日本語のとても長い件名", "日本語のとて"),
        ] {
            assert_eq!(line(from, 20), to);
        }
        for (from, to) in [
            ("a\r\nb\rc\nd\u{202e}\u{7}e", "a\nb\nc\nde"),
            ("\r\r\n\r", "\n\n\n"),
            ("é\u{a0}ü\t日\u{85}\u{7f}~ ", "é ü\t日\n~ "),
            ("", ""),
        ] {
            assert_eq!(lines(from), to);
        }
    }
}
