//! Takes a member's commands out of his text before it goes on.
//!
//! How many there are was decided when the mail was understood; here they are found again, by the
//! same rule ([`Lines`]), in each part that shows the text, plain or HTML, at its very beginning and
//! nowhere else. So a line may read otherwise in HTML than it did in plain text, and still goes.

use super::markup::{Tag, unescaped};
use crate::desk::command::{Is, Lines, is_blank};

/// A text without the commands that it began with.
pub struct Cut<'c> {
    /// `None` where it began with none.
    pub text: Option<String>,
    /// Those that may still come in the next part: none once there was text.
    pub left: &'c [String],
}

/// Plain text in UTF-8. `flowed`: a line that ends in a blank goes on in the next (RFC 3676 §4.2).
#[must_use]
pub fn from_plain<'c>(text: &str, commands: &'c [String], flowed: bool) -> Cut<'c> {
    let mut reader = Reader { lines: Lines::default(), left: commands };
    let mut rest = text;
    let mut cut = false;
    while !rest.is_empty() {
        let (mut line, mut behind) = next_line(rest);
        match reader.next(line) {
            Step::Cut => cut = true,
            Step::Pass => {}
            Step::End => break,
        }
        while flowed && line.trim_end_matches('\r').ends_with(' ') && !behind.is_empty() {
            (line, behind) = next_line(behind);
        }
        rest = behind;
    }
    Cut { text: cut.then(|| rest.trim_start_matches(is_blank).to_owned()), left: reader.left }
}

/// The same for HTML in UTF-8. Tags stay, so that the rest looks as before.
#[must_use]
pub fn from_html<'c>(html: &str, commands: &'c [String]) -> Cut<'c> {
    /// As long as a line of text may be that is still looked at.
    const LONGEST: usize = 4_096;
    let mut cuts: Vec<(usize, usize)> = Vec::new();
    let mut reader = Reader { lines: Lines::default(), left: commands };
    let mut line = Line::default();
    let mut at = 0;
    let mut goes_on = !commands.is_empty();
    while at < html.len() && goes_on {
        let rest = &html[at..];
        if rest.starts_with('<') {
            let tag = Tag::read(rest);
            if tag.breaks {
                let br = (tag.name == "br").then_some((at, at + tag.length));
                goes_on = line.end(&mut reader, &mut cuts, br);
            }
            at += tag.length;
        } else {
            let length = rest.find('<').unwrap_or(rest.len());
            line.add(at, &rest[..length]);
            at += length;
            if line.shown.len() > LONGEST && !line.shown.chars().all(is_blank) {
                goes_on = line.end(&mut reader, &mut cuts, None);
            }
        }
    }
    if goes_on {
        line.end(&mut reader, &mut cuts, None);
    }
    if cuts.is_empty() {
        return Cut { text: None, left: reader.left };
    }
    let mut out = String::with_capacity(html.len());
    let mut kept = 0;
    for (from, to) in cuts {
        out.push_str(&html[kept..from]);
        kept = to;
    }
    out.push_str(&html[kept..]);
    Cut { text: Some(out), left: reader.left }
}

/// Tells what of a text's beginning goes, while there are commands left.
struct Reader<'c> {
    lines: Lines,
    left: &'c [String],
}

/// What becomes of a line.
enum Step {
    Cut,
    /// It is blank.
    Pass,
    /// The text begins with it.
    End,
}

impl Reader<'_> {
    fn next(&mut self, line: &str) -> Step {
        match (self.lines.next(line), self.left) {
            (Is::Command, [_, others @ ..]) => {
                self.left = others;
                Step::Cut
            }
            (Is::More, _) => Step::Cut,
            (Is::Blank, _) => Step::Pass,
            (Is::Command | Is::Text, _) => {
                self.left = &[];
                Step::End
            }
        }
    }
}

/// The first line, and what is behind it. All that readers break lines at counts.
fn next_line(text: &str) -> (&str, &str) {
    let end = text.find(['\n', '\u{85}', '\u{2028}', '\u{2029}']);
    let Some(end) = end else { return (text, "") };
    let behind = &text[end..];
    (&text[..end], behind.char_indices().nth(1).map_or("", |(at, _)| &behind[at..]))
}

/// One line as a reader sees it, and where its text stands.
#[derive(Default)]
struct Line {
    shown: String,
    pieces: Vec<(usize, usize)>,
}

impl Line {
    fn add(&mut self, at: usize, text: &str) {
        self.shown.push_str(&unescaped(text));
        self.pieces.push((at, at + text.len()));
    }

