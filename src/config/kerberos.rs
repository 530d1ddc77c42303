//! The login module of Kerberos in the JAAS file: as whom this server accepts clients, and with which keys.
//!
//! The module's options are those of the JDK's `Krb5LoginModule`. A server that accepts clients needs a principal and
//! its keys, and no ticket; so options about tickets and passwords have no effect, and those that take the keys away
//! are refused. The rule that is easy to break: no message shows a value but that of `principal`.

use super::origin::{Level, Origin, Problem, printable};
use super::read::Reading;
use crate::runtime::GSSAPI_IS_BUILT;
use crate::sasl::gssapi::Acceptor;
use crate::sasl::jaas::{LoginModule, Section};

/// The class of the JDK's login module.
pub(super) const MODULE: &str = "com.sun.security.auth.module.Krb5LoginModule";

/// Whether a login module is one of Kerberos, of any maker.
pub(super) fn is_asked_for(module: &LoginModule) -> bool {
    module.class.rsplit('.').next() == Some("Krb5LoginModule")
}

/// As whom this server accepts clients by a section of the file at `path`. `None`: there is an error about it.
pub(super) fn acceptor(
    reading: &mut Reading,
    path: &str,
    section: &Section,
    module: &LoginModule,
) -> Option<Acceptor> {
    let shown = printable(section.name());
    let origin = Origin::File { name: path.into(), line: module.line };
    let mut warnings = Vec::new();
    let acceptor = if !GSSAPI_IS_BUILT {
        Err("asks for Kerberos, and this program was built without it, so no client could log in: take one that \
             was built with the feature gssapi"
            .to_owned())
    } else if module.class != MODULE {
        let class = printable(&module.class);
        Err(format!("names {class}; of the classes for Kerberos there is {MODULE}"))
    } else if section.modules().len() > 1 {
        Err("names another class beside that of Kerberos: clients log in in one way".to_owned())
    } else {
        of_options(module, &mut warnings)
    };
    for warning in warnings {
        reading.note(Level::Warn, &origin, "", format!("the section {shown}: {warning}"));
    }
    match acceptor {
        Ok(acceptor) => Some(acceptor),
        Err(why) => {
            let text = format!("the section {shown} {why}");
            reading.error(Problem::Refused, &origin, "", None, text);
            None
        }
    }
}

/// Options that have no effect, because they are about tickets, about a user at a terminal, or about the JVM.
// The JDK's module gets a ticket for the server even if it only accepts clients, and renews it.
const WITHOUT_EFFECT: &[&str] = &[
    "clearPass",
    "debug",
    "doNotPrompt",
    "isInitiator",
    "refreshKrb5Config",
    "renewTGT",
    "ticketCache",
    "useTicketCache",
];

/// Options that take a password from elsewhere, where the JDK's module then looks for it.
const OF_PASSWORDS: &[&str] = &["storePass", "tryFirstPass", "useFirstPass"];

/// # Errors
/// A clause that says why nobody could log in, or what is not built.
fn of_options(module: &LoginModule, warnings: &mut Vec<String>) -> Result<Acceptor, String> {
    let option = |wanted: &str| {
        // As in the JDK, whose options are a map, the last one counts.
        module.options().filter(|(name, _)| *name == wanted).last().map(|(_, value)| value.reveal())
    };
    let is_true = |name: &str| option(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    for (name, _) in module.options() {
        let is_known = ["useKeyTab", "keyTab", "principal", "storeKey"].contains(&name)
            || WITHOUT_EFFECT.contains(&name)
            || OF_PASSWORDS.contains(&name);
        if !is_known {
            warnings.push(format!("there is no option {}", printable(name)));
        }
    }
    if let Some(name) = OF_PASSWORDS.iter().find(|name| is_true(name)) {
        return Err(format!("has {name}=true, and there is no password here: use a key table"));
    }
    if !is_true("useKeyTab") {
        return Err("lacks useKeyTab=true: this server accepts clients with keys from a key table alone, and not \
                    with a ticket or a password"
            .to_owned());
    }
    // ZooKeeper: without it the JDK's module keeps no keys, and each login of a client fails.
    if !is_true("storeKey") {
        warnings.push(
            "storeKey is not true, with which no client could log in to ZooKeeper".to_owned(),
        );
    }
    let principal = option("principal").unwrap_or_default();
    let (service, host) = principal.split_once('/').unwrap_or((principal, ""));
    let (host, realm) = host.split_once('@').unwrap_or((host, "?"));
    // ZooKeeper: SecurityUtils.createSaslServer takes the name apart, and without a slash no client can log in. With
    // `*`, for which the JDK takes any key of the table, it believes that clients log in by DIGEST-MD5.
    let is_whole = !service.is_empty() && !host.is_empty() && !realm.is_empty();
    if !is_whole || principal.contains(['\\', '\0', '*']) {
        let found = match principal {
            "" => "no principal".to_owned(),
            _ => format!("the principal {}", printable(principal)),
        };
        return Err(format!(
            "has {found}: it must be that of this server, such as \
             principal=\"zookeeper/host.example.com@EXAMPLE.COM\""
        ));
    }
    let keytab = option("keyTab").map(|path| {
        // The JDK takes both forms.
        path.strip_prefix("FILE:").or_else(|| path.strip_prefix("file:")).unwrap_or(path).to_owned()
    });
    if keytab.as_deref().is_some_and(|path| path.is_empty() || path.contains('\0')) {
        return Err("has a keyTab that names no file".to_owned());
    }
    Ok(Acceptor { principal: principal.to_owned(), keytab })
}
