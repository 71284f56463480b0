//! `guichet check --send`: what survives the way out.

use std::fmt::Write as _;

use super::client::Call;
use super::output::{Output, clean_line, print, print_json};
use super::{Desk, Failure};
use crate::api::types::{Probe, ProbeState, ProbeWay, Probed};
use crate::desk::address::Address;

/// Sends a probe, waits, and says what became of it. Fails where something did not survive, or where
/// it should have come back and did not.
pub(super) fn run(to: Address, wait: Option<u64>, desk: &mut Desk<'_>) -> Result<(), Failure> {
    let ours = desk.config.domains.iter().any(|domain| domain.as_str() == to.domain());
    let (probed, value) = desk.client.ask::<Probed>(&Call::post(&["probe"], &Probe { to, wait }))?;
    if desk.output.json {
        print_json(&value)?;
    } else {
        print(&text(&probed, ours, desk.output))?;
    }
    verdict(&probed, ours)
}

fn verdict(probed: &Probed, ours: bool) -> Result<(), Failure> {
    let to = &probed.to;
    let broken = probed.findings.iter().filter(|finding| finding.ok == Some(false)).count();
    match (probed.state, probed.way, probed.back_after) {
        (ProbeState::Deferred, ..) => Err(Failure::Busy(format!("the test to {to} was not taken: {}", probed.reply))),
        (ProbeState::Failed, ..) => {
            let words = probed.report.as_ref().unwrap_or(&probed.reply);
            Err(anyhow::anyhow!("the test to {to} failed: {words}").into())
        }
        (ProbeState::Sent, ProbeWay::Captured, _) => Ok(()),
        (ProbeState::Sent, _, None) if ours => {
            Err(anyhow::anyhow!("the test to {to} was taken, and did not come back in time; --wait gives it longer")
                .into())
        }
        (ProbeState::Sent, ..) if broken > 0 => {
            Err(anyhow::anyhow!("the way out keeps not all that it should: see above").into())
        }
        (ProbeState::Sent, ..) => Ok(()),
    }
}

fn text(probed: &Probed, ours: bool, output: Output) -> String {
    let mut text = String::new();
    let mut line = |line: &str| _ = writeln!(text, "{}", clean_line(line));
    let taken = probed.state == ProbeState::Sent || probed.report.is_some();
    let sent = if taken { "Sent" } else { "Not sent" };
    line(&format!("{sent} to {}: {}", probed.to, probed.reply));
    match probed.way {
        ProbeWay::Route => {}
        ProbeWay::Captured => line("It lies in the Maildir of relay.capture; nothing left this machine."),
        ProbeWay::Ourselves => line(
            "In mode direct, mail for ourselves never leaves: this went to our own port, and shows how what we send \
             looks. For the way out, give an address elsewhere.",
        ),
    }
    if let Some(after) = probed.back_after {
        let seconds = std::time::Duration::from_millis(after).as_secs_f64();
        line(&format!("It came back after {seconds:.1} seconds:"));
        for finding in &probed.findings {
            let (word, style) = match finding.ok {
                Some(true) => ("ok", "32"),
                Some(false) => ("bad", "31"),
                None => ("-", "33"),
            };
            let word = output.style(style, &format!("{word:<3}"));
            let _ = writeln!(text, "  {word}  {:<15}  {}", finding.what, clean_line(&finding.seen));
        }
    } else if !ours && probed.state == ProbeState::Sent && probed.way == ProbeWay::Route {
        let _ = writeln!(
            text,
            "What arrives there can't be seen from here. Look at its source (Gmail: Show original):\n  \
             Message-ID  must be {}\n  Date        must be {}",
            clean_line(&probed.message_id),
            clean_line(&probed.date)
        );
        for signature in &probed.signatures {
            let (domain, selector) = (clean_line(&signature.domain), clean_line(&signature.selector));
            let _ = writeln!(
                text,
                "  Authentication-Results  should have dkim=pass with header.d={domain} header.s={selector}"
            );
        }
        text.push_str("                          and spf=pass, dmarc=pass\n");
    }
    text
}
