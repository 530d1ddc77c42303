//! The server's side of a login by DIGEST-MD5: a challenge, the client's proof, the server's proof.

use super::super::directives::{Directives, put_quoted};
use super::super::{Failure, Nonce, Step};
use super::{Login, Service, UserHash, Users, is_same};
use crate::limits::SASL_TOKEN_BYTES_MAX;

/// One login under way.
#[derive(Debug)]
pub struct ServerExchange {
    service: Service,
    nonce: Nonce,
    state: State,
    /// The name in the client's answer.
    claimed_name: Option<Box<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The client has not asked for the challenge.
    New,
    /// The client has the challenge.
    Challenged,
    /// The client has answered it, well or badly. No answer counts twice.
    Over,
}

impl ServerExchange {
    /// A login of a service. Nobody may be able to foresee the nonce, and no other login may have it.
    pub fn new(service: Service, nonce: Nonce) -> ServerExchange {
        ServerExchange { service, nonce, state: State::New, claimed_name: None }
    }

    /// Takes the next token of the client.
    pub fn step(&mut self, users: &Users, token: &[u8]) -> Step {
        if token.len() > SASL_TOKEN_BYTES_MAX {
            self.state = State::Over;
            return Step::Failed(Failure::TooLong(SASL_TOKEN_BYTES_MAX));
        }
        match self.state {
            // A client that believes to have an older login to go on with sends an initial response. It is answered
            // with a challenge, as if the token were empty (RFC 2831, section 2.2).
            State::New => {
                self.state = State::Challenged;
                Step::Challenge(self.challenge())
            }
            State::Challenged => {
                self.state = State::Over;
                match self.check(users, token) {
                    Ok((token, name)) => Step::Done { token: Some(token), name },
                    Err(failure) => Step::Failed(failure),
                }
            }
            State::Over => Step::Failed(Failure::Over),
        }
    }

    /// The name in the client's answer, whether or not there is such a user.
    pub fn claimed_name(&self) -> Option<&str> {
        self.claimed_name.as_deref()
    }

    fn challenge(&self) -> Vec<u8> {
        let mut challenge = Vec::with_capacity(128);
        put_quoted(&mut challenge, "realm", self.service.realm.as_bytes());
        challenge.push(b',');
        put_quoted(&mut challenge, "nonce", self.nonce.text().as_bytes());
        challenge.extend_from_slice(b",charset=utf-8,algorithm=md5-sess");
        challenge
    }

