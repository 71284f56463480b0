//! HTML to lines of text, with what its structure says about quotation.
//!
//! One pass, in time linear in the input whatever that is. Not for showing HTML: what comes out is
//! text to read, to search, and to find the new words in.

use std::panic::{AssertUnwindSafe, catch_unwind};

use mail_parser::decoders::html::add_html_token;

use super::clean;
use super::text::{Line, Mark};

/// The text of a HTML document.
#[must_use]
pub fn lines(html: &str) -> Vec<Line> {
    let mut reader = Reader { html, ..Reader::default() };
    reader.read();
    reader.end_line();
    reader.lines
}

/// Elements whose end matters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tag {
    Blockquote,
    Div,
    Span,
    Pre,
    Table,
}

const TRACKED: [(&str, Tag); 5] =
    [("blockquote", Tag::Blockquote), ("div", Tag::Div), ("span", Tag::Span), ("pre", Tag::Pre), ("table", Tag::Table)];

/// What an open element does to the lines within it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    None,
    Quote,
    Attribution,
    Signature,
}

/// Elements by which mail clients mark the quotation that follows to the end, by id.
const QUOTE_FROM_IDS: [&str; 6] = [
    "divrplyfwdmsg",                           // Outlook on the web and desktop
    "appendonsend",                            // Outlook on the web
    "mail-editor-reference-message-container", // Outlook, new and mobile
    "ms-outlook-mobile-reference-message",     // Outlook mobile, older
    "olk_src_body_section",                    // Outlook for Mac
    "zwchr",                                   // Zimbra
];
/// The same by class.
const QUOTE_FROM_CLASSES: [&str; 3] = ["outlookmessageheader", "yahoo_quoted", "zmail_extra"];
const ATTRIBUTION: [&str; 4] = ["gmail_attr", "moz-cite-prefix", "reply-intro", "gmail_extra_attr"];
const SIGNATURE: [&str; 7] = [
    "gmail_signature",
    "gmail_signature_prefix",
    "moz-signature",
    "signature",
    "ms-outlook-mobile-signature",
    "protonmail_signature_block",
    "applemailsignature",
];

#[derive(Default)]
struct Reader<'a> {
    html: &'a str,
    lines: Vec<Line>,
    line: String,
    /// A blank is due before the next word.
    blank: bool,
    /// The next line must be set off by an empty one, of this depth of quotation.
    gap: Option<usize>,
    open: Vec<(Tag, Effect)>,
    /// How many of each tag are open, so that a stray end tag costs nothing.
    counts: [usize; TRACKED.len()],
    depth: usize,
    attribution: usize,
    signature: usize,
    pre: usize,
    quote_from: bool,
    /// Quotes in tags don't close: they count no longer.
    quotes_broken: bool,
    /// Hidden elements without an end tag, so that it is looked for once.
    never_ended: Vec<String>,
    /// There is no `>` any more.
    tags_ended: bool,
}

impl<'a> Reader<'a> {
    fn read(&mut self) {
        let mut at = 0;
        while at < self.html.len() {
            let rest = &self.html[at..];
            let text = if self.tags_ended { rest.len() } else { rest.find('<').unwrap_or(rest.len()) };
            if text > 0 {
                self.text(&rest[..text]);
                at += text;
                continue;
            }
            at += self.markup(rest);
        }
    }

    /// Reads what starts at a `<`; its length.
    fn markup(&mut self, rest: &'a str) -> usize {
        if let Some(comment) = rest.strip_prefix("<!--") {
            return comment.find("-->").map_or(rest.len(), |end| end + 7);
        }
        let named = rest[1..].starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?'));
        let Some(length) = named.then(|| self.tag_length(rest)).flatten() else {
            self.text("<");
            return 1;
        };
        let tag = &rest[1..length - 1];
        let ending = tag.starts_with('/');
        let name_at = usize::from(ending);
        let name_end =
            tag[name_at..].find(|c: char| !c.is_ascii_alphanumeric() && c != ':').unwrap_or(tag.len() - name_at);
        let name = tag[name_at..name_at + name_end].to_ascii_lowercase();
        if ending {
            self.end(&name);
            return length;
        }
        self.start(&name, &tag[name_at + name_end..]);
        if matches!(name.as_str(), "style" | "script" | "title" | "xml") {
            return length + self.hidden(&rest[length..], name);
        }
        length
    }

