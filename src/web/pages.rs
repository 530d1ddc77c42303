//! The paths of the HTTP servers.
//!
//! ```text
//! AdminServer    /commands               the list of commands, as a page
//!                /commands/NAME          a command, as JSON
//!                /health/live            200 as long as the process answers
//!                /health/ready           200 if it serves writes, otherwise 503
//!                /health/leader          200 if it leads or is alone, otherwise 503
//! Prometheus     /metrics                all metrics; ?name[]=X: only those
//! ```
//! No page changes anything but counters and the times of counting, and none is cached.

use std::collections::HashMap;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http_body::{Frame, SizeHint};
use http_body_util::Full;
use tokio::sync::OwnedSemaphorePermit;

use super::answers::{Desk, Reply};
use super::commands::COMMANDS;
use crate::metrics;

const JSON: &str = "application/json";

/// The paths of the AdminServer, with its commands under `command_url`.
pub fn admin(desk: Desk, command_url: &str) -> Router {
    Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/health/leader", get(leader))
        .route(command_url, get(list))
        .route(&format!("{command_url}/"), get(list))
        .route(&format!("{command_url}/{{name}}"), get(command))
        .with_state((desk, command_url.to_owned()))
}

/// The path for Prometheus.
pub fn prometheus(desk: Desk) -> Router {
    Router::new().route("/metrics", get(all_metrics)).with_state(desk)
}

type Admin = State<(Desk, String)>;

fn headers(kind: &'static str) -> [(HeaderName, &'static str); 3] {
    [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-store"),
        // A browser must not take JSON with somebody's words in it for a page.
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ]
}

async fn command(
    State((desk, _)): Admin,
    Path(name): Path<String>,
    Query(words): Query<HashMap<String, String>>,
) -> Response {
    let Reply { status, text, place } = desk.run(&name, &words).await;
    let body = match place {
        None => Body::from(text),
        Some(place) => Body::new(Held { text: Full::from(text), _place: place }),
    };
    (status, headers(JSON), body).into_response()
}

/// A text that holds a place until it has been sent, or its client has gone.
struct Held {
    text: Full<Bytes>,
    _place: OwnedSemaphorePermit,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.get_mut().text).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.text.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.text.size_hint()
    }
}

/// The page with a link for each command (`JettyAdminServer.CommandServlet`).
async fn list(State((_, url)): Admin) -> Response {
    let links =
        COMMANDS.iter().map(|(name, ..)| format!("<a href=\"{url}/{name}\">{name}</a>\n<br/>\n"));
    (headers("text/html; charset=utf-8"), links.collect::<String>()).into_response()
}

async fn live() -> Response {
    (headers(JSON), "{\"status\":\"live\"}\n").into_response()
}

async fn ready(State((desk, _)): Admin) -> Response {
    let health = desk.health().await;
    let (is_ready, why) = match &health {
        None => (false, "the server reads its data, stops, or is busy"),
        Some(health) if health.mode.is_none() => (false, "the server has no leader"),
        Some(health) if health.disk_is_full => (false, "the disk is full: writes are refused"),
        Some(health) if !health.takes_writes => (false, "the server serves readers alone"),
        Some(_) => (true, ""),
    };
    healthy(is_ready, why, health.and_then(|health| health.mode))
}

async fn leader(State((desk, _)): Admin) -> Response {
    let health = desk.health().await;
    let leads = health.as_ref().is_some_and(|health| health.leads);
    let why = if leads { "" } else { "the server does not lead" };
    healthy(leads, why, health.and_then(|health| health.mode))
}

fn healthy(is_so: bool, why: &'static str, mode: Option<String>) -> Response {
    let status = if is_so { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let text = serde_json::json!({ "ok": is_so, "mode": mode, "reason": why });
    (status, headers(JSON), format!("{text}\n")).into_response()
}

async fn all_metrics(
    State(desk): State<Desk>,
    Query(words): Query<Vec<(String, String)>>,
) -> Response {
    let wanted = words.into_iter().filter(|(key, _)| key == "name[]").map(|(_, name)| name);
    let wanted: Vec<String> = wanted.collect();
    match desk.metrics(&wanted).await {
        Some(text) => (headers(metrics::CONTENT_TYPE), text).into_response(),
        None => {
            let why = "The server does not answer: it reads its data, stops, or is busy.\n";
            (StatusCode::SERVICE_UNAVAILABLE, headers("text/plain; charset=utf-8"), why)
                .into_response()
        }
    }
}
