//! HTTP for operators: the AdminServer (`JettyAdminServer`), and the port for Prometheus
//! (`PrometheusMetricsProvider`).
//!
//! Both run on one thread of their own, with an executor of tokio that nothing else uses. What they tell of the replica
//! comes as a report through a bounded queue ([`crate::admin::inquiries`]); the text is made here. So a client that
//! asks too much, or reads too slowly, takes time from this thread and from nobody else.

mod answers;
mod commands;
mod connections;
mod jackson;
mod pages;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

pub use answers::Facts;

use answers::Desk;
use axum::Router;

use crate::admin::inquiries::Asker;
use crate::limits::WEB_HEAD_MS_MAX;

/// The AdminServer.
#[derive(Debug)]
pub struct AdminSite {
    /// Where it listens.
    pub socket: TcpListener,
    /// The path of its commands.
    pub command_url: String,
    /// How long a connection may be idle, in ms; 0: as long as [`WEB_HEAD_MS_MAX`] allows.
    pub idle_ms: u32,
}

/// Starts the thread. `metrics`: where Prometheus connects.
///
/// # Errors
/// The system denies the thread.
pub fn start(
    admin: Option<AdminSite>,
    metrics: Option<TcpListener>,
    facts: Facts,
    asker: Asker,
) -> io::Result<()> {
    if admin.is_none() && metrics.is_none() {
        return Ok(());
    }
    let desk = Desk::new(facts, asker);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let work = move || {
        runtime.block_on(async move {
            if let Some(AdminSite { socket, command_url, idle_ms }) = admin {
                let head_time = match u64::from(idle_ms) {
                    0 => WEB_HEAD_MS_MAX,
                    ms => ms.min(WEB_HEAD_MS_MAX),
                };
                let pages = pages::admin(desk.clone(), &command_url);
                listen(socket, pages, Duration::from_millis(head_time));
            }
            if let Some(socket) = metrics {
                listen(socket, pages::prometheus(desk), Duration::from_millis(WEB_HEAD_MS_MAX));
            }
            // The tasks serve until the process ends.
            std::future::pending::<()>().await;
        });
    };
    std::thread::Builder::new().name("rk-web".into()).spawn(work)?;
    Ok(())
}

fn listen(socket: TcpListener, pages: Router, head_time: Duration) {
    match tokio::net::TcpListener::from_std(socket) {
        Ok(socket) => drop(tokio::spawn(connections::serve(socket, pages, head_time))),
        Err(error) => tracing::error!("an HTTP port cannot be served: {error}"),
    }
}

/// Binds a port.
///
/// # Errors
/// The system's.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = crate::net::bind(address, BACKLOG, false)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Connections that wait to be accepted.
const BACKLOG: u32 = 128;
