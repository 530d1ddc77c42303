//! The ports for operators: the AdminServer, and that for Prometheus.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};

use crate::admin::inquiries::Asker;
use crate::config::{Config, Origin};
use crate::metrics::process::Machine;
use crate::runtime::{Folders, listener_on};
use crate::web::{self, AdminSite, Facts};

/// The sockets; `None`: the configuration asks for none, or the port of the AdminServer is taken.
pub struct WebSide {
    admin: Option<AdminSite>,
    metrics: Option<TcpListener>,
}

impl WebSide {
    /// Opens the ports.
    ///
    /// # Errors
    /// A port that the configuration names cannot be had.
    pub fn open(config: &Config) -> Result<WebSide, String> {
        let web = &config.web;
        let admin = match web.is_enabled.then(|| bind(&web.host, web.port)) {
            None => None,
            Some(Ok(socket)) => Some(AdminSite {
                socket,
                command_url: web.command_url.clone(),
                idle_ms: web.idle_ms,
            }),
            Some(Err(why)) if is_named(config) => {
                return Err(format!(
                    "the AdminServer cannot listen on {}:{} (admin.serverAddress, admin.serverPort): {why}; \
                     admin.enableServer=false does without it",
                    web.host, web.port
                ));
            }
            // ZooKeeper: its server ends with code 4. Here nobody has asked for this port, and a second server on a
            // machine is no reason to serve no client.
            Some(Err(why)) => {
                tracing::warn!(
                    "there is no AdminServer on {}:{}: {why}. admin.serverPort names another port, and \
                     admin.enableServer=false does without it",
                    web.host,
                    web.port
                );
                None
            }
        };
        let metrics = web.has_prometheus.then(|| bind(&web.metrics_host, web.metrics_port));
        let metrics = metrics.transpose().map_err(|why| {
            format!(
                "Prometheus cannot be served on {}:{} (metricsProvider.httpHost, metricsProvider.httpPort): {why}",
                web.metrics_host, web.metrics_port
            )
        })?;
        Ok(WebSide { admin, metrics })
    }

    /// Begins to serve them, and logs where they are.
    ///
    /// # Errors
    /// The system denies the thread.
    pub fn start(self, config: &Config, folders: &Folders, asker: Asker) -> Result<(), String> {
        let WebSide { admin, metrics } = self;
        let at = |socket: &TcpListener| {
            socket.local_addr().map_or_else(|error| error.to_string(), |at| at.to_string())
        };
        if let Some(site) = &admin {
            tracing::info!("AdminServer: http://{}{}", at(&site.socket), site.command_url);
        }
        if let Some(socket) = &metrics {
            tracing::info!("metrics for Prometheus: http://{}/metrics", at(socket));
        }
        let settings =
            config.settings().map(|(key, setting)| (key.to_owned(), setting.text.clone()));
        let facts = Facts {
            machine: Machine::read(),
            folders: (folders.snapshots.clone(), folders.logs.clone()),
            settings: settings.collect(),
        };
        web::start(admin, metrics, facts, asker)
            .map_err(|error| format!("the thread of the AdminServer: {error}"))
    }
}

/// Whether the configuration asks for the AdminServer, and not only its default.
fn is_named(config: &Config) -> bool {
    ["admin.enableServer", "admin.serverAddress", "admin.serverPort"]
        .iter()
        .any(|key| *config.origin_of(key) != Origin::Default)
}

/// Binds a host and port; an error is a clause.
fn bind(host: &str, port: u16) -> Result<TcpListener, String> {
    let found = (host, port).to_socket_addrs().map_err(|error| error.to_string())?;
    let address: SocketAddr = found.into_iter().next().ok_or("the name has no address")?;
    web::bind(address).map_err(|error| match listener_on(port) {
        Some(process) if error.kind() == std::io::ErrorKind::AddrInUse => {
            format!("{error}: {} (pid {}) listens there", process.name, process.pid)
        }
        _ => error.to_string(),
    })
}
