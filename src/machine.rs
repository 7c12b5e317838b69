//! What the operating system says of the machine and of this process, read from `/proc`.
//!
//! Absent or unreadable files (other systems, odd containers) give `None` or a modest default.

use std::path::Path;

use firndb::engine::fs::Fs;

/// Assumed where the machine does not say: enough to start.
const MEMORY_UNKNOWN: u64 = 2 << 30;

/// Numbers of this process.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ProcessNumbers {
    /// User and system time.
    pub cpu_seconds: f64,
    /// Memory that is really there.
    pub resident_bytes: u64,
    /// Open file descriptors.
    pub open_files: u64,
}

/// Files of `/proc` have no length to go by: one read of as much as they ever have.
fn read(fs: &dyn Fs, path: &str) -> Option<String> {
    let file = fs.open(Path::new(path)).ok()?;
    let mut buffer = vec![0; 16 << 10];
    let length = file.read_at(&mut buffer, 0).ok()?;
    buffer.truncate(length);
    String::from_utf8(buffer).ok()
}

/// Memory of the machine, or of the container where that is less.
pub fn memory_bytes(fs: &dyn Fs) -> u64 {
    let machine = read(fs, "/proc/meminfo").and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kib * 1024)
    });
    let container = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|path| read(fs, path)?.trim().parse::<u64>().ok());
    match (machine, container) {
        (Some(machine), Some(container)) => machine.min(container),
        (machine, container) => machine.or(container).unwrap_or(MEMORY_UNKNOWN),
    }
}

/// Numbers of this process.
pub fn process_numbers(fs: &dyn Fs) -> ProcessNumbers {
    ProcessNumbers {
        cpu_seconds: read(fs, "/proc/self/stat").and_then(|stat| cpu_of(&stat)).unwrap_or(0.0),
        resident_bytes: resident_bytes(fs).unwrap_or(0),
        open_files: fs.list(Path::new("/proc/self/fd")).map_or(0, |names| names.len() as u64),
    }
}

/// Memory of this process that is really there.
pub fn resident_bytes(fs: &dyn Fs) -> Option<u64> {
    let statm = read(fs, "/proc/self/statm")?;
    Some(statm.split(' ').nth(1)?.parse::<u64>().ok()? * 4096)
}

/// As [`resident_bytes`] without pages of files, which are the system's to take back.
pub fn anonymous_bytes(fs: &dyn Fs) -> Option<u64> {
    let statm = read(fs, "/proc/self/statm")?;
    let mut pages = statm.split(' ').skip(1).map(|pages| pages.parse::<u64>().ok());
    let (resident, of_files) = (pages.next()??, pages.next()??);
    Some(resident.saturating_sub(of_files) * 4096)
}

/// User and system ticks are the 14th and 15th word; the second is a name in parentheses that may
/// have blanks. Linux has had 100 ticks a second for user space since 2.6.
fn cpu_of(stat: &str) -> Option<f64> {
    let mut words = stat[stat.rfind(')')? + 1..].split_whitespace().skip(11);
    let user: u64 = words.next()?.parse().ok()?;
    let system: u64 = words.next()?.parse().ok()?;
    Some((user + system) as f64 / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_behind_a_name_with_blanks() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 5 1 1";
        assert_eq!(cpu_of(stat), Some(3.0));
        assert_eq!(cpu_of("7 (x"), None);
    }
}
