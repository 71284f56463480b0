//! `guichet trace`: one story a mail, told in order.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::output::{Output, clean_line, list, person, size};
use super::word;
use crate::api::types::Event;
use crate::api::types::trace::{Arrival, Carried, Made, Sent, Stories, Story};
use crate::desk::entry::{Kind, State};

/// What happened at a time, in the order in which it is told.
struct Step {
    at: Timestamp,
    text: String,
}

pub(super) fn stories(stories: &Stories, output: Output) -> String {
    let mut text = String::new();
    if stories.more > 0 {
        text.push_str(&output.dim(&format!("{} more are not shown.", stories.more)));
        text.push_str("\n\n");
    }
    let told: Vec<_> = stories.stories.iter().map(|story| tell(story, output)).collect();
    text.push_str(&told.join("\n"));
    text
}

fn tell(story: &Story, output: Output) -> String {
    let title = match (&story.id, story.entries.iter().find_map(|made| made.message_id.as_ref())) {
        (Some(id), Some(message_id)) => format!("{id}  <{message_id}>"),
        (Some(id), None) => id.clone(),
        (None, Some(message_id)) => format!("<{message_id}>"),
        (None, None) => "a mail".to_owned(),
    };
    let mut steps = Vec::new();
    let mut step = |at, text: String| steps.push(Step { at, text });
    match &story.arrival {
        Some(arrival) => step(story.at, came(arrival, &word(&story.door))),
        None => step(story.at, format!("written, by {}", story.door)),
    }
    // What the mail is, before what that changed.
    let (changes, mails): (Vec<_>, Vec<_>) = story.entries.iter().partition(|made| made.kind == Kind::Event);
    for made in mails.into_iter().chain(changes) {
        for text in filed(made) {
            step(made.at, text);
        }
        for copy in &made.copies {
            for (at, text) in sent(copy) {
                step(at, text);
            }
        }
    }
    if story.more > 0 {
        step(story.at, format!("and {} more entries", story.more));
    }
    // Of one moment, in the order in which it was told above.
    steps.sort_by_key(|step| step.at);
    let mut text = format!("{}\n", output.bold(&clean_line(&title)));
    for Step { at, text: what } in steps {
        let at = output.dim(&at.strftime("%Y-%m-%d %H:%M:%SZ").to_string());
        writeln!(text, "  {at}  {}", clean_line(&what)).expect("a String takes all");
    }
    text
}

fn came(arrival: &Arrival, door: &str) -> String {
    let line = arrival.tls.as_ref().map_or("in clear", |tls| tls.as_str());
    let line = if line.is_empty() { "TLS" } else { line };
    let member = arrival.member.as_ref().map(|member| format!(", logged in as {member}")).unwrap_or_default();
    let from = arrival.from.as_ref().map(ToString::to_string).unwrap_or_default();
    let left_out = usize::try_from(arrival.count).unwrap_or(usize::MAX).saturating_sub(arrival.recipients.len());
    let others = if left_out > 0 { format!(" and {left_out} more") } else { String::new() };
    format!(
        "came by {door} from {} ({}), {line}{member}; from <{from}> to {}{others}; {}",
        arrival.client,
        arrival.helo,
        list(&arrival.recipients),
        size(arrival.size)
    )
}

/// What was found out about an entry, and what became of it.
fn filed(made: &Made) -> Vec<String> {
    let author = made.author.address.as_ref().map(|address| person(&made.author.name, address.as_str()));
    let author = author.unwrap_or_else(|| "the system".to_owned());
    if let (Kind::Event, Some(event)) = (made.kind, &made.event) {
        return vec![format!("{}: {}", made.ticket, happened(event))];
    }
    let mut lines = Vec::new();
    if let Some(proofs) = &made.proofs {
        let signatures: Vec<_> = proofs
            .dkim
            .iter()
            .map(|signature| format!("{} ({})", word(&signature.outcome), signature.domain))
            .collect();
        let dkim = if signatures.is_empty() { "none".to_owned() } else { signatures.join(", ") };
        let mut said = format!(
            "SPF {} ({}), DKIM {dkim}, DMARC {}, {}",
            word(&proofs.spf),
            proofs.spf_domain,
            word(&proofs.dmarc),
            if proofs.aligned { "aligned" } else { "not aligned" }
        );
        if let Some(hop) = &proofs.believed {
            let _ = write!(said, ", by the word of {hop}");
        }
        if let Some(spam) = &made.spam {
            let score = spam.score.map(|score| format!(" at {score:.1}")).unwrap_or_default();
            let _ = write!(said, "; filter: {}{score}", word(&spam.verdict));
            if let Some(list) = &spam.listed {
                let _ = write!(said, ", listed by {list}");
            }
        }
        lines.push(said);
    }
    let joined = if made.opened { "opened" } else { "joined" };
    let at = made.arrived_at.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
    let answers = made.answers.as_ref().map(|parent| format!(", in answer to #{parent}")).unwrap_or_default();
    let machine = made.machine.map(|machine| format!(" by a {} machine", word(&machine))).unwrap_or_default();
    let mut what = format!(
        "{joined} {}{at} as {} #{}{answers}, of {author}{machine}, verified: {}; {}",
        made.ticket,
        word(&made.kind),
        made.entry,
        word(&made.verified),
        word(&made.state)
    );
    if let Some(reason) = &made.reason {
        let marked = if made.state == State::Relayed { ", marked" } else { "" };
        let _ = write!(what, "{marked}: {}", word(reason));
    }
    if made.copies.is_empty() && made.state == State::Relayed {
        what.push_str(" to nobody");
    }
    lines.push(what);
    lines
}

fn happened(event: &Event) -> String {
    let what = word(&event.what);
    match (&event.from, &event.to) {
        (Some(from), Some(to)) => format!("{what} {from} → {to}"),
        (Some(part), None) | (None, Some(part)) => format!("{what} {part}"),
        (None, None) => what,
    }
}

/// What happened to a copy.
fn sent(copy: &Sent) -> Vec<(Timestamp, String)> {
    let what = match copy.content {
        Carried::Entry => "copy",
        Carried::Conversation => "conversation, copy",
        Carried::Letter => "letter, copy",
    };
    let mut steps = vec![(copy.queued_at, format!("{what} {} to {} queued", copy.id, copy.to))];
    let mut expected = 1;
    for tried in &copy.tries {
        if tried.number > expected {
            steps.push((tried.at, format!("copy {}: {} more tries", copy.id, tried.number - expected)));
        }
        expected = tried.number + 1;
        let server = tried.server.as_ref().map(|server| format!(" at {server}")).unwrap_or_default();
        let text = format!("copy {} try {}{server}: {}, {}", copy.id, tried.number, tried.outcome, tried.reply);
        steps.push((tried.at, text));
    }
    // What did not come of an offer: a person, a report, or time.
    if copy.tries.last().is_none_or(|tried| tried.outcome != copy.state || Some(&tried.reply) != copy.reply.as_ref()) {
        let words = copy.reply.as_ref().map(|reply| format!(": {reply}")).unwrap_or_default();
        let mut text = format!("copy {} is {}{words}", copy.id, copy.state);
        if let Some(outage) = &copy.outage {
            let _ = write!(text, "; its destination is down: {}", outage.words);
        }
        steps.push((copy.updated_at, text));
    }
    if let Some(next) = copy.next_at {
        let next = next.strftime("%Y-%m-%d %H:%M:%SZ");
        steps.push((copy.updated_at, format!("copy {} is tried next at {next}", copy.id)));
    }
    steps
}
