//! Takes the members' line on top out of what a member quotes, before his text goes on to contacts.
//!
//! A member answers the copy that he got, and his client quotes it whole: the assignee, the tags,
//! the warning. Mail clients drop attributes and styles and keep text, so the line is known by its
//! text: it starts a line with a ticket of the property and a dot (`acme-1042 · `), and ends, in the
//! same depth of quotation and not far below, with its rule. What has no rule is somebody's own
//! words and stays. Nothing here looks at whose ticket it is: no contact should read any.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memmem;

use super::markup::{Tag, is_blank_char, unescaped};
use super::top::RULE;

/// How far the rule may be from the beginning: the longest that we write, folded at 65 columns.
const MOST_LINES: usize = 60;
/// A rule that a client cut is one as long as it has so many hyphens.
const SHORTEST_RULE: usize = 20;
/// Where a line has so many octets, what follows it may be its own end, which a client folded and
/// put no mark of quotation before.
const FOLDED_FROM: usize = 50;
/// Of how many pieces of HTML the line may consist, and how many tags around it are looked at.
const MOST_PIECES: usize = 600;
const MOST_AROUND: usize = 100;

/// Whether a line on top may be in text of any charset that has ASCII in its place: a cheap look.
#[must_use]
pub fn may_hold(text: &[u8], slug: &str) -> bool {
    memmem::find(text, format!("{slug}-").as_bytes()).is_some()
}

/// Plain text without each line on top that is quoted in it, and without the blank line behind it;
/// `None` where there is none.
#[must_use]
pub fn from_plain(text: &str, slug: &str) -> Option<String> {
    if !may_hold(text.as_bytes(), slug) {
        return None;
    }
    let mut end = 0;
    let lines: Vec<_> = text
        .split_inclusive('\n')
        .map(|line| {
            let start = end;
            end += line.len();
            let (depth, shown) = unmarked(line);
            Line { depth, shown: Cow::Borrowed(shown), at: start..end }
        })
        .collect();
    let blocks = blocks(&lines, slug);
    (!blocks.is_empty()).then(|| without(text, blocks.into_iter()))
}

/// The same for HTML. An element that held nothing else goes with its text; other tags stay.
#[must_use]
pub fn from_html(html: &str, slug: &str) -> Option<String> {
    if !may_hold(html.as_bytes(), slug) {
        return None;
    }
    let page = Page::read(html);
    let blocks = blocks(&page.lines, slug);
    let gone: Vec<_> = blocks.into_iter().flat_map(|block| page.pieces_of(block)).collect();
    (!gone.is_empty()).then(|| without(html, gone.into_iter()))
}

/// The text without what stands at these places, which are in order.
fn without(text: &str, gone: impl Iterator<Item = Range<usize>>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut kept = 0;
    for place in gone {
        out.push_str(&text[kept..place.start]);
        kept = place.end;
    }
    out.push_str(&text[kept..]);
    out
}

/// One line as a reader sees it.
struct Line<'t> {
    /// Of quotation.
    depth: usize,
    /// Without the marks of quotation and the blanks around.
    shown: Cow<'t, str>,
    /// Where it stands: octets of plain text, pieces of a page.
    at: Range<usize>,
}

/// How deep a line is quoted, and what stands behind the marks.
fn unmarked(line: &str) -> (usize, &str) {
    let is_mark = |c: char| matches!(c, '>' | '|');
    let shown = line.trim_start_matches(|c: char| is_mark(c) || is_blank_char(c));
    let marks = &line[..line.len() - shown.len()];
    (marks.chars().filter(|c| is_mark(*c)).count(), shown.trim_end_matches(is_blank_char))
}

