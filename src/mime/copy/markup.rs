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

/// Text with the entities that stand in commands, in blanks and in our line on top.
#[must_use]
pub fn unescaped(text: &str) -> String {
    let mut out = text.to_owned();
    for (entity, plain) in [
        ("&nbsp;", " "),
        ("&#160;", " "),
        ("&#xa0;", " "),
        ("&zwnj;", ""),
        ("&middot;", "·"),
        ("&#183;", "·"),
        ("&#xb7;", "·"),
        ("&#35;", "#"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ] {
        if out.contains('&') {
            out = out.replace(entity, plain);
        }
    }
    out
}

/// Blanks of any kind, with those that have no width.
#[must_use]
pub fn is_blank_char(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}')
}
