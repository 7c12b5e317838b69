//! `/metrics`: the text format of Prometheus, version 0.0.4.
//!
//! Counters live where things happen (ingest, query, store) as relaxed atomics; here they are read
//! and written out. Labels take their values from code, never from clients.

pub mod retention;
pub mod text;

use std::sync::atomic::{AtomicU64, Ordering};

use firndb::engine::histogram::Histogram;

/// Label of requests to paths that no route has.
const OTHER: &str = "other";

/// Label of the routes, and how a path begins that belongs to each; the first that fits.
const ROUTES: [(&str, &str); 16] = [
    ("/write", "/write"),
    ("/query", "/query"),
    ("/api/v2/write", "/api/v2/write"),
    ("/api/v3/write_lp", "/api/v3/write_lp"),
    ("/api/v2/delete", "/api/v2/delete"),
    ("/api/v1/delete", "/api/v1/delete"),
    ("/api/v1/range", "/api/v1/range"),
    ("/api/v1/export", "/api/v1/export"),
    ("/api/v1/retention/plan", "/api/v1/retention/plan"),
    ("/api/v1/flush", "/api/v1/flush"),
    ("/api/v1/compact", "/api/v1/compact"),
    ("/kv/{keyspace}", "/kv/"),
    ("/ping", "/ping"),
    ("/health", "/health"),
    ("/ready", "/ready"),
    ("/metrics", "/metrics"),
];
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", OTHER];
const CODES: [u16; 18] =
    [200, 201, 202, 204, 400, 401, 403, 404, 405, 408, 413, 415, 422, 429, 500, 501, 503, 0];

/// Counters of the HTTP server.
#[derive(Debug)]
pub struct HttpMetrics {
    requests: Vec<AtomicU64>, // route, method, code
    durations_ns: [Histogram; ROUTES.len() + 1],
    /// Requests being handled.
    pub in_flight: AtomicU64,
    /// Requests refused because the server was not ready.
    pub not_ready: AtomicU64,
}

impl Default for HttpMetrics {
    fn default() -> Self {
        let cells = (ROUTES.len() + 1) * METHODS.len() * CODES.len();
        HttpMetrics {
            requests: (0..cells).map(|_| AtomicU64::new(0)).collect(),
            durations_ns: std::array::from_fn(|_| Histogram::default()),
            in_flight: AtomicU64::new(0),
            not_ready: AtomicU64::new(0),
        }
    }
}

impl HttpMetrics {
    /// Counts an answered request.
    pub fn record(&self, path: &str, method: &str, code: u16, duration_ns: u64) {
        let route = ROUTES.iter().position(|(_, start)| path.starts_with(start));
        let route = route.unwrap_or(ROUTES.len());
        let method = METHODS.iter().position(|m| *m == method).unwrap_or(METHODS.len() - 1);
        let code = CODES.iter().position(|c| *c == code).unwrap_or(CODES.len() - 1);
        let cell = (route * METHODS.len() + method) * CODES.len() + code;
        self.requests[cell].fetch_add(1, Ordering::Relaxed);
        self.durations_ns[route].record(duration_ns);
    }

    /// Writes all counters out.
    pub fn render(&self, out: &mut text::Text) {
        out.head("firndb_http_requests_total", "counter", "HTTP requests answered.");
        for (cell, count) in self.requests.iter().enumerate() {
            let count = count.load(Ordering::Relaxed);
            if count == 0 {
                continue;
            }
            let (rest, code) = (cell / CODES.len(), CODES[cell % CODES.len()]);
            let code = if code == 0 { OTHER.to_owned() } else { code.to_string() };
            let labels = [
                ("route", route_label(rest / METHODS.len())),
                ("method", METHODS[rest % METHODS.len()]),
                ("code", code.as_str()),
            ];
            out.sample("firndb_http_requests_total", &labels, count);
        }
        let name = "firndb_http_request_duration_seconds";
        out.head(name, "histogram", "Time from request head to response head.");
        for (route, histogram) in self.durations_ns.iter().enumerate() {
            let counts = histogram.read();
            if counts.count() > 0 {
                out.seconds(name, &[("route", route_label(route))], &counts);
            }
        }
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        out.gauge("firndb_http_requests_in_flight", "HTTP requests being handled now.", in_flight);
    }
}

fn route_label(index: usize) -> &'static str {
    ROUTES.get(index).map_or(OTHER, |(label, _)| label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_route_method_and_code() {
        let metrics = HttpMetrics::default();
        metrics.record("/write", "POST", 204, 1_000_000);
        metrics.record("/write", "POST", 204, 3_000_000);
        metrics.record("/kv/box/a%00", "PUT", 204, 10);
        metrics.record("/wp-admin", "PROPFIND", 299, 10);
        let mut out = text::Text::default();
        metrics.render(&mut out);
        let text = out.into_string();
        for line in [
            "firndb_http_requests_total{route=\"/write\",method=\"POST\",code=\"204\"} 2",
            "firndb_http_requests_total{route=\"/kv/{keyspace}\",method=\"PUT\",code=\"204\"} 1",
            "firndb_http_requests_total{route=\"other\",method=\"other\",code=\"other\"} 1",
            "firndb_http_request_duration_seconds_count{route=\"/write\"} 2",
            "firndb_http_request_duration_seconds_sum{route=\"/write\"} 0.004",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
    }
}
