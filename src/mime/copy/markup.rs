//! As much of HTML as it takes to find a line of text in it and take it out: where tags begin and
//! end, which of them break lines, and what a reader sees of the text in between.
//!
//! In linear time whatever the input. Damage makes a longer tag and never an error.

/// What begins with a `<`.
pub struct Tag {
    /// In octets; of `style`, `script` and `title` with what stands in them.
    pub length: usize,
    /// In lower case, up to twelve letters; empty for comments and for what holds no text.
    pub name: String,
    pub closes: bool,
    /// Whether what follows stands on another line.
    pub breaks: bool,
}

impl Tag {
    /// Reads the tag that `html` begins with.
    #[must_use]
    pub fn read(html: &str) -> Self {
        let silent = |length| Self { length, name: String::new(), closes: false, breaks: false };
        if html.starts_with("<!--") {
            return silent(html.find("-->").map_or(html.len(), |end| end + 3));
        }
        let length = html.find('>').map_or(html.len(), |end| end + 1);
        let name: String = html[1..]
            .trim_start_matches('/')
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_lowercase())
            .take(12)
            .collect();
        let closes = html.starts_with("</");
        if !closes && matches!(name.as_str(), "style" | "script" | "title") {
            // What stands in these is no text.
            let end = html
                .as_bytes()
                .windows(name.len() + 2)
                .position(|window| window.starts_with(b"</") && window[2..].eq_ignore_ascii_case(name.as_bytes()));
            return silent(end.unwrap_or(html.len()));
        }
        let inline = matches!(
            name.as_str(),
            "a" | "b"
                | "i"
                | "u"
                | "em"
                | "strong"
                | "span"
                | "font"
                | "small"
                | "big"
                | "code"
                | "tt"
                | "img"
                | "wbr"
                | "o"
        );
        Self { length, name, closes, breaks: !inline }
    }
}

/// Text with the entities that stand in commands, in blanks and in our line on top: all that are
/// written as numbers, and the names below.
#[must_use]
pub fn unescaped(text: &str) -> String {
    /// As long as an entity is, with the `&` and the `;`.
    const LONGEST: usize = 20;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.bytes().take(LONGEST).position(|b| b == b';');
        if let Some((plain, end)) = end.and_then(|end| Some((entity(&rest[1..end])?, end))) {
            out.push(plain);
            rest = &rest[end + 1..];
        } else {
            out.push('&');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out
}

/// The character of an entity, by what stands between `&` and `;`.
fn entity(name: &str) -> Option<char> {
    let number = name.strip_prefix('#').map(|number| match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => number.parse(),
    });
    let plain = match (number, name) {
        (Some(number), _) => char::from_u32(number.ok()?)?,
        (None, "nbsp") => ' ',
        (None, "zwnj" | "zwj" | "ZeroWidthSpace" | "shy") => '\u{200b}',
        (None, "middot") => '·',
        (None, "num") => '#',
        (None, "lt") => '<',
        (None, "gt") => '>',
        (None, "quot") => '"',
        (None, "apos") => '\'',
        (None, "amp") => '&',
        (None, "commat") => '@',
        (None, _) => return None,
    };
    Some(if plain == '\u{a0}' { ' ' } else { plain })
}

pub use crate::desk::command::is_blank as is_blank_char;