    /// The server's proof and the client's name, if the client's proof holds.
    fn check(&mut self, users: &Users, token: &[u8]) -> Result<(Vec<u8>, String), Failure> {
        let values = Directives::of(token).values([
            "username",
            "realm",
            "nonce",
            "cnonce",
            "nc",
            "qop",
            "digest-uri",
            "response",
            "maxbuf",
            "charset",
            "authzid",
        ])?;
        let [name, realm, nonce, cnonce, nc, qop, uri, response, maxbuf, charset, authzid] = values;
        let name = name.ok_or(Failure::Missing("username"))?;
        self.claimed_name = Some(String::from_utf8_lossy(&name).into());
        let cnonce = cnonce.ok_or(Failure::Missing("cnonce"))?;
        let uri = uri.ok_or(Failure::Missing("digest-uri"))?;
        let response = response.ok_or(Failure::Missing("response"))?;
        let fits = |name, value: Option<Vec<u8>>, expected: &[u8]| match value {
            Some(value) if value != expected => Err(Failure::Unfit(name)),
            Some(_) | None => Ok(()),
        };
        fits(
            "realm",
            Some(realm.ok_or(Failure::Missing("realm"))?),
            self.service.realm.as_bytes(),
        )?;
        let nonce = nonce.ok_or(Failure::Missing("nonce"))?;
        if !is_same(&nonce, self.nonce.text().as_bytes()) {
            return Err(Failure::Unfit("nonce"));
        }
        fits("qop", qop, b"auth")?;
        fits("charset", charset, b"utf-8")?;
        // ZooKeeper: the JDK looks for the count under the name of its grammar rule, so it reads none, and takes 1.
        if nc.is_some_and(|nc| number(&nc, 16) != Some(1)) {
            return Err(Failure::Unfit("nc"));
        }
        // What it says does not matter here, for nothing is wrapped.
        if maxbuf.is_some_and(|maxbuf| number(&maxbuf, 10).is_none()) {
            return Err(Failure::Unfit("maxbuf"));
        }
        if !uri.eq_ignore_ascii_case(self.service.digest_uri().as_bytes()) {
            return Err(Failure::Unfit("digest-uri"));
        }
        // ZooKeeper: the JDK takes any name here, and replaces malformed letters; no user has such a name.
        let name = String::from_utf8(name).map_err(|_| Failure::Unfit("username"))?;
        // An unknown user costs as much time as a known one.
        let known = users.get(&name);
        let login = Login {
            user: known.unwrap_or(UserHash([0; 16])),
            nonce: &nonce,
            cnonce: &cnonce,
            digest_uri: &uri,
            // ZooKeeper: SaslServerCallbackHandler.handleAuthorizeCallback lets a client ask for any name, and
            // gives it its own.
            authzid: authzid.as_deref(),
        };
        let holds = is_same(&response, &login.response());
        let proof = [&b"rspauth="[..], &login.rspauth()].concat();
        match (known, holds) {
            // ZooKeeper: SaslQuorumServerCallbackHandler.handleAuthorizeCallback lets no server be another one.
            (Some(_), true)
                if self.service == Service::SERVERS
                    && authzid.is_some_and(|authzid| authzid != name.as_bytes()) =>
            {
                Err(Failure::Unfit("authzid"))
            }
            (Some(_), true) => Ok((proof, name)),
            (Some(_), false) => Err(Failure::WrongPassword),
            (None, _) => Err(Failure::UnknownUser),
        }
    }
}

