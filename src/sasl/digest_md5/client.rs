//! The client's side of a login by DIGEST-MD5, as a server needs it that logs in at another one.

use super::super::directives::{Directives, put_quoted};
use super::super::{Failure, Nonce};
use super::{Login, Service, UserHash, is_same};
use crate::limits::SASL_CHALLENGE_BYTES_MAX;

/// One login under way.
#[derive(Debug)]
pub struct ClientExchange {
    service: Service,
    name: String,
    user: UserHash,
    cnonce: Nonce,
    /// The proof that is expected of the server; `None`: the challenge has not come.
    expected: Option<[u8; 32]>,
}

impl ClientExchange {
    /// A login as this user. Nobody may be able to foresee the nonce.
    pub fn new(service: Service, name: &str, password: &str, cnonce: Nonce) -> ClientExchange {
        let user = UserHash::new(service, name, password);
        ClientExchange { service, name: name.to_owned(), user, cnonce, expected: None }
    }

    /// The answer to the server's challenge.
    ///
    /// # Errors
    /// It is no challenge, or one that asks for what is not built here.
    pub fn respond(&mut self, challenge: &[u8]) -> Result<Vec<u8>, Failure> {
        if challenge.len() > SASL_CHALLENGE_BYTES_MAX {
            return Err(Failure::TooLong(SASL_CHALLENGE_BYTES_MAX));
        }
        let [realm, nonce, qop, charset, algorithm] =
            Directives::of(challenge).values(["realm", "nonce", "qop", "charset", "algorithm"])?;
        if realm.is_some_and(|realm| realm != self.service.realm.as_bytes()) {
            return Err(Failure::Unfit("realm"));
        }
        let offers_auth = |qops: &Vec<u8>| {
            qops.split(|byte| b", \t".contains(byte)).any(|qop| qop.eq_ignore_ascii_case(b"auth"))
        };
        if qop.is_some_and(|qops| !offers_auth(&qops)) {
            return Err(Failure::Unfit("qop"));
        }
        let algorithm = algorithm.ok_or(Failure::Missing("algorithm"))?;
        if algorithm != b"md5-sess" {
            return Err(Failure::Unfit("algorithm"));
        }
        let nonce = nonce.ok_or(Failure::Missing("nonce"))?;
        let digest_uri = self.service.digest_uri();
        let login = Login {
            user: self.user,
            nonce: &nonce,
            cnonce: self.cnonce.text().as_bytes(),
            digest_uri: digest_uri.as_bytes(),
            authzid: None,
        };
        self.expected = Some(login.rspauth());
        // In the order of a Java client.
        let mut out = Vec::with_capacity(256);
        if charset.is_some() {
            out.extend_from_slice(b"charset=utf-8,");
        }
        put_quoted(&mut out, "username", self.name.as_bytes());
        put_quoted(&mut out, ",realm", self.service.realm.as_bytes());
        put_quoted(&mut out, ",nonce", &nonce);
        out.extend_from_slice(b",nc=00000001");
        put_quoted(&mut out, ",cnonce", self.cnonce.text().as_bytes());
        put_quoted(&mut out, ",digest-uri", digest_uri.as_bytes());
        out.extend_from_slice(b",maxbuf=65536,response=");
        out.extend_from_slice(&login.response());
        out.extend_from_slice(b",qop=auth");
        Ok(out)
    }

    /// Checks the last token of the server, by which it proves that it knows the password too.
    ///
    /// # Errors
    /// It does not, or no challenge came before.
    pub fn check(&self, token: &[u8]) -> Result<(), Failure> {
        if token.len() > SASL_CHALLENGE_BYTES_MAX {
            return Err(Failure::TooLong(SASL_CHALLENGE_BYTES_MAX));
        }
        let [rspauth] = Directives::of(token).values(["rspauth"])?;
        let rspauth = rspauth.ok_or(Failure::Missing("rspauth"))?;
        let expected = self.expected.ok_or(Failure::Over)?;
        if is_same(&rspauth, &expected) { Ok(()) } else { Err(Failure::WrongPassword) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_that_asks_for_something_else_is_refused() {
        let respond = |challenge: &str| {
            let nonce = Nonce::of_test("cnonce");
            ClientExchange::new(Service::CLIENTS, "bob", "secret", nonce)
                .respond(challenge.as_bytes())
                .map(|response| String::from_utf8(response).unwrap())
        };
        for (challenge, failure) in [
            ("nonce=a", Failure::Missing("algorithm")),
            ("nonce=a,algorithm=md5", Failure::Unfit("algorithm")),
            ("algorithm=md5-sess", Failure::Missing("nonce")),
            ("nonce=a,algorithm=md5-sess,qop=\"auth-int\"", Failure::Unfit("qop")),
            ("nonce=a,algorithm=md5-sess,realm=other", Failure::Unfit("realm")),
            ("nonce", Failure::Malformed),
        ] {
            assert_eq!(respond(challenge), Err(failure), "{challenge}");
        }
        let challenge = "nonce=\"a\\\"b\",algorithm=md5-sess,qop=\"auth-int, auth\"";
        let response = respond(challenge).unwrap();
        assert!(response.starts_with("username=\"bob\",realm=\"zk-sasl-md5\",nonce=\"a\\\"b\","));
        let early = ClientExchange::new(Service::CLIENTS, "bob", "", Nonce::of_test("c"));
        assert_eq!(early.check(b"rspauth=00"), Err(Failure::Over));
        assert_eq!(respond(&"x".repeat(2049)), Err(Failure::TooLong(2048)));
    }
}
