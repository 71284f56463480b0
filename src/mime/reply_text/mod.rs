//! The new text of a message, told apart from what it quotes and from its signature.
//!
//! The rule that stands above the patterns: when unsure, it is new. Answers between quoted lines
//! keep the lines that they answer; a message of which nothing would be left is new as a whole.

mod forward;
mod heads;
mod signature;

use std::ops::Range;

use super::text::{Line, Mark, Text};
use super::understand::Forwarded;
use heads::Head;

/// What the header says the message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It answers nothing: a header in words within it is more likely a form than a quotation.
    New,
    Answer,
    /// It hands a mail on: what it hands on is what its sender wants to say, and stays new, besides
    /// being read as [`Forwarded`].
    Forward,
}

/// Separates the lines.
#[must_use]
pub fn separate(lines: &[Line], purpose: Purpose) -> (Text, Option<Forwarded>) {
    let forwarding = purpose == Purpose::Forward;
    let plan = Plan::of(lines, purpose);
    if let Some((at, Cut::Forward)) = plan.cut.filter(|_| !forwarding) {
        // Handed on without saying so in the subject: the text above may hold quotations.
        let above = Plan { kinds: plan.kinds[..at].to_vec(), cut: None };
        let mut text = separated(&lines[..at], &above);
        text.new = tidy(&format!("{}\n\n{}", text.new, whole(&lines[at..])));
        return (text, None);
    }
    if let (Some((at, _)), true) = (plan.cut, forwarding) {
        let above = Plan { kinds: plan.kinds[..at].to_vec(), cut: None };
        let comment = compose(&lines[..at], &above).map(|text| text.new).unwrap_or_default();
        let handed_on = forward::unquoted(&lines[at..]);
        let new = tidy(&format!("{}\n\n{}", whole(&lines[..at]), whole(&handed_on)));
        return (Text { new, ..Text::default() }, forward::read(&handed_on, comment));
    }
    (separated(lines, &plan), None)
}

/// The lines by a plan; new as a whole where it would leave nothing new.
fn separated(lines: &[Line], plan: &Plan) -> Text {
    compose(lines, plan).unwrap_or_else(|| Text { new: whole(lines), nothing_new: true, ..Text::default() })
}

/// All lines as one text.
#[must_use]
pub fn whole(lines: &[Line]) -> String {
    tidy(&join(lines.iter()))
}

/// What a line is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    New,
    /// Behind a `>`.
    Quote,
    /// `On … wrote:`.
    Attribution,
    Signature,
}

/// Why everything from a line on is not new.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// An answered message, whole.
    Quotation,
    /// A message that is handed on.
    Forward,
}

/// What the lines are, up to the one from which on all is quotation.
struct Plan {
    kinds: Vec<Kind>,
    cut: Option<(usize, Cut)>,
}

impl Plan {
    fn of(lines: &[Line], purpose: Purpose) -> Self {
        let mut kinds = Vec::with_capacity(lines.len());
        let mut cut = None;
        let mut at = 0;
        while let Some(line) = lines.get(at) {
            if line.text.starts_with('>') {
                // Apple Mail quotes what it hands on, the words above it included.
                if purpose == Purpose::Forward
                    && heads::is_forward(&line.text.trim_start_matches(['>', ' ']).to_lowercase())
                {
                    cut = Some((at, Cut::Forward));
                    break;
                }
                kinds.push(Kind::Quote);
                at += 1;
                continue;
            }
            match heads::at(lines, at, purpose) {
                Some(Head::Forward) => {
                    cut = Some((at, Cut::Forward));
                    break;
                }
                Some(Head::ToTheEnd) => {
                    cut = Some((at, Cut::Quotation));
                    break;
                }
                Some(Head::Attribution(length)) => {
                    kinds.extend(std::iter::repeat_n(Kind::Attribution, length));
                    at += length;
                }
                None => {
                    kinds.push(if line.mark == Mark::Signature { Kind::Signature } else { Kind::New });
                    at += 1;
                }
            }
        }
        // A rule that Outlook draws above what it quotes.
        if let Some((from, Cut::Quotation)) = &mut cut {
            let rule = |text: &str| text.len() >= 10 && text.bytes().all(|b| b == b'_');
            while let Some(before) = from.checked_sub(1)
                && (rule(lines[before].text.trim()) || lines[before].text.trim().is_empty())
            {
                *from = before;
            }
            kinds.truncate(*from);
        }
        signature::mark(lines, &mut kinds);
        Self { kinds, cut }
    }

