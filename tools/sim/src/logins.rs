//! Servers that log in at each other (`quorum.auth.*`), in guarded ensembles only. At each start a server is at one of
//! two neighbouring steps of the rolling change, as while an operator switches logins on or off; what breaks a link
//! breaks logins, too.

use ringkeeper::id::ServerId;
use ringkeeper::sasl::between::{Account, PeerLogins};
use ringkeeper::sasl::digest_md5::{Service, Users};
use ringkeeper::sasl::jaas::JaasFile;
use ringkeeper::sasl::{Mechanism, NonceKey, Secret};

use super::rng::Rng;

/// The section of each server. All have one name and one password.
const FILE: &[u8] = b"QuorumServer { m required user_zk=\"swordfish\"; };";

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

    /// How a server logs in, and lets others log in, in one of its lives. `None`: not at all.
    pub fn of(self, id: ServerId, life: u64) -> Option<PeerLogins> {
        let mut rng = Rng::new(self.salt ^ id.0.cast_unsigned() << 48 ^ life);
        let step = self.floor + rng.below(2);
        if step == 0 {
            return None;
        }
        let file = JaasFile::read(FILE).expect("a whole file");
        let section = file.section("QuorumServer").expect("it is there");
        let own = Account::DigestMd5 { name: "zk".to_owned(), password: Secret::new("swordfish") };
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
