//! What `README.md` tells people to type is understood.

use std::fs;
use std::path::Path;

#[test]
fn every_command_in_it_is_one() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let commands = commands(&text);
    assert!(commands.len() > 5, "{commands:?}");
    for command in commands {
        let parsed = guichet::cli::definition().try_get_matches_from(words(&command));
        assert!(parsed.is_ok(), "{command}\n{}", parsed.unwrap_err());
    }
}

#[test]
fn commands_and_words_are_found_as_a_shell_does() {
    let text = "```sh\nls # guichet no\necho \"x\" | guichet ticket reply a-1\nguichet init --name \"A b\" \\\n  --x 1  # why\n```\n";
    assert_eq!(commands(text), ["guichet ticket reply a-1", "guichet init --name \"A b\" --x 1"]);
    assert_eq!(words("guichet init --name \"A b\" ''"), ["guichet", "init", "--name", "A b", ""]);
}

/// The commands of the program in the shell blocks: one a line, alone or behind a pipe.
fn commands(text: &str) -> Vec<String> {
    let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut commands = Vec::new();
    for block in blocks {
        for line in block.replace("\\\n", " ").lines() {
            let line = line.split(" # ").next().unwrap_or_default();
            let last = line.rsplit(" | ").next().unwrap_or_default().trim();
            if last.starts_with("guichet ") {
                commands.push(last.split_whitespace().collect::<Vec<_>>().join(" "));
            }
        }
    }
    commands
}

/// A line as words, with quotes as the shell has them.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match c {
            _ if quote == Some(c) => quote = None,
            '"' | '\'' if quote.is_none() => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            c if c.is_whitespace() && quote.is_none() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}
