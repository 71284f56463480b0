//! The desk is run from the command line: every command acts on the real store, in the same words
//! and with the same JSON whether a daemon runs or not.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kit::daemon::Daemon;
use crate::kit::peers;

/// How long copies may take to go out before the test fails.
const PATIENCE: Duration = Duration::from_mins(1);

#[test]
fn the_same_commands_say_the_same_with_a_daemon_and_without() {
    let alone = Desk::new();
    let without = alone.morning();
    let served = Desk::new();
    let daemon = served.serve();
    let with = served.morning();
    for (without, with) in without.iter().zip(&with) {
        assert_eq!(without, with);
    }
    assert_eq!(without.len(), with.len());
    let shown = without.last().unwrap();
    assert!(shown.contains("status        closed\n") && shown.contains("Billing (billing)"), "{shown}");
    assert!(shown.contains("  Your parcel has left.\n") && shown.contains("  + note.txt (text/plain, 5 bytes)\n"));
    drop(daemon);
}

#[test]
fn what_is_not_there_is_named_with_what_is_near() {
    let desk = Desk::new();
    desk.ok(&["department", "add", "acme", "billing", "--name", "Billing"]);
    desk.ticket("Parcel", &[]);
    for (args, said) in [
        (&["property", "show", "acm"][..], "there is no property acm; did you mean acme?"),
        (&["member", "show", "jane@acme.co"], "there is no member jane@acme.co; did you mean jane@acme.com?"),
        (&["member", "setup", "jane@acme.co"], "there is no member jane@acme.co; did you mean jane@acme.com?"),
        (&["department", "show", "acme", "biling"], "there is no department biling; did you mean billing?"),
        (&["contact", "show", "bop@example.org"], "there is no contact bop@example.org; did you mean bob@example.org?"),
        (&["ticket", "show", "acme-7"], "there is no ticket acme-7; did you mean acme-1?"),
        (&["ticket", "show", "acm-1"], "there is no property acm; did you mean acme?"),
        (&["ticket", "assign", "acme-1", "jan"], "there is no member or department jan; did you mean jane@acme.com?"),
        (&["ticket", "accept", "acme-1", "99"], "there is no entry 99 on acme-1"),
        (&["ticket", "untag", "acme-1", "vip"], "there is no tag vip on acme-1"),
        (&["ticket", "list", "--property", "acmee"], "there is no property acmee; did you mean acme?"),
        (&["queue", "show", "77"], "there is no copy 77"),
    ] {
        let output = desk.run(args, "");
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), format!("guichet: {said}\n"));
        assert!(output.stdout.is_empty());
        let output = desk.run(&[args, &["--json"]].concat(), "");
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(error, json!({ "error": { "code": "not-found", "message": said } }));
    }
    for (args, code, exit) in [
        (&["property", "add", "acme", "--name", "Again"][..], "conflict", 1),
        (&["member", "add", "jane@acme.com", "--name", "J", "--property", "acme"], "conflict", 1),
        (&["member", "add", "x@desk.example.org", "--name", "X", "--property", "acme"], "invalid", 1),
        (&["ticket", "tag", "acme-1", "two words"], "invalid", 1),
        (&["ticket", "list", "--after", "nowhere"], "invalid", 1),
        (&["ticket", "show", "acme"], "usage", 2),
    ] {
        let output = desk.run(&[args, &["--json"]].concat(), "");
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!((&error["error"]["code"], output.status.code()), (&json!(code), Some(exit)), "{args:?}: {error}");
    }
}

