//! Servers that the others do not let in, in guarded ensembles only: after a mistake with a password, or with a
//! certificate that has expired or whose authority others do not trust yet.
//!
//! Either keeps new links away and lets those live on that stand. Passwords are read at the start of a process;
//! certificates are looked at in each handshake, which this file decides in place of TLS. A server with wrong passwords
//! must stay outside until they are put right; the others must serve meanwhile, and no write may be lost.
//!
//! All random numbers come from a stream of their own.

use std::collections::BTreeSet;

use super::faults::Fault;
use super::network::{ConnId, Node};
use super::plan::{MS, SECOND};
use super::rng::Rng;
use super::wild::Broken;
use super::world::{Event, Phase, World};

/// Which passwords in a server's JAAS file are wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrongPassword {
    /// That by which it logs in at others.
    Own,
    /// That one, and that by which others log in at it.
    Both,
}

/// Who refuses the certificate of a server.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Certificate {
    /// Nobody.
    #[default]
    Good,
    /// Everybody, because it has expired.
    Expired,
    /// These servers, which do not trust its new authority yet.
    Untrusted(BTreeSet<Node>),
}

impl Certificate {
    fn is_refused_by(&self, node: Node) -> bool {
        match self {
            Certificate::Good => false,
            Certificate::Expired => true,
            Certificate::Untrusted(by) => by.contains(&node),
        }
    }
}

/// What a seed decides about such servers.
#[derive(Clone, Copy, Debug)]
pub struct LockOuts {
    /// Mean time between two mistakes with passwords, in µs; `None`: there is none.
    passwords: Option<u64>,
    /// The same for certificates.
    certificates: Option<u64>,
    /// Mean time until a mistake is put right, in µs.
    lasts: u64,
    /// Whether as many servers as an ensemble may lose stay outside after all other faults have ended.
    pub stay: bool,
    /// Begins the stream of what happens.
    salt: u64,
}

impl LockOuts {
    /// Draws them.
    pub fn draw(rng: &mut Rng) -> LockOuts {
        let (passwords, certificates) = *rng.pick(&[(true, false), (false, true), (true, true)]);
        let mut rate = |happens: bool| {
            let mean = *rng.pick(&[3, 6, 12]) * SECOND;
            happens.then_some(mean)
        };
        LockOuts {
            passwords: rate(passwords),
            certificates: rate(certificates),
            lasts: *rng.pick(&[1, 4, 10]) * SECOND,
            stay: rng.one_in(2),
            salt: rng.word(),
        }
    }

    /// The stream of what happens.
    pub fn stream(self) -> Rng {
        Rng::new(self.salt)
    }
}

/// A step of what happens to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockOut {
    /// A server starts with wrong passwords.
    Password,
    /// The certificate of a server is refused from now on.
    Certificate,
    /// The passwords of this server are put right.
    PasswordRight(usize),
    /// This server gets a new certificate, or its authority is trusted now.
    CertificateRight(usize),
}

impl World {
    /// Plans the first server that is locked out for each reason.
    pub(super) fn plan_lock_outs(&mut self) {
        self.plan_lock_out(LockOut::Password);
        self.plan_lock_out(LockOut::Certificate);
    }

    fn plan_lock_out(&mut self, what: LockOut) {
        let Some(plan) = self.plan.lock_outs else { return };
        let mean = match what {
            LockOut::Password => plan.passwords,
            LockOut::Certificate => plan.certificates,
            LockOut::PasswordRight(_) | LockOut::CertificateRight(_) => Some(plan.lasts),
        };
        if let Some(mean) = mean {
            let at = self.now + 1 + self.lock_outs.waiting(mean);
            self.schedule(at, Event::Fault(Fault::LockOut(what)));
        }
    }

    /// A server is locked out, or let in again.
    pub(super) fn lock_out(&mut self, what: LockOut) {
        match what {
            LockOut::Password | LockOut::Certificate if self.phase != Phase::Chaos => {}
            LockOut::Password => {
                let index = self.lock_outs.index(self.servers.len());
                let which = *self.lock_outs.pick(&[WrongPassword::Own, WrongPassword::Both]);
                // Another mistake with this server is not put right yet, or nobody starts it.
                if self.servers[index].wrong_password.is_none() && self.servers[index].is_running()
                {
                    self.mistake_password(index, which);
                    self.plan_lock_out(LockOut::PasswordRight(index));
                }
                self.plan_lock_out(what);
            }
            LockOut::Certificate => {
                let index = self.lock_outs.index(self.servers.len());
                let certificate = self.draw_certificate(index);
                if self.servers[index].certificate == Certificate::Good {
                    self.set_certificate(index, certificate);
                    self.plan_lock_out(LockOut::CertificateRight(index));
                }
                self.plan_lock_out(what);
            }
            // Both are put right by `let_in` when all faults end, and those that stay outside by `repair`.
            LockOut::PasswordRight(_) | LockOut::CertificateRight(_)
                if self.phase != Phase::Chaos => {}
            LockOut::PasswordRight(index) => self.put_password_right(index),
            LockOut::CertificateRight(index) => self.set_certificate(index, Certificate::Good),
        }
    }