/// Where lines on top stand, each with one blank line behind it.
fn blocks(lines: &[Line<'_>], slug: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut head: Option<usize> = None;
    let mut at = 0;
    while at < lines.len() {
        if is_head(&lines[at..], slug) {
            head = Some(at);
        } else if let Some(from) = head {
            let depth = lines[from].depth;
            if at - from > MOST_LINES || !goes_on(&lines[at - 1], &lines[at], depth) {
                head = None;
            } else if let Some(length) = rule(&lines[at..]) {
                at += length;
                if lines.get(at).is_some_and(|next| next.depth == depth && next.shown.is_empty()) {
                    at += 1;
                }
                found.push(lines[from].at.start..lines[at - 1].at.end);
                head = None;
                continue;
            }
        }
        at += 1;
    }
    found
}

/// Whether a line can belong to a line on top of that depth.
fn goes_on(before: &Line<'_>, line: &Line<'_>, depth: usize) -> bool {
    line.depth == depth || line.depth < depth && !line.shown.is_empty() && before.shown.len() >= FOLDED_FROM
}

/// Whether a line on top begins here: `acme-1042 · `, also as clients write bold text and links in
/// plain text (`*acme-1042* <https://…> · `), and where they break that. The dot is a bar where our
/// line was written in ASCII.
fn is_head(lines: &[Line<'_>], slug: &str) -> bool {
    if behind_reference(&lines[0].shown, slug).is_none() {
        return false;
    }
    let joined = lines.iter().take(3).map(|line| line.shown.as_ref()).collect::<Vec<_>>().join(" ");
    let Some(mut rest) = behind_reference(&joined, slug) else { return false };
    if let Some((_, behind)) = rest.strip_prefix('<').and_then(|link| link.split_once('>')) {
        rest = behind.trim_start_matches(is_blank_char);
    }
    rest.strip_prefix(['·', '|']).is_some_and(|rest| rest.is_empty() || rest.starts_with(is_blank_char))
}

/// What follows the ticket that a line starts with.
fn behind_reference<'l>(line: &'l str, slug: &str) -> Option<&'l str> {
    let number = line.trim_start_matches('*').strip_prefix(slug)?.strip_prefix('-')?;
    let rest = number.trim_start_matches(|c: char| c.is_ascii_digit());
    (rest.len() < number.len()).then(|| rest.trim_start_matches('*').trim_start_matches(is_blank_char))
}

