//! Servers that log in at each other (`quorum.auth.*`), in guarded ensembles only. At each start a server is at one of
//! two neighbouring steps of the rolling change, as while an operator switches logins on or off; what breaks a link
//! breaks logins, too.

use ringkeeper::id::ServerId;
use ringkeeper::sasl::between::{Account, PeerLogins};
use ringkeeper::sasl::digest_md5::{Service, Users};
use ringkeeper::sasl::jaas::JaasFile;
use ringkeeper::sasl::{Mechanism, NonceKey, Secret};

use super::locked_out::WrongPassword;
use super::rng::Rng;

/// The section of each server. All have one name and one password, but for a server on which it is wrong.
fn file(password: &str) -> String {
    format!("QuorumServer {{ m required user_zk=\"{password}\"; }};")
}

/// The password of the ensemble.
const PASSWORD: &str = "swordfish";

/// What a seed decides about logins.
#[derive(Clone, Copy, Debug)]
pub struct Logins {
    /// The lower step: 0 without logins, 1 with `enableSasl`, 2 with `learnerRequireSasl` as well.
    floor: u64,
    /// Decides the step of each life of each server.
    salt: u64,
}

impl Logins {
    /// Draws them.
    pub fn draw(rng: &mut Rng) -> Logins {
        Logins { floor: *rng.pick(&[0, 1, 2, 2, 2]), salt: rng.word() }
    }

    /// Whether each server logs in on each link that it opens.
    pub fn all_log_in(self) -> bool {
        self.floor >= 2
    }

    /// How a server logs in, and lets others log in, in one of its lives, in which these passwords are wrong. `None`: not
    /// at all.
    pub fn of(self, id: ServerId, life: u64, wrong: Option<WrongPassword>) -> Option<PeerLogins> {
        let mut rng = Rng::new(self.salt ^ id.0.cast_unsigned() << 48 ^ life);
        let step = self.floor + rng.below(2);
        if step == 0 {
            return None;
        }
        // Two servers with one wrong password could form an ensemble of their own.
        let mistaken = format!("tuna{id}");
        let (own, accepted) = match wrong {
            None => (PASSWORD, PASSWORD),
            Some(WrongPassword::Own) => (&*mistaken, PASSWORD),
            Some(WrongPassword::Both) => (&*mistaken, &*mistaken),
        };
        let file = JaasFile::read(file(accepted).as_bytes()).expect("a whole file");
        let section = file.section("QuorumServer").expect("it is there");
        let own = Account::DigestMd5 { name: "zk".to_owned(), password: Secret::new(own) };
        let mut key = [0; 32];
        key[..8].copy_from_slice(&rng.word().to_be_bytes());
        Some(PeerLogins {
            accepted: Mechanism::DigestMd5(Users::of_section(Service::SERVERS, section)),
            is_demanded: step == 3,
            own: (step >= 2).then_some(own),
            nonce_key: NonceKey::new(key),
        })
    }
}
