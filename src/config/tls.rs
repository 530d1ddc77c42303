//! The keys of TLS, read together: stores, protocols, suites and ports of one side.
//!
//! A mistake in a key of a side that no port uses is a warning, because ZooKeeper would never look at it.

use std::path::{Path, PathBuf};

use super::origin::{Level, Problem};
use super::read::Reading;
use super::settings::{ClientAuth, Listen, ListenHost, Password, Secret, StoreAt, TlsSide};
use super::value::Value;
use crate::tls::names;
use crate::tls::stores::StoreKind;

/// Fills the part of `Config::tls` that is about clients.
pub(super) fn clients(reading: &mut Reading) {
    secure_port(reading);
    let is_used = reading.config.tls.serves_clients();
    reading.config.tls.client = side(reading, TlsSide::of_clients(), is_used);
}

/// Fills the part that is about other servers. The members are known by now.
pub(super) fn servers(reading: &mut Reading) {
    let is_distributed = reading.config.quorum.is_distributed();
    let is_used = is_distributed && reading.config.tls.serves_servers();
    reading.config.tls.quorum = side(reading, TlsSide::of_servers(), is_used);
    let calls = is_distributed && reading.config.tls.quorum_uses_tls;
    if calls && reading.config.tls.quorum.trust_store.is_none() {
        let text = "not set, but required to check the certificates of the servers to which this one connects \
            (sslQuorum=true): name the file with the certificates of their issuers";
        missing(reading, "ssl.quorum.trustStore.location", text);
    }
}

// ZooKeeper: QuorumPeerConfig.parseProperties; an address without the port is an error.
fn secure_port(reading: &mut Reading) {
    let port = reading.int("secureClientPort").and_then(|port| u16::try_from(port).ok());
    let host = reading.text("secureClientPortAddress").map(ListenHost::parse);
    let was_wrong = reading.errors.iter().any(|error| error.key == "secureClientPort");
    match (port, host) {
        // ZooKeeper: a port of 0 is none.
        (Some(port), host) if port != 0 => {
            let host = host.unwrap_or(ListenHost::Any);
            reading.config.tls.secure_client = Some(Listen { host, port });
        }
        (_, Some(_)) if !was_wrong => {
            let key = "secureClientPortAddress";
            let text = "set, but secureClientPort is not".to_owned();
            complain(reading, key, true, Problem::Conflict, text);
        }
        (_, _) => {}
    }
}

fn bool_of(reading: &Reading, key: &str) -> Option<bool> {
    match reading.values.get(key)?.value {
        Value::Bool(value) => Some(value),
        _ => None,
    }
}

fn side(reading: &mut Reading, defaults: TlsSide, is_used: bool) -> TlsSide {
    let prefix = defaults.prefix;
    let key = |suffix: &str| format!("{prefix}{suffix}");
    let mut side = TlsSide {
        key_store: store(reading, &key("keyStore"), is_used),
        trust_store: store(reading, &key("trustStore"), is_used),
        // Its row has stored it.
        handshake_detection_timeout_ms: match prefix {
            "ssl." => reading.config.tls.client.handshake_detection_timeout_ms,
            _ => reading.config.tls.quorum.handshake_detection_timeout_ms,
        },
        ..defaults
    };
    if let Some(verifies) = bool_of(reading, &key("hostnameVerification")) {
        side.hostname_verification = verifies;
    }
    if let Some(verifies) = bool_of(reading, &key("clientHostnameVerification")) {
        side.client_hostname_verification = verifies;
    }
    // ZooKeeper: X509Util.isClientHostnameVerificationEnabled.
    side.client_hostname_verification &= side.hostname_verification;
    match reading.text(&key("clientAuth")).map(str::to_ascii_lowercase).as_deref() {
        Some("none") => side.client_auth = ClientAuth::None,
        Some("want") => side.client_auth = ClientAuth::Want,
        _ => {}
    }
    protocols(reading, &mut side, is_used);
    suites(reading, &mut side, is_used);
    revocation_lists(reading, &mut side, is_used);
    if is_used && side.key_store.is_none() {
        let text =
            "not set, but required for TLS: name the file with the private key and its certificate";
        missing(reading, &key("keyStore.location"), text);
    }
    if is_used && side.trust_store.is_none() && side.client_auth == ClientAuth::Need {
        let text = format!(
            "not set, but required to check the certificates of whoever connects: name the file with the certificates \
             of their issuers, or set {prefix}clientAuth to none"
        );
        missing(reading, &key("trustStore.location"), &text);
    }
    side
}

