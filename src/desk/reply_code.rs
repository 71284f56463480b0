//! Codes in what a mail server says: reply codes (RFC 5321 §4.2) and enhanced ones (RFC 3463), found
//! wherever they stand in its words.

/// `5.1.1`: class, subject, detail. The first one counts; an IP address is none.
#[must_use]
pub fn enhanced(words: &str) -> Option<(u8, u16, u16)> {
    words.split(|c: char| !c.is_ascii_digit() && c != '.').find_map(|word| {
        let mut numbers = word.trim_matches('.').split('.');
        let class = match numbers.next()? {
            "2" => 2,
            "4" => 4,
            "5" => 5,
            _ => return None,
        };
        let subject = small(numbers.next()?)?;
        let detail = small(numbers.next()?)?;
        numbers.next().is_none().then_some((class, subject, detail))
    })
}

/// `550`: a word of its own of three digits that starts as replies do.
#[must_use]
pub fn basic(words: &str) -> Option<u16> {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '@');
    words.split(|c: char| !is_word(c)).map(|word| word.trim_end_matches('.')).find_map(|word| {
        let right = word.len() == 3 && word.starts_with(['2', '4', '5']) && word.bytes().all(|b| b.is_ascii_digit());
        right.then(|| word.parse().ok()).flatten()
    })
}

fn small(digits: &str) -> Option<u16> {
    (1..=3).contains(&digits.len()).then(|| digits.parse().ok()).flatten()
}

/// Whether these words refuse for good, and refuse the address rather than the message, its sender
/// or its size: only so do they tell anything about the next message to the same reader (RFC 3463
/// §3).
#[must_use]
pub fn refuses_address(words: &str) -> bool {
    match (enhanced(words), basic(words)) {
        (Some((5, 1, 7 | 8) | (5, 2, 3) | (5, 3, 4) | (5, 6 | 7, _)), _) | (None, None) => false,
        (Some((class, ..)), _) => class == 5,
        (None, Some(code)) => matches!(code, 550 | 551 | 553),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_wherever_they_stand() {
        for (words, basic_code, enhanced_code, address) in [
            ("550 5.1.1 <bob@example.org> unknown", Some(550), Some((5, 1, 1)), true),
            ("550-5.1.1 The account", Some(550), Some((5, 1, 1)), true),
            ("Sorry, no mailbox here by that name. (#5.1.1)", None, Some((5, 1, 1)), true),
            ("host mx.example.org[192.0.2.5] said: 550 no such user", Some(550), None, true),
            ("5.2.2 over quota", None, Some((5, 2, 2)), true),
            ("550 5.7.1 blocked", Some(550), Some((5, 7, 1)), false),
            ("552 5.3.4 too big", Some(552), Some((5, 3, 4)), false),
            ("554 5.6.3 no", Some(554), Some((5, 6, 3)), false),
            ("550 5.1.8 bad sender", Some(550), Some((5, 1, 8)), false),
            ("554 spam", Some(554), None, false),
            ("4.4.7 expired", None, Some((4, 4, 7)), false),
            ("450 4.2.1 later", Some(450), Some((4, 2, 1)), false),
            ("4.5.1.1 and 15.1.1 and 5.1.1111", None, None, false),
            ("port 5500, order550, 550@example.org", None, None, false),
            ("", None, None, false),
        ] {
            assert_eq!((basic(words), enhanced(words)), (basic_code, enhanced_code), "{words}");
            assert_eq!(refuses_address(words), address, "{words}");
        }
    }
}
