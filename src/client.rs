//! Commands that talk to a server over HTTP.

pub mod backup;
pub mod export;
pub mod query;
pub mod retention;
pub mod write;

use std::io::Read;
use std::time::Duration;

use clap::Args;
use ureq::Agent;

use crate::cli::{Exit, complain};

/// Where the server is.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// The server.
    #[arg(long, env = "FIRNDB_URL", default_value = "http://127.0.0.1:8086")]
    pub url: String,
}

impl ServerArgs {
    /// Address of a path of it.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url.trim_end_matches('/'))
    }
}

fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(10)))
        .build()
        .into()
}

/// An answer of 2xx; anything else is told to the user.
fn accepted(
    server: &ServerArgs,
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<ureq::http::Response<ureq::Body>, Exit> {
    let mut answer = answer.map_err(|error| {
        complain(&format!(
            "cannot reach {}: {error}\n  start it with `firndb serve`, or name another with --url",
            server.url
        ));
        Exit::Unreachable
    })?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let mut body = String::new();
    // Whatever of the message arrived is better than nothing.
    let _ = answer.body_mut().as_reader().take(64 << 10).read_to_string(&mut body);
    complain(&format!("the server answered {}: {}", status.as_u16(), message_of(&body)));
    Err(if status.as_u16() == 503 { Exit::Unreachable } else { Exit::Failed })
}

/// The JSON that a server answers with; anything else is told to the user.
pub fn get_json(server: &ServerArgs, path: &str) -> Result<serde_json::Value, Exit> {
    let answer = accepted(server, agent().get(server.at(path)).call())?;
    let body = answer.into_body().into_with_config().limit(u64::MAX).read_to_string();
    let body = body.map_err(|error| {
        complain(&format!("the answer broke off: {error}"));
        Exit::Failed
    })?;
    serde_json::from_str(&body).map_err(|error| {
        complain(&format!("{}{path} did not answer with JSON: {error}", server.url));
        Exit::Failed
    })
}

/// The text inside an error body of any family.
fn message_of(body: &str) -> String {
    let json: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let message = json
        .as_ref()
        .and_then(|json| json.get("error").or(json.get("message")).and_then(|text| text.as_str()));
    message.unwrap_or(body.trim()).to_owned()
}
