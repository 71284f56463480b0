//! Walks a TOML tree by hand, so that every problem knows its line and what is allowed there.
//!
//! A key is known because it was asked for: what nobody asked for is unknown, and the keys that
//! were asked for are what it may have been meant to be.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Problem, value};

type Found = (Option<usize>, String, String);

/// One reading of one file: gathers the problems and the line of each key.
pub(super) struct Reader<'i> {
    text: &'i str,
    problems: RefCell<Vec<Found>>,
    lines: RefCell<BTreeMap<String, usize>>,
    values: RefCell<BTreeMap<String, u64>>,
}

/// What is remembered of a file besides its values: where each key stands, and by a number, not in its
/// words, what it says.
pub(super) struct Keys {
    pub(super) lines: BTreeMap<String, usize>,
    pub(super) values: BTreeMap<String, u64>,
}

impl<'i> Reader<'i> {
    pub(super) fn new(text: &'i str) -> Self {
        Self { text, problems: RefCell::default(), lines: RefCell::default(), values: RefCell::default() }
    }

    pub(super) fn root<'r>(&'r self, table: &'r DeTable<'i>) -> Section<'r, 'i> {
        Section { reader: self, path: String::new(), table: Some(table), asked: RefCell::default() }
    }

    /// The problems in the order of the file, those without a line first, and all keys.
    pub(super) fn finish(self, file: &Path) -> (Vec<Problem>, Keys) {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|(line, ..)| *line);
        let named = |(line, key, text)| Problem { file: file.to_owned(), line, key, text };
        let keys = Keys { lines: self.lines.into_inner(), values: self.values.into_inner() };
        (problems.into_iter().map(named).collect(), keys)
    }
}

/// A table of the file, the top level included; empty when the file doesn't have it.
pub(super) struct Section<'r, 'i> {
    reader: &'r Reader<'i>,
    path: String,
    table: Option<&'r DeTable<'i>>,
    asked: RefCell<Vec<&'static str>>,
}

impl<'r, 'i> Section<'r, 'i> {
    /// A table in this one.
    pub(super) fn section(&self, key: &'static str) -> Section<'r, 'i> {
        let table = self.look(key).and_then(|value| {
            let table = value.get_ref().as_table();
            if table.is_none() {
                self.complain(key, format!("must be a section, [{key}]"));
            }
            table
        });
        Section { reader: self.reader, path: self.name(key), table, asked: RefCell::default() }
    }

    /// A text that `parse` understands.
    pub(super) fn text<T>(&self, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let value = self.look(key)?;
        self.judge(key, value, text_of(value).and_then(parse))
    }

    /// As [`text`](Self::text), for a value that a complaint must not repeat.
    pub(super) fn secret<T>(&self, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let value = self.look(key)?;
        text_of(value).and_then(parse).map_err(|text| self.complain(key, text)).ok()
    }

