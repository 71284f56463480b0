//! Commands: which lines of a member's text are some, and what each asks for.

use guichet::desk::command::{Asked, is_blank};
use guichet::desk::language::Language;
use jiff::Timestamp;

/// Whatever a member's text is, it is commands and then text: nothing of the text is lost, no command
/// is left in front of it, what was found is found again in what it came to, and whatever is wrong can
/// be told in one line of either language.
pub fn lines(data: &[u8]) {
    let text = guichet::mime::clean::lines(&String::from_utf8_lossy(data));
    let asked = Asked::of(&text);
    assert!(text.ends_with(&asked.rest), "the text behind the commands is another");
    if asked.is_empty() {
        assert_eq!(asked.rest, text.trim_start_matches('\n'));
    } else {
        assert!(Asked::of(&asked.rest).is_empty(), "a command is left: {:?}", asked.rest);
    }
    for line in &asked.lines {
        assert!(!line.contains('\n') && !line.starts_with(is_blank), "{line:?} is no line");
    }
    let again = Asked::of(&format!("{}\n\n{}", asked.lines.join("\n"), asked.rest));
    assert_eq!(again.lines, asked.lines, "found otherwise the second time");
    let now: Timestamp = "2026-11-23T10:00:00Z".parse().expect("a time");
    let read = asked.read(now);
    assert_eq!(read.len(), asked.lines.len());
    for (_, command) in read {
        if let Err(mistake) = command {
            for language in [Language::En, Language::Fr] {
                let told = language.mistake(&mistake);
                assert!(!told.is_empty() && !told.contains('\n'), "{told:?}");
            }
        }
    }
}
