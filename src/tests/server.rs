//! A real server process on loopback, for black-box tests: started, asked, killed, restarted.

use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running `firndb serve`, killed when dropped.
pub struct Server {
    child: Child,
    url: String,
    agent: ureq::Agent,
    errors: tempfile::NamedTempFile,
}

/// Status, content type and body of an answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a text answer")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    listener.local_addr().expect("its address").port()
}

impl Server {
    /// Starts a server on `dir` with further arguments and waits until it is ready.
    pub fn start(dir: &Path, args: &[&str]) -> Server {
        Server::start_in(dir, args, None)
    }

    /// As [`Server::start`], in the cgroup of this folder.
    pub fn start_in(dir: &Path, args: &[&str], cgroup: Option<&Path>) -> Server {
        let address = format!("127.0.0.1:{}", free_port());
        let errors = tempfile::NamedTempFile::new().expect("a file");
        let mut command = match cgroup {
            None => Command::new(env!("CARGO_BIN_EXE_firndb")),
            Some(cgroup) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", "echo $$ > \"$0\"/cgroup.procs && exec \"$@\""]);
                shell.arg(cgroup).arg(env!("CARGO_BIN_EXE_firndb"));
                shell
            }
        };
        let child = command
            .args(["serve", "--http-addr", &address, "--data-dir"])
            .arg(dir)
            .args(args)
            .stdout(Stdio::null())
            .stderr(errors.reopen().expect("the file"))
            .env("FIRNDB_LOG_LEVEL", "warn")
            .spawn()
            .expect("the server starts");
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut server = Server { child, url: format!("http://{address}"), agent, errors };
        server.wait_ready();
        server
    }

    #[expect(clippy::disallowed_methods, reason = "polls another process, which tells no event")]
    fn wait_ready(&mut self) {
        for _ in 0..2000 {
            if let Some(status) = self.child.try_wait().expect("the child can be asked") {
                panic!("the server ended with {status}: {}", self.errors());
            }
            if self.try_get("/ready").is_ok_and(|answer| answer.status == 200) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("the server did not become ready");
    }

    /// What it wrote to its standard error.
    fn errors(&self) -> String {
        let mut text = String::new();
        let mut file = self.errors.reopen().expect("the file");
        file.read_to_string(&mut text).expect("its logs are text");
        text
    }

    /// What it said when threads of it panicked.
    pub fn panics(&self) -> String {
        let errors = self.errors();
        let lines = errors.lines().filter(|line| line.contains("panicked"));
        lines.collect::<Vec<_>>().join("\n")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// SIGKILL: no destructor runs, nothing is flushed. Requests under way fail.
    pub fn kill_now(&self) {
        let killed = Command::new("kill").args(["-9", &self.pid().to_string()]).status();
        assert!(killed.expect("kill runs").success());
    }

    /// SIGTERM, and its exit code.
    pub fn stop(mut self) -> Option<i32> {
        let killed = Command::new("kill").arg(self.pid().to_string()).status();
        assert!(killed.expect("kill runs").success());
        self.child.wait().expect("the server ended").code()
    }

    pub fn try_get(&self, path: &str) -> Result<Answer, ureq::Error> {
        answer(self.agent.get(format!("{}{path}", self.url)).call()?)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.try_get(path).unwrap_or_else(|e| panic!("GET {path}: {e}"))
    }

    pub fn try_post(&self, path: &str, body: &[u8]) -> Result<Answer, ureq::Error> {
        answer(self.agent.post(format!("{}{path}", self.url)).send(body)?)
    }

    pub fn try_put(&self, path: &str, body: &[u8]) -> Result<Answer, ureq::Error> {
        answer(self.agent.put(format!("{}{path}", self.url)).send(body)?)
    }

    pub fn post(&self, path: &str, body: &[u8]) -> Answer {
        self.try_post(path, body).unwrap_or_else(|e| panic!("POST {path}: {e}"))
    }

    /// Sends any request with headers.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.to_vec()).expect("a valid request");
        let sent = self.agent.configure_request(request).allow_non_standard_methods(true).build();
        let response = self.agent.run(sent).unwrap_or_else(|e| panic!("{method} {path}: {e}"));
        answer(response).expect("a whole answer")
    }

    /// Runs InfluxQL against `db` and returns `results[0]`.
    pub fn query(&self, db: &str, text: &str) -> serde_json::Value {
        let path = format!("/query?db={db}&epoch=ns&q={}", percent(text));
        self.get(&path).json()["results"][0].take()
    }
}

fn answer(response: ureq::http::Response<ureq::Body>) -> Result<Answer, ureq::Error> {
    let (parts, body) = response.into_parts();
    let mut bytes = Vec::new();
    body.into_with_config().limit(1 << 30).reader().read_to_end(&mut bytes)?;
    Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body: bytes })
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.errors());
        }
    }
}

/// Percent-encodes everything but letters and digits.
pub fn percent(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
