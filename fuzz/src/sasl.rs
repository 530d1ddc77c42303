//! The JAAS file, the rules that shorten names, and the tokens of DIGEST-MD5.

use ringkeeper::sasl::digest_md5::{ClientExchange, Service, Users};
use ringkeeper::sasl::jaas::JaasFile;
use ringkeeper::sasl::kerberos::{NameRules, Rules};
use ringkeeper::sasl::{Mechanism, NonceKey, Nonces, Step};

use super::seeds::Seeds;

/// Three parts, with a byte 0 between them: a JAAS file, rules, and tokens, each after a byte 1. A user whom the
/// file names in its first section logs in; the tokens come before and behind those of the login, to the server and
/// to the client.
pub fn run(data: &[u8]) {
    let mut parts = data.splitn(3, |byte| *byte == 0);
    let file = JaasFile::read(parts.next().unwrap_or_default());
    let rules = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let tokens = parts.next().unwrap_or_default();
    let rules = Rules::parse(&rules, "REALM");
    let names = NameRules { rules: rules.unwrap_or_default(), ..NameRules::default() };
    let file = file.unwrap_or_else(|error| {
        assert!(!error.to_string().is_empty());
        JaasFile::read(DEFAULT_FILE).expect("it is whole")
    });
    let Some(section) = file.names().next().and_then(|name| file.section(name)) else { return };
    let users = Users::of_section(Service::CLIENTS, section);
    let mechanism = Mechanism::DigestMd5(users);
    let mut nonces = Nonces::new(NonceKey::new([7; 32]));
    for token in tokens.split(|byte| *byte == 1) {
        let mut login = mechanism.begin(nonces.draw());
        let Step::Challenge(challenge) = mechanism.step(&mut login, token) else { return };
        match mechanism.step(&mut login, token) {
            Step::Done { .. } => panic!("a token without a proof passes"),
            Step::Passed { .. } => panic!("the edge has no part in DIGEST-MD5"),
            Step::Challenge(_) | Step::Failed(_) => {}
        }
        let again = mechanism.step(&mut login, token);
        assert!(matches!(again, Step::Failed(_)), "nobody has a second try");
        let mut client = ClientExchange::new(Service::CLIENTS, "u", "p", nonces.draw());
        let _ = client.respond(token);
        assert!(client.check(token).is_err(), "a server that knows no password passes");
        assert!(client.respond(&challenge).is_ok());
        if let Some(id) = names.id_of(&String::from_utf8_lossy(token)) {
            assert!(id.len() <= token.len() * 4 + 8192, "an id is about as long as the name");
        }
    }
    let last =
        section.options().filter_map(|(name, value)| Some((name.strip_prefix("user_")?, value)));
    let Some((user, password)) = last.last() else { return };
    let mut login = mechanism.begin(nonces.draw());
    let Step::Challenge(challenge) = mechanism.step(&mut login, b"") else {
        panic!("a login begins with a challenge");
    };
    let mut client = ClientExchange::new(Service::CLIENTS, user, password.reveal(), nonces.draw());
    let response = client.respond(&challenge).expect("a challenge of our own");
    match mechanism.step(&mut login, &response) {
        Step::Done { token, name } => {
            assert_eq!(name, user);
            let token = token.expect("DIGEST-MD5 ends with a proof");
            client.check(&token).expect("both know the password");
        }
        // A long name makes a token that is too long.
        Step::Failed(_) if response.len() > 4096 => {}
        Step::Failed(failure) => panic!("{failure}"),
        Step::Challenge(_) | Step::Passed { .. } => panic!("one challenge is enough"),
    }
}

const DEFAULT_FILE: &[u8] = b"S { m required user_u=\"p\"; };";

/// The hand-made seeds: a JAAS file, rules, and tokens each.
pub fn seeds() -> Seeds {
    let file = "// users\nServer { org.apache.zookeeper.server.auth.DigestLoginModule required\n\
        user_super=\"admin\\\"secret\" user_bob='x'; };\n";
    let two = "A { m.x REQUIRED user_b\u{f6}b=\"\\101\u{20ac}\" useKeyTab=true; n optional; };\n\
        /* none */ \"B c\" { m sufficient keyTab=\"${/}etc${/}k\"; };";
    let rules = "RULE:[2:$1@$0](z.*@REALM)s/(.)@.*/$1\\$/g RULE:[1:$1] DEFAULT";
    let response = "charset=utf-8,username=\"bob\",realm=\"zk-sasl-md5\",nonce=\"n\\\"\",nc=00000001,\
        cnonce=\"c\",digest-uri=\"zookeeper/zk-sasl-md5\",maxbuf=65536,response=00,qop=auth";
    let challenge =
        "realm=\"zk-sasl-md5\",nonce=\"n\",charset=utf-8,algorithm=md5-sess,qop=\"auth, x\"";
    let joined = |parts: &[&str]| parts.join("\0").into_bytes();
    vec![
        ("whole".into(), joined(&[two, rules, &[response, challenge, "z/h@REALM"].join("\u{1}")])),
        ("quotes".into(), joined(&[file, "DEFAULT", "rspauth=00"])),
        ("truncated".into(), joined(&[&two[..90], &rules[..30], &response[..80]])),
        ("nothing".into(), Vec::new()),
    ]
}
