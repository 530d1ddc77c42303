//! Rows about the HTTP servers for operators: the AdminServer (`JettyAdminServer`), and the port for Prometheus
//! (`PrometheusMetricsProvider`).

use super::super::value::{Kind, Value};
use super::row::*;
use super::{Acted, Fate, Key, Place, Set, Theme, Unreadable, Verdict, fine, port, prop_int};

const PROMETHEUS: &str = "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider";
const DEFAULT: &str = "org.apache.zookeeper.metrics.impl.DefaultMetricsProvider";
const NULL: &str = "org.apache.zookeeper.metrics.impl.NullMetricsProvider";

/// A text field.
macro_rules! text {
    ($field:ident, $verdict:expr) => {
        Fate::Acted(Acted {
            set: Set::Text(|config, text| config.web.$field = text.to_owned()),
            get: |config| config.web.$field.clone(),
            about: "",
            verdict: $verdict,
        })
    };
}

/// A port.
macro_rules! port {
    ($field:ident) => {
        Fate::Acted(Acted {
            set: Set::Int(|config, port| {
                config.web.$field = u16::try_from(port).unwrap_or(u16::MAX);
            }),
            get: |config| config.web.$field.to_string(),
            about: "",
            verdict: fine,
        })
    };
}

/// A way to ask for HTTPS.
const fn https(name: &'static str) -> Key {
    Key::new(
        Theme::Admin,
        Place::Property,
        name,
        Kind::Bool,
        Fate::Refused {
            why: "HTTPS of the AdminServer is not built yet. Remove this line and let only this machine reach it \
                  (admin.serverAddress=127.0.0.1), or put a proxy with TLS before it, or set admin.enableServer=false",
            harmless: |value| *value == Value::Bool(false),
        },
    )
    .default("false")
}

// The path is compared with that of a request.
fn command_url(value: &Value) -> Verdict {
    match value {
        Value::Text(path)
            if !path.starts_with('/') || path.len() > 1 && path.ends_with('/') || path == "/" =>
        {
            Verdict::Refused("it must begin with a slash and go on, and not end with one".into())
        }
        Value::Text(path)
            if path
                .bytes()
                .any(|byte| !byte.is_ascii_alphanumeric() && !b"/-._~".contains(&byte)) =>
        {
            Verdict::Refused("it has other characters than letters, digits and -._~".into())
        }
        _ => Verdict::Fine,
    }
}

// ZooKeeper: MetricsProviderBootstrap cannot start without the class, and its server ends.
fn provider(value: &Value) -> Verdict {
    match value {
        Value::Text(class) if ![PROMETHEUS, DEFAULT, NULL, ""].contains(&class.as_str()) => {
            Verdict::Warn(
                "NO CLASS CAN BE LOADED HERE: only the PrometheusMetricsProvider of ZooKeeper changes something; mntr \
                 and the AdminServer show the metrics in any case"
                    .into(),
            )
        }
        _ => Verdict::Fine,
    }
}

pub(super) static KEYS: &[Key] = &[
    // ZooKeeper: AdminServerFactory omits it only for the word false.
    prop(Theme::Admin, "admin.enableServer", Kind::Bool, "true", plain!(Bool, web.is_enabled))
        .unreadable(Unreadable::Default)
        .about("answer operators and agents by HTTP; docs/admin.md describes the commands"),
    prop(Theme::Admin, "admin.serverAddress", Kind::Text, "0.0.0.0", text!(host, fine))
        .about("the address of the AdminServer; without a configuration file 127.0.0.1"),
    prop(Theme::Admin, "admin.serverPort", port(), "8080", port!(port))
        .about("the port of the AdminServer; 0: any free one, which the log names"),
    prop(Theme::Admin, "admin.idleTimeout", prop_int(0), "30000", number!(web.idle_ms))
        .about("how long a connection to the AdminServer may be idle, at most 30 s; 0: 30 s")
        .unit("ms"),
    prop(
        Theme::Admin,
        "admin.commandURL",
        Kind::Text,
        "/commands",
        text!(command_url, command_url),
    )
    .about("the path of the AdminServer under which its commands are"),
    Key::new(
        Theme::Admin,
        Place::Property,
        "admin.httpVersion",
        prop_int(0),
        Fate::Meaningless("the AdminServer speaks HTTP/1.1"),
    )
    .default("11"),
    https("admin.portUnification"),
    https("admin.forceHttps"),
    https("admin.needClientAuth"),
    // ZooKeeper: QuorumPeerConfig.parseProperties; the provider gets the rest of the family.
    file(
        Theme::Admin,
        "metricsProvider.className",
        Kind::Text,
        DEFAULT,
        Fate::Acted(Acted {
            set: Set::Text(|config, class| config.web.has_prometheus = class == PROMETHEUS),
            get: |config| match config.web.has_prometheus {
                true => PROMETHEUS.to_owned(),
                false => DEFAULT.to_owned(),
            },
            about: "",
            verdict: provider,
        }),
    )
    .about("with ZooKeeper's PrometheusMetricsProvider, Prometheus can fetch the metrics by HTTP"),
    file(
        Theme::Admin,
        "metricsProvider.httpHost",
        Kind::Text,
        "0.0.0.0",
        text!(metrics_host, fine),
    )
    .about("the address for Prometheus"),
    file(Theme::Admin, "metricsProvider.httpPort", port(), "7000", port!(metrics_port))
        .about("the port for Prometheus; 0: any free one, which the log names"),
    Key::new(
        Theme::Admin,
        Place::File,
        "metricsProvider.httpsPort",
        Kind::Text,
        Fate::Refused {
            why: "HTTPS for Prometheus is not built yet. Remove this line; put a proxy with TLS before \
                  metricsProvider.httpPort if others can reach it",
            harmless: |value| matches!(value, Value::Text(text) if ["", "-1"].contains(&text.as_str())),
        },
    ),
    Key::new(
        Theme::Admin,
        Place::File,
        "metricsProvider.*",
        Kind::Text,
        Fate::Meaningless(
            "threads, queues and figures of Java's metrics providers, which do not exist here",
        ),
    )
    // Passwords of stores are among them.
    .secret(),
];