/// The names of the contract, no more and no less.
#[test]
fn json_has_the_documented_fields() {
    let desk = Desk::new();
    desk.ok(&["department", "add", "acme", "billing", "--name", "Billing", "--member", "jane@acme.com"]);
    let file = desk.folder.path().join("note.txt");
    std::fs::write(&file, "Hello").unwrap();
    let ticket = desk.ticket("Parcel", &["--attach", file.to_str().unwrap(), "--assign", "billing", "--as", "jane"]);
    desk.ok(&["ticket", "tag", "acme-1", "vip"]);

    let of_list = "ref number property subject status wake_at priority tags door merged_into requester assignee \
                   participants created_at updated_at";
    fields(&ticket, &format!("{of_list} entries"));
    fields(&ticket["requester"], "name address");
    fields(&ticket["assignee"], "kind id name");
    fields(&ticket["participants"][0], "role name address state");
    let entry = "id kind author state reason machine verified message_id text attachments copies event door client at";
    fields(&ticket["entries"][0], entry);
    fields(&ticket["entries"][0]["author"], "kind name address");
    fields(&ticket["entries"][0]["attachments"][0], "name type size");
    fields(&ticket["entries"][0]["copies"][0], "to state attempts reply");
    assert_eq!(ticket["entries"][0]["event"], Value::Null);
    assert_eq!(ticket["assignee"], json!({ "kind": "department", "id": "billing", "name": "Billing" }));
    assert_eq!(ticket["requester"], json!({ "name": "Bob", "address": "bob@example.org" }));
    assert_eq!((&ticket["ref"], &ticket["number"], &ticket["door"]), (&json!("acme-1"), &json!(1), &json!("cli")));

    let log = desk.json(&["ticket", "log", "acme-1"]);
    fields(&log["entries"][0], entry);
    assert_eq!(log["entries"][0]["event"], json!({ "what": "tag", "from": null, "to": "vip" }));
    let list = desk.json(&["ticket", "list"]);
    fields(&list, "tickets next");
    fields(&list["tickets"][0], of_list);
    for (group, args) in [
        ("properties", &["property", "list"][..]),
        ("members", &["member", "list"]),
        ("departments", &["department", "list"]),
        ("contacts", &["contact", "list"]),
        ("copies", &["queue", "list"]),
    ] {
        let list = desk.json(args);
        fields(&list, &format!("{group} next"));
        assert!(!list[group].as_array().unwrap().is_empty(), "{group}");
    }
    let property = desk.json(&["property", "show", "acme"]);
    assert_eq!(property["forwarding_address"], "acme@desk.example.org");
    assert_eq!(property["addresses"], json!(["acme@desk.example.org"]));
    let contact = desk.json(&["contact", "show", "bob@example.org"]);
    fields(&contact["tickets"][0], of_list);
    let dns = desk.json(&["dns"]);
    // This machine's addresses are its own affair.
    let kinds = dns["records"].as_array().unwrap().iter().map(|record| record["type"].as_str().unwrap());
    let kinds: Vec<_> = kinds.filter(|kind| !["A", "AAAA", "PTR"].contains(kind)).collect();
    assert_eq!(kinds, ["MX", "TXT", "TXT", "TXT", "TXT", "TXT"]);
    fields(&dns["records"][0], "domain name type value purpose need found ok advice");
    fields(&dns, "records policies");
    let dkim = desk.json(&["dkim", "list"]);
    fields(&dkim["domains"][0]["keys"][0], "selector algorithm state since retire_after name value");
    assert_eq!(desk.json(&["verify"])["ok"], true);
}

