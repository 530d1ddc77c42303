//! SASL: the JAAS file, its users, and what clients must have.

use ringkeeper::sasl::Mechanism;

use super::*;

const PROVIDER: &str =
    "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\n";
const JAAS: &str = "ringkeeper.java.security.auth.login.config=/jaas.conf\n";
const SERVER: &str = "Server {\n  org.apache.zookeeper.server.auth.DigestLoginModule required\n  \
    user_super=\"adminsecret\"\n  user_bob=\"bobsecret\";\n};\n";

fn with(lines: &str, jaas: &str) -> Examination {
    cfg_with(&format!("{JAAS}{lines}"), &[], &[("/jaas.conf", jaas)])
}

/// The notes but for that about DIGEST-MD5 and `fips-mode`.
fn other_notes(config: &Config) -> Vec<String> {
    notes(config).into_iter().filter(|note| !note.contains("fips-mode")).collect()
}

fn users(config: &Config) -> usize {
    match &config.security.sasl.mechanism {
        Some(Mechanism::DigestMd5(users)) => users.count(),
        Some(Mechanism::Gssapi(_)) | None => 0,
    }
}

#[test]
fn the_section_for_clients_lists_the_users() {
    let config = good(with(PROVIDER, SERVER));
    assert_eq!(users(&config), 2);
    assert!(config.security.sasl.scheme_enabled);
    assert_eq!(other_notes(&config), Vec::<String>::new());
    // As a -D word, with another section, and as a URL.
    let other = format!("Server {{ a.b.C required; }};\n{}", SERVER.replace("Server", "Other"));
    for path in ["/jaas.conf", "=/jaas.conf", "file:/jaas.conf", "file:///jaas.conf"] {
        let flags =
            format!("-Djava.security.auth.login.config={path} -Dzookeeper.sasl.serverconfig=Other");
        let flags = [("SERVER_JVMFLAGS", &*flags)];
        let config = good(cfg_with(PROVIDER, &flags, &[("/jaas.conf", &other)]));
        assert_eq!(users(&config), 2, "{path}");
    }
}

#[test]
fn no_output_has_a_password() {
    let lines = format!("{PROVIDER}SASLAuthenticationProvider.superPassword=geheim\n");
    let examination = with(&lines, SERVER);
    let text = format!("{examination:?}");
    for secret in ["adminsecret", "bobsecret", "geheim"] {
        assert!(!text.contains(secret), "{secret}");
    }
    assert_ne!(
        examination.config.security.sasl.mechanism,
        with(PROVIDER, SERVER).config.security.sasl.mechanism,
        "another password of the super user"
    );
}