    /// A list of texts that `parse` understands.
    pub(super) fn list<T>(&self, key: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Option<Vec<T>> {
        let value = self.look(key)?;
        let Some(items) = value.get_ref().as_array() else {
            return self.judge(key, value, Err("must be a list, [\"…\"]".to_owned()));
        };
        let mut list = Vec::with_capacity(items.len());
        for item in items {
            list.push(self.judge(key, item, text_of(item).and_then(&parse))?);
        }
        Some(list)
    }

    /// As [`text`](Self::text), for a key without a default.
    pub(super) fn required<T>(
        &self,
        key: &'static str,
        example: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.demand(key, example);
        self.text(key, parse)
    }

    /// As [`list`](Self::list), for a key that needs at least one item.
    pub(super) fn required_list<T>(
        &self,
        key: &'static str,
        example: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        self.demand(key, example);
        let list = self.list(key, parse)?;
        if list.is_empty() {
            self.complain(key, format!("must not be empty; as in {example}"));
            return None;
        }
        Some(list)
    }

    pub(super) fn flag(&self, key: &'static str) -> Option<bool> {
        let value = self.look(key)?;
        self.judge(key, value, value.get_ref().as_bool().ok_or_else(|| "must be true or false".to_owned()))
    }

    pub(super) fn integer(&self, key: &'static str, allowed: RangeInclusive<u64>) -> Option<u64> {
        let value = self.look(key)?;
        let number = integer_of(value).filter(|number| allowed.contains(number));
        self.judge(
            key,
            value,
            number.ok_or_else(|| format!("must be a number from {} to {}", allowed.start(), allowed.end())),
        )
    }

    /// A number with or without a fraction.
    pub(super) fn number(&self, key: &'static str, allowed: RangeInclusive<f64>) -> Option<f64> {
        let value = self.look(key)?;
        let number = value.get_ref().as_float().and_then(|number| number.as_str().parse().ok());
        #[expect(clippy::cast_precision_loss, reason = "whole numbers that large are not allowed anywhere")]
        let number = number.or_else(|| integer_of(value).map(|number| number as f64));
        self.judge(
            key,
            value,
            number
                .filter(|number| allowed.contains(number))
                .ok_or_else(|| format!("must be a number from {} to {}, as in 6.5", allowed.start(), allowed.end())),
        )
    }

    /// A number of octets, as `"35MiB"` or plain.
    pub(super) fn size(&self, key: &'static str, allowed: RangeInclusive<u64>) -> Option<u64> {
        let value = self.look(key)?;
        let size = integer_of(value).or_else(|| value.get_ref().as_str().and_then(value::size));
        let (least, most) = (value::show_size(*allowed.start()), value::show_size(*allowed.end()));
        self.judge(
            key,
            value,
            size.filter(|size| allowed.contains(size))
                .ok_or_else(|| format!("must be a size from \"{least}\" to \"{most}\", as in \"35MiB\"")),
        )
    }

    /// A time span, as `"30s"`, `"5m"`, `"2h"`, `"5d"`.
    pub(super) fn duration(&self, key: &'static str) -> Option<Duration> {
        let value = self.look(key)?;
        let duration = value.get_ref().as_str().and_then(value::duration);
        self.judge(
            key,
            value,
            duration.ok_or_else(|| "must be a time from \"1s\" to \"30d\", as in \"30s\", \"5m\", \"2h\"".to_owned()),
        )
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Complains about a key, at its line where it has one.
    pub(super) fn complain(&self, key: &str, text: impl Into<String>) {
        let line = self.get(key).map(|(line, _)| line);
        self.reader.problems.borrow_mut().push((line, self.name(key), text.into()));
    }

    /// Complains about every key that nobody asked for.
    pub(super) fn finish(&self) {
        let asked = self.asked.borrow();
        for (key, _) in self.table.into_iter().flatten() {
            let name = key.get_ref().as_ref();
            if asked.contains(&name) {
                continue;
            }
            let hint = match nearest(name, asked.iter().copied()) {
                Some(near) => format!("; did you mean {near}?"),
                None => String::new(),
            };
            let line = line_of(self.reader.text, key.span().start);
            let problem = (Some(line), self.name(name), format!("unknown key{hint}"));
            self.reader.problems.borrow_mut().push(problem);
        }
    }

    fn demand(&self, key: &'static str, example: &str) {
        if !self.has(key) {
            self.complain(key, format!("missing; as in {key} = {example}"));
        }
    }

    fn judge<T>(&self, key: &str, value: &Spanned<DeValue<'i>>, result: Result<T, String>) -> Option<T> {
        result
            .map_err(|text| {
                let line = line_of(self.reader.text, value.span().start);
                let given = value.get_ref().as_str().map(|given| format!("{given:?}: ")).unwrap_or_default();
                let problem = (Some(line), self.name(key), format!("{given}{text}"));
                self.reader.problems.borrow_mut().push(problem);
            })
            .ok()
    }

    fn look(&self, key: &'static str) -> Option<&'r Spanned<DeValue<'i>>> {
        self.asked.borrow_mut().push(key);
        let (line, value) = self.get(key)?;
        self.reader.lines.borrow_mut().insert(self.name(key), line);
        if !value.get_ref().is_table() {
            let mut hasher = DefaultHasher::new();
            self.reader.text.get(value.span()).hash(&mut hasher);
            self.reader.values.borrow_mut().insert(self.name(key), hasher.finish());
        }
        Some(value)
    }

    fn get(&self, key: &str) -> Option<(usize, &'r Spanned<DeValue<'i>>)> {
        let (found, value) = self.table?.iter().find(|(name, _)| name.get_ref().as_ref() == key)?;
        Some((line_of(self.reader.text, found.span().start), value))
    }

    fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

fn text_of<'v>(value: &'v Spanned<DeValue<'_>>) -> Result<&'v str, String> {
    let value = value.get_ref();
    value.as_str().ok_or_else(|| format!("must be a text in quotes, not {}", with_article(value.type_str())))
}

fn with_article(kind: &str) -> String {
    format!("{} {kind}", if kind.starts_with(['a', 'i']) { "an" } else { "a" })
}

fn integer_of(value: &Spanned<DeValue<'_>>) -> Option<u64> {
    let number = value.get_ref().as_integer()?;
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// The line of an offset, counted from 1.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    1 + text.get(..offset).unwrap_or(text).matches('\n').count()
}

/// The candidate that a mistyped word was most likely meant to be: within two edits, or a third
/// of its letters where it is short.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (word.chars().count().div_ceil(3)).min(2);
    let near = candidates.into_iter().map(|candidate| (distance(word, candidate), candidate));
    near.filter(|(edits, _)| *edits <= allowed).min_by_key(|(edits, _)| *edits).map(|(_, candidate)| candidate)
}

/// Levenshtein's distance. Quadratic: for words, not texts, so longer ones are cut.
fn distance(one: &str, two: &str) -> usize {
    let one: Vec<char> = one.chars().take(64).collect();
    let two: Vec<char> = two.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=two.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in two.iter().enumerate() {
            let edit = diagonal + usize::from(!a.eq_ignore_ascii_case(b));
            diagonal = row[j + 1];
            row[j + 1] = edit.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[two.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_near_or_none() {
        let keys = ["listen", "max_message_size", "delimiters"];
        for (word, near) in [
            ("lisen", Some("listen")),
            ("Listen", Some("listen")),
            ("max_mesage_sise", Some("max_message_size")),
            ("port", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keys), near, "{word}");
        }
    }
}
