//! Values about authentication that depend on several keys and on the JAAS file: which schemes there are, which clients
//! may log in by SASL, and which schemes a client must have.
//!
//! The rule that is easy to break: a server that is asked to let clients log in and cannot do it must not start,
//! because it would serve them without; and no message shows a value of the JAAS file.

use std::path::Path;

use zeroize::Zeroizing;

use super::kerberos;
use super::keys::sasl::{ENSEMBLE_PROVIDER, KEY_PROVIDER, SASL_PROVIDER, X509_PROVIDER};
use super::logins_between;
use super::origin::{Level, Origin, Problem, printable};
use super::read::{ReadFile, Reading};
use super::settings::ClientAuth;
use super::value::Value;
use crate::sasl::Mechanism;
use crate::sasl::between::Account;
use crate::sasl::digest_md5::{Service, Users};
use crate::sasl::jaas::{JaasFile, Section};
use crate::sasl::kerberos::Rules;

pub(super) const LOGIN_CONFIG: &str = "java.security.auth.login.config";
const SECTION: &str = "sasl.serverconfig";
const SUPER_PASSWORD: &str = "SASLAuthenticationProvider.superPassword";
const REQUIRE: &str = "sessionRequireClientSASLAuth";
const SWITCH: &str = "enforce.auth.enabled";
const SCHEMES: &str = "enforce.auth.schemes";
const RULES: &str = "security.auth_to_local";
const ENSEMBLE: &str = "ensemble";
const FIPS: &str = "fips-mode";

const DIGEST_MODULE: &str = "org.apache.zookeeper.server.auth.DigestLoginModule";

pub(super) fn finish(reading: &mut Reading, read_file: &mut Option<ReadFile<'_>>) {
    providers(reading);
    super_users(reading);
    name_rules(reading);
    logins_between::switches(reading);
    if let Some(read_file) = read_file {
        let file = file(reading, read_file);
        login(reading, file.as_ref());
        logins_between::finish(reading, file.as_ref());
        warn_of_fips_mode(reading);
    }
    enforced_schemes(reading, read_file.is_some());
}

fn providers(reading: &mut Reading) {
    let has = |reading: &Reading, class: &str| {
        let mut values = reading.values.iter();
        values.any(|(key, accepted)| {
            key.starts_with("authProvider.") && accepted.value == Value::Text(class.to_owned())
        })
    };
    let ensemble = has(reading, ENSEMBLE_PROVIDER);
    let (key, sasl) = (has(reading, KEY_PROVIDER), has(reading, SASL_PROVIDER));
    // ZooKeeper: QuorumPeerConfig.configureSSLAuth adds the provider of x509 where a port takes TLS.
    let x509 = reading.config.tls.serves_clients() || has(reading, X509_PROVIDER);
    let security = &mut reading.config.security;
    security.ensemble_auth_enabled = ensemble;
    security.key_auth_enabled = key;
    security.sasl.scheme_enabled = sasl;
    security.x509_enabled = x509;
    if !ensemble && reading.values.contains_key("ensembleAuthName") {
        let text =
            format!("has no effect without authProvider.1 = {ENSEMBLE_PROVIDER}, as in ZooKeeper");
        warn(reading, "ensembleAuthName", text);
    }
}

fn super_users(reading: &mut Reading) {
    let is_super = |key: &str| key == "superUser" || key.starts_with("superUser.");
    let values = reading.values.iter().filter(|(key, _)| is_super(key));
    let names = values.filter_map(|(_, accepted)| match &accepted.value {
        Value::Text(name) if !name.is_empty() => Some(name.clone()),
        _ => None,
    });
    reading.config.security.sasl.super_users = names.collect();
}

fn name_rules(reading: &mut Reading) {
    let Some(text) = reading.text(RULES).map(str::to_owned) else { return };
    // The server puts in the realm of its machine, if clients log in by Kerberos.
    // ZooKeeper: KerberosName takes an empty one where there is no configuration of Kerberos.
    match Rules::parse(&text, "") {
        Ok(rules) => reading.config.security.sasl.names.rules = rules,
        Err(error) => {
            let origin = reading.origin(RULES);
            reading.error(Problem::Value, &origin, RULES, Some(text), error.to_string());
        }
    }
}