#[test]
fn lists_are_filtered_and_go_on_where_they_ended() {
    let desk = Desk::new();
    desk.ok(&["property", "add", "shop", "--name", "Shop"]);
    for subject in ["One", "Two", "Three", "Four", "Five"] {
        desk.ticket(subject, &["--as", "jane"]);
    }
    let new = ["ticket", "new", "shop", "--to", "ann@example.com", "--subject", "Six", "--tag", "vip"];
    desk.ok_with(&new, "Where is the TEAPOT?\n");
    desk.ok(&["ticket", "close", "acme-2"]);
    desk.ok(&["ticket", "spam", "acme-3"]);
    desk.ok(&["ticket", "assign", "acme-4", "none"]);

    let listed = |args: &[&str]| -> Vec<String> {
        let list = desk.json(&[&["ticket", "list"], args].concat());
        list["tickets"].as_array().unwrap().iter().map(|t| t["ref"].as_str().unwrap().to_owned()).collect()
    };
    for (args, found) in [
        (&[][..], &["acme-4", "acme-2", "shop-1", "acme-5", "acme-1"][..]),
        (&["--property", "shop"], &["shop-1"]),
        (&["--status", "closed"], &["acme-2"]),
        (&["--status", "spam"], &["acme-3"]),
        (&["--assignee", "none"], &["acme-4", "shop-1"]),
        (&["--assignee", "jane"], &["acme-2", "acme-5", "acme-1"]),
        (&["--tag", "vip"], &["shop-1"]),
        (&["--query", "teapot"], &["shop-1"]),
        (&["--query", "ANN@"], &["shop-1"]),
        (&["--query", "two"], &["acme-2"]),
        (&["--query", "two", "--status", "open"], &[]),
        (&["--held"], &[]),
    ] {
        assert_eq!(listed(args), found, "{args:?}");
    }
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let mut args = vec!["ticket", "list", "--limit", "2"];
        if !after.is_empty() {
            args.extend(["--after", &after]);
        }
        let page = desk.json(&args);
        seen.extend(page["tickets"].as_array().unwrap().iter().map(|t| t["ref"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => break,
        }
    }
    assert_eq!(seen, listed(&[]));
}

/// Everything that a person may do to tickets, and what each is written down as.
#[test]
fn every_verb_leaves_its_event() {
    let desk = Desk::new();
    desk.ok(&["member", "add", "joe@acme.com", "--name", "Joe", "--property", "acme"]);
    desk.ticket("Parcel", &["--as", "jane"]);
    desk.ticket("Another", &[]);
    for args in [
        &["assign", "acme-1", "joe"][..],
        &["open", "acme-1"],
        &["snooze", "acme-1", "2030-01-07T09:00Z"],
        &["priority", "acme-1", "urgent"],
        &["tag", "acme-1", "vip"],
        &["untag", "acme-1", "vip"],
        &["cc", "acme-1", "boss@example.com"],
        &["requester", "acme-1", "carol@example.com"],
        &["uncc", "acme-1", "boss@example.com"],
        &["follow", "acme-1", "joe"],
        &["unfollow", "acme-1", "joe"],
        &["trash", "acme-1"],
        &["pending", "acme-1"],
        &["merge", "acme-2", "acme-1"],
    ] {
        desk.ok(&[&["ticket"], args].concat());
    }
    let log = desk.json(&["ticket", "log", "acme-1"]);
    let events: Vec<String> = log["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let text = |key: &str| entry["event"][key].as_str().unwrap_or("-").to_owned();
            format!("{}: {} > {}", text("what"), text("from"), text("to"))
        })
        .collect();
    assert_eq!(
        events,
        [
            "assignee: Jane Doe > Joe",
            "status: pending > open",
            "status: open > pending until 2030-01-07T09:00:00Z",
            "priority: normal > urgent",
            "tag: - > vip",
            "untag: vip > -",
            "participant: - > boss@example.com",
            "requester: bob@example.org > carol@example.com",
            "participant: boss@example.com > -",
            "follow: - > joe@acme.com",
            "unfollow: joe@acme.com > -",
            "status: pending > trash",
            "status: trash > pending",
            "merged: acme-2 > acme-1",
        ]
    );
    let merged = desk.json(&["ticket", "show", "acme-2"]);
    assert_eq!((&merged["ref"], &merged["merged_into"]), (&json!("acme-2"), &json!("acme-1")));
    let told = String::from_utf8(desk.ok(&["ticket", "show", "acme-1"])).unwrap();
    assert!(told.contains("urgent priority") && told.contains("carol@example.com"), "{told}");
    assert_eq!(desk.json(&["verify"])["ok"], true);
}

