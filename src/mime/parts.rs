//! The tree of a message's MIME parts (RFC 2046 §5), found in one pass over its lines.
//!
//! Each line is looked at once, against the boundaries that are open, so that no message costs
//! more than its length times the nesting limit. What is past a limit, and what a missing boundary
//! leaves over, is still there: as a part that is not looked into.

use super::encode::is_media_type;
use super::header::{Header, line_end, trim_end};
use super::params::Value;
use super::transfer::Encoding;
use super::understand::{Limits, Problem};

/// One part, a leaf or a container.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    pub header: Header<'a>,
    /// The octets of its header, the blank line behind it included.
    pub head: &'a [u8],
    /// Content-Type; `text/plain` where there is none (RFC 2045 §5.2).
    pub content_type: Value,
    pub disposition: Value,
    pub encoding: Encoding,
    /// Content-ID without brackets; empty when there is none.
    pub content_id: String,
    /// Encoded octets; for a container all that is in it.
    pub body: &'a [u8],
    pub children: Vec<usize>,
    /// A container too deep to be looked into.
    pub opaque: bool,
}

impl Part<'_> {
    #[must_use]
    pub fn is(&self, content_type: &str) -> bool {
        self.content_type.token == content_type
    }

    #[must_use]
    pub fn is_multipart(&self) -> bool {
        self.content_type.token.starts_with("multipart/")
    }

    /// A container that was looked into.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.children.is_empty()
    }
}

/// Parts in the order in which they start; the first is the message itself.
#[derive(Clone, Debug, Default)]
pub struct Tree<'a> {
    pub parts: Vec<Part<'a>>,
    pub problems: Vec<Problem>,
}

/// A container whose end was not met yet.
struct Open {
    part: usize,
    /// Where its body starts.
    start: usize,
    /// `None` for an embedded message, which ends when what it is in ends.
    boundary: Option<Vec<u8>>,
    /// Its closing delimiter was met: what follows belongs to nobody (RFC 2046 §5.1.1).
    closed: bool,
}

/// Reads the tree of a message whose own header is already read.
#[must_use]
pub fn read<'a>(raw: &'a [u8], header: Header<'a>, limits: &Limits) -> Tree<'a> {
    let start = header.body_at.min(raw.len());
    let mut reader = Reader { raw, limits, tree: Tree::default(), open: Vec::new(), leaf: None };
    let mut at = reader.begin(header, start, false);
    while at < raw.len() {
        let next = line_end(raw, at);
        if raw[at..next].starts_with(b"--")
            && let Some((level, last)) = reader.delimiter(trim_end(&raw[at..next]))
        {
            reader.end(level, at);
            if last {
                if let Some(open) = reader.open.get_mut(level) {
                    open.closed = true;
                }
            } else {
                let digest =
                    reader.open.get(level).is_some_and(|open| reader.tree.parts[open.part].is("multipart/digest"));
                if reader.tree.parts.len() >= limits.parts {
                    reader.problem(Problem::TooManyParts);
                    break;
                }
                let header = Header::of_part(&raw[next..], limits.part_fields);
                let body_at = next + header.body_at;
                at = reader.begin(header, body_at, digest);
                continue;
            }
        }
        at = next;
    }
    reader.end(0, raw.len());
    reader.tree
}

struct Reader<'a, 'l> {
    raw: &'a [u8],
    limits: &'l Limits,
    tree: Tree<'a>,
    open: Vec<Open>,
    /// The leaf whose end was not met yet, and where its body starts.
    leaf: Option<(usize, usize)>,
}

