//! How a mail client shows a mailbox: the threads that RFC 5256 §3 REFERENCES makes of it.

use std::collections::HashMap;

use super::desk::field;

#[derive(Default)]
struct Node {
    parent: Option<usize>,
}

/// How many threads a client shows of these messages: what identifiers tie together (steps 1 to 4
/// of the algorithm), and of that what has one subject (step 5).
pub fn threads(mailbox: &[String]) -> usize {
    let mut subjects: Vec<_> = roots(mailbox).into_iter().map(base_subject).collect();
    subjects.sort_unstable();
    subjects.dedup();
    subjects.len()
}

/// How many threads there are by identifiers alone.
pub fn threads_by_id(mailbox: &[String]) -> usize {
    roots(mailbox).len()
}

/// A message of each thread that identifiers make.
fn roots(mailbox: &[String]) -> Vec<&str> {
    let mut nodes: Vec<Node> = Vec::new();
    let mut by_id: HashMap<String, usize> = HashMap::new();
    for message in mailbox {
        let id = ids(message, "Message-ID").into_iter().next().unwrap();
        let mut references = ids(message, "References");
        if references.is_empty() {
            references = ids(message, "In-Reply-To").into_iter().take(1).collect();
        }
        let mut previous = None;
        for id in references {
            let at = node(&mut nodes, &mut by_id, id);
            // A link that is there already stays, and none may close a circle.
            if let Some(parent) = previous
                && nodes[at].parent.is_none()
                && !descends(&nodes, parent, at)
            {
                nodes[at].parent = Some(parent);
            }
            previous = Some(at);
        }
        // What a message says of itself counts more than what others say of it.
        let at = node(&mut nodes, &mut by_id, id);
        nodes[at].parent = previous.filter(|parent| !descends(&nodes, *parent, at));
    }
    let root = |message: &String| {
        let mut at = by_id[&ids(message, "Message-ID")[0]];
        while let Some(parent) = nodes[at].parent {
            at = parent;
        }
        at
    };
    // The first message below a root that nobody has stands for it (step 5).
    let mut seen = HashMap::new();
    for message in mailbox {
        seen.entry(root(message)).or_insert(message.as_str());
    }
    seen.into_values().collect()
}

/// A subject without the marks of answers (RFC 5256 §2.1, as far as the tests use them).
fn base_subject(message: &str) -> String {
    let message = message.replace("\r\n", "\n").replace('\n', "\r\n");
    let subject = field(&message, "Subject").unwrap_or_default().to_lowercase();
    subject.trim_start_matches("re: ").to_owned()
}

/// Whether a node is another one or below it.
fn descends(nodes: &[Node], at: usize, from: usize) -> bool {
    let mut at = Some(at);
    while let Some(now) = at {
        if now == from {
            return true;
        }
        at = nodes[now].parent;
    }
    false
}

fn node(nodes: &mut Vec<Node>, by_id: &mut HashMap<String, usize>, id: String) -> usize {
    *by_id.entry(id).or_insert_with(|| {
        nodes.push(Node::default());
        nodes.len() - 1
    })
}

fn ids(message: &str, name: &str) -> Vec<String> {
    let message = message.replace("\r\n", "\n").replace('\n', "\r\n");
    let value = field(&message, name).unwrap_or_default();
    value.split_whitespace().map(str::to_owned).collect()
}
