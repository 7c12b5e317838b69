//! The command line: what may be said, and what becomes of it.
//!
//! Exit codes: 0 done; 1 failed; 2 wrong usage or configuration; 3 the check found damage;
//! 4 server unreachable or not ready; 5 directory locked by another process; 6 damage stopped the
//! command; 130 interrupted.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use firndb::engine::fs::real::RealFs;

use crate::config::settings::Settings;
use crate::config::{Config, ConfigError, Sources};
use crate::{bench, check, client, demo, lsm, machine, offline, serve};

/// What a command ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, healthy.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// The check ran and found problems.
    Found = 3,
    /// The server is unreachable or not ready.
    Unreachable = 4,
    /// Another process has the directory.
    Locked = 5,
    /// Damaged data stopped the command.
    Corrupt = 6,
    /// Stopped by a second signal.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// A time-series database in one binary.
#[derive(Debug, Parser)]
#[command(name = "firndb", version, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    ///
    /// Example: firndb serve --data-dir /var/lib/firndb --memory-limit 1GiB
    Serve(ServeArgs),
    /// Run a server with sample points in it, and show a first question answered.
    ///
    /// Example: firndb demo
    Demo(ServeArgs),
    /// Send line protocol from a file or stdin to a server.
    ///
    /// Example: firndb write --db telegraf points.lp
    Write(client::write::WriteArgs),
    /// Ask a server a question in InfluxQL.
    ///
    /// Example: firndb query --db telegraf 'SELECT last(usage_user) FROM cpu GROUP BY host'
    Query(client::query::QueryArgs),
    /// Copy a measurement out of a server into a file.
    ///
    /// Example: firndb export --db telegraf --measurement cpu --format parquet --output cpu.parquet
    Export(client::export::ExportArgs),
    /// Back up databases of a server into its folder of backups, and look after them.
    ///
    /// Example: firndb backup --db telegraf
    Backup(client::backup::BackupArgs),
    /// Bring databases of a server back from a backup.
    ///
    /// Example: firndb restore 20261121T134059Z --db telegraf --as telegraf_old
    Restore(client::backup::RestoreArgs),
    /// Show what retention does.
    #[command(subcommand)]
    Retention(client::retention::RetentionCommand),
    /// Verify a data directory, read-only; the server must not run.
    ///
    /// Example: firndb check /var/lib/firndb
    Check(check::CheckArgs),
    /// Make a damaged data directory open again: rebuild what can be, set aside what cannot.
    ///
    /// Example: firndb repair /var/lib/firndb --dry-run
    Repair(offline::RepairArgs),
    /// Look into table files.
    #[command(subcommand)]
    Sst(offline::sst::SstCommand),
    /// Look into the manifest of a data directory.
    #[command(subcommand)]
    Manifest(offline::manifest::ManifestCommand),
    /// Look into the log of a data directory, save what is whole of a damaged one, or damage one.
    #[command(subcommand)]
    Wal(offline::wal::WalCommand),
    /// Show the levels of the storage, what is compacted next, and what happened.
    #[command(subcommand)]
    Lsm(lsm::LsmCommand),
    /// Put a load on a server or an embedded store, and measure its latencies.
    ///
    /// Example: firndb bench --mode mixed --duration 60s --target-ops 5000 --slo p99=5ms
    ///          firndb bench --embedded /tmp/bench --mode writes --batch 100
    Bench(bench::BenchArgs),
    /// Find every version of a key in a data directory.
    ///
    /// Example: firndb find user42 /var/lib/firndb --keyspace kv/box
    Find(offline::find::FindArgs),
    /// Show settings.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Args)]
struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print every setting as it would be used.
    Print {
        #[command(flatten)]
        config: ConfigArgs,
        /// Say where each value comes from.
        #[arg(long)]
        origins: bool,
    },
    /// Print a commented file with every setting.
    Example,
}