/// A whole number of digits alone.
fn number(digits: &[u8], radix: u32) -> Option<u32> {
    let text = std::str::from_utf8(digits).ok()?;
    let is_number = text.chars().all(|letter| letter.is_digit(radix));
    u32::from_str_radix(text, radix).ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::super::ClientExchange;
    use super::*;
    use crate::sasl::jaas::JaasFile;

    const FILE: &[u8] = b"Server { org.apache.zookeeper.server.auth.DigestLoginModule required
        user_bob=\"bobsecret\" user_j\xc3\xbcrgen=\"gr\xc3\xbc\xc3\x9fe\" \"user_\xe2\x82\xac\"=\"\xe2\x82\xac\"; };";

    fn users() -> Users {
        let file = JaasFile::read(FILE).unwrap();
        Users::of_section(Service::CLIENTS, file.section("Server").unwrap())
    }

    fn challenged() -> (ServerExchange, Vec<u8>) {
        let mut server = ServerExchange::new(Service::CLIENTS, Nonce::of_test("the+nonce"));
        let Step::Challenge(challenge) = server.step(&users(), b"") else { panic!("no challenge") };
        (server, challenge)
    }

    fn client(user: &str, password: &str) -> ClientExchange {
        ClientExchange::new(Service::CLIENTS, user, password, Nonce::of_test("cnonce"))
    }

    fn text(token: &[u8]) -> String {
        String::from_utf8(token.to_vec()).unwrap()
    }

    #[test]
    fn the_challenge_is_that_of_a_java_server() {
        let (_, challenge) = challenged();
        let expected = "realm=\"zk-sasl-md5\",nonce=\"the+nonce\",charset=utf-8,algorithm=md5-sess";
        assert_eq!(text(&challenge), expected);
    }

    #[test]
    fn who_knows_a_password_logs_in_and_the_client_sees_that_the_server_knows_it() {
        for (user, password) in [("bob", "bobsecret"), ("jürgen", "grüße"), ("€", "€")] {
            let (mut server, challenge) = challenged();
            let mut client = client(user, password);
            let response = client.respond(&challenge).unwrap();
            let Step::Done { token: Some(token), name } = server.step(&users(), &response) else {
                panic!("{user} is refused")
            };
            assert_eq!(name, user);
            assert_eq!(client.check(&token), Ok(()));
            assert_eq!(
                client.check(b"rspauth=00000000000000000000000000000000"),
                Err(Failure::WrongPassword)
            );
            assert_eq!(server.step(&users(), &response), Step::Failed(Failure::Over));
        }
    }

    /// Of each of two logins as bob at Apache ZooKeeper 3.9.4: the nonce, the client's token, and the server's. The
    /// clients are Apache ZooKeeper's of 3.9.4 and kazoo 2.11.
    const RECORDED: [(&str, &str, &str); 2] = [
        (
            "iw7V4yZs+dEol3bPvVmjlT28ZSdXQcLGt3emRre7",
            "charset=utf-8,username=\"bob\",realm=\"zk-sasl-md5\",\
             nonce=\"iw7V4yZs+dEol3bPvVmjlT28ZSdXQcLGt3emRre7\",nc=00000001,\
             cnonce=\"/JNdpj2CtirFe4aMgZmrh4nx+cOiNhGdlyV2zhWA\",digest-uri=\"zookeeper/zk-sasl-md5\",\
             maxbuf=65536,response=53a96e1499de0bc0756acd0d3ed4f2ae,qop=auth,authzid=\"bob\"",
            "rspauth=6cdef50c8d22abc7ccce1bb96464d02a",
        ),
        (
            "64wVOcWTzyiLmQ2rNPY1VxmMrqix+j3dMsQdQBqw",
            "qop=auth,realm=\"zk-sasl-md5\",username=\"bob\",\
             nonce=\"64wVOcWTzyiLmQ2rNPY1VxmMrqix+j3dMsQdQBqw\",cnonce=\"794062447034816\",nc=00000001,\
             digest-uri=\"zookeeper/zk-sasl-md5\",response=62fd1e433a141f8ebfa37a3d97ba492d",
            "rspauth=369ca786c5ca8ec18116c2ec45085ad7",
        ),
    ];

    #[test]
    fn recorded_logins_are_answered_with_the_same_bytes() {
        for (nonce, response, rspauth) in RECORDED {
            let mut server = ServerExchange::new(Service::CLIENTS, Nonce::of_test(nonce));
            let Step::Challenge(challenge) = server.step(&users(), b"") else { panic!() };
            let expected =
                format!("realm=\"zk-sasl-md5\",nonce=\"{nonce}\",charset=utf-8,algorithm=md5-sess");
            assert_eq!(text(&challenge), expected);
            let Step::Done { token: Some(token), name } =
                server.step(&users(), response.as_bytes())
            else {
                panic!("{response} is refused")
            };
            assert_eq!((name.as_str(), text(&token).as_str()), ("bob", rspauth));
        }
    }

    #[test]
    fn an_initial_response_is_answered_with_the_challenge() {
        let mut server = ServerExchange::new(Service::CLIENTS, Nonce::of_test("n"));
        assert!(matches!(server.step(&users(), b"nonce=\"older\",nc=2"), Step::Challenge(_)));
    }

    #[test]
    fn wrong_names_passwords_and_nonces_are_refused() {
        let refusal = |user, password, nonce| {
            let (mut server, _) = challenged();
            let mut older = ServerExchange::new(Service::CLIENTS, Nonce::of_test(nonce));
            let Step::Challenge(challenge) = older.step(&users(), b"") else { panic!() };
            server.step(&users(), &client(user, password).respond(&challenge).unwrap())
        };
        let failed = |failure| Step::Failed(failure);
        assert_eq!(refusal("bob", "wrong", "the+nonce"), failed(Failure::WrongPassword));
        assert_eq!(refusal("eve", "bobsecret", "the+nonce"), failed(Failure::UnknownUser));
        assert_eq!(refusal("bob", "bobsecret", "another"), failed(Failure::Unfit("nonce")));
    }

    #[test]
    fn every_directive_is_checked() {
        let (_, challenge) = challenged();
        let good = text(&client("bob", "bobsecret").respond(&challenge).unwrap());
        let answer = |token: &str| {
            let (mut server, _) = challenged();
            server.step(&users(), token.as_bytes())
        };
        let changed = |from: &str, to: &str| {
            assert!(good.contains(from), "{from} is not in {good}");
            answer(&good.replace(from, to))
        };
        assert!(matches!(answer(&good), Step::Done { .. }));
        for (from, to, failure) in [
            ("realm=\"zk-sasl-md5\",", "", Failure::Missing("realm")),
            ("realm=\"zk-sasl-md5\"", "realm=\"other\"", Failure::Unfit("realm")),
            ("username=\"bob\",", "", Failure::Missing("username")),
            ("username=\"bob\"", "username=\"b\\o", Failure::Malformed),
            ("nonce=\"the+nonce\",", "", Failure::Missing("nonce")),
            (",cnonce=\"cnonce\"", "", Failure::Missing("cnonce")),
            ("cnonce=\"cnonce\"", "cnonce=\"other\"", Failure::WrongPassword),
            ("nc=00000001", "nc=00000002", Failure::Unfit("nc")),
            ("nc=00000001", "nc=+1", Failure::Unfit("nc")),
            ("qop=auth", "qop=auth-int", Failure::Unfit("qop")),
            ("qop=auth", "qop=auth,qop=auth", Failure::Twice("qop")),
            ("zookeeper/", "imap/", Failure::Unfit("digest-uri")),
            ("digest-uri=", "uri=", Failure::Missing("digest-uri")),
            ("charset=utf-8", "charset=UTF-8", Failure::Unfit("charset")),
            ("maxbuf=65536", "maxbuf=many", Failure::Unfit("maxbuf")),
            (",response=", ",answer=", Failure::Missing("response")),
            ("qop=auth", "qop=auth,authzid=\"super\"", Failure::WrongPassword),
        ] {
            assert_eq!(changed(from, to), Step::Failed(failure), "{from} -> {to}");
        }
        assert!(matches!(changed("nc=00000001,", ""), Step::Done { .. }), "1 is the default");
        assert!(matches!(changed("qop=auth", "qop=auth,new=1,new=2"), Step::Done { .. }));
        assert!(matches!(changed("qop=auth", ""), Step::Done { .. }), "auth is the default");
        // The proof holds for the text of the URI as the client writes it.
        assert_eq!(changed("zookeeper/", "ZooKeeper/"), Step::Failed(Failure::WrongPassword));
        let proved = good.find(",qop").unwrap();
        for end in 0..proved {
            assert!(matches!(answer(&good[..end]), Step::Failed(_)), "{}", &good[..end]);
        }
        let long = format!("{good},x=\"{}\"", "x".repeat(SASL_TOKEN_BYTES_MAX));
        assert_eq!(answer(&long), Step::Failed(Failure::TooLong(SASL_TOKEN_BYTES_MAX)));
    }

    #[test]
    fn a_client_gets_its_own_name_whatever_name_it_asks_for() {
        let (mut server, _) = challenged();
        let users = users();
        let login = Login {
            user: users.get("bob").unwrap(),
            nonce: b"the+nonce",
            cnonce: b"c",
            digest_uri: b"ZOOKEEPER/zk-sasl-md5",
            authzid: Some(b"super"),
        };
        let token = format!(
            "username=bob,realm=zk-sasl-md5,nonce=the+nonce,cnonce=c,authzid=super,\
             digest-uri=ZOOKEEPER/zk-sasl-md5,response={}",
            text(&login.response())
        );
        let Step::Done { name, token: Some(token) } = server.step(&users, token.as_bytes()) else {
            panic!()
        };
        assert_eq!(name, "bob");
        assert_eq!(text(&token), format!("rspauth={}", text(&login.rspauth())));
    }
}