#[test]
fn people_are_changed_and_leave() {
    let desk = Desk::new();
    desk.ok_with(
        &["member", "add", "joe@acme.com", "--name", "Joe", "--property", "acme", "--password-stdin"],
        "a secret\n",
    );
    desk.ok(&["property", "add", "shop", "--name", "Shop"]);
    let joe = ["member", "edit", "joe@acme.com", "--login", "joe.d@acme.com", "--property", "shop", "--role", "admin"];
    desk.ok(&joe);
    let joe = desk.json(&["member", "show", "joe@acme.com"]);
    assert_eq!((&joe["address"], &joe["aliases"]), (&json!("joe.d@acme.com"), &json!(["joe@acme.com"])));
    assert_eq!(joe["roles"], json!({ "acme": "agent", "shop": "admin" }));
    assert_eq!(joe["password"], true, "whether there is one, never which");
    desk.ok(&["department", "add", "acme", "billing", "--name", "Billing", "--member", "joe.d@acme.com"]);
    desk.ticket("Parcel", &["--assign", "joe.d"]);
    desk.ok(&["property", "edit", "acme", "--default-assignee", "jane@acme.com", "--after-reply", "open"]);
    desk.ok(&["member", "remove", "joe.d@acme.com"]);
    assert_eq!(desk.json(&["ticket", "show", "acme-1"])["assignee"]["id"], "jane@acme.com");
    assert_eq!(desk.json(&["department", "show", "acme", "billing"])["members"], json!([]));

    desk.ticket("Second", &["--cc", "robert@example.org"]);
    desk.ok(&["contact", "edit", "bob@example.org", "--organisation", "Bob & Sons", "--note", "likes tea"]);
    desk.ok(&["contact", "merge", "robert@example.org", "bob@example.org"]);
    let bob = desk.json(&["contact", "show", "robert@example.org"]);
    assert_eq!(bob["addresses"], json!(["bob@example.org", "robert@example.org"]));
    assert_eq!((&bob["note"], bob["tickets"].as_array().unwrap().len()), (&json!("likes tea"), 2));

    desk.ok(&["property", "trust", "acme", "forms@acme.com"]);
    assert_eq!(desk.json(&["property", "show", "acme"])["trusted"], json!(["forms@acme.com"]));
    desk.ok(&["property", "trust", "acme", "forms@acme.com", "--remove"]);
    assert_eq!(desk.json(&["property", "show", "acme"])["trusted"], json!([]));
    // Not while it is the postmaster's.
    let output = desk.run(&["property", "remove", "acme"], "");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && told.contains("gets the mail for postmaster@ and abuse@"), "{told}");
    desk.postmaster("shop");
    desk.ok(&["property", "remove", "acme"]);
    assert_eq!(desk.run(&["property", "show", "acme"], "").status.code(), Some(1));
    assert_eq!(desk.json(&["ticket", "show", "acme-1"])["ref"], "acme-1", "its tickets stay");
}

#[test]
fn a_postmaster_that_is_nobody_is_told_of_before_the_start_and_at_it() {
    let desk = Desk::new();
    let told = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let said = "mail for postmaster@ and abuse@ goes to the oldest property, if any: there is no property acmee; did you mean \
                acme?";
    assert!(!told(&desk.run(&["check"], "")).contains("postmaster"));
    desk.postmaster("acmee");
    let output = desk.run(&["check"], "");
    assert!(output.status.success() && told(&output).contains(said), "{}", told(&output));
    let daemon = desk.serve();
    let output = desk.run(&["check"], "");
    assert!(output.status.success() && told(&output).contains(said), "{}", told(&output));
    daemon.terminate();
    let (_, log) = daemon.wait();
    assert!(log.contains(said), "{log}");
    // What is not to stay so is told once.
    assert_eq!(log.matches("relay.mode: \"capture\" is for trying out").count(), 1, "{log}");
}

#[test]
fn what_is_composed_goes_out_to_everyone_but_its_author() {
    let desk = Desk::new();
    desk.ok(&["member", "add", "joe@acme.com", "--name", "Joe", "--property", "acme"]);
    let daemon = desk.serve();
    desk.ticket("Parcel", &["--as", "jane", "--assign", "joe", "--cc", "boss@example.com"]);
    desk.delivered();
    assert_eq!(desk.captured(), to(&["bob@example.org", "boss@example.com", "joe@acme.com"]));
    desk.ok_with(&["ticket", "note", "acme-1", "--as", "joe"], "For us alone\n");
    desk.delivered();
    let shown = desk.json(&["ticket", "show", "acme-1"]);
    let copies = |entry: usize| -> Vec<(String, String)> {
        let text = |copy: &Value, key: &str| copy[key].as_str().unwrap().to_owned();
        let copies = shown["entries"][entry]["copies"].as_array().unwrap();
        copies.iter().map(|copy| (text(copy, "to"), text(copy, "state"))).collect()
    };
    assert_eq!(copies(1), [("jane@acme.com".to_owned(), "sent".to_owned())], "a note stays inside");
    assert_eq!(copies(0).len(), 3);

    let second = desk.run(&["serve"], "");
    assert_eq!(second.status.code(), Some(75), "a second daemon on the same data");
    let sent = desk.json(&["queue", "list", "--state", "sent"]);
    assert_eq!(sent["copies"].as_array().unwrap().len(), 4);
    drop(daemon);
}

