//! Header sections: fields as they stand, found without judging them (RFC 5322 §2.2).
//!
//! What a field means is the affair of the modules that read it. Broken lines are skipped and
//! counted, since mail with them is common and its writer can't mend it.

use std::ops::Range;

use super::charset;

/// One field, unparsed.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    pub name: &'a str,
    /// The octets after the colon, still folded, without the last line end.
    pub value: &'a [u8],
    /// All of it as it came, the last line end included.
    pub whole: &'a [u8],
    /// Where the value starts in what was read.
    at: usize,
}

impl Field<'_> {
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The value in one line (RFC 5322 §2.2.3), as UTF-8 whatever its octets were.
    #[must_use]
    pub fn text(&self) -> String {
        let octets: Vec<u8> = self.value.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n' | 0)).collect();
        let text = charset::guess(&octets);
        text.trim().to_owned()
    }
}

/// A header section.
#[derive(Clone, Debug, Default)]
pub struct Header<'a> {
    pub fields: Vec<Field<'a>>,
    /// Where the body starts; the length of the input when there is none.
    pub body_at: usize,
    /// Lines that are no field were met.
    pub broken_lines: bool,
    /// There are more fields than were kept.
    pub cut: bool,
}

/// Where a field lies that may go on in the next line.
struct Extent<'a> {
    name: &'a str,
    value: Range<usize>,
    whole: Range<usize>,
}

impl<'a> Header<'a> {
    /// Reads the section at the start of `raw`, keeping at most `most` fields.
    #[must_use]
    pub fn read(raw: &'a [u8], most: usize) -> Self {
        Self::read_until(raw, most, false)
    }

    /// Reads the section of a body part. It ends at the latest before a line that may be a
    /// delimiter, so that a missing empty line costs no other part.
    #[must_use]
    pub fn of_part(raw: &'a [u8], most: usize) -> Self {
        Self::read_until(raw, most, true)
    }

    fn read_until(raw: &'a [u8], most: usize, dashes: bool) -> Self {
        let mut header = Self::default();
        let mut at = 0;
        let mut open: Option<Extent<'a>> = None;
        let mut first_broken = None;
        let mut ended = false;
        while at < raw.len() {
            let next = line_end(raw, at);
            let line = trim_end(&raw[at..next]);
            if line.is_empty() {
                header.body_at = next;
                ended = true;
                break;
            }
            if dashes && line.starts_with(b"--") {
                break;
            }
            if matches!(line[0], b' ' | b'\t') {
                if let Some(open) = &mut open {
                    (open.value.end, open.whole.end) = (at + line.len(), next);
                }
            } else {
                header.push(&mut open, raw, most);
                if let Some((name, value)) = split_field(line) {
                    open = Some(Extent { name, value: at + value..at + line.len(), whole: at..next });
                } else if !(at == 0 && line.starts_with(b"From ")) {
                    header.broken_lines = true;
                    first_broken.get_or_insert(at);
                }
            }
            at = next;
        }
        header.push(&mut open, raw, most);
        if !ended {
            // No empty line: what follows the first line that is no field is the text.
            header.body_at = first_broken.unwrap_or(at);
            header.fields.retain(|field| field.at <= header.body_at);
        }
        header
    }

    fn push(&mut self, open: &mut Option<Extent<'a>>, raw: &'a [u8], most: usize) {
        if let Some(Extent { name, value, whole }) = open.take() {
            if self.fields.len() < most {
                self.fields.push(Field { name, at: value.start, value: &raw[value], whole: &raw[whole] });
            } else {
                self.cut = true;
            }
        }
    }

    /// Every field of a name, in order.
    pub fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s Field<'a>> {
        self.fields.iter().filter(move |field| field.is(name))
    }

    /// The first field of a name.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&Field<'a>> {
        self.fields.iter().find(|field| field.is(name))
    }
}

/// Where the line that starts at `at` ends, its line end included.
pub(super) fn line_end(raw: &[u8], at: usize) -> usize {
    memchr::memchr(b'\n', &raw[at..]).map_or(raw.len(), |length| at + length + 1)
}

/// A line without its line end.
pub(super) fn trim_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Name and offset of the value. Blanks before the colon are taken (RFC 5322 §4.5).
fn split_field(line: &[u8]) -> Option<(&str, usize)> {
    let colon = line.iter().take(256).position(|b| *b == b':')?;
    let name = str::from_utf8(&line[..colon]).ok()?.trim_end_matches([' ', '\t']);
    (!name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic())).then_some((name, colon + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(raw: &str) -> (Vec<String>, usize) {
        let header = Header::read(raw.as_bytes(), 10);
        (header.fields.iter().map(|field| format!("{}={}", field.name, field.text())).collect(), header.body_at)
    }

    #[test]
    fn fields_and_where_the_body_starts() {
        for (raw, fields, body) in [
            ("", vec![], ""),
            ("\r\ntext", vec![], "text"),
            ("A: 1\r\nB:2\r\n\r\ntext", vec!["A=1", "B=2"], "text"),
            ("A: 1\r\n  2\r\n\t3\r\n\r\n", vec!["A=1  2\t3"], ""),
            ("A : 1\r\n\r\n", vec!["A=1"], ""),
            ("From bob Mon\r\nA: 1\r\n\r\n", vec!["A=1"], ""),
            ("A: 1\r\nnonsense here\r\nB: 2\r\n\r\ntext", vec!["A=1", "B=2"], "text"),
            ("A: 1", vec!["A=1"], ""),
            ("hello there\r\nyou", vec![], "hello there\r\nyou"),
            ("A: 1\nB: 2\n\ntext", vec!["A=1", "B=2"], "text"),
        ] {
            let (found, at) = names(raw);
            assert_eq!(found, fields, "{raw:?}");
            assert_eq!(&raw[at..], body, "{raw:?}");
        }
    }

    #[test]
    fn fields_past_the_limit_are_counted_as_cut() {
        let raw = "A: 1\r\n".repeat(11);
        let header = Header::read(raw.as_bytes(), 10);
        assert_eq!(header.fields.len(), 10);
        assert!(header.cut);
    }
}