#[test]
fn what_keeps_clients_from_logging_in_is_an_error_with_file_and_line() {
    for (lines, jaas, expected) in [
        ("", "Server {\n  bob\n", "/jaas.conf:3: the file ends where this is expected: required,"),
        (
            "",
            "Server {\n  com.sun.security.auth.module.Krb5LoginModule required\n useKeyTab=true;};",
            match cfg!(feature = "gssapi") {
                true => {
                    "/jaas.conf:2: the section Server has no principal: it must be that of this server"
                }
                false => {
                    "/jaas.conf:2: the section Server asks for Kerberos, and this program was built without"
                }
            },
        ),
        ("", "Server { com.x.Own required; };", "/jaas.conf:1: the section Server names com.x.Own"),
        (
            "sasl.serverconfig=Mine\n",
            SERVER,
            "zoo.cfg:4: sasl.serverconfig: the JAAS file has no section Mine; it has: Server",
        ),
        ("fips-mode=true\n", SERVER, "zoo.cfg:4: fips-mode: it forbids DIGEST-MD5"),
        (
            "SASLAuthenticationProvider.superPassword=\n",
            SERVER,
            "zoo.cfg:4: SASLAuthenticationProvider.superPassword: it is empty, and anybody",
        ),
        ("", "Server { secret required; };", "/jaas.conf:1: the section Server does not name org."),
        (
            "security.auth_to_local=RULE:[1:$9]\n",
            SERVER,
            "zoo.cfg:4: security.auth_to_local = RULE:[1:$9]: rule 1: there is no $9",
        ),
    ] {
        let error = error(with(lines, jaas)).to_string();
        assert!(error.starts_with(expected), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
    let empty = error(cfg("ringkeeper.java.security.auth.login.config=\n")).to_string();
    assert!(empty.contains("login.config: it names no file, so no client"), "{empty}");
    let missing = error(cfg(JAAS)).to_string();
    assert!(missing.contains("/jaas.conf: there is no such file, so no client"), "{missing}");
}

#[test]
fn what_has_less_effect_than_it_may_seem_is_warned_of() {
    let mine = SERVER.replace("Server", "Client");
    let nobody = "Server { org.apache.zookeeper.server.auth.DigestLoginModule required; };";
    let no_super = SERVER.replace("user_super", "user_al");
    let password = "SASLAuthenticationProvider.superPassword=x\n";
    for (lines, jaas, expected) in [
        (PROVIDER, &*mine, "the JAAS file has no section Server; it has: Client; so no client"),
        (PROVIDER, nobody, "/jaas.conf:1: the section Server has no user_NAME"),
        ("", SERVER, "are refused and grant nothing without authProvider.1"),
        (&format!("{PROVIDER}{password}"), &*no_super, "the section Server has no user_super"),
    ] {
        let notes = other_notes(&good(with(lines, jaas)));
        assert_eq!(notes.len(), 1, "{notes:#?}");
        assert!(notes[0].contains(expected), "{notes:#?}");
    }
    let alone = notes(&good(cfg(PROVIDER)));
    assert!(alone[0].starts_with("zoo.cfg:3: authProvider.1: no client can log in"), "{alone:?}");
    let alone = notes(&good(cfg(password)));
    assert!(
        alone[0].contains("has no effect without java.security.auth.login.config"),
        "{alone:?}"
    );
}

#[test]
fn nobody_can_be_made_to_have_what_nobody_can_get() {
    let require = "sessionRequireClientSASLAuth=true\n";
    let config = good(with(&format!("{PROVIDER}{require}"), SERVER));
    assert_eq!(config.security.enforced_auth_schemes, ["sasl"]);
    // It replaces the list.
    let both = format!("{PROVIDER}{require}enforce.auth.enabled=true\nenforce.auth.schemes=ip\n");
    assert_eq!(good(with(&both, SERVER)).security.enforced_auth_schemes, ["sasl"]);
    let enforce = "enforce.auth.enabled=true\nenforce.auth.schemes=";
    let text = |examination| error(examination).to_string();
    let without_provider = text(with(require, SERVER));
    assert!(without_provider.contains("needs authProvider.1=org.apache"), "{without_provider}");
    for lines in [require.to_owned(), format!("{enforce}digest,sasl\n")] {
        let without_file = text(cfg(&format!("{PROVIDER}{lines}")));
        assert!(without_file.contains("needs a JAAS file"), "{without_file}");
    }
    for (scheme, needs) in [
        ("ensemble,digest", "EnsembleAuthenticationProvider"),
        ("key", "KeyAuthenticationProvider"),
        ("mine", "mine is not built"),
    ] {
        let error = text(cfg(&format!("{enforce}{scheme}\n")));
        assert!(error.contains(needs), "{error}");
    }
    let closed = format!("{enforce}digest\nDigestAuthenticationProvider.enabled=false\n");
    assert!(text(cfg(&closed)).contains("needs DigestAuthenticationProvider.enabled"));
}

#[test]
fn a_scheme_that_gives_no_identity_cannot_be_demanded_alone() {
    let provider =
        "authProvider.1=org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider\n";
    let with = |schemes: &str| {
        cfg(&format!("{provider}enforce.auth.enabled=true\nenforce.auth.schemes={schemes}\n"))
    };
    let alone = error(with("ensemble")).to_string();
    let says = "enforce.auth.schemes: no client gets an identity of the scheme ensemble";
    assert!(alone.contains(says) && alone.contains("no client could connect"), "{alone}");
    let config = good(with("ensemble,digest"));
    assert_eq!(config.security.enforced_auth_schemes, ["ensemble", "digest"]);
    let notes = notes(&config);
    assert!(notes.len() == 1 && notes[0].contains("adds nothing to the other"), "{notes:#?}");
}

#[test]
fn who_uses_digest_md5_is_told_that_a_newer_zookeeper_refuses_it() {
    let quorum = "quorum.auth.enableSasl=true\n";
    let between = "QuorumServer { org.apache.zookeeper.server.auth.DigestLoginModule required user_a=\"b\"; };\n\
        QuorumLearner { org.apache.zookeeper.server.auth.DigestLoginModule required username=a password=b; };\n";
    let both = format!("{SERVER}{between}");
    let cluster = format!("{PROVIDER}{quorum}");
    for (lines, jaas, who) in [
        (PROVIDER, SERVER, "its clients log in by DIGEST-MD5"),
        (&*cluster, between, "its servers log in by DIGEST-MD5"),
        (&*cluster, &*both, "its clients and servers log in by DIGEST-MD5"),
    ] {
        let all = notes(&good(with(lines, jaas)));
        let found: Vec<_> = all.iter().filter(|note| note.contains(who)).collect();
        assert!(found.len() == 1 && found[0].contains("3.9.6"), "{all:#?}");
        let said = notes(&good(with(&format!("{lines}fips-mode=false\n"), jaas)));
        assert!(said.iter().all(|note| !note.contains("3.9.6")), "{said:#?}");
    }
    let nobody = "Client { a.b.C required; };";
    assert!(notes(&good(with(PROVIDER, nobody))).iter().all(|note| !note.contains("3.9.6")));
}

#[test]
fn users_may_be_super_users_by_any_number_of_keys() {
    let config = good(cfg("superUser=al\nsuperUser.1=bob\nsuperUser.x.y=carl\nsuperUser.2=\n"));
    let names: Vec<_> = config.security.sasl.super_users.iter().collect();
    assert_eq!(names, ["al", "bob", "carl"]);
}

#[cfg(feature = "gssapi")]
mod kerberos {
    use super::*;
    use ringkeeper::sasl::gssapi::Acceptor;

    const MODULE: &str = "com.sun.security.auth.module.Krb5LoginModule";
    const PRINCIPAL: &str = "principal=\"zookeeper/h.x@R\"";

    fn section(options: &str) -> String {
        format!("Server {{\n  {MODULE} required\n  {options};\n}};\n")
    }

    #[test]
    fn the_section_of_kerberos_names_principal_and_key_table() {
        let options = format!(
            "useKeyTab=true storeKey=true {PRINCIPAL} useTicketCache=false isInitiator=false debug=true \
             doNotPrompt=true"
        );
        for (keytab, expected) in [
            ("", None),
            (" keyTab=\"/etc/zk.keytab\"", Some("/etc/zk.keytab")),
            (" keyTab=\"FILE:/k\"", Some("/k")),
            (" keyTab=\"file:/k\"", Some("/k")),
        ] {
            let config = good(with(PROVIDER, &section(&format!("{options}{keytab}"))));
            let (principal, keytab) = ("zookeeper/h.x@R".to_owned(), expected.map(str::to_owned));
            let expected = Mechanism::Gssapi(Acceptor { principal, keytab });
            assert_eq!(config.security.sasl.mechanism, Some(expected));
            assert_eq!(notes(&config), Vec::<String>::new());
        }
        // fips-mode is about DIGEST-MD5 alone, and the demand for SASL can be fulfilled.
        let lines = format!("{PROVIDER}fips-mode=true\nsessionRequireClientSASLAuth=true\n");
        assert_eq!(good(with(&lines, &section(&options))).security.enforced_auth_schemes, ["sasl"]);
    }

    #[test]
    fn a_section_without_keys_or_principal_is_refused() {
        let keys = "useKeyTab=true storeKey=true";
        let other = format!("{keys} {PRINCIPAL}; a.b.C optional");
        for (options, expected) in [
            ("useTicketCache=true", "lacks useKeyTab=true"),
            ("useKeyTab=false", "lacks useKeyTab=true"),
            (
                &*format!("{keys} {PRINCIPAL} useFirstPass=true"),
                "has useFirstPass=true, and there is no",
            ),
            (keys, "has no principal: it must be"),
            (&*format!("{keys} principal=\"*\""), "has the principal *: it must be"),
            (
                &*format!("{keys} principal=\"zookeeper@R\""),
                "has the principal zookeeper@R: it must",
            ),
            (&*format!("{keys} principal=\"zookeeper/h@\""), "has the principal zookeeper/h@: it"),
            (&*format!("{keys} {PRINCIPAL} keyTab=\"\""), "has a keyTab that names no file"),
            (&*other, "names another class beside"),
        ] {
            let error = error(with(PROVIDER, &section(options))).to_string();
            assert!(error.starts_with("/jaas.conf:2: the section Server "), "{error}");
            assert!(error.contains(expected), "{error}");
        }
        let ibm = section(keys).replace("com.sun", "com.ibm");
        let error = error(with(PROVIDER, &ibm)).to_string();
        assert!(error.contains("names com.ibm.security.auth.module.Krb5LoginModule;"), "{error}");
    }

    #[test]
    fn an_option_that_does_not_mean_what_it_seems_is_warned_of() {
        let password = "SASLAuthenticationProvider.superPassword=x\n";
        for (lines, options, expected) in [
            ("", "useKeyTab=true", "storeKey is not true"),
            ("", "useKeyTab=true storeKey=true keytab=\"/k\"", "there is no option keytab"),
            (password, "useKeyTab=true storeKey=true", "superPassword: has no effect"),
        ] {
            let jaas = section(&format!("{options} {PRINCIPAL}"));
            let notes = notes(&good(with(&format!("{PROVIDER}{lines}"), &jaas)));
            assert_eq!(notes.len(), 1, "{notes:#?}");
            assert!(notes[0].contains(expected), "{notes:#?}");
        }
    }
}