#[test]
fn a_backup_is_put_back_with_every_counter_moved_on() {
    let desk = Desk::new();
    desk.ticket("Parcel", &[]);
    let before = desk.json(&["ticket", "show", "acme-1"]);
    let daemon = desk.serve();
    let backup = desk.folder.path().join("backup");
    let made = desk.json(&["backup", backup.to_str().unwrap()]);
    assert!(made["files"].as_u64().unwrap() > 1, "{made}");
    let again = desk.run(&["backup", backup.to_str().unwrap(), "--json"], "");
    assert_eq!(again.status.code(), Some(1), "a backup is never written over");
    assert!(String::from_utf8_lossy(&again.stderr).contains("is not empty"));
    drop(daemon);

    let over = desk.run(&["restore", backup.to_str().unwrap()], "");
    assert_eq!(over.status.code(), Some(1), "a store is never written over");
    std::fs::rename(desk.folder.path().join("data"), desk.folder.path().join("lost")).unwrap();
    desk.ok(&["restore", backup.to_str().unwrap()]);
    let mut after = desk.json(&["ticket", "show", "acme-1"]);
    // The daemon may have sent it meanwhile, before the backup or after it.
    after["entries"][0]["copies"] = before["entries"][0]["copies"].clone();
    assert_eq!(after, before);
    let next = desk.ticket("After", &[]);
    assert!(next["number"].as_u64().unwrap() > 1_000_000, "{}", next["ref"]);
    assert_eq!(desk.json(&["verify"])["ok"], true);
    let shown = desk.json(&["ticket", "show", "acme-1"]);
    desk.ok(&["rebuild"]);
    assert_eq!(desk.json(&["ticket", "show", "acme-1"]), shown);
}

#[test]
fn an_app_password_is_told_once_and_revoked_by_its_device() {
    let desk = Desk::new();
    let made = desk.json(&["member", "app-password", "add", "jane@acme.com", "--name", "laptop"]);
    let password = made["password"].as_str().unwrap();
    assert_eq!(password.split('-').map(str::len).collect::<Vec<_>>(), [4; 7], "{password}");
    assert_eq!((&made["address"], &made["name"]), (&json!("jane@acme.com"), &json!("laptop")));
    let said = String::from_utf8(desk.ok(&["member", "app-password", "add", "jane", "--name", "phone"])).unwrap();
    assert!(said.contains("for phone; it is not shown again"), "{said}");
    let twice = desk.run(&["member", "app-password", "add", "jane@acme.com", "--name", "phone"], "");
    assert_eq!(twice.status.code(), Some(1));
    let said = String::from_utf8_lossy(&twice.stderr).into_owned();
    let way_out = "guichet member app-password revoke jane@acme.com --name \"phone\"";
    assert!(said.contains("give this device another name") && said.contains(way_out), "{said}");

    let list = desk.json(&["member", "app-password", "list", "jane@acme.com"]);
    let devices: Vec<_> = list["app_passwords"].as_array().unwrap().iter().map(|device| &device["name"]).collect();
    assert_eq!(devices, ["laptop", "phone"]);
    assert_eq!(list["app_passwords"][0]["last_use"], Value::Null);
    assert!(!list.to_string().contains(password));
    desk.ok(&["member", "app-password", "revoke", "jane@acme.com", "--name", "laptop"]);
    let again = desk.run(&["member", "app-password", "revoke", "jane@acme.com", "--name", "laptop"], "");
    assert!(String::from_utf8_lossy(&again.stderr).contains("did you mean \"phone\"?"), "{again:?}");
    let list = String::from_utf8(desk.ok(&["member", "app-password", "list", "jane@acme.com"])).unwrap();
    assert!(list.contains("phone") && list.contains("never") && !list.contains("laptop"), "{list}");
}