/// Reads the JAAS file, if one is named: its path, and its sections. `None`: there is none, or an error about it.
fn file(reading: &mut Reading, read_file: &mut ReadFile<'_>) -> Option<(String, JaasFile)> {
    if reading.text(LOGIN_CONFIG).is_some_and(str::is_empty) {
        // ZooKeeper: the JDK finds no file of this name, and ServerCnxnFactory.configureSaslLogin ends the start.
        let text = "it names no file, so no client could log in by SASL: name the JAAS file, or remove the \
                    key"
            .to_owned();
        let origin = reading.origin(LOGIN_CONFIG);
        reading.error(Problem::Value, &origin, LOGIN_CONFIG, None, text);
        return None;
    }
    let named = reading.config.security.sasl.login_config.clone()?;
    jaas_file(reading, &named, read_file)
}

/// Reads the section of the JAAS file that is for clients.
fn login(reading: &mut Reading, file: Option<&(String, JaasFile)>) {
    if reading.config.security.sasl.login_config.is_none() {
        if reading.text(LOGIN_CONFIG).is_some() {
            // It is empty, and there is an error about that.
            return;
        }
        for key in [SECTION, SUPER_PASSWORD] {
            if reading.values.contains_key(key) {
                warn(reading, key, format!("has no effect without {LOGIN_CONFIG}"));
            }
        }
        if reading.config.security.sasl.scheme_enabled {
            let text =
                format!("no client can log in by SASL, because {LOGIN_CONFIG} names no file");
            let key = provider_key(reading);
            warn(reading, &key, text);
        }
        return;
    }
    let Some((path, file)) = file else { return };
    let name = reading.config.security.sasl.server_section.clone();
    let Some(section) = file.section(&name) else {
        return no_section(reading, file, &name);
    };
    reading.config.security.sasl.mechanism = mechanism(reading, path, &name, section);
    if !reading.config.security.sasl.scheme_enabled {
        let text = format!(
            "clients can log in, but ACLs of the scheme sasl are refused and grant nothing without \
             authProvider.1 = {SASL_PROVIDER}, as in ZooKeeper"
        );
        warn(reading, LOGIN_CONFIG, text);
    }
}

/// The JAAS file with its path. `None`: there is an error about it.
fn jaas_file(
    reading: &mut Reading,
    named: &str,
    read_file: &mut ReadFile<'_>,
) -> Option<(String, JaasFile)> {
    // ZooKeeper: the JDK takes a URL as well as a path, and a second = in -Dname==path.
    let path = named.strip_prefix('=').unwrap_or(named);
    let path = path.strip_prefix("file:").unwrap_or(path);
    let path = path
        .strip_prefix("//")
        .map_or(path, |rest| if rest.starts_with('/') { rest } else { path });
    let unread = |reading: &mut Reading, why: &str| {
        let text = format!("{why}, so no client could log in by SASL");
        let origin = reading.origin(LOGIN_CONFIG);
        reading.error(Problem::Value, &origin, LOGIN_CONFIG, Some(named.to_owned()), text);
    };
    let bytes = match read_file(Path::new(path)) {
        Ok(Some(bytes)) => Zeroizing::new(bytes),
        Ok(None) => {
            unread(reading, "there is no such file");
            return None;
        }
        Err(why) => {
            unread(reading, &format!("the file cannot be read ({why})"));
            return None;
        }
    };
    match JaasFile::read(&bytes) {
        Ok(file) => Some((path.to_owned(), file)),
        Err(error) => {
            let origin = Origin::File { name: path.into(), line: error.line };
            reading.error(Problem::Syntax, &origin, "", None, error.what);
            None
        }
    }
}

fn no_section(reading: &mut Reading, file: &JaasFile, name: &str) {
    let text = missing(file, name);
    if reading.values.contains_key(SECTION) {
        // ZooKeeper: ServerCnxnFactory.configureSaslLogin goes on, and nobody can log in.
        let origin = reading.origin(SECTION);
        reading.error(Problem::Missing, &origin, SECTION, None, text);
    } else if !reading.config.security.logins_between.is_enabled {
        // A file for logins between servers alone says nothing about clients.
        let text = format!("{text}; so no client can log in by SASL");
        warn(reading, LOGIN_CONFIG, text);
    }
}

/// That the JAAS file lacks a section, and which ones it has.
pub(super) fn missing(file: &JaasFile, name: &str) -> String {
    let others: Vec<String> = file.names().map(printable).collect();
    let others = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
    format!("the JAAS file has no section {}; it has: {others}", printable(name))
}