impl<'a> Reader<'a, '_> {
    /// Adds the part whose body starts at `at`, and those that start with it; says where to read on.
    fn begin(&mut self, header: Header<'a>, mut at: usize, digest: bool) -> usize {
        let mut header = header;
        let mut digest = digest;
        loop {
            let head = &self.raw[at.saturating_sub(header.body_at)..at];
            let part = part(header, head, &self.raw[at..], digest);
            let index = self.tree.parts.len();
            if let Some(open) = self.open.last() {
                self.tree.parts[open.part].children.push(index);
            }
            let message = matches!(part.content_type.token.as_str(), "message/rfc822" | "message/global");
            let multipart = part.is_multipart();
            let boundary = part.content_type.get("boundary").map(str::trim_end).unwrap_or_default().as_bytes().to_vec();
            // A multipart has no encoding of its own (RFC 2045 §6.4), whatever it says; a message may.
            let readable = multipart || matches!(part.encoding, Encoding::Identity | Encoding::Unknown);
            self.tree.parts.push(part);
            let container = (multipart || message) && readable;
            if container && self.open.len() >= self.limits.nesting {
                self.problem(Problem::TooDeep);
                self.tree.parts[index].opaque = true;
            } else if multipart {
                let boundary = if boundary.is_empty() || boundary.len() > 200 {
                    self.problem(Problem::BrokenBoundary);
                    guess_boundary(&self.raw[at..])
                } else {
                    Some(boundary)
                };
                if let Some(boundary) = boundary {
                    self.open.push(Open { part: index, start: at, boundary: Some(boundary), closed: false });
                    return at;
                }
            } else if message && readable && at < self.raw.len() && self.tree.parts.len() < self.limits.parts {
                self.open.push(Open { part: index, start: at, boundary: None, closed: false });
                header = Header::of_part(&self.raw[at..], self.limits.part_fields);
                at += header.body_at;
                digest = false;
                continue;
            }
            self.leaf = Some((index, at));
            return at;
        }
    }

    /// Which open boundary a line is a delimiter of, innermost first, and whether it is the last.
    fn delimiter(&self, line: &[u8]) -> Option<(usize, bool)> {
        let line = line.strip_prefix(b"--")?;
        self.open.iter().enumerate().rev().find_map(|(level, open)| {
            let rest = line.strip_prefix(open.boundary.as_deref()?)?;
            let (rest, last) = rest.strip_prefix(b"--").map_or((rest, false), |rest| (rest, true));
            rest.iter().all(|b| matches!(b, b' ' | b'\t')).then_some((level, last))
        })
    }

    /// Ends what is open within `level`, at a delimiter line that starts at `at`.
    fn end(&mut self, level: usize, at: usize) {
        // The line end before a delimiter belongs to it.
        let end = if at < self.raw.len() {
            let before = self.raw[..at].strip_suffix(b"\n").unwrap_or(&self.raw[..at]);
            before.strip_suffix(b"\r").unwrap_or(before).len()
        } else {
            at
        };
        if let Some((leaf, start)) = self.leaf.take() {
            self.tree.parts[leaf].body = &self.raw[start..end.max(start)];
        }
        let keep = if at < self.raw.len() { level + 1 } else { 0 };
        while self.open.len() > keep {
            let Some(open) = self.open.pop() else { break };
            self.tree.parts[open.part].body = &self.raw[open.start..end.max(open.start)];
            if open.boundary.is_some() && !open.closed {
                self.problem(Problem::BrokenBoundary);
            }
        }
    }

    fn problem(&mut self, problem: Problem) {
        if !self.tree.problems.contains(&problem) {
            self.tree.problems.push(problem);
        }
    }
}

fn part<'a>(header: Header<'a>, head: &'a [u8], body: &'a [u8], digest: bool) -> Part<'a> {
    let field = |name: &str| header.first(name).map(super::header::Field::text);
    let mut content_type = field("Content-Type").map(|text| Value::read(&text)).unwrap_or_default();
    // `Content-Type: text` is met in old mail.
    if !is_media_type(&content_type.token) {
        let default = if digest { "message/rfc822" } else { "text/plain" };
        default.clone_into(&mut content_type.token);
    }
    let disposition = field("Content-Disposition").map(|text| Value::read(&text)).unwrap_or_default();
    let encoding = field("Content-Transfer-Encoding").map(|text| Encoding::named(&text)).unwrap_or_default();
    let content_id =
        field("Content-ID").map(|text| super::clean::line(text.trim_matches(['<', '>', ' ']), 250)).unwrap_or_default();
    Part { content_type, disposition, encoding, content_id, header, head, body, children: Vec::new(), opaque: false }
}

