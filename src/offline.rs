//! Commands that read the folder of a store that no server has open.
//!
//! They take the lock that the server takes, so that they refuse while it runs, and they change no
//! byte unless the verb says so (`repair`, `corrupt`). With `--no-lock` a folder in use is read as
//! it is at the moment: files come and go, so that findings may be the writer's work in progress.

pub mod find;
pub mod manifest;
pub mod repair;
mod space;
pub mod sst;
pub mod wal;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use firndb::engine::fs::real::RealFs;
use firndb::engine::fs::{Fs, LockGuard};
use firndb::engine::{Error, inspect};

use crate::cli::{Exit, complain};
use crate::output::OutputArgs;

/// Which folder a command reads.
#[derive(Debug, Args)]
pub struct FolderArgs {
    /// The data directory.
    dir: PathBuf,
    /// Read a folder although a server has it open.
    #[arg(long)]
    no_lock: bool,
}

/// A folder that nobody opens meanwhile.
pub struct Folder {
    /// Where it lies.
    pub dir: PathBuf,
    /// The file system.
    pub fs: Arc<dyn Fs>,
    _lock: Option<Box<dyn LockGuard>>,
}

impl FolderArgs {
    /// The folder `dir`.
    pub fn new(dir: PathBuf, no_lock: bool) -> Self {
        FolderArgs { dir, no_lock }
    }

    /// Takes the folder; why not is told on stderr.
    pub fn open(&self) -> Result<Folder, Exit> {
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        if !self.dir.is_dir() {
            let dir = self.dir.display();
            complain(&format!("{dir} is not a directory\n  name the one given as --data-dir"));
            return Err(Exit::Usage);
        }
        let lock = match inspect::hold(&*fs, &self.dir) {
            Ok(lock) => lock,
            Err(Error::Locked { .. }) if self.no_lock => {
                complain("warning: a server has the folder open; what it is writing looks torn");
                None
            }
            Err(error) => {
                return Err(refused(&format!("cannot open {}", self.dir.display()), &error));
            }
        };
        Ok(Folder { dir: self.dir.clone(), fs, _lock: lock })
    }
}

/// Arguments of the verbs that set damaged files aside.
#[derive(Debug, Args)]
pub struct RepairArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    output: OutputArgs,
}

impl RepairArgs {
    /// Takes the folder and asks whether to go on, unless the run is dry.
    fn open(&self, question: &str) -> Result<Folder, Exit> {
        let folder = self.folder.open()?;
        if !self.dry_run {
            confirmed(&format!("{}: {question}", folder.dir.display()), self.yes)?;
        }
        Ok(folder)
    }
}

/// Says what failed, why, and what to do; gives the exit code.
pub fn refused(what: &str, error: &Error) -> Exit {
    let (advice, exit) = match error {
        Error::Locked { pid: Some(pid), .. } => {
            (format!("\n  stop it with `kill {pid}`, or read the folder as it is with --no-lock"), Exit::Locked)
        }
        Error::Locked { pid: None, .. } => {
            ("\n  stop that process, or read the folder as it is with --no-lock".into(), Exit::Locked)
        }
        Error::Corrupt { .. } => {
            ("\n  `firndb check DIR` lists all damage, `firndb repair DIR --dry-run` what can be saved".into(), Exit::Corrupt)
        }
        Error::Version { .. } => ("\n  use the build that wrote it, or a newer one".into(), Exit::Failed),
        _ => (String::new(), Exit::Failed),
    };
    complain(&format!("{what}: {error}{advice}"));
    exit
}

/// Asks before something that cannot be taken back; without a terminal `--yes` must have said so.
pub fn confirmed(question: &str, is_yes: bool) -> Result<(), Exit> {
    if is_yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        complain(&format!(
            "refusing without --yes: {question}\n  --dry-run shows what would be done"
        ));
        return Err(Exit::Usage);
    }
    let _ = write!(std::io::stderr(), "{question} [y/N] ");
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    if read.is_ok() && matches!(line.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    complain("nothing was changed");
    Err(Exit::Usage)
}