#[test]
fn a_members_setup_is_all_that_is_typed_into_a_client() {
    let desk = Desk::new();
    let off = String::from_utf8(desk.ok(&["member", "setup", "jane"])).unwrap();
    assert!(off.contains("IMAP is off here") && off.contains("SMTP is off here"), "{off}");
    assert_eq!(desk.json(&["member", "setup", "jane"])["imap"], json!([]));

    let listens = ["--imap-tls", "127.0.0.1:993", "--submission-tls", "127.0.0.1:465", "--submission", "127.0.0.1:587"];
    let data = desk.folder.path().join("data");
    let init = ["init", "--force", "--hostname", "desk.example.org", "--property", "acme", "--member", "jane@acme.com"];
    let again = [&init[..], &["--data-dir", data.to_str().unwrap(), "--listen", "127.0.0.1:0"], &listens].concat();
    assert!(desk.run(&again, "").status.success());
    desk.ok(&["property", "edit", "acme", "--public", "support@acme.com", "--address", "help@desk.example.org"]);
    desk.ok(&["member", "add", "team@acme.com", "--name", "Team", "--property", "acme", "--list"]);
    let port = |port: u16, security: &str| json!({ "host": "desk.example.org", "port": port, "security": security });
    let identity = |address: &str| json!({ "address": address, "name": "Acme Support", "property": "acme" });
    let identities = ["acme@desk.example.org", "help@desk.example.org", "support@acme.com"].map(identity);
    let mut setup = json!({
        "address": "jane@acme.com", "name": "Jane Doe", "imap": [port(993, "tls")],
        "smtp": [port(465, "tls"), port(587, "starttls")], "identities": identities,
        "finds_itself": false, "apple": null, "self_signed": true
    });
    assert_eq!(desk.json(&["member", "setup", "jane@acme.com"]), setup);

    let said = String::from_utf8(desk.ok(&["member", "setup", "jane"])).unwrap();
    assert!(said.contains("self-signed: clients refuse it") && !said.contains("iPhone"), "{said}");

    // With HTTPS there is more to offer.
    let text = fs::read_to_string(&desk.config).unwrap();
    let text = text
        .replace("#: listen_tls = []", "listen_tls = [\"127.0.0.1:443\"]")
        .replace("#: acme = false", "acme = true")
        .replace("#: autoconfig = []", "autoconfig = [\"acme.com\"]");
    fs::write(&desk.config, text).unwrap();
    (setup["finds_itself"], setup["self_signed"]) = (json!(true), json!(false));
    setup["apple"] = json!("https://desk.example.org/apple.mobileconfig?email=jane%40acme.com");
    assert_eq!(desk.json(&["member", "setup", "jane"]), setup);
    let said = String::from_utf8(desk.ok(&["member", "setup", "jane"])).unwrap();
    assert!(!said.contains("self-signed"), "{said}");
    for line in [
        "Jane Doe <jane@acme.com>, in a mail client",
        "  incoming      IMAP, desk.example.org, port 993 with TLS (SSL/TLS)",
        "  outgoing      SMTP, desk.example.org, port 465 with TLS (SSL/TLS)",
        "                or port 587 with STARTTLS",
        "  user name     jane@acme.com, for both",
        "  password      an app password: guichet member app-password add jane@acme.com --name DEVICE",
        "  identities    Acme Support <acme@desk.example.org>",
        "                Acme Support <support@acme.com>",
        "  by itself     a client that is told the address finds the servers",
        "  iPhone, Mac   open https://desk.example.org/apple.mobileconfig?email=jane%40acme.com on it",
    ] {
        assert!(said.lines().any(|said| said == line), "{line}\n{said}");
    }
    let list = desk.run(&["member", "setup", "team@acme.com"], "");
    assert_eq!(list.status.code(), Some(1));
    let told = String::from_utf8_lossy(&list.stderr).into_owned();
    assert_eq!(told, "guichet: team@acme.com is a list, which has no login: set up whoever reads it\n");
}

