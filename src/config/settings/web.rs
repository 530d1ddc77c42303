//! The HTTP servers for operators: the AdminServer, and the port for Prometheus.

/// The HTTP servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Web {
    /// Whether there is an AdminServer. Default: true. Key `admin.enableServer`.
    pub is_enabled: bool,
    /// Its address. Default: every address; of a server without a file 127.0.0.1. Key `admin.serverAddress`.
    pub host: String,
    /// Its port; 0: any free one. Default: 8080. Key `admin.serverPort`.
    pub port: u16,
    /// How long a connection may be idle. ms. Default: 30 s. Key `admin.idleTimeout`.
    pub idle_ms: u32,
    /// Under which path its commands are. Invariant: it begins with a slash, and does not end with one. Default:
    /// `/commands`. Key `admin.commandURL`.
    pub command_url: String,
    /// Whether Prometheus may fetch metrics. Default: false. Key `metricsProvider.className`.
    pub has_prometheus: bool,
    /// Where from. Default: every address. Key `metricsProvider.httpHost`.
    pub metrics_host: String,
    /// The port; 0: any free one. Default: 7000. Key `metricsProvider.httpPort`.
    pub metrics_port: u16,
}

impl Default for Web {
    // Of a server without a file.
    fn default() -> Self {
        Self {
            is_enabled: true,
            host: "127.0.0.1".to_owned(),
            port: 8080,
            idle_ms: 30_000,
            command_url: "/commands".to_owned(),
            has_prometheus: false,
            metrics_host: EVERY_ADDRESS.to_owned(),
            metrics_port: 7000,
        }
    }
}

/// The default of a file.
pub(in crate::config) const EVERY_ADDRESS: &str = "0.0.0.0";