    /// How long the content of an element that is not shown is. Without an end tag it is shown, as
    /// that costs less than a lost text.
    fn hidden(&mut self, rest: &str, name: String) -> usize {
        if self.never_ended.contains(&name) {
            return 0;
        }
        for (at, _) in rest.match_indices("</") {
            if rest[at + 2..].get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(&name)) {
                return at;
            }
        }
        self.never_ended.push(name);
        0
    }

    /// The length of the tag at the start, its `>` included.
    fn tag_length(&mut self, rest: &str) -> Option<usize> {
        if !self.quotes_broken {
            let mut quote = None;
            for (at, b) in rest.bytes().enumerate() {
                match (quote, b) {
                    (None, b'>') => return Some(at + 1),
                    (None, b'"' | b'\'') if rest[..at].ends_with(['=', ' ']) => quote = Some(b),
                    (Some(open), b) if open == b => quote = None,
                    _ => {}
                }
            }
            self.quotes_broken = true;
        }
        let end = rest.find('>').map(|at| at + 1);
        self.tags_ended |= end.is_none();
        end
    }

    fn start(&mut self, name: &str, attributes: &str) {
        match name {
            "br" => self.end_line_always(),
            "p" => {
                self.end_line();
                if !is_tight(attributes) {
                    self.gap = Some(self.depth);
                }
            }
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "ul" | "ol" => {
                self.end_line();
                self.gap = Some(self.depth);
            }
            "li" => {
                self.end_line();
                self.line.push_str("- ");
            }
            "tr" | "hr" | "body" | "section" | "article" | "header" | "footer" | "center" | "dt" | "dd" => {
                self.end_line();
            }
            "td" | "th" => self.blank = true,
            _ => {}
        }
        let effect = self.judge(name, attributes);
        let Some(index) = TRACKED.iter().position(|(tracked, _)| *tracked == name) else { return };
        let tag = TRACKED[index].1;
        if tag != Tag::Span {
            self.end_line();
        }
        self.counts[index] += 1;
        self.open.push((tag, effect));
        self.pre += usize::from(tag == Tag::Pre);
        match effect {
            Effect::Quote => self.depth += 1,
            Effect::Attribution => self.attribution += 1,
            Effect::Signature => self.signature += 1,
            Effect::None => {}
        }
    }

    fn end(&mut self, name: &str) {
        match name {
            "p" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "ul" | "ol" | "li" | "tr" => self.end_line(),
            _ => {}
        }
        let Some(index) = TRACKED.iter().position(|(tracked, _)| *tracked == name) else { return };
        if self.counts[index] == 0 {
            return;
        }
        let wanted = TRACKED[index].1;
        if wanted != Tag::Span {
            self.end_line();
        }
        while let Some((tag, effect)) = self.open.pop() {
            if let Some(other) = TRACKED.iter().position(|(_, tracked)| *tracked == tag) {
                self.counts[other] -= 1;
            }
            self.pre -= usize::from(tag == Tag::Pre);
            match effect {
                Effect::Quote => self.depth -= 1,
                Effect::Attribution => self.attribution -= 1,
                Effect::Signature => self.signature -= 1,
                Effect::None => {}
            }
            if tag == wanted {
                break;
            }
        }
    }

    /// What the element's attributes say, by the habits of mail clients.
    fn judge(&mut self, name: &str, attributes: &str) -> Effect {
        if attributes.is_empty() {
            return Effect::None;
        }
        let attributes = Attributes::read(attributes);
        // Outlook on the web puts `x_` before what it quotes.
        let ids = attributes.id.split_whitespace().map(|id| id.trim_start_matches("x_"));
        let classes = attributes.class.split_whitespace().map(|class| class.trim_start_matches("x_"));
        let names: Vec<&str> = ids.chain(classes).collect();
        let is = |table: &[&str]| names.iter().any(|name| table.contains(name));
        let outlook_border = name == "div"
            && attributes.style.contains("border-top:solid#")
            && attributes.style.contains("border:none")
            && attributes.style.contains("padding:3.0pt0");
        if is(&QUOTE_FROM_IDS) || is(&QUOTE_FROM_CLASSES) || outlook_border {
            if self.depth == 0 {
                self.end_line();
                self.quote_from = true;
            }
            return Effect::None;
        }
        if name == "blockquote" {
            // An indented paragraph is a blockquote too.
            let cited = attributes.cite
                || names.iter().any(|name| name.contains("quote"))
                || attributes.style.contains("border-left");
            return if cited { Effect::Quote } else { Effect::None };
        }
        if is(&ATTRIBUTION) {
            return Effect::Attribution;
        }
        if is(&SIGNATURE) {
            return Effect::Signature;
        }
        Effect::None
    }

    fn text(&mut self, text: &str) {
        let mut rest = text;
        while let Some(at) = rest.find('&') {
            self.words(&rest[..at]);
            let after = &rest[at..];
            let end = clean::start(after, 32).find(';').map(|end| end + 1);
            if let Some(end) = end {
                self.words(&entity(&after[..end]));
                rest = &after[end..];
            } else {
                self.words("&");
                rest = &after[1..];
            }
        }
        self.words(rest);
    }

    fn words(&mut self, text: &str) {
        if self.pre > 0 {
            let clean = clean::lines(text);
            for (index, piece) in clean.split('\n').enumerate() {
                if index > 0 {
                    self.end_line_always();
                }
                self.line.push_str(piece);
            }
            return;
        }
        for c in text.chars() {
            if c.is_whitespace() {
                self.blank = true;
                // A hard blank alone makes a line that is not nothing: it is an empty line.
                if c == '\u{a0}' && self.line.is_empty() {
                    self.gap = Some(self.depth);
                }
            } else if !c.is_control() && !clean::turns_direction(c) && !matches!(c, '\u{feff}' | '\u{200b}' | '\u{ad}')
            {
                if self.blank && !self.line.is_empty() && !self.line.ends_with(' ') {
                    self.line.push(' ');
                }
                self.blank = false;
                self.line.push(c);
            }
        }
    }

    /// Ends the line if there is anything on it.
    fn end_line(&mut self) {
        if !self.line.trim().is_empty() {
            self.end_line_always();
        }
        self.line.clear();
        self.blank = false;
    }

    fn end_line_always(&mut self) {
        let text = std::mem::take(&mut self.line);
        self.blank = false;
        if let Some(depth) = self.gap.take()
            && let Some(last) = self.lines.last()
            && !text.trim().is_empty()
        {
            // Where a quotation begins or ends, only a gap outside of it counts.
            let before = last.text.bytes().take_while(|b| *b == b'>').count();
            if depth == before.min(self.depth) {
                self.lines.push(Line { text: ">".repeat(depth.min(20)), mark: last.mark.within() });
            }
        }
        self.push(&text);
    }

    fn push(&mut self, text: &str) {
        let mark = if std::mem::take(&mut self.quote_from) {
            Mark::QuoteFrom
        } else if self.depth > 0 {
            Mark::None
        } else if self.attribution > 0 {
            Mark::Attribution
        } else if self.signature > 0 {
            Mark::Signature
        } else {
            Mark::None
        };
        let text = text.trim_end();
        let text = match self.depth {
            0 => text.to_owned(),
            depth => format!("{} {text}", ">".repeat(depth.min(20))).trim_end().to_owned(),
        };
        self.lines.push(Line { text, mark });
    }
}