#[test]
fn the_demonstration_plays_once_stops_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let port = ports.map(|socket| socket.local_addr().unwrap().port());
    let first = Demo::start(folder.path(), port, &[]);
    let config = folder.path().join("demo/guichet.toml");
    let guichet = |args: &[&str]| {
        let command = Command::new(env!("CARGO_BIN_EXE_guichet")).arg("--config").arg(&config).args(args).output();
        let output = command.unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let table = guichet(&["ticket", "list"]);
    assert!(first.said.contains(&table), "{}\n{table}", first.said);
    assert_eq!(table.lines().count(), 8, "{table}");
    assert!(first.said.contains(&format!("smtp://127.0.0.1:{}", port[0])), "{}", first.said);

    // What it advises works.
    let held = first.said.lines().find_map(|line| line.trim().strip_prefix("g ticket accept ")).unwrap();
    let held: Vec<&str> = held.split_whitespace().take(2).collect();
    assert!(guichet(&["ticket", "list", "--held"]).contains(held[0]));
    guichet(&[&["ticket", "accept"][..], &held].concat());
    assert_eq!(guichet(&["ticket", "list", "--held"]), "No tickets.\n");
    if peers::program("curl").is_some() {
        let submits = first.said.split("  printf ").nth(1).unwrap();
        let submits = format!("printf {}", submits.split("\n\n").next().unwrap());
        let output = Command::new("/bin/sh").args(["-c", &submits]).output().unwrap();
        assert!(output.status.success(), "{submits}\n{}", String::from_utf8_lossy(&output.stderr));
        assert!(guichet(&["ticket", "list", "--query", "Laces"]).contains("acme-"));
        let device = guichet(&["member", "app-password", "list", "alice@acme.example"]);
        assert!(device.contains("demo") && device.contains("PLAIN"), "{device}");
    }

    let other = tempfile::tempdir().unwrap();
    let busy = demo(other.path(), port, &[]).output().unwrap();
    assert_eq!(busy.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&busy.stderr).contains("is in use"));
    first.interrupt();

    let again = Demo::start(folder.path(), port, &[]);
    assert!(again.said.contains("acme-1") && !again.said.contains("g ticket accept"), "{}", again.said);
    again.interrupt();
    let fresh = Demo::start(folder.path(), port, &["--fresh"]);
    assert!(fresh.said.contains("g ticket accept"), "{}", fresh.said);
    fresh.interrupt();

    std::fs::remove_file(&config).unwrap();
    let foreign = demo(folder.path(), port, &["--fresh"]).output().unwrap();
    assert_eq!(foreign.status.code(), Some(1), "what is no demonstration is left alone");
    assert!(folder.path().join("demo/store").exists());
}