/// How clients log in by this section. `None`: there is an error about it.
fn mechanism(
    reading: &mut Reading,
    path: &str,
    name: &str,
    section: &Section,
) -> Option<Mechanism> {
    let shown = printable(name);
    if let Some(module) = section.modules().iter().find(|module| kerberos::is_asked_for(module)) {
        if reading.values.contains_key(SUPER_PASSWORD) {
            let text = format!("has no effect, because the section {shown} is for Kerberos");
            warn(reading, SUPER_PASSWORD, text);
        }
        return kerberos::acceptor(reading, path, section, module).map(Mechanism::Gssapi);
    }
    if !is_digest(reading, path, name, section, "no client could log in") {
        return None;
    }
    let mut users = Users::of_section(Service::CLIENTS, section);
    if users.count() == 0 {
        let text = format!(
            "the section {shown} has no user_NAME=\"password\", so no client can log in by SASL"
        );
        let origin = Origin::File { name: path.into(), line: section.line };
        reading.note(Level::Warn, &origin, "", text);
    }
    let password = reading.text(SUPER_PASSWORD).map(str::to_owned);
    if password.as_deref() == Some("") {
        // ZooKeeper: SaslServerCallbackHandler takes an empty password.
        let text =
            "it is empty, and anybody could log in as super: write a password, or remove the key"
                .to_owned();
        let origin = reading.origin(SUPER_PASSWORD);
        reading.error(Problem::Value, &origin, SUPER_PASSWORD, None, text);
    } else if let Some(password) = password
        && !users.replace("super", &password)
    {
        let text = format!("has no effect, because the section {shown} has no user_super");
        warn(reading, SUPER_PASSWORD, text);
    }
    Some(Mechanism::DigestMd5(users))
}

/// Whether a section asks for DIGEST-MD5, and DIGEST-MD5 may be used. If not, there is an error about it, which says
/// what would follow (`harm`).
pub(super) fn is_digest(
    reading: &mut Reading,
    path: &str,
    name: &str,
    section: &Section,
    harm: &str,
) -> bool {
    let shown = printable(name);
    let mut modules = section.modules().iter();
    if let Some(module) = modules.find(|module| module.class != DIGEST_MODULE) {
        let class = printable(&module.class);
        let text = if class.contains('.') {
            format!(
                "the section {shown} names {class}, and no class can be loaded here; there are {DIGEST_MODULE} and \
                 {}",
                kerberos::MODULE
            )
        } else {
            // It may be a piece of a password whose quotes were forgotten.
            format!(
                "the section {shown} does not name {DIGEST_MODULE} or {} here, the two classes that there are",
                kerberos::MODULE
            )
        };
        let origin = Origin::File { name: path.into(), line: module.line };
        reading.error(Problem::Refused, &origin, "", None, text);
        return false;
    }
    // ZooKeeper: 3.9.6 refuses each login then, and takes true for the default; 3.9.5 and older ones let clients
    // log in.
    if reading.config.security.sasl.digest_md5_forbidden {
        let text = format!(
            "it forbids DIGEST-MD5, which the section {shown} of the JAAS file asks for: {harm}; remove one of \
             the two"
        );
        let origin = reading.origin(FIPS);
        reading.error(Problem::Conflict, &origin, FIPS, None, text);
        return false;
    }
    true
}

/// Says that a newer ZooKeeper refuses logins that this server lets in.
// ZooKeeper: SecurityUtils.createSaslServer of 3.9.6, and X509Util.getFipsMode, whose default is true since 3.9.0.
fn warn_of_fips_mode(reading: &mut Reading) {
    let security = &reading.config.security;
    let between = &security.logins_between;
    let of_clients = matches!(security.sasl.mechanism, Some(Mechanism::DigestMd5(_)));
    let of_servers = matches!(between.accepted, Some(Mechanism::DigestMd5(_)))
        || matches!(between.own, Some(Account::DigestMd5 { .. }));
    let who = match (of_clients, of_servers) {
        (true, true) => "clients and servers",
        (true, false) => "clients",
        (false, true) => "servers",
        (false, false) => return,
    };
    if reading.values.contains_key(FIPS) {
        return;
    }
    let text = format!(
        "its {who} log in by DIGEST-MD5, which Apache ZooKeeper from 3.9.6 on refuses unless {FIPS}=false; here they \
         may go on: write {FIPS}=false if that is meant, or change to Kerberos"
    );
    warn(reading, LOGIN_CONFIG, text);
}

