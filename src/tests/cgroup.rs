//! A memory cgroup of a test's own, where the machine lets it make one: what is above its limit
//! is killed by the kernel, whatever the process thinks of itself.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Removed when dropped; its processes must have ended.
pub struct MemoryCgroup(PathBuf);

impl MemoryCgroup {
    /// A cgroup with this limit below our own; `None` where we may not.
    #[expect(clippy::disallowed_methods, reason = "the kernel's own files")]
    pub fn new(name: &str, limit_bytes: u64) -> Option<MemoryCgroup> {
        let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        // A line is number:controllers:path; version 2 names no controllers.
        let found = own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
            match controllers {
                "memory" => {
                    let folder = Path::new("/sys/fs/cgroup/memory").join(path);
                    Some((folder, "memory.limit_in_bytes"))
                }
                "" => {
                    let folder = Path::new("/sys/fs/cgroup").join(path);
                    folder.join("memory.max").exists().then_some((folder, "memory.max"))
                }
                _ => None,
            }
        });
        let (parent, limit) = found?;
        let folder = parent.join(format!("firndb-{name}-{}", std::process::id()));
        std::fs::create_dir(&folder).ok()?;
        let cgroup = MemoryCgroup(folder);
        std::fs::write(cgroup.0.join(limit), limit_bytes.to_string()).ok()?;
        // A limit may be set where no process may be moved.
        let mut trial = Command::new("sleep").arg("60").spawn().ok()?;
        let moved = std::fs::write(cgroup.0.join("cgroup.procs"), trial.id().to_string());
        let _ = trial.kill();
        let _ = trial.wait();
        moved.ok().map(|()| cgroup)
    }

    /// Its folder, where processes are moved to it.
    pub fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0); // a process that still ends keeps it
    }
}