/// The attributes that tell, in lower case; the style without blanks.
#[derive(Default)]
struct Attributes {
    id: String,
    class: String,
    style: String,
    /// `type="cite"`, or the source is named.
    cite: bool,
}

impl Attributes {
    fn read(text: &str) -> Self {
        let mut found = Self::default();
        let mut rest = clean::start(text, 2_000);
        while let Some(equals) = rest.find('=') {
            let name = rest[..equals].trim_end();
            let name = name.rsplit(|c: char| c.is_whitespace() || c == '"' || c == '\'').next().unwrap_or_default();
            let name = name.to_ascii_lowercase();
            let after = rest[equals + 1..].trim_start();
            let (value, next) = match after.chars().next() {
                Some(quote @ ('"' | '\'')) => after[1..].split_once(quote).unwrap_or((&after[1..], "")),
                _ => after.split_once(char::is_whitespace).unwrap_or((after, "")),
            };
            match name.as_str() {
                "id" => found.id = value.to_ascii_lowercase(),
                "class" => found.class = value.to_ascii_lowercase(),
                "style" => {
                    found.style = value.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
                }
                "type" => found.cite |= value.eq_ignore_ascii_case("cite"),
                "cite" => found.cite = true,
                _ => {}
            }
            rest = next;
        }
        found
    }
}

