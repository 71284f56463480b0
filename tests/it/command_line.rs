//! The command line is what its documentation says: every command, the exit codes, the shape of
//! errors.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

/// The commands of the contract, a line each.
const COMMANDS: &str = "\
serve
demo --fresh
init --hostname --domain --data-dir --relay --password-file --listen --submission-tls --submission --imap-tls --imap --property --property-name --language --member --member-name --force
check
dns
metrics
verify
rebuild
backup DIRECTORY
restore DIRECTORY
completions SHELL
man
property add SLUG --name --address --public --language
property list
property show SLUG
property edit SLUG --name --address --remove-address --public --language --default-assignee --after-reply --auto-close --strict --no-strict --forwarder --remove-forwarder --acknowledge --acknowledgement --remove-acknowledgement --commands
property trust SLUG ADDRESS --remove
property block SLUG SENDER
property unblock SLUG SENDER
property allow SLUG SENDER
property disallow SLUG SENDER
property remove SLUG
member add ADDRESS --name --property --role --alias --list --password-stdin
member list
member show ADDRESS
member edit ADDRESS --name --alias --remove-alias --property --role --remove-property --copies --password-stdin
member resume ADDRESS
member remove ADDRESS
member setup MEMBER
member app-password add MEMBER --name
member app-password list MEMBER
member app-password revoke MEMBER --name
department add PROPERTY SLUG --name --member
department list
department show PROPERTY SLUG
department edit PROPERTY SLUG --name --member --remove-member
department remove PROPERTY SLUG
contact list --property --query
contact show ADDRESS
contact edit ADDRESS --name --note --organisation
contact merge ADDRESS INTO
contact resume ADDRESS
ticket new PROPERTY --to --to-name --subject --cc --assign --priority --tag --attach --as
ticket list --property --status --assignee --tag --query --held --limit --after
ticket show REFERENCE
ticket log REFERENCE
ticket reply REFERENCE --attach --close --as
ticket note REFERENCE --attach --as
ticket assign REFERENCE WHO|none
ticket close REFERENCE
ticket open REFERENCE
ticket pending REFERENCE
ticket spam REFERENCE
ticket trash REFERENCE
ticket snooze REFERENCE TIME
ticket tag REFERENCE TAG
ticket untag REFERENCE TAG
ticket priority REFERENCE PRIORITY
ticket cc REFERENCE ADDRESS
ticket uncc REFERENCE ADDRESS
ticket follow REFERENCE MEMBER
ticket unfollow REFERENCE MEMBER
ticket accept REFERENCE ENTRY --as
ticket reject REFERENCE ENTRY
ticket merge REFERENCE INTO
ticket requester REFERENCE ADDRESS
queue list --state --destination --ticket --older-than --limit --after
queue summary
queue show ID
queue hold --ticket --destination --all
queue release --ticket --destination --all
queue retry --ticket --destination --all
queue cancel --ticket --destination --all
trace MESSAGE-ID|REF|QUEUE-ID
";

#[test]
fn every_command_of_the_contract_is_there_and_helps() {
    for line in COMMANDS.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let path: Vec<&str> = words
            .iter()
            .copied()
            .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-'))
            .collect();
        let output = guichet(&[&path[..], &["--help"]].concat());
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{line}");
        assert!(help.contains("--config <FILE>") && help.contains("--json"), "{line}");
        for word in &words[path.len()..] {
            let shown = if word.starts_with("--") { (*word).to_owned() } else { format!("<{word}>") };
            assert!(help.contains(&shown), "{line}: {shown} is missing in\n{help}");
        }
    }
}

#[test]
fn what_is_not_in_this_release_is_not_in_the_definition() {
    for args in [&["import"][..], &["export"]] {
        assert_eq!(guichet(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn wrong_usage_is_exit_2_also_in_json() {
    let output = guichet(&["ticket", "show"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());

    let output = guichet(&["--json", "ticket", "show", "nonsense"]);
    assert_eq!(output.status.code(), Some(2));
    let body: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(body["error"]["code"], "usage");
    assert!(body["error"]["message"].as_str().unwrap().contains("acme-1042"), "{body}");
}

#[test]
fn a_missing_config_says_what_writes_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("none.toml");
    let output = guichet(&["member", "list", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&output.stderr).contains("`guichet init` writes one"));
}

#[test]
fn completions_and_manual_pages_come_from_the_same_definition() {
    for (shell, word) in [("bash", "complete -F"), ("zsh", "#compdef guichet"), ("fish", "complete -c guichet")] {
        let output = guichet(&["completions", shell]);
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains(word) && script.contains("snooze"), "{shell}");
    }
    let page = String::from_utf8(guichet(&["man"]).stdout).unwrap();
    assert!(page.contains(".TH guichet 1"), "{page}");

    let folder = tempfile::tempdir().unwrap();
    assert!(guichet(&["man", folder.path().to_str().unwrap()]).status.success());
    for page in ["guichet.1", "guichet-ticket.1", "guichet-ticket-snooze.1"] {
        assert!(folder.path().join(page).exists(), "{page}");
    }
}

/// `guichet completions bash | head -1`
#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_guichet"))
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What the daemon answers on its socket comes out as it is: results on standard output, errors
/// on standard error with the exit code that belongs to them.
#[test]
fn results_and_errors_of_the_daemon_come_through() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("guichet.toml");
    std::fs::write(
        &config,
        "hostname = \"desk.example.org\"\ndomains = [\"desk.example.org\"]\ndata_dir = \".\"\n\
         postmaster = \"acme\"\nrelay.mode = \"capture\"\n",
    )
    .unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(async { tokio::net::UnixListener::bind(folder.path().join("api.sock")).unwrap() });
    let answers = |code: axum::http::StatusCode, body: serde_json::Value| {
        axum::routing::get(move || async move { (code, axum::Json(body)) })
    };
    let error = |code: &str| serde_json::json!({ "error": { "code": code, "message": "said \u{1b}[2J so" } });
    let router = axum::Router::new()
        .route("/api/v1/tickets/acme-9", answers(axum::http::StatusCode::NOT_FOUND, error("not-found")))
        .route("/api/v1/tickets/acme-8", answers(axum::http::StatusCode::SERVICE_UNAVAILABLE, error("busy")))
        .route("/api/v1/queue", answers(axum::http::StatusCode::OK, serde_json::json!({ "copies": [], "next": null })));
    runtime.spawn(async move { axum::serve(listener, router).await });
    let run = |args: &[&str]| guichet(&[&["--config", config.to_str().unwrap()], args].concat());

    let output = run(&["ticket", "show", "acme-9", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let body: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(body, error("not-found"));

    let output = run(&["ticket", "show", "acme-8"]);
    assert_eq!(output.status.code(), Some(75));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "guichet: said \u{fffd}[2J so\n");

    let output = run(&["queue", "list"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "No copies.\n");
    let output = run(&["queue", "list", "--json"]);
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(list, serde_json::json!({ "copies": [], "next": null }));

    let output = run(&["serve"]);
    assert_eq!(output.status.code(), Some(75), "a second daemon on the same data");
    assert!(String::from_utf8_lossy(&output.stderr).contains("another guichet runs on"));
}

fn guichet(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_guichet")).args(args).output().unwrap()
}