/// A desk in a folder of its own: property `acme`, member Jane.
struct Desk {
    folder: TempDir,
    config: PathBuf,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let desk = Self { config: folder.path().join("guichet.toml"), folder };
        let data = desk.folder.path().join("data");
        desk.ok(&[
            "init",
            "--hostname",
            "desk.example.org",
            "--data-dir",
            data.to_str().unwrap(),
            "--listen",
            "127.0.0.1:0",
            "--relay",
            "capture",
            "--property",
            "acme",
            "--property-name",
            "Acme Support",
            "--member",
            "jane@acme.com",
            "--member-name",
            "Jane Doe",
        ]);
        desk
    }

    fn serve(&self) -> Daemon {
        Daemon::start(&self.config)
    }

    /// Names another property in the config.
    fn postmaster(&self, slug: &str) {
        let text = fs::read_to_string(&self.config).unwrap();
        let line = text.lines().find(|line| line.starts_with("postmaster = ")).unwrap();
        fs::write(&self.config, text.replace(line, &format!("postmaster = \"{slug}\""))).unwrap();
    }

    fn run(&self, args: &[&str], stdin: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guichet"));
        command.arg("--config").arg(&self.config).args(args).env_remove("NOTIFY_SOCKET");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A command that reads nothing may have ended already.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        child.wait_with_output().unwrap()
    }

    fn ok_with(&self, args: &[&str], stdin: &str) -> Vec<u8> {
        let output = self.run(args, stdin);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stderr.is_empty(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn ok(&self, args: &[&str]) -> Vec<u8> {
        self.ok_with(args, "")
    }

    fn json(&self, args: &[&str]) -> Value {
        serde_json::from_slice(&self.ok(&[args, &["--json"]].concat())).unwrap()
    }

    /// A ticket for Bob.
    fn ticket(&self, subject: &str, more: &[&str]) -> Value {
        let new = ["ticket", "new", "acme", "--to", "bob@example.org", "--to-name", "Bob", "--subject", subject];
        let made = self.ok_with(&[&new, more, &["--json"]].concat(), "Your parcel has left.\n");
        serde_json::from_slice(&made).unwrap()
    }

    /// What a few commands print, without times and without how far copies have come.
    fn morning(&self) -> Vec<String> {
        let file = self.folder.path().join("note.txt");
        std::fs::write(&file, "Hello").unwrap();
        let file = file.to_str().unwrap();
        let mut said = Vec::new();
        for (args, stdin) in [
            (&["property", "add", "shop", "--name", "Le Shop", "--language", "fr"][..], ""),
            (&["property", "list"], ""),
            (&["property", "show", "shop"], ""),
            (&["member", "add", "joe@acme.com", "--name", "Joe", "--property", "acme"], ""),
            (&["member", "list", "--property", "acme"], ""),
            (&["department", "add", "acme", "billing", "--name", "Billing", "--member", "joe@acme.com"], ""),
            (&["department", "list"], ""),
            (
                &["ticket", "new", "acme", "--to", "bob@example.org", "--subject", "Parcel", "--attach", file],
                "Your parcel has left.\n",
            ),
            (&["ticket", "assign", "acme-1", "billing"], ""),
            (&["ticket", "note", "acme-1", "--as", "jane"], "Keep an eye on it\n"),
            (&["ticket", "reply", "acme-1", "--as", "joe", "--close"], "It is there.\n"),
            (&["ticket", "list"], ""),
            (&["contact", "list"], ""),
            (&["contact", "show", "bob@example.org"], ""),
            (&["ticket", "log", "acme-1"], ""),
            (&["ticket", "show", "acme-1"], ""),
        ] {
            said.push(timeless(&String::from_utf8(self.ok_with(args, stdin)).unwrap()));
        }
        said
    }

    /// Waits until nothing is in the queue any more.
    fn delivered(&self) {
        let started = Instant::now();
        while self.json(&["queue", "list"])["copies"] != json!([]) {
            assert!(started.elapsed() < PATIENCE, "copies are still waiting");
        }
    }

    /// To whom the captured mail went.
    fn captured(&self) -> BTreeSet<String> {
        let files = std::fs::read_dir(self.folder.path().join("data/outbox/new")).unwrap();
        let texts = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
        let to = |text: String| text.lines().find_map(|line| line.strip_prefix("Envelope-To: ").map(str::to_owned));
        texts.filter_map(to).collect()
    }
}

fn to(addresses: &[&str]) -> BTreeSet<String> {
    addresses.iter().map(|address| (*address).to_owned()).collect()
}

/// The text with every `2026-11-23 16:24Z` put as one word, and without the lines on copies.
fn timeless(text: &str) -> String {
    let is_time = |at: usize| {
        text.get(at..at + 17).is_some_and(|word| {
            word.bytes().zip(b"dddd-dd-dd dd:ddZ").all(|(byte, shape)| match shape {
                b'd' => byte.is_ascii_digit(),
                other => byte == *other,
            })
        })
    };
    let (mut out, mut at) = (String::new(), 0);
    while let Some(c) = text[at..].chars().next() {
        if is_time(at) {
            out.push_str("TIME");
            at += 17;
        } else {
            out.push(c);
            at += c.len_utf8();
        }
    }
    let lines: Vec<&str> = out.lines().filter(|line| !line.starts_with("  > ")).collect();
    lines.join("\n") + "\n"
}

fn fields(object: &Value, names: &str) {
    let found: BTreeSet<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(found, names.split_whitespace().collect(), "{object:#}");
}

/// A running demonstration, and what it said.
struct Demo {
    process: Child,
    said: String,
}

fn demo(folder: &Path, ports: [u16; 2], args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guichet"));
    command.arg("demo").args(args).current_dir(folder).env("GUICHET_DEMO_PORT", ports[0].to_string());
    command.env("GUICHET_DEMO_SUBMISSION_PORT", ports[1].to_string());
    command.env_remove("GUICHET_LOG").stdin(Stdio::null());
    command
}

impl Demo {
    /// Starts it and reads on until its last line.
    fn start(folder: &Path, ports: [u16; 2], args: &[&str]) -> Self {
        let mut process = demo(folder, ports, args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut said = String::new();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        while !said.ends_with("\n  g ticket list\n") {
            assert!(stdout.read_line(&mut said).unwrap() > 0, "it ended: {:?}\n{said}", process.wait());
        }
        Self { process, said }
    }

    /// Ctrl-C.
    fn interrupt(mut self) {
        kill_process(Pid::from_child(&self.process), Signal::INT).unwrap();
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
