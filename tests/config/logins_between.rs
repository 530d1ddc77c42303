//! SASL between servers: the switches, and the two sections of the JAAS file.

use ringkeeper::sasl::Mechanism;

use super::*;

const FILE: &str = "ringkeeper.java.security.auth.login.config=/jaas.conf\n";
const ENABLE: &str = "quorum.auth.enableSasl=true\n";
const LEARNERS: &str = "quorum.auth.learnerRequireSasl=true\n";
const SERVERS: &str = "quorum.auth.serverRequireSasl=true\n";
const JAAS: &str = "QuorumServer {\n  org.apache.zookeeper.server.auth.DigestLoginModule required\n  \
    user_a=\"asecret\"\n  user_b=\"bsecret\";\n};\nQuorumLearner {\n  \
    org.apache.zookeeper.server.auth.DigestLoginModule required\n  username=\"a\" password=\"asecret\";\n};\n";

fn with(lines: &[&str], jaas: &str) -> Examination {
    cfg_with(&lines.concat(), &[], &[("/jaas.conf", jaas)])
}

#[test]
fn the_sections_say_who_may_log_in_and_as_whom_this_server_does() {
    let examination = with(&[FILE, ENABLE, LEARNERS, SERVERS, "fips-mode=false\n"], JAAS);
    let shown = format!("{examination:?}");
    assert!(!shown.contains("asecret") && !shown.contains("bsecret"), "{shown}");
    let config = good(examination);
    assert_eq!(notes(&config), Vec::<String>::new());
    let logins = &config.security.logins_between;
    assert!(logins.is_enabled && logins.logs_in && logins.is_demanded);
    let Some(Mechanism::DigestMd5(users)) = &logins.accepted else { panic!("{logins:?}") };
    assert_eq!(users.count(), 2);
    assert_eq!(logins.own.as_ref().unwrap().name(), "a");
    let others = JAAS.replace("QuorumServer", "S").replace("QuorumLearner", "L");
    let names = "quorum.auth.server.saslLoginContext=S\nquorum.auth.learner.saslLoginContext=L\n";
    let config = good(with(&[FILE, ENABLE, LEARNERS, names], &others));
    assert!(config.security.logins_between.own.is_some());
    // A server that does not log in needs no name.
    let nameless = JAAS.replace("username", "nobody");
    assert!(good(with(&[FILE, ENABLE], &nameless)).security.logins_between.accepted.is_some());
}

#[test]
fn a_server_that_could_not_do_what_is_asked_does_not_start() {
    let learner = &JAAS[JAAS.find("QuorumLearner").unwrap()..];
    let server = &JAAS[..JAAS.find("QuorumLearner").unwrap()];
    let kerberos = JAAS.replace(
        "org.apache.zookeeper.server.auth.DigestLoginModule",
        "com.sun.security.auth.module.Krb5LoginModule",
    );
    let nameless = JAAS.replace("username", "nobody");
    for (lines, jaas, expected) in [
        (
            &[SERVERS][..],
            JAAS,
            "zoo.cfg:3: quorum.auth.serverRequireSasl: it needs quorum.auth.enableSasl=true",
        ),
        (
            &[LEARNERS],
            JAAS,
            "zoo.cfg:3: quorum.auth.learnerRequireSasl: it needs quorum.auth.enableSasl=true",
        ),
        (
            &[FILE, ENABLE, SERVERS],
            JAAS,
            "zoo.cfg:5: quorum.auth.serverRequireSasl: it needs quorum.auth.learnerRequireSasl=true",
        ),
        (
            &[ENABLE],
            JAAS,
            "zoo.cfg:3: quorum.auth.enableSasl: java.security.auth.login.config names no JAAS file",
        ),
        (&[FILE, ENABLE], learner, "the JAAS file has no section QuorumServer"),
        (&[FILE, ENABLE], server, "the JAAS file has no section QuorumLearner"),
        (
            &[FILE, ENABLE],
            &kerberos,
            match cfg!(feature = "gssapi") {
                true => "/jaas.conf:2: the section QuorumServer lacks useKeyTab=true",
                false => {
                    "/jaas.conf:2: the section QuorumServer asks for Kerberos, and this program was built"
                }
            },
        ),
        (
            &[FILE, ENABLE, LEARNERS],
            &nameless,
            "/jaas.conf:6: the section QuorumLearner has no username",
        ),
        (&[FILE, ENABLE, "fips-mode=true\n"], JAAS, "zoo.cfg:5: fips-mode: it forbids DIGEST-MD5"),
    ] {
        let errors = with(lines, jaas).errors;
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert!(texts.iter().any(|text| text.contains(expected)), "{expected}: {texts:?}");
    }
}