/// The first line near the start that looks like a delimiter.
fn guess_boundary(body: &[u8]) -> Option<Vec<u8>> {
    let near = &body[..body.len().min(4096)];
    near.split(|b| *b == b'\n').map(trim_end).find_map(|line| {
        let boundary = line.strip_prefix(b"--")?;
        ((6..=70).contains(&boundary.len()) && boundary.iter().all(u8::is_ascii_graphic)).then(|| boundary.to_vec())
    })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    /// Indented types and bodies.
    fn shape(raw: &str) -> String {
        let limits = Limits { nesting: 5, parts: 20, ..Limits::default() };
        let header = Header::read(raw.as_bytes(), 100);
        let tree = read(raw.as_bytes(), header, &limits);
        let mut out = String::new();
        show(&tree, 0, 0, &mut out);
        for problem in &tree.problems {
            let _ = writeln!(out, "!{problem:?}");
        }
        out
    }

    fn show(tree: &Tree<'_>, part: usize, depth: usize, out: &mut String) {
        let part = &tree.parts[part];
        let _ = write!(out, "{}{}", " ".repeat(depth), part.content_type.token);
        if !part.is_open() {
            let _ = write!(out, " {:?}", String::from_utf8_lossy(part.body));
        }
        out.push('\n');
        for child in &part.children {
            show(tree, *child, depth + 1, out);
        }
    }

    #[test]
    fn trees() {
        for (raw, expected) in [
            ("A: b\r\n\r\nhi\r\n", "text/plain \"hi\\r\\n\"\n"),
            ("", "text/plain \"\"\n"),
            (
                "Content-Type: multipart/mixed; boundary=x\r\n\r\npreamble\r\n--x\r\n\r\none\r\n--x\r\nContent-Type: text/html\r\n\r\ntwo\r\n--x--\r\nepilogue",
                "multipart/mixed\n text/plain \"one\"\n text/html \"two\"\n",
            ),
            (
                "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: multipart/alternative; boundary=\"x y\"\r\n\r\n--x y\r\n\r\none\r\n--x\r\n\r\ntwo\r\n--x--",
                "multipart/mixed\n multipart/alternative\n  text/plain \"one\"\n text/plain \"two\"\n!BrokenBoundary\n",
            ),
            (
                "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nbody\r\n--x--\r\n",
                "multipart/mixed\n message/rfc822\n  text/plain \"body\"\n",
            ),
            (
                "Content-Type: multipart/mixed\r\n\r\n--guessme\r\n\r\none\r\n--guessme--\r\n",
                "multipart/mixed\n text/plain \"one\"\n!BrokenBoundary\n",
            ),
            (
                "Content-Type: multipart/mixed; boundary=never\r\n\r\nall text\r\n",
                "multipart/mixed \"all text\\r\\n\"\n!BrokenBoundary\n",
            ),
            (
                "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\ncut off",
                "multipart/mixed\n text/plain \"cut off\"\n!BrokenBoundary\n",
            ),
        ] {
            assert_eq!(shape(raw), expected, "{raw}");
        }
    }

    #[test]
    fn deep_and_many_are_cut_and_told() {
        let mut raw = String::new();
        for n in 0..100 {
            let _ = write!(raw, "Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n");
        }
        assert!(shape(&raw).contains("!TooDeep"));
        let many = format!("Content-Type: multipart/mixed; boundary=x\r\n\r\n{}", "--x\r\n\r\n".repeat(100));
        assert!(shape(&many).contains("!TooManyParts"));
        let embedded = "Content-Type: message/rfc822\r\n\r\n".repeat(100);
        assert!(shape(&embedded).contains("!TooDeep"));
    }
}