    fn draw_certificate(&mut self, index: usize) -> Certificate {
        if self.lock_outs.one_in(2) {
            return Certificate::Expired;
        }
        let others = (0..self.servers.len()).filter(|other| *other != index);
        Certificate::Untrusted(others.filter(|_| self.lock_outs.one_in(2)).collect())
    }

    fn set_certificate(&mut self, index: usize, certificate: Certificate) {
        let now = self.now;
        self.stats.locked_out += u64::from(certificate != Certificate::Good);
        self.trace.event(now, &[34, index as u64], || {
            format!("s{}: the certificate is {certificate:?}", index + 1)
        });
        self.servers[index].certificate = certificate;
    }

    /// The operator writes wrong passwords into the JAAS file of a server, and restarts it.
    fn mistake_password(&mut self, index: usize, which: WrongPassword) {
        let now = self.now;
        self.stats.locked_out += 1;
        self.trace.event(now, &[36, index as u64, which as u64], || {
            format!("s{}: its JAAS file has wrong passwords: {which:?}", index + 1)
        });
        self.servers[index].wrong_password = Some(which);
        self.restart_with_passwords(index);
    }

    fn put_password_right(&mut self, index: usize) {
        if self.servers[index].wrong_password.take().is_some() {
            let now = self.now;
            self.trace.event(now, &[35, index as u64], || {
                format!("s{}: its passwords are right again", index + 1)
            });
            self.restart_with_passwords(index);
        }
    }

    fn restart_with_passwords(&mut self, index: usize) {
        // A server that is down reads the file when it starts.
        if self.servers[index].is_running() {
            self.crash(index, false);
            let at = self.now + 50 * MS + self.lock_outs.waiting(SECOND);
            self.schedule(at, Event::Start(index));
        }
    }

    /// Puts everything right. Then servers are chosen that stay outside while the others must serve, if the seed wants
    /// that.
    pub(super) fn let_in(&mut self) {
        let Some(plan) = self.plan.lock_outs else { return };
        for index in 0..self.servers.len() {
            self.let_in_one(index);
        }
        // While the ensemble changes, nobody knows how many servers may be missing.
        if !plan.stay || self.plan.changes() {
            return;
        }
        let config = self.newest_config();
        let mut working: Vec<usize> =
            (0..self.plan.voters).filter(|index| !self.servers[*index].began_anew).collect();
        loop {
            let at = self.lock_outs.index(working.len());
            let index = working.remove(at);
            let ids = working.iter().map(|index| self.servers[*index].id).collect();
            if !config.has_quorum(&ids) {
                return;
            }
            self.servers[index].broken = Some(Broken::LockedOut);
            if self.all_log_in() && self.lock_outs.one_in(2) {
                // With `Own` alone it could be elected by some of the others, whom it lets in, and the rest could not
                // follow it.
                self.mistake_password(index, WrongPassword::Both);
            } else {
                self.set_certificate(index, Certificate::Expired);
                // Its links would live on, and the others might elect it over them although they cannot follow it.
                self.restart_with_passwords(index);
            }
        }
    }

    /// The password and the certificate of a server are put right.
    pub(super) fn let_in_one(&mut self, index: usize) {
        self.put_password_right(index);
        if self.servers[index].certificate != Certificate::Good {
            self.set_certificate(index, Certificate::Good);
        }
    }

    /// Whether each server logs in on each link that it opens.
    fn all_log_in(&self) -> bool {
        self.plan.logins.is_some_and(|logins| logins.all_log_in())
    }

    /// Checks that a server with wrong passwords is outside: it follows nobody, and nobody follows it unless others can
    /// still log in at it.
    pub(super) fn check_outside(&mut self, index: usize) {
        let server = &self.servers[index];
        let (Some(which), Some(replica)) = (server.runs_with_wrong_password, &server.replica)
        else {
            return;
        };
        let mode = replica.mode();
        let is_in = match which {
            WrongPassword::Own => matches!(mode, "follower" | "observer"),
            WrongPassword::Both => matches!(mode, "leader" | "follower" | "observer"),
        };
        if is_in && self.all_log_in() {
            self.fail(format!(
                "server {} has wrong passwords ({which:?}), and is a {mode} all the same",
                index + 1
            ));
        }
    }

    /// A server asks another one for a link with TLS. Whether one of them refuses the certificate of the other; then
    /// the link ends.
    pub(super) fn is_handshake_refused(
        &mut self,
        conn: ConnId,
        opener: Node,
        acceptor: Node,
    ) -> bool {
        let Some(from) = self.servers.get(opener) else { return false };
        let (mine, theirs) = (&from.certificate, &self.servers[acceptor].certificate);
        let by_acceptor = mine.is_refused_by(acceptor);
        if !by_acceptor && !theirs.is_refused_by(opener) {
            return false;
        }
        self.stats.handshakes_refused += 1;
        let now = self.now;
        self.trace.event(now, &[37, opener as u64, acceptor as u64], || {
            format!("s{}: its certificates keep {conn} from s{}", acceptor + 1, opener + 1)
        });
        // With TLS 1.3 whoever connects takes the handshake for done before the other side has looked at its
        // certificate.
        if by_acceptor && self.lock_outs.one_in(2) {
            let life = self.servers[acceptor].life;
            self.network.accept(now, conn, life, 0);
            self.network.close(now, conn, 1);
        } else {
            self.network.refuse(now, conn, "the TLS handshake failed");
        }
        true
    }
}
