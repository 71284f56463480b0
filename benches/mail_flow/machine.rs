//! What processes cost, and what the disk can do.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

/// The kernel's clock ticks a second in /proc (USER_HZ).
const TICKS: u64 = 100;

/// A server's processes: the first ones and all that they started.
#[derive(Clone)]
pub struct Processes(pub Vec<u32>);

impl Processes {
    /// Processor time so far, user and system, with that of children that have ended.
    pub fn cpu(&self) -> Duration {
        let ticks: u64 = self.all().iter().filter_map(|pid| Some(stat(*pid)?.ticks)).sum();
        Duration::from_millis(ticks * 1_000 / TICKS)
    }

    /// Memory in MiB, pages shared with others divided among them.
    pub fn memory(&self) -> f64 {
        let pages = |pid: &u32| {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            line.trim().trim_end_matches(" kB").parse::<f64>().ok()
        };
        self.all().iter().filter_map(pages).sum::<f64>() / 1_024.0
    }

    fn all(&self) -> Vec<u32> {
        let running: Vec<(u32, u32)> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(|pid| Some((pid, stat(pid)?.parent)))
            .collect();
        let mut all = self.0.clone();
        let mut at = 0;
        while at < all.len() {
            let parent = all[at];
            all.extend(running.iter().filter(|(_, its)| *its == parent).map(|(pid, _)| *pid));
            at += 1;
        }
        all
    }
}

struct Stat {
    parent: u32,
    ticks: u64,
}

/// proc(5): the fields after the name, which may hold anything but is in parentheses.
fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(Stat { parent: fields.get(1)?.parse().ok()?, ticks })
}

/// Records of 8 KiB a second that can be appended to a file, with one fdatasync a group.
pub fn appends(dir: &Path, group: u32, time: Duration) -> anyhow::Result<f64> {
    let path = dir.join("appends");
    let mut file = File::create(&path).with_context(|| path.display().to_string())?;
    let record = vec![b'x'; 8_192];
    let start = Instant::now();
    let mut written = 0;
    while start.elapsed() < time {
        for _ in 0..group {
            file.write_all(&record)?;
        }
        file.sync_data()?;
        written += group;
    }
    let rate = f64::from(written) / start.elapsed().as_secs_f64();
    fs::remove_file(path)?;
    Ok(rate)
}
