//! How servers log in at each other: `quorum.auth.*`, with their sections of the JAAS file.
//!
//! The rule that is easy to break: a server that is asked to demand logins and cannot do it must not start, because any
//! host could join its ensemble.

use super::kerberos;
use super::origin::{Level, Origin, Problem, printable};
use super::read::Reading;
use super::sasl::{LOGIN_CONFIG, is_digest, missing};
use crate::sasl::Mechanism;
use crate::sasl::between::Account;
use crate::sasl::digest_md5::{Service, Users};
use crate::sasl::jaas::{JaasFile, Section};

const ENABLE: &str = "quorum.auth.enableSasl";
const SERVER_REQUIRES: &str = "quorum.auth.serverRequireSasl";
const LEARNER_REQUIRES: &str = "quorum.auth.learnerRequireSasl";
const SERVICE: &str = "quorum.auth.kerberos.servicePrincipal";
const SERVER_SECTION: &str = "quorum.auth.server.saslLoginContext";
const LEARNER_SECTION: &str = "quorum.auth.learner.saslLoginContext";

/// Refuses switches that contradict each other.
// ZooKeeper: QuorumPeerConfig.parseProperties.
pub(super) fn switches(reading: &mut Reading) {
    let settings = &reading.config.security.logins_between;
    let (enabled, server, learner) = (settings.is_enabled, settings.is_demanded, settings.logs_in);
    let wrong = match (enabled, server, learner) {
        (false, true, _) => Some((SERVER_REQUIRES, ENABLE)),
        (false, false, true) => Some((LEARNER_REQUIRES, ENABLE)),
        // It would let in no server that is configured as it is.
        (true, true, false) => Some((SERVER_REQUIRES, LEARNER_REQUIRES)),
        (_, false, _) | (true, true, true) => None,
    };
    if let Some((key, needed)) = wrong {
        let origin = reading.origin(key);
        let text = format!("it needs {needed}=true, which is to be set on all servers before it");
        reading.error(Problem::Conflict, &origin, key, None, text);
    }
}

/// Reads the sections of the JAAS file that are for logins between servers. `file`: the path and the sections; `None`:
/// there is none, or an error about it.
// ZooKeeper: the constructors of SaslQuorumAuthServer and SaslQuorumAuthLearner end the start without a section each.
pub(super) fn finish(reading: &mut Reading, file: Option<&(String, JaasFile)>) {
    if !reading.config.security.logins_between.is_enabled {
        return;
    }
    let Some((path, file)) = file else {
        if reading.config.security.sasl.login_config.is_none() {
            let origin = reading.origin(ENABLE);
            let text = format!(
                "{LOGIN_CONFIG} names no JAAS file, whose sections for servers it needs: write \
                 -D{LOGIN_CONFIG}=… in SERVER_JVMFLAGS, or ringkeeper.{LOGIN_CONFIG}=… in the file"
            );
            reading.error(Problem::Missing, &origin, ENABLE, None, text);
        }
        return;
    };
    let settings = &reading.config.security.logins_between;
    let names = [settings.server_section.clone(), settings.learner_section.clone()];
    let [server, learner] = [SERVER_SECTION, LEARNER_SECTION]
        .into_iter()
        .zip(&names)
        .map(|(key, name)| section(reading, path, file, (key, name)))
        .collect::<Vec<_>>()
        .try_into()
        .expect("two sections");
    if let Some(section) = server {
        let accepted = accepted(reading, path, section);
        reading.config.security.logins_between.accepted = accepted;
    }
    if let Some(section) = learner {
        let service = reading.config.security.logins_between.service_principal.clone();
        let kerberos = section.modules().iter().find(|module| kerberos::is_asked_for(module));
        if let Some(module) = kerberos {
            let keys = kerberos::acceptor(reading, path, section, module);
            if !service.contains('/') || service.contains('@') {
                let origin = reading.origin(SERVICE);
                let text = "it must be service/host, without a realm".to_owned();
                return reading.error(Problem::Value, &origin, SERVICE, Some(service), text);
            }
            let own = keys.map(|keys| Account::Kerberos { keys, service });
            reading.config.security.logins_between.own = own;
            return;
        }
        match Account::of_section(section) {
            Ok(account) => reading.config.security.logins_between.own = Some(account),
            // It is needed only where this server logs in.
            Err(option) if reading.config.security.logins_between.logs_in => {
                let text = format!(
                    "the section {} has no {option}=\"…\", which this server needs to log in at the others",
                    printable(&names[1])
                );
                let origin = Origin::File { name: path.as_str().into(), line: section.line };
                reading.error(Problem::Missing, &origin, "", None, text);
            }
            Err(_) => {}
        }
    }
}

/// A section for servers. `None`: there is an error about it.
fn section<'f>(
    reading: &mut Reading,
    path: &str,
    file: &'f JaasFile,
    (key, name): (&str, &str),
) -> Option<&'f Section> {
    let Some(section) = file.section(name) else {
        let origin = reading.origin(key);
        let text = format!("{}, which {ENABLE}=true needs", missing(file, name));
        reading.error(Problem::Missing, &origin, key, None, text);
        return None;
    };
    let is_known = section.modules().iter().any(kerberos::is_asked_for)
        || is_digest(reading, path, name, section, "no server could log in");
    is_known.then_some(section)
}

/// How other servers log in by a section. `None`: there is an error about it.
fn accepted(reading: &mut Reading, path: &str, section: &Section) -> Option<Mechanism> {
    if let Some(module) = section.modules().iter().find(|module| kerberos::is_asked_for(module)) {
        return kerberos::acceptor(reading, path, section, module).map(Mechanism::Gssapi);
    }
    let users = Users::of_section(Service::SERVERS, section);
    if users.count() == 0 {
        let text = "the section for servers has no user_NAME=\"password\", so no other server can log in at this one"
            .to_owned();
        let origin = Origin::File { name: path.into(), line: section.line };
        reading.note(Level::Warn, &origin, "", text);
    }
    Some(Mechanism::DigestMd5(users))
}
