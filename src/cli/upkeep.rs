//! `check`, `dns`, `verify`, `backup`, `completions`, `man`, and what `rebuild` and `restore` print.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::client::{Call, Client};
use super::output::{Output, Table, clean_line, size};
use super::{Desk, Failure};
use crate::api::types::{BackedUp, Backup, Dns, Verified};
use crate::config::{Config, Problem, check};

/// Says what is wrong with the machine that the config was written for.
pub(super) fn check(config: &Config, output: Output) -> Result<(), Failure> {
    let mut problems = check::files(config);
    if !Client::daemon_runs(config) {
        problems.extend(check::ports(config));
    }
    let warnings = check::warnings(config);
    if output.json {
        let list = |problems: &[Problem]| -> Vec<Value> { problems.iter().map(problem).collect() };
        output.json(&json!({
            "ok": problems.is_empty(), "problems": list(&problems), "warnings": list(&warnings),
        }))?;
    } else {
        for warning in &warnings {
            eprintln!("warning: {warning}");
        }
        if problems.is_empty() {
            output.text(&format!("{}: all is well.\n", config.source.file.display()))?;
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Failure::BadConfig(problems)) }
}

fn problem(problem: &Problem) -> Value {
    json!({
        "file": problem.file.display().to_string(), "line": problem.line,
        "key": problem.key, "message": problem.text,
    })
}

pub(super) fn dns(desk: &mut Desk<'_>) -> Result<(), Failure> {
    desk.print(&Call::get(&["dns"]), |dns: &Dns, output| {
        let mut table = Table::new(["NAME", "TYPE", "VALUE", "PURPOSE"]);
        for record in &dns.records {
            // A value is to be copied, so it is never cut: such a table is as wide as it must be.
            table.row([record.name.clone(), record.kind.clone(), record.value.clone(), record.purpose.clone()]);
        }
        table.render(Output { width: None, ..output }, "No records.")
    })
}

pub(super) fn verify(desk: &mut Desk<'_>) -> Result<(), Failure> {
    let value = desk.client.call(&Call::new(hyper::Method::POST, &["verify"]))?;
    let verified = serde_json::from_value(value)
        .map_err(|error| anyhow::anyhow!("the daemon's answer is not understood ({error})"))?;
    print_verified(&verified, desk.output)
}

/// Prints what was read, and fails where something is wrong.
pub(super) fn verified(verified: &Verified, output: Output) -> Result<(), Failure> {
    print_verified(verified, output)
}

fn print_verified(verified: &Verified, output: Output) -> Result<(), Failure> {
    if output.json {
        output.json(&serde_json::to_value(verified).expect("texts and numbers"))?;
    } else {
        let mut text = String::new();
        for problem in &verified.problems {
            text.push_str(&clean_line(problem));
            text.push('\n');
        }
        for (what, count) in &verified.read {
            text.push_str(&format!("{count:>12}  {what}\n"));
        }
        text.push_str(if verified.ok { "All is well.\n" } else { "" });
        output.text(&text)?;
    }
    match verified.problems.len() {
        0 if verified.ok => Ok(()),
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
        return output.json(&serde_json::to_value(done).expect("texts and numbers"));
    }
    output.text(&summary("Restored", done))
}

fn summary(verb: &str, done: &BackedUp) -> String {
    format!("{verb} {} files ({}) to {}.\n", done.files, size(done.size), clean_line(&done.directory))
}

pub(super) fn completions(shell: clap_complete::Shell, output: Output) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut super::definition(), "guichet", &mut bytes);
    output.text(&String::from_utf8_lossy(&bytes))
}

pub(super) fn manual(directory: Option<&Path>, output: Output) -> Result<(), Failure> {
    let Some(directory) = directory else {
        let mut bytes = Vec::new();
        let page = clap_mangen::Man::new(super::definition());
        page.render(&mut bytes).map_err(|error| anyhow::anyhow!("cannot make the page: {error}"))?;
        return output.text(&String::from_utf8_lossy(&bytes));
    };
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(super::definition(), directory))
        .map_err(|error| anyhow::anyhow!("{}: {error}", directory.display()))?;
    output.text(&format!("Wrote the pages to {}.\n", directory.display()))
}
