//! Structured logs on stderr: text on a terminal, JSON elsewhere.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::ConfigError;

/// Starts logging for the life of the process.
pub fn start(level: &str, format: &str) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(level)
        .map_err(|error| ConfigError(format!("log.level = {level:?}: {error}")))?;
    let is_text = match format {
        "text" => true,
        "json" => false,
        _ => std::io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start, as in tests, keeps the first.
    let _ = if is_text {
        builder.with_ansi(std::env::var_os("NO_COLOR").is_none()).try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
    Ok(())
}
