//! `check`, `verify`, `backup`, `completions`, `man`, and what `rebuild` and `restore` print.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::client::{Call, Client};
use super::output::{Output, clean_line, print, print_json, say, size};
use super::{Desk, Failure, House};
use crate::api::types::{BackedUp, Backup, Verified};
use crate::api::upkeep::STORE;
use crate::config::{Config, Problem, check};
use crate::net::tls::inspect::inspect;

/// Says what is wrong with the machine that the config was written for.
pub(super) fn check(config: &Config, house: House, output: Output) -> Result<(), Failure> {
    let mut problems = check::files(config);
    if !Client::daemon_runs(config) {
        problems.extend(check::ports(config));
    }
    let mut warnings = check::warnings(config);
    // What is no certificate at all is among the problems already.
    if !problems.iter().any(|problem| problem.key.starts_with("tls.")) {
        let found = inspect(config, Timestamp::now());
        problems.extend(found.problems);
        warnings.extend(found.warnings);
    }
    if problems.is_empty() {
        warnings.extend(postmaster(config, house)?);
    }
    if output.json {
        let list = |problems: &[Problem]| -> Vec<Value> { problems.iter().map(problem).collect() };
        print_json(&json!({
            "ok": problems.is_empty(), "problems": list(&problems), "warnings": list(&warnings),
        }))?;
    } else {
        for warning in &warnings {
            say(&format!("warning: {warning}"));
        }
        if problems.is_empty() {
            print(&format!("{}: all is well.\n", config.source.file.display()))?;
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Failure::BadConfig(problems)) }
}

/// What to say where the config names no property, if there is a desk yet, and we may look into it: the
/// daemon says it too.
fn postmaster(config: &Config, house: House) -> Result<Option<Problem>, Failure> {
    if !config.data_dir.join(STORE).is_dir() {
        return Ok(None);
    }
    let named = Client::new(config, house.open)?.call(&Call::get(&["properties", &config.postmaster]));
    let missing = named.err().filter(|failure| failure.code() == "not-found");
    Ok(missing.map(|missing| check::no_postmaster(config, &missing)))
}

/// No other daemon may have the data directory.
pub(super) fn alone(config: &Config) -> Result<(), Failure> {
    if Client::daemon_runs(config) {
        let dir = config.data_dir.display();
        return Err(Failure::Busy(format!("another guichet runs on {dir}; stop it first, or give another data_dir")));
    }
    Ok(())
}

fn problem(problem: &Problem) -> Value {
    json!({
        "file": problem.file.display().to_string(), "line": problem.line,
        "key": problem.key, "message": problem.text,
    })
}

pub(super) fn verify(desk: &mut Desk<'_>) -> Result<(), Failure> {
    let (result, _) = desk.client.ask(&Call::new(hyper::Method::POST, &["verify"]))?;
    verified(&result, desk.output)
}

/// Prints what was read, and fails where something is wrong.
pub(super) fn verified(verified: &Verified, output: Output) -> Result<(), Failure> {
    if output.json {
        print_json(&serde_json::to_value(verified).expect("texts and numbers"))?;
    } else {
        let problems = verified.problems.iter().map(|problem| clean_line(problem) + "\n");
        let counts = verified.read.iter().map(|(what, count)| format!("{count:>12}  {what}\n"));
        let end = verified.ok.then(|| "All is well.\n".to_owned());
        print(&problems.chain(counts).chain(end).collect::<String>())?;
    }
    match verified.problems.len() {
        _ if verified.ok => Ok(()),
        1 => Err(anyhow::anyhow!("the store has 1 problem").into()),
        count => Err(anyhow::anyhow!("the store has {count} problems").into()),
    }
}

pub(super) fn backup(directory: &Path, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let whole: PathBuf =
        std::path::absolute(directory).map_err(|error| Failure::Usage(format!("{}: {error}", directory.display())))?;
    let Some(directory) = whole.to_str() else {
        return Err(Failure::Usage(format!("{}: the path must be in UTF-8", whole.display())));
    };
    let call = Call::post(&["backup"], &Backup { directory: directory.to_owned() });
    desk.print(&call, |done: &BackedUp, _| summary("Copied", done))
}

pub(super) fn restored(done: &BackedUp, output: Output) -> Result<(), Failure> {
    if output.json {
        return print_json(&serde_json::to_value(done).expect("texts and numbers"));
    }
    print(&summary("Restored", done))
}

fn summary(verb: &str, done: &BackedUp) -> String {
    format!("{verb} {} files ({}) to {}.\n", done.files, size(done.size), clean_line(&done.directory))
}

pub(super) fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut super::definition(), "guichet", &mut bytes);
    print(&String::from_utf8_lossy(&bytes))
}

pub(super) fn manual(directory: Option<&Path>) -> Result<(), Failure> {
    let Some(directory) = directory else {
        let mut bytes = Vec::new();
        let page = clap_mangen::Man::new(super::definition());
        page.render(&mut bytes).map_err(|error| anyhow::anyhow!("cannot make the page: {error}"))?;
        return print(&String::from_utf8_lossy(&bytes));
    };
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(super::definition(), directory))
        .map_err(|error| anyhow::anyhow!("{}: {error}", directory.display()))?;
    print(&format!("Wrote the pages to {}.\n", directory.display()))
}
