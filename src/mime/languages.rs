//! Which of our languages a mail's writer reads (RFC 3282).

use super::header::{Field, Header};
use crate::desk::language::Language;

/// The most languages of one field that are looked at.
const MOST: usize = 20;

/// The language that the message is in, where it says so and we speak it; else the one that its
/// writer likes best among ours.
#[must_use]
pub fn preferred(header: &Header<'_>) -> Option<Language> {
    let fields = |name: &'static str| header.all(name).map(Field::text).collect::<Vec<_>>().join(",");
    let written = fields("Content-Language");
    if let Some(language) = written.split(',').take(MOST).find_map(spoken) {
        return Some(language);
    }
    let accepted = fields("Accept-Language");
    let mut best: Option<(f32, Language)> = None;
    for range in accepted.split(',').take(MOST) {
        let (tag, parameter) = range.split_once(';').unwrap_or((range, ""));
        let quality = parameter.trim().strip_prefix("q=").map_or(1.0, |q| q.trim().parse::<f32>().unwrap_or(0.0));
        if let Some(language) = spoken(tag)
            && quality > best.map_or(0.0, |(best, _)| best)
        {
            best = Some((quality, language));
        }
    }
    best.map(|(_, language)| language)
}

/// Our language for a tag such as `fr-CA` (RFC 5646 §2.1): its first subtag decides.
fn spoken(tag: &str) -> Option<Language> {
    tag.trim().split(['-', '_']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_goes_before_what_is_accepted() {
        for (fields, language) in [
            ("Subject: x", None),
            ("Content-Language: fr", Some(Language::Fr)),
            ("Content-Language: fr-CA", Some(Language::Fr)),
            ("Content-Language: EN-us", Some(Language::En)),
            ("Content-Language: de, fr", Some(Language::Fr)),
            ("Content-Language: de", None),
            ("Accept-Language: fr-FR, en-US", Some(Language::Fr)),
            ("Accept-Language: en;q=0.5, fr;q=0.8", Some(Language::Fr)),
            ("Accept-Language: de, en;q=0.1", Some(Language::En)),
            ("Accept-Language: fr;q=0", None),
            ("Accept-Language: *", None),
            ("Accept-Language: en-US\r\nContent-Language: fr", Some(Language::Fr)),
            ("Accept-Language: fr\r\nContent-Language: de-CH", Some(Language::Fr)),
            ("Content-Language: english", None),
        ] {
            let raw = format!("From: a@example.org\r\n{fields}\r\n\r\n");
            assert_eq!(preferred(&Header::read(raw.as_bytes(), 100)), language, "{fields}");
        }
    }
}
