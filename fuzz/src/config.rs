//! The configuration file.

use std::path::Path;

use guichet::config::Config;

/// Any text is a config or says what is wrong with it: a line for each problem, in the file's order,
/// with a place that the file has.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let file = Path::new("/etc/guichet/guichet.toml");
    let Err(error) = Config::parse(text, file) else { return };
    assert!(!error.problems.is_empty(), "refused without a reason");
    let lines = text.split('\n').count();
    for problem in &error.problems {
        assert!(problem.line.is_none_or(|line| (1..=lines).contains(&line)), "{problem:?} in {lines} lines");
        assert!(!problem.text.is_empty());
        let shown = problem.to_string();
        assert!(!shown.contains(char::is_control), "{shown:?}");
    }
}