/// How many lines the rule takes that stands here, if one does.
fn rule(lines: &[Line<'_>]) -> Option<usize> {
    let hyphens = |line: &Line<'_>| line.shown.bytes().all(|b| b == b'-').then_some(line.shown.len());
    let first = hyphens(lines.first()?).filter(|length| (1..=RULE.len()).contains(length))?;
    let second = lines.get(1).and_then(hyphens).unwrap_or_default();
    if second > 0 && first + second == RULE.len() {
        return Some(2);
    }
    (first >= SHORTEST_RULE).then_some(1)
}

/// HTML in pieces, and the lines that they show.
struct Page {
    pieces: Vec<Piece>,
    lines: Vec<Line<'static>>,
}

struct Piece {
    /// In octets of the page.
    at: Range<usize>,
    kind: Kind,
}

#[derive(PartialEq, Eq)]
enum Kind {
    Text,
    /// Of nothing but white space.
    Space,
    Open(String),
    Close(String),
    /// `br`, `wbr`, `hr`.
    Break,
    /// What is never taken out.
    Other,
}

impl Page {
    fn read(html: &str) -> Self {
        let mut page = Self { pieces: Vec::new(), lines: Vec::new() };
        let mut line = Unfinished::default();
        let (mut quotes, mut pre) = (0_usize, 0_usize);
        let mut at = 0;
        while at < html.len() {
            let rest = &html[at..];
            let piece = page.pieces.len();
            let (length, kind) = if rest.starts_with('<') {
                let tag = Tag::read(rest);
                let count = |count: usize| if tag.closes { count.saturating_sub(1) } else { count + 1 };
                if tag.name == "br" {
                    line.add(piece, "");
                }
                if tag.breaks {
                    page.lines.extend(line.end(quotes));
                }
                match tag.name.as_str() {
                    "blockquote" => quotes = count(quotes),
                    "pre" => pre = count(pre),
                    _ => {}
                }
                (tag.length, Kind::of(tag))
            } else {
                let length = rest.find(|c| c == '<' || pre > 0 && c == '\n').unwrap_or(rest.len());
                let ends = rest[length..].starts_with('\n');
                let length = length + usize::from(ends);
                let text = &rest[..length];
                let is_space = text.trim_ascii().is_empty();
                if ends || !is_space {
                    line.add(piece, text);
                }
                if ends {
                    page.lines.extend(line.end(quotes));
                }
                (length, if is_space { Kind::Space } else { Kind::Text })
            };
            page.pieces.push(Piece { at: at..at + length, kind });
            at += length;
        }
        page.lines.extend(line.end(quotes));
        page
    }

    /// What goes with these pieces: their text, and the elements that hold nothing else. In order;
    /// nothing of a block too large to be ours.
    fn pieces_of(&self, block: Range<usize>) -> Vec<Range<usize>> {
        if block.len() > MOST_PIECES {
            return Vec::new();
        }
        let (before, behind) = (&self.pieces[..block.start], &self.pieces[block.end..]);
        let opens = |piece: &&Piece| matches!(piece.kind, Kind::Open(_) | Kind::Space);
        // Word ends each paragraph in an empty `<o:p></o:p>`.
        let closes = |piece: &&Piece| match &piece.kind {
            Kind::Open(name) => name == "o",
            kind => matches!(kind, Kind::Close(_) | Kind::Space),
        };
        let first = block.start - before.iter().rev().take(MOST_AROUND).take_while(opens).count();
        let end = block.end + behind.iter().take(MOST_AROUND).take_while(closes).count();
        let mut open: Vec<(usize, &str)> = Vec::new();
        let mut gone = Vec::new();
        for at in first..end {
            match &self.pieces[at].kind {
                Kind::Open(name) => open.push((at, name)),
                Kind::Close(name) => {
                    if let Some(found) = open.iter().rposition(|(_, other)| other == name) {
                        gone.extend([open[found].0, at]);
                        open.truncate(found);
                    }
                }
                Kind::Text | Kind::Space | Kind::Break if block.contains(&at) => gone.push(at),
                Kind::Text | Kind::Space | Kind::Break | Kind::Other => {}
            }
        }
        gone.sort_unstable();
        gone.into_iter().map(|at| self.pieces[at].at.clone()).collect()
    }
}

impl Kind {
    fn of(tag: Tag) -> Self {
        match tag.name.as_str() {
            "br" | "wbr" | "hr" => Self::Break,
            // What has no name or no end, and what others stand on.
            "" | "area" | "base" | "col" | "embed" | "img" | "input" | "link" | "meta" | "source" | "html" | "head"
            | "body" | "td" | "th" => Self::Other,
            _ if tag.closes => Self::Close(tag.name),
            _ => Self::Open(tag.name),
        }
    }
}

/// A line that is being read.
#[derive(Default)]
struct Unfinished {
    html: String,
    /// From its first piece to its last.
    at: Option<Range<usize>>,
}

impl Unfinished {
    fn add(&mut self, piece: usize, html: &str) {
        self.html.push_str(html);
        self.at.get_or_insert(piece..piece).end = piece + 1;
    }

    /// The line, if it has anything.
    fn end(&mut self, quotes: usize) -> Option<Line<'static>> {
        let Self { html, at } = std::mem::take(self);
        let text = unescaped(&html);
        let (marks, shown) = unmarked(&text);
        Some(Line { depth: quotes + marks, shown: Cow::Owned(shown.to_owned()), at: at? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE_CUT: &str = "------------------------";

    #[test]
    fn plain_text() {
        for (text, rest) in [
            // As Gmail, Apple Mail and Thunderbird quote plain text.
            (
                "Yes.\r\n\r\nOn Monday Carol wrote:\r\n> acme-1042 · Open · Assigned to Alice · vip\r\n> From Carol <c@example.com>\r\n> Your reply goes to Carol.\r\n> RULE\r\n>\r\n> It is broken.\r\n",
                "Yes.\r\n\r\nOn Monday Carol wrote:\r\n> It is broken.\r\n",
            ),
            // Several, in several depths, none below the other's rule.
            (
                ">> acme-7 · Fermé · Non attribué\r\n>> De\u{a0}: Carol\r\n>> RULE\r\n>>\r\n>> Bonjour\r\n> acme-7 · Ouvert\r\n> RULE\r\n> Salut\r\n",
                ">> Bonjour\r\n> Salut\r\n",
            ),
            // Other marks, hard blanks, and none.
            ("> > acme-1\u{a0}· Open\r\n> > RULE\r\n> > x", "> > x"),
            ("| acme-1 · Open\r\n| RULE\r\n| \r\n| x", "| x"),
            ("-- \r\nacme-1 · Open\r\nCareful: x.\r\nRULE\r\n\r\nx\r\n", "-- \r\nx\r\n"),
            ("> acme-1 · Open\n> RULE\n> \n> x\n", "> x\n"),
            // What was written in ASCII alone.
            ("> acme-1 | Open | vip\r\n> RULE\r\n> x", "> x"),
            // Plain text that a client made of our HTML: bold, links, lines apart.
            ("> *acme-1042* · Open · vip\r\n>\r\n> From Carol\r\n>\r\n> RULE\r\n>\r\n> x\r\n", "> x\r\n"),
            ("> *acme-1* <https://desk.example/t/acme-1> · Open\r\n> RULE\r\n> x", "> x"),
            ("> *acme-1* <\r\n> https://desk.example/t/acme-1>\r\n> · Open\r\n> RULE\r\n> x", "> x"),
            ("acme-1<https://desk.example/t/acme-1> · Open\r\nRULE\r\nx", "x"),
            // Folded, with the mark and without it.
            ("> acme-1 · Open · Assigned to\r\n> Alice · vip\r\n> RULE\r\n> x", "> x"),
            ("> acme-1 · Open · High priority · Assigned to Alice Martin ·\r\nvip, delivery\r\n> RULE\r\n> x", "> x"),
            (">> acme-1 · Open\r\n>> --------------------------------------\r\n>> --\r\n>> x", ">> x"),
            ("> acme-1 · Open\r\n> CUT\r\n> x", "> x"),
        ] {
            let text = text.replace("RULE", RULE).replace("CUT", RULE_CUT);
            assert_eq!(from_plain(&text, "acme").as_deref(), Some(rest), "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_it_stays() {
        for text in [
            "acme-12 · something\r\nand more\r\n",
            "acme-12 · something\r\n-- \r\nCarol",
            "acme-12 · something\r\n-------\r\n",
            "> acme-12 · something\r\n>> RULE\r\n",
            "> acme-12 · something\r\nMy answer to that.\r\n> RULE\r\n",
            "About acme-12 · something\r\nRULE\r\n",
            "acme-12: something\r\nRULE\r\n",
            "acme-12·3\r\nRULE\r\n",
            "acme-x · Open\r\nRULE\r\n",
            "acme- · Open\r\nRULE\r\n",
            "acme-2-1 · Open\r\nRULE\r\n",
            "other-1 · Open\r\nRULE\r\n",
            "RULE\r\nacme-1 · Open",
            "acme-1 · Open\r\nRULERULE\r\n",
            "",
        ] {
            let text = text.replace("RULE", RULE);
            assert_eq!(from_plain(&text, "acme"), None, "{text}");
            let html = text.replace("\r\n", "<br>");
            assert_eq!(from_html(&html, "acme"), None, "{html}");
        }
        let far = format!("acme-1 · Open\r\n{}{RULE}\r\n", "line\r\n".repeat(MOST_LINES));
        assert_eq!(from_plain(&far, "acme"), None);
        let own = format!("acme-12 · my own list\r\n> acme-1 · Open\r\n> {RULE}\r\n> x");
        assert_eq!(from_plain(&own, "acme").as_deref(), Some("acme-12 · my own list\r\n> x"));
    }

    #[test]
    fn html_as_clients_quote_it() {
        for (client, html, rest) in [
            (
                "Gmail",
                "<div dir=\"ltr\">Yes.</div><br><div class=\"gmail_quote\"><div class=\"gmail_attr\">Carol wrote:<br></div><blockquote class=\"gmail_quote\" style=\"margin:0\"><div style=\"font:13px/1.5 sans-serif;color:rgb(107,114,128)\"><b>acme-1042</b> · Open · Assigned to Alice · vip<br>\r\nFrom Carol &lt;<a href=\"mailto:c@example.com\">c@example.com</a>&gt;<br>\r\n<b style=\"color:rgb(180,83,9)\">Careful: x.</b><br>\r\n<span style=\"color:rgb(209,213,219)\">RULE</span></div>\r\n<p>It is broken.</p></blockquote></div>",
                "<div dir=\"ltr\">Yes.</div><br><div class=\"gmail_quote\"><div class=\"gmail_attr\">Carol wrote:<br></div><blockquote class=\"gmail_quote\" style=\"margin:0\">\r\n<p>It is broken.</p></blockquote></div>",
            ),
            (
                "Gmail, of plain text",
                "<blockquote class=\"gmail_quote\">acme-1 · Open · vip<br>\r\nFrom Carol<br>\r\nRULE<br>\r\n<br>\r\nIt is broken.<br></blockquote>",
                "<blockquote class=\"gmail_quote\">\r\nIt is broken.<br></blockquote>",
            ),
            (
                "Outlook (Word)",
                "<div style='border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm'><p class=MsoNormal><b>From:</b> Carol<o:p></o:p></p></div><div><p class=MsoNormal><b><span style='font-size:10.0pt'>acme-1042</span></b><span style='font-size:10.0pt'> &middot; Open &middot;\r\nvip<br>\r\nFrom Carol<br>\r\n</span><span style='color:#D1D5DB'>RULE</span><o:p></o:p></p></div><p class=MsoNormal>It is broken.<o:p></o:p></p>",
                "<div style='border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm'><p class=MsoNormal><b>From:</b> Carol<o:p></o:p></p></div><p class=MsoNormal>It is broken.<o:p></o:p></p>",
            ),
            (
                "Outlook (Word), of plain text",
                "<p class=MsoPlainText>acme-1 &#183;&nbsp;Open<o:p></o:p></p><p class=MsoPlainText>From Carol<o:p></o:p></p><p class=MsoPlainText>RULE<o:p></o:p></p><p class=MsoPlainText><o:p>&nbsp;</o:p></p><p class=MsoPlainText>It is broken.<o:p></o:p></p>",
                "<p class=MsoPlainText>It is broken.<o:p></o:p></p>",
            ),
            (
                "Outlook on the web",
                "<div id=\"divRplyFwdMsg\" dir=\"ltr\">From: Carol</div>\r\n<div><div style=\"display:block!important\" class=\"x_a\"><a href=\"https://desk.example/t/acme-1\" id=\"OWA1\"><b>acme-1</b></a> &#183; Open<br>\r\nFrom Carol<br>\r\n<span style=\"color:#d1d5db\">RULE</span></div>\r\n<div dir=\"ltr\">It is broken.</div></div>",
                "<div id=\"divRplyFwdMsg\" dir=\"ltr\">From: Carol</div>\r\n<div>\r\n<div dir=\"ltr\">It is broken.</div></div>",
            ),
            (
                "Apple Mail",
                "<html><body>Yes.<br><blockquote type=\"cite\"><div>On Monday Carol wrote:</div><br class=\"Apple-interchange-newline\"><div><div style=\"display: block !important;\"><b>acme-1</b> · Open<br>From Carol<br><span>RULE</span></div>It is broken.</div></blockquote></body></html>",
                "<html><body>Yes.<br><blockquote type=\"cite\"><div>On Monday Carol wrote:</div><br class=\"Apple-interchange-newline\"><div>It is broken.</div></blockquote></body></html>",
            ),
            (
                "Thunderbird, of plain text",
                "<blockquote type=\"cite\" cite=\"mid:1@x\"><pre class=\"moz-quote-pre\" wrap=\"\">acme-1 · Open\r\nFrom Carol <a class=\"moz-txt-link-rfc2396E\" href=\"mailto:c@example.com\">&lt;c@example.com&gt;</a>\r\nRULE\r\n\r\nIt is broken.\r\n</pre></blockquote>",
                "<blockquote type=\"cite\" cite=\"mid:1@x\"><pre class=\"moz-quote-pre\" wrap=\"\">It is broken.\r\n</pre></blockquote>",
            ),
            (
                "marks in HTML",
                "<div>&gt; acme-1 · Open</div><div>&gt; RULE</div><div>&gt; x</div>",
                "<div>&gt; x</div>",
            ),
            (
                "a page of its own",
                "<html><body><div><b>acme-1</b> · Open<br><span>RULE</span></div></body></html>",
                "<html><body></body></html>",
            ),
            (
                "tags that do not match",
                "<blockquote><div><i><b>acme-1</i></b> · Open<p>From<p>RULE</div><img src=x>x</blockquote>",
                "<blockquote><b></b><p><p><img src=x>x</blockquote>",
            ),
        ] {
            let (html, rest) = (html.replace("RULE", RULE), rest.replace("RULE", RULE));
            assert_eq!(from_html(&html, "acme").as_deref(), Some(rest.as_str()), "{client}");
        }
    }

    #[test]
    fn hostile_text_is_read_in_a_moment() {
        for piece in [
            "acme-1 · Open\r\n",
            "acme-1",
            "acme-1\r\n",
            ">",
            "<",
            "<b>",
            "<b>acme-1 · Open<br>",
            "</b>",
            "<pre>\r\n",
            "<blockquote>acme-1 · Open<br>",
            "<!--",
            "<style>acme-1",
            "&acme-1",
            "-",
            &format!("<b>acme-1 · Open{}{}<br>{RULE}<br>", "<i>".repeat(250), "</u>".repeat(250)),
        ] {
            let text = format!("acme-1 · Open<br>{}", piece.repeat(400_000 / piece.len()));
            for rest in [from_plain(&text, "acme"), from_html(&text, "acme")] {
                assert!(rest.is_none_or(|rest| rest.len() < text.len()), "{piece}");
            }
        }
    }
}
