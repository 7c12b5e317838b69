//! `GET /openapi.json`: every route of the server in OpenAPI 3.1, made from the table in
//! [`routes`].
//!
//! A test of the process holds the table against the routers: a route that is not described, or a
//! description that nothing answers, fails it.

mod routes;

use axum::Json;
use serde_json::{Map, Value, json};

/// One operation of a path.
pub(super) struct Operation {
    /// `get`, `post`, `put`, `delete`.
    pub method: &'static str,
    /// Path with `{names}`.
    pub path: &'static str,
    /// Group it is shown in.
    pub tag: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// Parameters of the query: name, whether it must be there, what it is.
    pub query: &'static [(&'static str, bool, &'static str)],
    /// Headers that change what it does.
    pub headers: &'static [(&'static str, &'static str)],
    /// Media type and meaning of the body, if it takes one.
    pub body: Option<(&'static str, &'static str)>,
    /// Status, media type of the body (empty: none), meaning.
    pub answers: &'static [(u16, &'static str, &'static str)],
}

/// Answers with the description.
pub async fn page() -> Json<Value> {
    Json(document())
}

fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in routes::all() {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = operation.describe();
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "FirnDB",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Time series (line protocol in, InfluxQL out), keys and values, and \
                            the state of both. An error is JSON with the key `error` (`message` \
                            below /api/v2/); 503 and 429 say with Retry-After when to come again.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "tags": routes::TAGS.map(|(name, description)| json!({
            "name": name, "description": description,
        })),
        "paths": paths,
        "components": { "schemas": { "Error": {
            "type": "object",
            "properties": { "error": { "type": "string" }, "message": { "type": "string" } },
        } } },
    })
}

impl Operation {
    fn describe(&self) -> Value {
        let mut described = json!({
            "tags": [self.tag],
            "summary": self.summary,
            "operationId": self.id(),
            "parameters": self.parameters(),
            "responses": self.responses(),
        });
        if let Some((media, meaning)) = self.body {
            described["requestBody"] = json!({
                "description": meaning,
                "required": true,
                "content": { media: { "schema": schema(media) } },
            });
        }
        described
    }

    fn id(&self) -> String {
        let words = self.path.split('/').filter(|word| !word.is_empty()).map(|word| match word {
            "-" => "probe".to_owned(), // /-/ready is not /ready
            _ => word.trim_matches(['{', '}', '_']).replace(['.', '-'], "_"),
        });
        format!("{}_{}", self.method, words.collect::<Vec<_>>().join("_"))
    }

    fn parameters(&self) -> Vec<Value> {
        let one = |name: &str, place: &str, is_required: bool, meaning: &str| {
            json!({
                "name": name, "in": place, "required": is_required,
                "description": meaning, "schema": { "type": "string" },
            })
        };
        let in_path = self.path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
        let in_path = in_path.map(|name| one(name, "path", true, routes::path_parameter(name)));
        let query =
            self.query.iter().map(|(name, must, meaning)| one(name, "query", *must, meaning));
        let headers =
            self.headers.iter().map(|(name, meaning)| one(name, "header", false, meaning));
        in_path.chain(query).chain(headers).collect()
    }

    fn responses(&self) -> Map<String, Value> {
        let mut responses = Map::new();
        for (status, media, meaning) in self.answers {
            let mut response = json!({ "description": meaning });
            if !media.is_empty() {
                response["content"] = json!({ *media: { "schema": schema(media) } });
            }
            responses.insert(status.to_string(), response);
        }
        responses.insert(
            "default".to_owned(),
            json!({
                "description": "What went wrong.",
                "content": { "application/json": {
                    "schema": { "$ref": "#/components/schemas/Error" },
                } },
            }),
        );
        responses
    }
}

/// What bytes of a media type are.
fn schema(media: &str) -> Value {
    match media {
        "application/json" | "application/x-ndjson" => json!({}),
        "application/octet-stream" => json!({ "type": "string", "format": "binary" }),
        _ => json!({ "type": "string" }),
    }
}
