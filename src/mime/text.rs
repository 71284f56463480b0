//! A message's own text as lines: which parts it is in, decoded, with what their structure tells
//! about quotation (RFC 2046 §5.1.4 alternatives, RFC 3676 flowed text).

use super::charset::{self, Decoded};
use super::parts::{Part, Tree};
use super::understand::{Limits, Problem};
use super::{clean, html_text};

/// The text, separated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// What this message adds.
    pub new: String,
    /// What it repeats of earlier ones.
    pub quoted: String,
    pub signature: String,
    /// There was no usable text/plain.
    pub from_html: bool,
    /// No line is its writer's own: `new` is the whole message, so that nothing is lost.
    pub nothing_new: bool,
    /// Something that is quoted stands above what is new.
    pub below: bool,
}

impl Text {
    #[must_use]
    pub fn is_blank(&self) -> bool {
        [&self.new, &self.quoted, &self.signature].iter().all(|text| text.trim().is_empty())
    }
}

/// One line and what HTML said about it; plain text knows nothing but its own `>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    pub text: String,
    pub mark: Mark,
}

/// What the structure of a HTML body says about a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    #[default]
    None,
    /// It introduces a quotation (`On … wrote:`).
    Attribution,
    /// From here on all is quotation.
    QuoteFrom,
    Signature,
}

impl Mark {
    /// What an empty line after such a line is.
    pub(super) fn within(self) -> Self {
        match self {
            Self::Signature => Self::Signature,
            Self::None | Self::Attribution | Self::QuoteFrom => Self::None,
        }
    }
}

/// The text as it was found.
#[derive(Clone, Debug, Default)]
pub struct Body {
    pub lines: Vec<Line>,
    pub from_html: bool,
    /// The parts that it was read from or that say the same: no attachments.
    pub used: Vec<usize>,
}

/// Reads the text of the message.
#[must_use]
pub fn read(tree: &Tree<'_>, limits: &Limits, problems: &mut Vec<Problem>) -> Body {
    let mut body = Body::default();
    let choices = choose(tree, 0);
    let mut left = limits.text;
    for choice in &choices {
        body.used.extend(choice.plain.iter().chain(&choice.html));
        let mut plain = Vec::new();
        for part in &choice.plain {
            plain.extend(plain_lines(&tree.parts[*part], &mut left, problems));
        }
        let blank = plain.iter().all(|line| line.text.trim().is_empty());
        if blank && !choice.html.is_empty() {
            plain.clear();
            for part in &choice.html {
                let text = decode(&tree.parts[*part], &mut left, problems);
                plain.extend(html_text::lines(&text));
            }
            body.from_html = true;
        }
        body.lines.append(&mut plain);
    }
    body
}

/// The same text in up to two forms, each of one part or more.
#[derive(Debug, Default)]
struct Choice {
    plain: Vec<usize>,
    html: Vec<usize>,
}

/// The parts that a client would show as the text, in order. Recursion is as deep as the tree,
/// which is limited.
fn choose(tree: &Tree<'_>, index: usize) -> Vec<Choice> {
    let Some(part) = tree.parts.get(index) else { return Vec::new() };
    if !part.is_open() {
        return match part.content_type.token.as_str() {
            _ if is_attachment(part) => Vec::new(),
            "text/plain" | "text/enriched" => vec![Choice { plain: vec![index], html: vec![] }],
            "text/html" => vec![Choice { plain: vec![], html: vec![index] }],
            // A boundary that never came: what is there is text.
            token if token.starts_with("multipart/") && token != "multipart/encrypted" => {
                vec![Choice { plain: vec![index], html: vec![] }]
            }
            _ => Vec::new(),
        };
    }
    let children = part.children.iter().copied();
    match part.content_type.token.as_str() {
        "multipart/alternative" => {
            let mut one = Choice::default();
            for child in children {
                let found = choose(tree, child);
                let plain: Vec<usize> = found.iter().flat_map(|choice| choice.plain.clone()).collect();
                let html: Vec<usize> = found.iter().flat_map(|choice| choice.html.clone()).collect();
                if one.plain.is_empty() && html.is_empty() {
                    one.plain = plain;
                } else if !html.is_empty() {
                    one.html = html;
                }
            }
            vec![one]
        }
        "multipart/signed" | "multipart/report" => children.take(1).flat_map(|child| choose(tree, child)).collect(),
        "multipart/related" => {
            let start = part.content_type.get("start").map(|id| id.trim_matches(['<', '>']));
            let root = part
                .children
                .iter()
                .find(|child| start.is_some_and(|start| tree.parts[**child].content_id == start))
                .or(part.children.first());
            root.map(|root| choose(tree, *root)).unwrap_or_default()
        }
        "multipart/encrypted" | "message/rfc822" | "message/global" => Vec::new(),
        _ => children.flat_map(|child| choose(tree, child)).collect(),
    }
}

