//! Takes a member's commands out of his text before it goes on.
//!
//! Which lines are commands was decided when the mail was understood; here they are found again in
//! each part that shows the text, plain or HTML, at its very beginning and nowhere else.

use super::markup::{Tag, is_blank_char, unescaped};

/// Plain text in UTF-8 without the leading lines that are these commands; `None` where it starts
/// with none of them.
#[must_use]
pub fn from_plain(text: &str, commands: &[String]) -> Option<String> {
    let mut rest = text;
    let mut commands = commands.iter().peekable();
    let mut taken = false;
    while let Some(command) = commands.peek() {
        let (line, behind) = rest.split_once('\n').unwrap_or((rest, ""));
        if is_same(line, command) {
            commands.next();
            taken = true;
        } else if !is_blank(line) || behind.is_empty() {
            break;
        }
        rest = behind;
    }
    taken.then(|| rest.trim_start_matches(is_blank_char).to_owned())
}

/// The same for HTML in UTF-8. Tags stay, so that the rest looks as before.
#[must_use]
pub fn from_html(html: &str, commands: &[String]) -> Option<String> {
    let mut cuts: Vec<(usize, usize)> = Vec::new();
    let mut line = Line::default();
    let mut commands = commands.iter().peekable();
    let mut at = 0;
    let mut done = false;
    while at < html.len() && !done {
        let rest = &html[at..];
        if rest.starts_with('<') {
            let tag = Tag::read(rest);
            if tag.breaks {
                done = !line.end(&mut commands, &mut cuts, (tag.name == "br").then_some((at, at + tag.length)));
            }
            at += tag.length;
        } else {
            let length = rest.find('<').unwrap_or(rest.len());
            line.add(at, &rest[..length]);
            at += length;
        }
        done |= commands.peek().is_none() || line.shown.len() > 4_096;
    }
    if !done {
        line.end(&mut commands, &mut cuts, None);
    }
    if cuts.is_empty() {
        return None;
    }
    let mut out = String::with_capacity(html.len());
    let mut kept = 0;
    for (from, to) in cuts {
        out.push_str(&html[kept..from]);
        kept = to;
    }
    out.push_str(&html[kept..]);
    Some(out)
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
    fn end<'c>(
        &mut self,
        commands: &mut std::iter::Peekable<impl Iterator<Item = &'c String>>,
        cuts: &mut Vec<(usize, usize)>,
        br: Option<(usize, usize)>,
    ) -> bool {
        let line = std::mem::take(self);
        if is_blank(&line.shown) {
            return true;
        }
        if commands.peek().is_none_or(|command| !is_same(&line.shown, command)) {
            return false;
        }
        commands.next();
        cuts.extend(line.pieces);
        cuts.extend(br);
        true
    }
}

/// Whether two lines are the same but for blanks.
fn is_same(line: &str, command: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        text.split(is_blank_char).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    line.len() <= 8 * command.len() + 4_096 && !is_blank(line) && words(line) == words(command)
}

fn is_blank(line: &str) -> bool {
    line.chars().all(is_blank_char)
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
            ("#close", Some("")),
            ("#close\r\nDone.\r\n#tag vat\r\n", Some("Done.\r\n#tag vat\r\n")),
            ("Done.\r\n#close\r\n", None),
            ("#closed\r\n", None),
            ("", None),
        ] {
            assert_eq!(from_plain(text, &two).as_deref(), rest, "{text:?}");
        }
        assert_eq!(from_plain("#close\r\n", &[]), None);
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
            ("<p>#close", Some("<p>")),
            ("<p>Done.</p><p>#close</p>", None),
            ("<p>#close now</p>", None),
            ("<style>never closed #close", None),
            ("<p", None),
            ("", None),
        ] {
            assert_eq!(from_html(html, &two).as_deref(), rest, "{html}");
        }
    }
}
