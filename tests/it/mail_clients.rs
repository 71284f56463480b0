//! Other people's programs log in and submit mail over TLS, as they come.

use std::io::Write as _;
use std::process::{Command, Stdio};

use guichet::actions::app_password;
use guichet::desk::login::Mechanism;

use super::kit::desk::TestDesk;
use super::kit::letter::letter;
use super::kit::peers;

const USER: &str = "alice@team.example";
const DAN: &str = "dan@example.com";

/// How the connection is encrypted.
#[derive(Clone, Copy, Debug)]
enum Start {
    Tls,
    StartTls,
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_log_in_as_they_come() {
    let desk = TestDesk::start().await;
    desk.members(&["alice"]).await;
    let password = desk.app_password("alice", "laptop").await;
    let mut tickets = 0;
    for (program, start, mechanism) in [
        ("swaks", Start::StartTls, Mechanism::Plain),
        ("swaks", Start::Tls, Mechanism::Login),
        ("curl", Start::Tls, Mechanism::Plain),
        ("curl", Start::StartTls, Mechanism::Login),
        ("python", Start::StartTls, Mechanism::Plain),
        ("python", Start::Tls, Mechanism::Login),
        ("msmtp", Start::Tls, Mechanism::ScramSha256),
        ("msmtp", Start::StartTls, Mechanism::Plain),
    ] {
        let what = format!("{program} {start:?} {mechanism:?}");
        let Some(mut command) = command(&desk, program, start, mechanism, &password) else { continue };
        let mail = letter("Acme <acme@desk.example.org>").to(DAN).subject(&what).text("Hello Dan.\n").message();
        let sent = tokio::task::spawn_blocking(move || {
            let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = piped.spawn().unwrap();
            child.stdin.take().unwrap().write_all(mail.as_bytes()).unwrap();
            child.wait_with_output().unwrap()
        });
        let output = sent.await.unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&said));
        tickets += 1;
        let ticket = desk.ticket(&format!("acme-{tickets}"));
        assert_eq!(ticket.subject, what);
        assert_eq!(ticket.requester().unwrap().address.as_str(), DAN);
        let used = desk.read(|view| app_password::list(view, "alice")).remove(0).last_use.unwrap();
        assert_eq!(used.mechanism, mechanism, "{what}");
    }
}

/// The program's command line, which reads the message from standard input; `None` where it was to
/// be left out.
fn command(desk: &TestDesk, program: &str, start: Start, mechanism: Mechanism, password: &str) -> Option<Command> {
    let (by_tls, by_starttls) = desk.submission();
    let server = match start {
        Start::Tls => by_tls,
        Start::StartTls => by_starttls,
    };
    let (host, port) = (server.ip().to_string(), server.port().to_string());
    let certificate = desk.certificate().display().to_string();
    let mut command = Command::new(if program == "python" { peers::python()? } else { peers::program(program)? });
    match program {
        "swaks" => {
            command.args(["--server", &host, "--port", &port, "--helo", "laptop.team.example"]);
            command.arg(if matches!(start, Start::Tls) { "--tls-on-connect" } else { "--tls" });
            command.args(["--auth", mechanism.as_str(), "--auth-user", USER, "--auth-password", password]);
            command.args(["--from", USER, "--to", DAN, "--data", "-"]);
        }
        "curl" => {
            let scheme = if matches!(start, Start::Tls) { "smtps" } else { "smtp" };
            let url = format!("{scheme}://mx.desk.example.org:{port}/laptop.team.example");
            command.args(["--silent", "--show-error", "--crlf", "--ssl-reqd", "--cacert", &certificate]);
            command.args(["--resolve", &format!("mx.desk.example.org:{port}:{host}"), "--url", &url]);
            command.args(["--user", &format!("{USER}:{password}")]);
            command.args(["--login-options", &format!("AUTH={}", mechanism.as_str())]);
            command.args(["--mail-from", USER, "--mail-rcpt", DAN, "--upload-file", "-"]);
        }
        "python" => {
            let text = "import smtplib, ssl, sys\n\
                host, port, certificate, start, mechanism, user, password, to = sys.argv[1:]\n\
                tls = ssl.create_default_context(cafile=certificate)\n\
                tls.check_hostname = False\n\
                if start == 'Tls':\n\
                \x20   smtp = smtplib.SMTP_SSL(host, int(port), local_hostname='laptop.team.example', context=tls)\n\
                else:\n\
                \x20   smtp = smtplib.SMTP(host, int(port), local_hostname='laptop.team.example')\n\
                \x20   smtp.starttls(context=tls)\n\
                smtp.ehlo()\n\
                smtp.user, smtp.password = user, password\n\
                smtp.auth(mechanism, getattr(smtp, 'auth_' + mechanism.lower()))\n\
                smtp.sendmail(user, [to], sys.stdin.read())\n\
                smtp.quit()\n";
            command.args(["-c", text, &host, &port, &certificate, &format!("{start:?}"), mechanism.as_str()]);
            command.args([USER, password, DAN]);
        }
        _ => {
            let starttls = if matches!(start, Start::Tls) { "off" } else { "on" };
            command.args(["--file=/dev/null", &format!("--host={host}"), &format!("--port={port}")]);
            command.args(["--tls=on", &format!("--tls-starttls={starttls}"), "--tls-certcheck=on"]);
            command.args([&format!("--tls-trust-file={certificate}"), "--tls-host-override=mx.desk.example.org"]);
            command.args([&format!("--auth={}", mechanism.as_str().to_lowercase()), &format!("--user={USER}")]);
            command.args([&format!("--passwordeval=echo {password}"), &format!("--from={USER}"), "--", DAN]);
        }
    }
    Some(command)
}