/// Named text is a file, also where it is shown inline.
fn is_attachment(part: &Part<'_>) -> bool {
    part.disposition.token == "attachment"
        || part.disposition.get("filename").is_some()
        || part.content_type.get("name").is_some() && part.disposition.token != "inline"
}

/// A part's text, with at most `left` octets of it, which are then taken off.
pub(super) fn decode(part: &Part<'_>, left: &mut usize, problems: &mut Vec<Problem>) -> String {
    // An octet takes up to three when it is written in quoted-printable.
    let encoded = &part.body[..part.body.len().min(left.saturating_mul(3))];
    let octets = part.encoding.decode(encoded);
    let kept = &octets[..octets.len().min(*left)];
    if kept.len() < octets.len() || encoded.len() < part.body.len() {
        problems.push(Problem::TextCut);
    }
    *left -= kept.len();
    let (text, found) = charset::decode(part.content_type.get("charset"), kept);
    match found {
        Decoded::AsLabelled => {}
        Decoded::Unknown => problems.push(Problem::UnknownCharset),
        Decoded::Lie => problems.push(Problem::WrongCharset),
    }
    text
}

/// The lines of a part that is plain text, flowed ones joined (RFC 3676 §4.1).
pub(super) fn plain_lines(part: &Part<'_>, left: &mut usize, problems: &mut Vec<Problem>) -> Vec<Line> {
    let text = clean::lines(&decode(part, left, problems));
    let flowed = part.content_type.get("format").is_some_and(|format| format.eq_ignore_ascii_case("flowed"));
    let delete_space = part.content_type.get("delsp").is_some_and(|value| value.eq_ignore_ascii_case("yes"));
    let mut lines: Vec<String> = Vec::new();
    let mut open = false; // the line before ends in a soft break
    let mut depth_before = 0;
    for line in text.split('\n') {
        // Where an image stood, Outlook leaves its Content-ID.
        if line.starts_with("[cid:") && line.trim_end().ends_with(']') {
            continue;
        }
        if !flowed {
            lines.push(line.trim_end().to_owned());
            continue;
        }
        let depth = line.bytes().take_while(|b| *b == b'>').count();
        let content = &line[depth..];
        let content = content.strip_prefix(' ').unwrap_or(content);
        let signature = content == "-- ";
        let soft = content.ends_with(' ') && !signature;
        if open && depth == depth_before && !signature {
            if let Some(last) = lines.last_mut() {
                last.push_str(content);
            }
        } else {
            let prefix = ">".repeat(depth.min(50));
            lines.push(if depth == 0 { content.to_owned() } else { format!("{prefix} {content}") });
        }
        if soft
            && delete_space
            && let Some(last) = lines.last_mut()
        {
            last.pop();
        }
        open = soft;
        depth_before = depth;
    }
    if lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.into_iter().map(|line| Line { text: line.trim_end().to_owned(), mark: Mark::None }).collect()
}