fn store(reading: &mut Reading, name: &str, is_used: bool) -> Option<StoreAt> {
    let of = |reading: &Reading, suffix: &str| {
        reading.text(&format!("{name}.{suffix}")).unwrap_or_default().to_owned()
    };
    let location = of(reading, "location");
    if location.is_empty() {
        return None;
    }
    let named = of(reading, "type");
    let kind = match StoreKind::of(&named, Path::new(&location)) {
        Ok(kind) => kind,
        Err(text) => {
            let key = format!("{name}.{}", if named.is_empty() { "location" } else { "type" });
            let text = format!("{text}; set {name}.type to PEM, PKCS12 or JKS");
            complain(reading, &key, is_used, Problem::Value, text);
            return None;
        }
    };
    // ZooKeeper: X509Util.getPasswordFromConfigPropertyOrFile; the file counts before the key.
    let (given, path) = (of(reading, "password"), of(reading, "passwordPath"));
    let password = match (path.is_empty(), given.is_empty()) {
        (false, _) => Password::File(path.into()),
        (true, false) => Password::Given(Secret::new(&given)),
        (true, true) => Password::None,
    };
    Some(StoreAt { path: PathBuf::from(location), kind, password })
}

fn protocols(reading: &mut Reading, side: &mut TlsSide, is_used: bool) {
    let (single, list) =
        (format!("{}protocol", side.prefix), format!("{}enabledProtocols", side.prefix));
    let words = words_of(reading, &list);
    if words.is_empty() {
        match reading.text(&single).filter(|name| !name.is_empty()).map(names::protocol_context) {
            None => {}
            Some(Ok(protocols)) => side.protocols = protocols,
            Some(Err(text)) => complain(reading, &single, is_used, Problem::Refused, text),
        }
        return;
    }
    match names::protocols(words.iter().map(String::as_str)) {
        Ok(chosen) => {
            let reason = "do not exist here, because they are broken; Java disables them too";
            note_dropped(reading, &list, &chosen.dropped, reason);
            side.protocols = chosen.usable;
        }
        Err(text) => complain(reading, &list, is_used, Problem::Refused, text),
    }
}

fn suites(reading: &mut Reading, side: &mut TlsSide, is_used: bool) {
    let key = format!("{}ciphersuites", side.prefix);
    let words = words_of(reading, &key);
    if words.is_empty() {
        return;
    }
    match names::cipher_suites(words.iter().map(String::as_str)) {
        Ok(chosen) => {
            let reason = "do not exist here, because they lack forward secrecy or authenticated encryption; peers that \
                know no others cannot connect";
            note_dropped(reading, &key, &chosen.dropped, reason);
            side.cipher_suites = Some(chosen.usable);
        }
        Err(text) => complain(reading, &key, is_used, Problem::Refused, text),
    }
}

// ZooKeeper: X509Util.createTrustManager; Java fetches the lists at the addresses that certificates name.
fn revocation_lists(reading: &mut Reading, side: &mut TlsSide, is_used: bool) {
    let prefix = side.prefix;
    let location = format!("ringkeeper.{prefix}crl.location");
    side.revocation_lists =
        reading.text(&location).filter(|path| !path.is_empty()).map(PathBuf::from);
    let crl = format!("{prefix}crl");
    side.demands_revocation_list = bool_of(reading, &crl).unwrap_or(false);
    if side.demands_revocation_list && side.revocation_lists.is_none() {
        let text = format!(
            "true, but {location} is not set: Java fetches the lists of revoked certificates while a connection waits, \
             and this server reads them from that file. Name a file with the lists of all issuers, or set {crl} to \
             false and take revoked certificates out of the trust store"
        );
        complain(reading, &crl, is_used, Problem::Refused, text);
    }
    if side.revocation_lists.is_some() && side.trust_store.is_none() && is_used {
        let origin = reading.origin(&location);
        let text = format!("has no effect without {prefix}trustStore.location");
        reading.note(Level::Warn, &origin, &location, text);
    }
}

fn words_of(reading: &Reading, key: &str) -> Vec<String> {
    match reading.values.get(key).map(|accepted| &accepted.value) {
        Some(Value::List(words)) => words.iter().filter(|word| !word.is_empty()).cloned().collect(),
        _ => Vec::new(),
    }
}

fn note_dropped(reading: &mut Reading, key: &str, dropped: &[String], reason: &str) {
    if !dropped.is_empty() {
        let origin = reading.origin(key);
        reading.note(Level::Warn, &origin, key, format!("{} {reason}", dropped.join(", ")));
    }
}

fn missing(reading: &mut Reading, key: &str, text: &str) {
    if !reading.errors.iter().any(|error| error.key.starts_with(key.trim_end_matches("location"))) {
        let origin = reading.origin(key);
        reading.error(Problem::Missing, &origin, key, None, text.to_owned());
    }
}

/// An error, or a warning if nothing uses the key.
fn complain(reading: &mut Reading, key: &str, is_used: bool, problem: Problem, text: String) {
    let origin = reading.origin(key);
    if is_used {
        reading.error(problem, &origin, key, None, text);
    } else {
        let text = format!("{text}. No connection uses TLS, so this has no effect");
        reading.note(Level::Warn, &origin, key, text);
    }
}