/// Schemes to be enforced count only with the switch; the switch without schemes would admit no client. `is_whole`:
/// the JAAS file was read, if there is one.
// ZooKeeper: AuthenticationHelper refuses to start with the switch and no scheme, or a scheme without a provider.
fn enforced_schemes(reading: &mut Reading, is_whole: bool) {
    let is_on = |reading: &Reading, key: &str| {
        reading.values.get(key).is_some_and(|accepted| accepted.value == Value::Bool(true))
    };
    let listed: Vec<String> = match reading.values.get(SCHEMES).map(|accepted| &accepted.value) {
        Some(Value::List(words)) => words.iter().filter(|w| !w.is_empty()).cloned().collect(),
        _ => Vec::new(),
    };
    let (key, schemes) = match (is_on(reading, REQUIRE), is_on(reading, SWITCH)) {
        (true, _) => (REQUIRE, vec!["sasl".to_owned()]),
        (false, true) if listed.is_empty() => {
            if !reading.errors.iter().any(|error| error.key == SCHEMES) {
                let text = format!(
                    "{SCHEMES} must name at least one scheme: digest, ip, key, sasl or x509"
                );
                let origin = reading.origin(SWITCH);
                reading.error(Problem::Conflict, &origin, SWITCH, None, text);
            }
            return;
        }
        (false, true) => (SCHEMES, listed),
        (false, false) => {
            if !listed.is_empty() {
                let text = format!("has no effect without {SWITCH}=true, as in ZooKeeper");
                warn(reading, SCHEMES, text);
            }
            return;
        }
    };
    // ZooKeeper: EnsembleAuthenticationProvider.handleAuthentication gives a client no identity, and
    // AuthenticationHelper.isCnxnAuthenticated looks for one.
    let what = "no client gets an identity of the scheme ensemble, which only compares names";
    if schemes.iter().all(|scheme| scheme == ENSEMBLE) {
        let text = format!(
            "{what}, so no client could connect: name a scheme by which clients prove who they are"
        );
        let origin = reading.origin(key);
        return reading.error(Problem::Refused, &origin, key, None, text);
    }
    if schemes.iter().any(|scheme| scheme == ENSEMBLE) {
        warn(reading, key, format!("{what}, so it adds nothing to the other schemes"));
    }
    for scheme in &schemes {
        if let Some(text) = unavailable(reading, scheme, is_whole) {
            let origin = reading.origin(key);
            reading.error(Problem::Refused, &origin, key, None, text);
        }
    }
    reading.config.security.enforced_auth_schemes = schemes;
}

/// Why no client can authenticate by a scheme, although clients must.
fn unavailable(reading: &Reading, scheme: &str, is_whole: bool) -> Option<String> {
    let security = &reading.config.security;
    let needs = |is_there: bool, what: &str| {
        (!is_there).then(|| format!("the scheme {scheme} needs {what}, so no client could connect"))
    };
    match scheme {
        "ip" => None,
        "digest" => needs(security.digest_enabled, "DigestAuthenticationProvider.enabled=true"),
        ENSEMBLE => {
            needs(security.ensemble_auth_enabled, &format!("authProvider.1={ENSEMBLE_PROVIDER}"))
        }
        "key" => needs(security.key_auth_enabled, &format!("authProvider.1={KEY_PROVIDER}")),
        // The provider alone lets nobody in: only TLS brings certificates.
        "x509" => {
            let tls = &reading.config.tls;
            needs(
                tls.serves_clients() && tls.client.client_auth != ClientAuth::None,
                "a port that takes TLS (secureClientPort or client.portUnification), and asks for certificates \
                 (ssl.clientAuth)",
            )
        }
        "sasl" => {
            let provider = format!("authProvider.1={SASL_PROVIDER}");
            let has_error = !is_whole || !reading.errors.is_empty();
            needs(security.sasl.scheme_enabled, &provider).or_else(|| {
                let file = format!("a JAAS file ({LOGIN_CONFIG}) with a section for clients");
                needs(security.sasl.mechanism.is_some() || has_error, &file)
            })
        }
        _ => Some(format!(
            "{} is not built, so clients that must use it could not connect; there are digest, ip, key, sasl and \
             x509",
            printable(scheme)
        )),
    }
}

/// The key that names the provider of `sasl`.
fn provider_key(reading: &Reading) -> String {
    let is_sasl = |value: &Value| *value == Value::Text(SASL_PROVIDER.to_owned());
    let found = reading.values.iter().find(|(_, accepted)| is_sasl(&accepted.value));
    found.map_or_else(String::new, |(key, _)| key.clone())
}

fn warn(reading: &mut Reading, key: &str, text: String) {
    let origin = reading.origin(key);
    reading.note(Level::Warn, &origin, key, text);
}