    /// The runs of new lines that hold a word.
    fn runs(&self, lines: &[Line]) -> Vec<Range<usize>> {
        let mut runs = Vec::new();
        let mut start = None;
        for at in 0..=self.kinds.len() {
            let new = self.kinds.get(at) == Some(&Kind::New);
            match (new, start) {
                (true, None) => start = Some(at),
                (false, Some(from)) => {
                    if lines[from..at].iter().any(|line| !line.text.trim().is_empty()) {
                        runs.push(from..at);
                    }
                    start = None;
                }
                _ => {}
            }
        }
        runs
    }
}

/// Puts the pieces together; `None` when nothing would be new.
fn compose(lines: &[Line], plan: &Plan) -> Option<Text> {
    let runs = plan.runs(lines);
    let (first, last) = (runs.first()?, runs.last()?);
    let is_quote = |range: Range<usize>| plan.kinds[range].contains(&Kind::Quote);
    let between = runs.windows(2).any(|pair| is_quote(pair[0].end..pair[1].start));
    let around = is_quote(0..first.start) && is_quote(last.end..plan.kinds.len());
    // Answers within a quotation keep the paragraph that each of them answers.
    let mut kept: Vec<bool> = vec![false; lines.len()];
    for run in &runs {
        let from = if between || around { context(lines, plan, run.start) } else { run.start };
        kept[from..run.end].fill(true);
    }
    let keeps = |at: usize| kept[at];
    let pick = |wanted: &dyn Fn(usize) -> bool| {
        tidy(&join(lines.iter().enumerate().filter(|(at, _)| wanted(*at)).map(|(_, line)| line)))
    };
    let is_signature = |at: usize| plan.kinds.get(at) == Some(&Kind::Signature);
    Some(Text {
        new: pick(&keeps),
        signature: pick(&is_signature),
        quoted: pick(&|at| !keeps(at) && !is_signature(at)),
        below: lines.iter().zip(&kept).take_while(|(_, kept)| !**kept).any(|(line, _)| !line.text.trim().is_empty()),
        ..Text::default()
    })
}

/// Where the quoted paragraph that stands before an answer begins; at most ten lines of it.
fn context(lines: &[Line], plan: &Plan, answer: usize) -> usize {
    let mut from = answer;
    let mut seen = false;
    while let Some(before) = from.checked_sub(1) {
        let text = lines[before].text.trim();
        let empty = text.trim_start_matches(['>', ' ']).is_empty();
        match plan.kinds.get(before) {
            Some(Kind::Quote) if empty && seen => break,
            Some(Kind::Quote) => seen |= !empty,
            Some(Kind::New) if text.is_empty() && !seen => {}
            _ => break,
        }
        from = before;
        if answer - from >= 10 {
            break;
        }
    }
    from
}

fn join<'l>(lines: impl Iterator<Item = &'l Line>) -> String {
    let mut text = String::new();
    for line in lines {
        text.push_str(&line.text);
        text.push('\n');
    }
    text
}

/// Without empty lines at both ends, and no more than one on end within.
fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut empty = 0;
    for line in text.lines() {
        let line = line.trim_end();
        if line.is_empty() {
            empty += 1;
            continue;
        }
        if !out.is_empty() {
            out.push_str(if empty > 0 { "\n\n" } else { "\n" });
        }
        empty = 0;
        // Yahoo begins with a blank.
        out.push_str(if out.is_empty() {
            line.strip_prefix(' ').filter(|rest| !rest.starts_with(' ')).unwrap_or(line)
        } else {
            line
        });
    }
    out
}

#[cfg(test)]
mod tests;
