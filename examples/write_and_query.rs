//! A client of a server, by nothing but HTTP: what any language can do.
//!
//! `cargo run --example write_and_query -- http://127.0.0.1:8086` talks to that server; without a
//! URL it starts one of its own, on a free port and in a temporary folder, and stops it.

#![allow(clippy::print_stdout)] // an example shows what it got

use std::net::TcpListener;
use std::process::{Child, Command};

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(dir: &std::path::Path) -> Result<(Server, String), Box<dyn std::error::Error>> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    // Cargo puts the binary beside the folder of the examples.
    let here = std::env::current_exe()?;
    let binary = here.parent().and_then(|p| p.parent()).ok_or("no folder")?.join("firndb");
    if !binary.exists() {
        return Err("build the server first: cargo build".into());
    }
    let child = Command::new(binary)
        .args(["serve", "--http-addr", &address, "--data-dir"])
        .arg(dir)
        .spawn()?;
    let (server, url) = (Server(child), format!("http://{address}"));
    for _ in 0..500 {
        if ureq::get(format!("{url}/ready")).call().is_ok() {
            return Ok((server, url));
        }
        std::thread::yield_now();
        #[expect(clippy::disallowed_methods, reason = "polls another process")]
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    Err("the server did not become ready".into())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let (_server, url) = match std::env::args().nth(1) {
        Some(url) => (None, url),
        None => start(dir.path()).map(|(server, url)| (Some(server), url))?,
    };

    let lines = "weather,city=Bern temperature=21.5 1700000000\n\
                 weather,city=Bern temperature=22.5 1700000060\n\
                 weather,city=Oslo temperature=9.25 1700000000\n";
    let answer = ureq::post(format!("{url}/write?db=example&precision=s")).send(lines)?;
    println!("write: {}", answer.status());

    let question = "SELECT mean(temperature) FROM weather GROUP BY city";
    let mut answer = ureq::get(format!("{url}/query"))
        .query("db", "example")
        .query("epoch", "s")
        .query("q", question)
        .call()?;
    println!("{question}\n{}", answer.body_mut().read_to_string()?);
    Ok(())
}