    /// Ends the line; whether the next one may still be a command.
    fn end(&mut self, reader: &mut Reader<'_>, cuts: &mut Vec<(usize, usize)>, br: Option<(usize, usize)>) -> bool {
        let line = std::mem::take(self);
        // What stands between tags for the sake of whoever reads the source is no line.
        if br.is_none() && line.shown.trim_ascii().is_empty() {
            return true;
        }
        match reader.next(&line.shown) {
            Step::Cut => {
                cuts.extend(line.pieces);
                cuts.extend(br);
                true
            }
            Step::Pass => true,
            Step::End => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn plain_text() {
        let two = commands(&["#close", "#tag vat"]);
        for (text, rest) in [
            ("#close\r\n#tag vat\r\n\r\nDone.\r\n", Some("Done.\r\n")),
            ("\r\n\u{a0} #close \r\n\r\n#tag\u{a0}vat\r\nDone.", Some("Done.")),
            ("\u{feff}＃Close\r\n#\u{200b}tag vat\r\nDone.", Some("Done.")),
            ("#close\u{2028}#tag vat\u{2028}Done.", Some("Done.")),
            ("#close", Some("")),
            ("#close\r\nDone.\r\n#tag vat\r\n", Some("Done.\r\n#tag vat\r\n")),
            ("#close\r\n#tag vat\r\n#third\r\n", Some("#third\r\n")),
            ("Done.\r\n#close\r\n", None),
            ("#1 done\r\n", None),
            ("", None),
        ] {
            assert_eq!(from_plain(text, &two, false).text.as_deref(), rest, "{text:?}");
        }
        assert_eq!(from_plain("#close\r\n", &[], false).text, None);
        let cc = commands(&["#cc a@example.com"]);
        let wrapped = "#cc a@example.com, \r\nb@example.com\r\nHi \r\nthere";
        for flowed in [true, false] {
            assert_eq!(from_plain(wrapped, &cc, flowed).text.as_deref(), Some("Hi \r\nthere"), "flowed: {flowed}");
        }
        assert_eq!(from_plain("#tag a \r\nb\r\nHi", &two, true).text.as_deref(), Some("Hi"));
    }

    #[test]
    fn html() {
        let two = commands(&["#close", "#assign alice@team.example"]);
        for (html, rest) in [
            ("<div>#close</div><div>Done.</div>", Some("<div></div><div>Done.</div>")),
            (
                "#close<br>#assign <a href='mailto:x'>alice@team.example</a><br>Done. #close",
                Some("<a href='mailto:x'></a>Done. #close"),
            ),
            (
                "<html><head><style>p {}</style><title>#close</title></head><body><!-- #close --><p>&nbsp;</p><p><span>#close</span>&nbsp;</p><p>x</p>",
                Some(
                    "<html><head><style>p {}</style><title>#close</title></head><body><!-- #close --><p>&nbsp;</p><p><span></span></p><p>x</p>",
                ),
            ),
            ("<p>&#8203;&num;priorit&eacute;&#160;: haute</p>x", Some("<p></p>x")),
            ("<p><b>#</b>close</p>x", Some("<p><b></b></p>x")),
            ("<p>#close", Some("<p>")),
            ("<p>Done.</p><p>#close</p>", None),
            ("<style>never closed #close", None),
            ("<p", None),
            ("", None),
        ] {
            assert_eq!(from_html(html, &two).text.as_deref(), rest, "{html}");
        }
        let cc = commands(&["#cc a@example.com, b@example.com"]);
        for between in ["</div>\r\n<div>", "<br>\r\n"] {
            let wrapped = format!("<div>#cc a@example.com,{between}b@example.com</div>Hi");
            let cut = from_html(&wrapped, &cc).text.unwrap();
            assert!(!cut.contains("example.com") && cut.ends_with("</div>Hi"), "{wrapped} became {cut}");
        }
    }

    #[test]
    fn what_is_left_for_the_next_part() {
        let two = commands(&["#close", "#tag vat"]);
        for (text, left) in [("", 2), ("\r\n \r\n", 2), ("#close\r\n", 1), ("#close\r\nDone.", 0), ("Done.", 0)] {
            assert_eq!(from_plain(text, &two, false).left.len(), left, "{text:?}");
            assert_eq!(from_html(&text.replace("\r\n", "<br>"), &two).left.len(), left, "{text:?}");
        }
    }
}
