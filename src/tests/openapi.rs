//! `/openapi.json` against the routers: what a router knows is described, and what is described is
//! answered by a handler.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::server::Server;

/// Method and path of every route in the sources: `.route("PATH", get(..).post(..))`.
#[expect(clippy::disallowed_methods, reason = "it reads our own sources")]
fn routes_in(dir: &Path, out: &mut BTreeSet<(String, String)>) {
    for entry in std::fs::read_dir(dir).expect("a folder of the workspace") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "tests") {
                routes_in(&path, out);
            }
            continue;
        }
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("sources are UTF-8");
        // What is handed to a route under another name.
        let text = text.replace("entry()", "get(..).put(..).delete(..)");
        for route in text.split(".route(\"").skip(1) {
            let (path, rest) = route.split_once('"').expect("a path ends");
            let handlers = rest.split(".route(").next().unwrap_or_default();
            let handlers = handlers.split(".with_state").next().unwrap_or_default();
            for method in ["get", "post", "put", "delete"] {
                let is_it = |at: usize| {
                    !handlers[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
                };
                let call = format!("{method}(");
                if handlers.match_indices(&call).any(|(at, _)| is_it(at)) {
                    out.insert((method.to_owned(), path.replace("{*key}", "{key}")));
                }
            }
        }
    }
}

fn described(document: &Value) -> BTreeSet<(String, String)> {
    let mut out = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for method in operations.as_object().expect("operations").keys() {
            out.insert((method.clone(), path.clone()));
        }
    }
    out
}

#[test]
fn every_route_is_described_and_every_description_is_answered() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Server::start(dir.path(), &[]);
    let answer = server.get("/openapi.json");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let document = answer.json();
    assert_eq!(document["openapi"], "3.1.0");
    let mut routes = BTreeSet::new();
    for top in ["src", "ingest/src", "query/src"] {
        routes_in(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(top), &mut routes);
    }
    assert!(routes.len() > 30, "the routes were found: {routes:?}");
    // A key may be called _batch; that is the same operation as of any other key.
    let of_key = |(method, path): &(String, String)| path.ends_with("/_batch") && method != "post";
    routes.retain(|route| !of_key(route));
    assert_eq!(described(&document), routes);

    let mut ids = BTreeSet::new();
    for (method, path) in described(&document) {
        let operation = &document["paths"][&path][&method];
        assert!(ids.insert(operation["operationId"].to_string()), "{method} {path}");
        let real = path.replace("{keyspace}", "box").replace("{key}", "k");
        let answer = server.send(&method.to_uppercase(), &real, &[], b"");
        // The router says "not found" of what it does not know; handlers say what is not found.
        let is_unknown =
            answer.status == 405 || answer.status == 404 && answer.json()["error"] == "not found";
        assert!(!is_unknown, "{method} {real}: {} {}", answer.status, answer.text());
        assert!(answer.status < 500 || answer.status == 503, "{method} {real}: {}", answer.text());
        for parameter in operation["parameters"].as_array().expect("parameters") {
            if parameter["in"] == "path" {
                let name = parameter["name"].as_str().expect("a name");
                assert!(path.contains(&format!("{{{name}}}")), "{path}: {name}");
            }
        }
    }
    let answer = server.get("/no/such/route");
    assert_eq!((answer.status, &answer.json()["error"]), (404, &"not found".into()));
}