/// Paragraphs that clients use as lines.
fn is_tight(attributes: &str) -> bool {
    let attributes = Attributes::read(attributes);
    attributes.class.contains("msonormal")
        || attributes.class.contains("elementtoproof")
        || attributes.style.contains("margin:0")
        || attributes.style.contains("margin-top:0")
        || attributes.style.contains("margin-bottom:0")
}

/// A text that is no HTML, with the entities in it decoded (`&lt;`, `&#233;`).
#[must_use]
pub fn entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let after = &rest[at..];
        let end = clean::start(after, 32).find(';').map_or(1, |end| end + 1);
        out.push_str(&if end > 1 { entity(&after[..end]) } else { "&".to_owned() });
        rest = &after[end..];
    }
    out + rest
}

/// Another's code on foreign bytes: a panic leaves the entity as it stands.
fn entity(token: &str) -> String {
    let decoded = catch_unwind(AssertUnwindSafe(|| {
        let mut out = String::new();
        add_html_token(&mut out, token.as_bytes(), false);
        out
    }));
    decoded.unwrap_or_else(|_| token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(html: &str) -> String {
        lines(html).iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn html_reads_as_text() {
        for (html, expected) in [
            ("<p>one</p><p>two</p>", "one\n\ntwo"),
            ("<div>one</div><div><br></div><div>two</div>", "one\n\ntwo"),
            ("one<br>two<BR/>three", "one\ntwo\nthree"),
            ("<p class=MsoNormal>one</p><p class=MsoNormal>two</p>", "one\ntwo"),
            ("a &lt;b&gt; &amp; &eacute;&#233;&nbsp;c &bogus; & d", "a <b> & éé c &bogus; & d"),
            ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
            ("<style>p { color: red }</style>shown<script>x()</script>", "shown"),
            ("<!-- hidden --><!--[if mso]>x<![endif]-->shown<![if !mso]>too<![endif]>", "showntoo"),
            ("<blockquote type=\"cite\">q<blockquote type=cite>r</blockquote></blockquote>t", "> q\n>> r\nt"),
            ("<blockquote style=\"margin:0 0 0 40px;border:none\">indent</blockquote>", "indent"),
            ("<ul><li>a</li><li>b</li></ul>", "- a\n- b"),
            ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
            ("<pre>a\n  b</pre>", "a\n  b"),
            ("<a title=\"a > b\" href=x>link</a>", "link"),
            ("text <unclosed", "text <unclosed"),
            ("</div></div>x", "x"),
        ] {
            assert_eq!(text(html), expected, "{html}");
        }
    }

    #[test]
    fn clients_mark_what_is_quoted() {
        let marks = |html: &str| lines(html).iter().map(|line| line.mark).collect::<Vec<_>>();
        assert_eq!(
            marks("new<hr><div id=\"x_divRplyFwdMsg\">From</div>old"),
            [Mark::None, Mark::QuoteFrom, Mark::None]
        );
        assert_eq!(
            marks("new<div style='border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm'>From</div>"),
            [Mark::None, Mark::QuoteFrom]
        );
        assert_eq!(marks("new<div class=\"gmail_signature\">me</div>"), [Mark::None, Mark::Signature]);
        assert_eq!(marks("<div class=\"moz-cite-prefix\">On</div>"), [Mark::Attribution]);
    }

    #[test]
    fn hostile_markup_is_read_in_a_moment() {
        for piece in
            ["<a \"", "<!--", "<div>", "</div>", "<style>", "&", "<blockquote type=cite>", "<", "<p x='", "&#1;"]
        {
            let html = piece.repeat(50_000);
            assert!(lines(&html).len() <= 50_001);
        }
    }
}