/// The flags of the most used settings; the rest by `--set`.
#[derive(Debug, Args)]
struct ConfigArgs {
    /// Configuration file (else ./firndb.toml, ~/.config/firndb/firndb.toml,
    /// /etc/firndb/firndb.toml).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the data.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Address and port to listen on.
    #[arg(long, value_name = "ADDR")]
    http_addr: Option<String>,
    /// Memory for everything that grows: 1GiB, 25%.
    #[arg(long, value_name = "SIZE")]
    memory_limit: Option<String>,
    /// When a write is acknowledged: always, interval, os.
    #[arg(long, value_name = "WHEN")]
    wal_sync: Option<String>,
    /// error, warn, info, debug, trace; also by module.
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Any setting of `firndb config example`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl ConfigArgs {
    fn load(&self) -> Result<Config, ConfigError> {
        let mut flags = Vec::new();
        let named = [
            ("data.dir", "--data-dir", &self.data_dir),
            ("http.addr", "--http-addr", &self.http_addr),
            ("memory.limit", "--memory-limit", &self.memory_limit),
            ("wal.sync", "--wal-sync", &self.wal_sync),
            ("log.level", "--log-level", &self.log_level),
        ];
        for (key, flag, value) in named {
            if let Some(value) = value {
                flags.push((key.to_owned(), value.clone(), flag.to_owned()));
            }
        }
        for pair in &self.set {
            let (key, value) = pair.split_once('=').ok_or_else(|| {
                ConfigError(format!("--set {pair}: expected KEY=VALUE, as in wal.sync=always"))
            })?;
            flags.push((key.to_owned(), value.to_owned(), format!("--set {pair}")));
        }
        Config::load(&Sources {
            fs: &RealFs,
            file: self.config.as_deref(),
            env: &|name| std::env::var(name).ok(),
            flags: &flags,
        })
    }
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RowFormat {
    /// Aligned columns.
    Table,
    /// The server's JSON.
    Json,
    /// Comma-separated values.
    Csv,
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let exit = match Cli::parse().command {
        Command::Serve(args) => with_settings(&args.config, serve::run),
        Command::Demo(mut args) => {
            let dir = std::env::temp_dir().join(format!("firndb-demo-{}", std::process::id()));
            args.config.data_dir.get_or_insert(dir.display().to_string());
            with_settings(&args.config, demo::run)
        }
        Command::Write(args) => client::write::run(&args),
        Command::Query(args) => client::query::run(&args),
        Command::Export(args) => client::export::run(&args),
        Command::Backup(args) => client::backup::run(&args),
        Command::Restore(args) => client::backup::restore(&args),
        Command::Retention(command) => client::retention::run(&command),
        Command::Check(args) => check::run(&args),
        Command::Repair(args) => offline::repair::run(&args),
        Command::Sst(command) => offline::sst::run(&command),
        Command::Manifest(command) => offline::manifest::run(&command),
        Command::Wal(command) => offline::wal::run(&command),
        Command::Lsm(command) => lsm::run(&command),
        Command::Bench(args) => bench::run(&args),
        Command::Find(args) => offline::find::run(&args),
        Command::Config(ConfigCommand::Example) => {
            print_lines(&example());
            Exit::Done
        }
        Command::Config(ConfigCommand::Print { config, origins }) => match config.load() {
            Ok(config) => {
                print_lines(&printed(&config, origins));
                Exit::Done
            }
            Err(error) => usage(&error),
        },
    };
    exit.into()
}

fn with_settings(args: &ConfigArgs, run: impl FnOnce(Settings) -> Exit) -> Exit {
    let settings =
        args.load().and_then(|config| Settings::of(&config, machine::memory_bytes(&RealFs)));
    match settings {
        Ok(settings) => run(settings),
        Err(error) => usage(&error),
    }
}

fn usage(error: &ConfigError) -> Exit {
    complain(&error.to_string());
    Exit::Usage
}

/// Says on stderr what went wrong.
pub fn complain(text: &str) {
    use std::io::Write;
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(std::io::stderr(), "firndb: {text}");
}

/// Prints the answer of a command; a closed pipe is the reader's way to say "enough".
pub fn print_lines(text: &str) {
    use std::io::Write;
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn printed(config: &Config, origins: bool) -> String {
    let quoted: Vec<_> =
        config.iter().map(|(s, value, origin)| (s.key, format!("{value:?}"), origin)).collect();
    let key_width = quoted.iter().map(|(key, ..)| key.len()).max().unwrap_or(0);
    let value_width = quoted.iter().map(|(_, value, _)| value.len()).max().unwrap_or(0);
    let mut out = String::new();
    for (key, value, origin) in quoted {
        if origins {
            out += &format!("{key:key_width$}  {value:value_width$}  {origin}\n");
        } else {
            out += &format!("{key:key_width$}  {value}\n");
        }
    }
    out
}

/// A file with every setting commented out, made from the table.
fn example() -> String {
    let mut out = String::from(
        "# Settings of FirnDB with their defaults. A line without its # changes one.\n\
         # Every key is also a variable (FIRNDB_HTTP_ADDR) and a flag (--set http.addr=..).\n",
    );
    let mut section = "";
    for (setting, value, _) in Config::defaults().iter() {
        let (head, name) = setting.key.split_once('.').unwrap_or(("", setting.key));
        if head != section {
            out += &format!("\n[{head}]\n");
            section = head;
        }
        for line in wrap(setting.help, 96) {
            out += &format!("# {line}\n");
        }
        let is_bare = value.parse::<u64>().is_ok() || value == "true" || value == "false";
        let value = if is_bare { value.to_owned() } else { format!("{value:?}") };
        out += &format!("#{name} = {value}\n");
    }
    out
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is always a line");
        if last.is_empty() {
            last.push_str(word);
        } else if last.len() + 1 + word.len() <= width {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_example_file_is_a_file_of_defaults() {
        let uncommented: String = example()
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        let parsed: toml::Table = uncommented.parse().unwrap();
        assert_eq!(parsed["http"]["addr"].as_str(), Some("127.0.0.1:8086"));
        let count: usize = parsed.values().filter_map(|v| v.as_table()).map(|t| t.len()).sum();
        assert_eq!(count, Config::defaults().iter().count());
    }

    #[test]
    fn origins_are_printed_in_columns() {
        let text = printed(&Config::defaults(), true);
        assert!(
            text.lines().any(|line| line.starts_with("wal.sync ") && line.ends_with("default"))
        );
    }
}
