//! Conversations (RFC 5256 §3): which of some messages answer which, and how IMAP writes it.
//!
//! Threads are as deep as somebody makes them, so nothing here recurs. The cost is O(n log n) in messages
//! and their references.

use std::collections::HashMap;

use jiff::Timestamp;

use super::fields::Fields;

/// A message to be put into a thread: its number in the answer, its fields, and when it was sent
/// (RFC 5256 §2.2: Date, or the internal date where that can't be read).
pub type Member<'a> = (u32, &'a Fields, Timestamp);

/// Threads, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forest {
    nodes: Vec<Node>,
    /// The first node of each thread.
    roots: Vec<usize>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    /// `None` for a message that is not among those asked about: the root of a thread alone, and with two
    /// children at least.
    number: Option<u32>,
    /// In their order.
    children: Vec<usize>,
}

/// ORDEREDSUBJECT: messages of one base subject are a thread, all of them under the one sent first.
#[must_use]
pub fn ordered_subject(messages: &[Member<'_>]) -> Forest {
    let mut order: Vec<usize> = (0..messages.len()).collect();
    order.sort_by_key(|at| (messages[*at].2, messages[*at].0));
    let mut forest = Forest::default();
    let mut threads: HashMap<&str, usize> = HashMap::new();
    for at in order {
        let (number, fields, _) = messages[at];
        let node = forest.add(Some(number));
        if let Some(root) = threads.get(fields.base_subject.as_str()) {
            forest.nodes[*root].children.push(node);
        } else {
            threads.insert(&fields.base_subject, node);
            forest.roots.push(node);
        }
    }
    forest
}

/// REFERENCES: messages stand under those that they answer, and threads of one base subject are one.
#[must_use]
pub fn references(messages: &[Member<'_>]) -> Forest {
    let links = Links::of(messages);
    let mut forest = Forest::default();
    // First all messages, so that their nodes have their places.
    for (number, ..) in messages {
        forest.add(Some(*number));
    }
    links.prune(&mut forest);
    let mut sent: Vec<(Timestamp, u32)> = messages.iter().map(|(number, _, sent)| (*sent, *number)).collect();
    forest.sort(&mut sent);
    forest.gather(messages);
    forest.sort(&mut sent);
    forest
}

/// Who answers whom, by the fields alone: RFC 5256 §3, REFERENCES, step 1. The first nodes are the
/// messages, the others are what is only spoken of.
struct Links {
    parents: Vec<Option<usize>>,
    messages: usize,
    /// For each node another one of the same tree; itself for one of each tree. By it a loop is seen before it
    /// is made, whatever the depth.
    trees: Vec<usize>,
}

impl Links {
    fn of(messages: &[Member<'_>]) -> Self {
        let mut names: HashMap<&str, usize> = HashMap::new();
        for (at, (_, fields, _)) in messages.iter().enumerate() {
            if let Some(id) = &fields.message_id {
                // Of two messages with one identifier the first has it, and the second has none.
                names.entry(id).or_insert(at);
            }
        }
        let mut nodes = messages.len();
        let chains: Vec<Vec<usize>> = messages
            .iter()
            .map(|(_, fields, _)| {
                let said = fields.references.iter().map(String::as_str);
                let instead = fields.in_reply_to.as_deref().filter(|_| fields.references.is_empty());
                said.chain(instead)
                    .map(|id| {
                        *names.entry(id).or_insert_with(|| {
                            nodes += 1;
                            nodes - 1
                        })
                    })
                    .collect()
            })
            .collect();
        let mut links = Self { parents: vec![None; nodes], messages: messages.len(), trees: (0..nodes).collect() };
        // What a message says of itself counts before what others say of it: the RFC comes to that by taking
        // links back.
        for (at, chain) in chains.iter().enumerate() {
            if let Some(parent) = chain.last() {
                links.link(*parent, at);
            }
        }
        for (at, chain) in chains.iter().enumerate() {
            for two in chain.windows(2) {
                let (parent, child) = (two[0], two[1]);
                // What those before it say of a message is taken back by what it says of itself, though that be
                // nothing, or would make a loop.
                if child >= links.messages || child < at {
                    links.link(parent, child);
                }
            }
        }
        links
    }

    /// Puts a node under another, unless it has a parent or that would make a loop.
    fn link(&mut self, parent: usize, child: usize) {
        let (of_parent, of_child) = (self.tree(parent), self.tree(child));
        // Without a parent the child is the top of its tree: in the same one it is above the parent.
        if self.parents[child].is_none() && of_parent != of_child {
            self.parents[child] = Some(parent);
            self.trees[of_child] = of_parent;
        }
    }

    fn tree(&mut self, mut node: usize) -> usize {
        while self.trees[node] != node {
            self.trees[node] = self.trees[self.trees[node]];
            node = self.trees[node];
        }
        node
    }

    /// Steps 2 and 3: makes the forest without what is only spoken of, but where that holds a thread together.
    fn prune(&self, forest: &mut Forest) {
        // For each node: the message that stands for it as a parent, or else the top of its tree.
        let mut above: Vec<Option<usize>> = vec![None; self.parents.len()];
        let mut path = Vec::new();
        for start in 0..self.parents.len() {
            let mut node = start;
            while above[node].is_none() {
                match self.parents[node] {
                    Some(parent) if node >= self.messages => {
                        path.push(node);
                        node = parent;
                    }
                    _ => above[node] = Some(node),
                }
            }
            for below in path.drain(..) {
                above[below] = above[node];
            }
        }
        let mut tops: HashMap<usize, usize> = HashMap::new();
        for message in 0..self.messages {
            let parent = self.parents[message].and_then(|parent| above[parent]);
            match parent {
                None => forest.roots.push(message),
                Some(parent) if parent < self.messages => forest.nodes[parent].children.push(message),
                Some(top) => {
                    let dummy = *tops.entry(top).or_insert_with(|| {
                        let dummy = forest.add(None);
                        forest.roots.push(dummy);
                        dummy
                    });
                    forest.nodes[dummy].children.push(message);
                }
            }
        }
        // One child alone takes the place.
        for root in &mut forest.roots {
            if let Node { number: None, children } = &forest.nodes[*root]
                && let [child] = children.as_slice()
            {
                *root = *child;
            }
        }
    }
}

impl Forest {
    fn add(&mut self, number: Option<u32>) -> usize {
        self.nodes.push(Node { number, children: Vec::new() });
        self.nodes.len() - 1
    }

    /// Steps 4 and 6: siblings by when they were sent, then by their number; what is no message as its first
    /// child. `sent` knows this of the messages, which are the first nodes.
    fn sort(&mut self, sent: &mut Vec<(Timestamp, u32)>) {
        sent.resize(self.nodes.len(), (Timestamp::MAX, u32::MAX));
        // Those that are no messages are roots alone, so their children's times are known.
        for (at, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.number.is_none()) {
            let first = node.children.iter().map(|child| sent[*child]).min();
            sent[at] = first.unwrap_or((Timestamp::MAX, u32::MAX));
        }
        for node in &mut self.nodes {
            node.children.sort_by_key(|child| sent[*child]);
        }
        self.roots.sort_by_key(|root| sent[*root]);
    }

    /// Step 5: threads of one base subject become one.
    fn gather(&mut self, messages: &[Member<'_>]) {
        // What a root is called, and whether as an answer.
        let called = |forest: &Self, root: usize| {
            let node = &forest.nodes[root];
            let message = if node.number.is_some() { root } else { node.children[0] };
            let fields = messages[message].1;
            (fields.base_subject.as_str(), fields.is_answer)
        };
        let mut table: HashMap<&str, usize> = HashMap::new();
        for root in &self.roots {
            let (subject, is_answer) = called(self, *root);
            if subject.is_empty() {
                continue;
            }
            table
                .entry(subject)
                .and_modify(|known| {
                    let better = self.nodes[*root].number.is_none() || called(self, *known).1 && !is_answer;
                    if self.nodes[*known].number.is_some() && better {
                        *known = *root;
                    }
                })
                .or_insert(*root);
        }
        let mut roots = Vec::with_capacity(self.roots.len());
        // Which have another place now.
        let mut gone = vec![false; self.nodes.len()];
        for root in std::mem::take(&mut self.roots) {
            let (subject, is_answer) = called(self, root);
            if gone[root] {
                continue;
            }
            let known = table.get(subject).copied().filter(|known| *known != root && !subject.is_empty());
            let Some(known) = known else {
                roots.push(root);
                continue;
            };
            let [is_dummy, known_is_dummy] = [root, known].map(|at| self.nodes[at].number.is_none());
            if is_dummy && known_is_dummy {
                let children = std::mem::take(&mut self.nodes[root].children);
                self.nodes[known].children.extend(children);
            } else if known_is_dummy || is_answer && !called(self, known).1 {
                self.nodes[known].children.push(root);
            } else {
                // Neither answers the other: siblings under a message that nobody has.
                let dummy = self.add(None);
                self.nodes[dummy].children = vec![known, root];
                gone.resize(self.nodes.len(), false);
                gone[known] = true;
                roots.push(dummy);
                table.insert(subject, dummy);
            }
        }
        roots.retain(|root| !gone[*root]);
        self.roots = roots;
    }

    /// Writes the threads as they stand in an answer (RFC 5256 §5, `thread-list`): `(2)(3 6 (4 23)(44 7 96))`.
    pub fn write(&self, out: &mut Vec<u8>) {
        enum Step {
            Text(&'static [u8]),
            Node(usize),
        }
        let mut steps: Vec<Step> = Vec::new();
        for root in &self.roots {
            out.push(b'(');
            steps.push(Step::Node(*root));
            while let Some(step) = steps.pop() {
                let node = match step {
                    Step::Text(text) => {
                        out.extend_from_slice(text);
                        continue;
                    }
                    Step::Node(node) => &self.nodes[node],
                };
                if let Some(number) = node.number {
                    out.extend_from_slice(number.to_string().as_bytes());
                    if !node.children.is_empty() {
                        out.push(b' ');
                    }
                }
                if let [child] = node.children.as_slice() {
                    steps.push(Step::Node(*child));
                    continue;
                }
                for child in node.children.iter().rev() {
                    steps.extend([Step::Text(b")"), Step::Node(*child), Step::Text(b"(")]);
                }
            }
            out.push(b')');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message by its identifier, what it answers, and its subject; sent in the order of the list.
    fn message(id: &str, references: &str, subject: &str) -> Fields {
        Fields {
            message_id: Some(id.to_owned()).filter(|id| !id.is_empty()),
            references: references.split_whitespace().map(str::to_owned).collect(),
            base_subject: subject.trim_start_matches("Re: ").to_uppercase(),
            is_answer: subject.starts_with("Re: "),
            ..Fields::default()
        }
    }

    fn threads(fields: &[Fields], how: fn(&[Member<'_>]) -> Forest) -> String {
        let sent = |at: u32| Timestamp::from_second(i64::from(at)).unwrap();
        let members: Vec<Member<'_>> = (1..).zip(fields).map(|(at, fields)| (at, fields, sent(at))).collect();
        let mut out = Vec::new();
        how(&members).write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn by_references() {
        for (case, messages, expected) in [
            ("none", vec![], ""),
            ("strangers", vec![("a", "", "x"), ("b", "", "y")], "(1)(2)"),
            ("a chain", vec![("a", "", "x"), ("b", "a", "Re: x"), ("c", "a b", "Re: x")], "(1 2 3)"),
            (
                "a branch",
                vec![("a", "", "x"), ("b", "a", "Re: x"), ("c", "a", "Re: x"), ("d", "a c", "Re: x")],
                "(1 (2)(3 4))",
            ),
            ("one is missing in between", vec![("a", "", "x"), ("c", "a b", "Re: x")], "(1 2)"),
            ("the root is missing", vec![("b", "a", "y"), ("c", "a", "z")], "((1)(2))"),
            ("the root is missing above one", vec![("b", "a", "y")], "(1)"),
            ("two are missing above two", vec![("c", "a b", "y"), ("d", "a b", "z")], "((1)(2))"),
            ("two roots in a row are missing", vec![("c", "a b", "y"), ("d", "a", "z")], "((1)(2))"),
            ("answers come before", vec![("c", "a b", "Re: x"), ("b", "a", "Re: x"), ("a", "", "x")], "(3 2 1)"),
            ("a loop of two", vec![("a", "b", "x"), ("b", "a", "y")], "(2 1)"),
            ("itself", vec![("a", "a", "x"), ("b", "b a b", "y")], "(2 1)"),
            ("a loop of three", vec![("a", "c", "x"), ("b", "a", "y"), ("c", "b", "z")], "(3 1 2)"),
            ("the same identifier twice", vec![("a", "", "x"), ("a", "", "y"), ("b", "a", "z")], "(1 3)(2)"),
            ("no identifier", vec![("", "a", "y"), ("a", "", "x"), ("", "", "z")], "(2 1)(3)"),
            (
                "others say less than it itself",
                vec![("a", "", "w"), ("d", "a c", "x"), ("c", "b", "y"), ("b", "a", "z")],
                "(1 4 3 2)",
            ),
            ("a loop with what another says", vec![("a", "", "w"), ("b", "a c", "x"), ("c", "b", "y")], "(1)(3 2)"),
            ("by subject: an answer", vec![("b", "", "Re: x"), ("a", "", "x")], "(2 1)"),
            ("by subject: siblings", vec![("a", "", "x"), ("b", "", "x"), ("c", "", "x")], "((1)(2)(3))"),
            ("by subject: answers alone", vec![("a", "", "Re: x"), ("b", "", "Re: x")], "((1)(2))"),
            ("by subject: no subject", vec![("a", "", ""), ("b", "", "")], "(1)(2)"),
            (
                "by subject: both roots are missing",
                vec![("b", "a", "x"), ("c", "a", "x"), ("e", "d", "x"), ("f", "d", "x")],
                "((1)(2)(3)(4))",
            ),
            (
                "by subject: a root is missing",
                vec![("z", "", "x"), ("b", "a", "x"), ("c", "a", "x"), ("y", "", "Re: x")],
                "((1)(2)(3)(4))",
            ),
        ] {
            let fields: Vec<Fields> = messages.iter().map(|(id, refs, subject)| message(id, refs, subject)).collect();
            assert_eq!(threads(&fields, references), expected, "{case}");
        }
    }

    #[test]
    fn in_reply_to_is_taken_where_there_are_no_references() {
        let answer = Fields { in_reply_to: Some("a".to_owned()), ..message("b", "", "y") };
        assert_eq!(threads(&[message("a", "", "x"), answer.clone()], references), "(1 2)");
        let both = Fields { references: vec!["c".to_owned()], ..answer };
        assert_eq!(threads(&[message("a", "", "x"), both, message("c", "", "z")], references), "(1)(3 2)");
    }

    #[test]
    fn by_subject() {
        for (subjects, expected) in
            [(vec![], ""), (vec!["x", "y", "Re: x", "Re: x", "z", "Re: y"], "(1 (3)(4))(2 6)(5)")]
        {
            let fields: Vec<Fields> = subjects.iter().map(|subject| message("", "", subject)).collect();
            assert_eq!(threads(&fields, ordered_subject), expected);
        }
    }

    /// RFC 5256 §4: the answer that its grammar is explained by.
    #[test]
    fn the_example_of_the_rfc_is_written_as_there() {
        let node = |number, children: &[usize]| Node { number: Some(number), children: children.to_vec() };
        let nodes = vec![
            node(2, &[]),
            node(3, &[2]),
            node(6, &[3, 5]),
            node(4, &[4]),
            node(23, &[]),
            node(44, &[6]),
            node(7, &[7]),
            node(96, &[]),
        ];
        let mut out = Vec::new();
        Forest { nodes, roots: vec![0, 1] }.write(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "(2)(3 6 (4 23)(44 7 96))");
        let mut out = Vec::new();
        let nodes = vec![Node { number: None, children: vec![1, 2] }, node(3, &[]), node(5, &[])];
        Forest { nodes, roots: vec![0] }.write(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "((3)(5))");
    }

    #[test]
    fn as_deep_and_as_wide_as_somebody_makes_it() {
        const MANY: usize = 50_000;
        let chain: Vec<Fields> =
            (0..MANY).rev().map(|at| message(&at.to_string(), &(at.max(1) - 1).to_string(), "")).collect();
        assert!(threads(&chain, references).ends_with(')'));
        let spoken: Vec<Fields> =
            (0..MANY).map(|at| message(&format!("m{at}"), &format!("{at} {}", at + 1), "x")).collect();
        assert_eq!(threads(&spoken, references).matches('(').count(), MANY + 1);
        let alike: Vec<Fields> = (0..MANY).map(|at| message(&at.to_string(), "", "x")).collect();
        assert_eq!(threads(&alike, references).matches('(').count(), MANY + 1);
        assert_eq!(threads(&alike, ordered_subject).matches('(').count(), MANY);
    }
}
