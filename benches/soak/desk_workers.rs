//! Members who work in their mail clients: some sessions each, that come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::anyhow;

use super::client::Door;
use super::work::{self, Left, Worker};

/// Sessions of each member.
const SESSIONS: usize = 3;
/// Between two things that one session does.
const THOUGHT: Duration = Duration::from_millis(400);
/// After so many a session ends, and another begins.
const STEPS: usize = 150;
/// Where they look, and put what they move.
const WORKPLACES: [&str; 7] = [
    "INBOX",
    "acme/Open",
    "acme/Pending",
    "acme/Closed",
    "\"acme/Members/Reader (bob@good.example)\"",
    "Archive",
    "Trash",
];

/// All of them at work, each in a thread of its own.
pub struct Workers {
    over: Arc<AtomicBool>,
    threads: Vec<(usize, JoinHandle<anyhow::Result<Worked>>)>,
}

/// What one of them did, and where it is now.
struct Worked {
    last: Worker,
    commands: u64,
    gestures: u64,
}

impl Workers {
    pub fn start(doors: &[Door]) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for (member, door) in doors.iter().enumerate() {
            for _ in 0..SESSIONS {
                let (door, over, number) = (door.clone(), Arc::clone(&over), threads.len() as u64);
                threads.push((member, thread::spawn(move || work(&door, number, &over))));
            }
        }
        Self { over, threads }
    }

    /// Has all of them stop. What changes from here on they are told when they [finish](Resting::finish).
    pub fn stop(self) -> anyhow::Result<Resting> {
        self.over.store(true, Ordering::Relaxed);
        let join = |(member, thread): (usize, JoinHandle<_>)| {
            let worked: anyhow::Result<Worked> = thread.join().map_err(|_| anyhow!("a mail client died"))?;
            Ok((member, worked.map_err(|error| error.context("a mail client"))?))
        };
        Ok(Resting(self.threads.into_iter().map(join).collect::<anyhow::Result<_>>()?))
    }
}

/// Those who do nothing any more.
pub struct Resting(Vec<(usize, Worked)>);

impl Resting {
    /// Has all of them look once more, and end: they must see the same. Commands, and gestures among them.
    pub fn finish(self) -> anyhow::Result<(u64, u64)> {
        let (mut commands, mut gestures, mut left) = (0, 0, Vec::<(usize, Left)>::new());
        for (member, worked) in self.0 {
            commands += worked.commands + worked.last.commands;
            gestures += worked.gestures + worked.last.gestures;
            left.push((member, worked.last.finish()?));
        }
        work::agree(&left, &["INBOX"])?;
        Ok((commands, gestures))
    }
}

fn work(door: &Door, number: u64, over: &AtomicBool) -> anyhow::Result<Worked> {
    let (mut commands, mut gestures) = (0, 0);
    for session in 0_u64.. {
        let mut worker = Worker::connect(door, &WORKPLACES, number + 100 * session)?;
        for _ in 0..STEPS {
            if over.load(Ordering::Relaxed) {
                return Ok(Worked { last: worker, commands, gestures });
            }
            worker.step()?;
            thread::sleep(THOUGHT);
        }
        (commands, gestures) = (commands + worker.commands, gestures + worker.gestures);
        worker.log_out()?;
    }
    Err(anyhow!("there are no sessions any more"))
}
