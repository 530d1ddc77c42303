//! Makes the host on the replica's executor, because a replica does not move between threads.
//!
//! The main thread gathers what the start has opened in a [`HostMaker`]; the executor reads the data, starts the
//! threads of the disk, and puts the parts together. So the longest step of the start, the recovery, runs where its
//! result is used.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use super::again::{Failure, Lack};
use super::certificates::Certificates;
use super::client_port::ClientPort;
use super::host::{ClientSide, Deliver, Disk, Host, Parts, TlsFigures};
use super::membership::Teller;
use super::past::Past;
use super::recover::{self, Opener};
use super::{options, oracle};
use crate::admin::inquiries::Inquiries;
use crate::audit::AuditLog;
use crate::config::Config;
use crate::config::dynamic::Keeper;
use crate::logins::{LinkLogins, Logins};
use crate::net::links::{LinkOptions, LinkTls, Links};
use crate::net::{Budget, Census, Handshakes};
use crate::runtime::{
    Clock, DataFolder, DiskWorker, Doorbell, LogDevice, LogRing, Reactor, Reading,
};

/// What the start of the process has made of a host.
pub struct HostMaker {
    /// The configuration.
    pub config: Config,
    /// The locked folders.
    pub folder: DataFolder,
    /// How the device of the log is written.
    pub device: LogDevice,
    /// Where clients connect.
    pub client_port: ClientPort,
    /// Keeps the files of the ensemble's configuration up to date with the active one.
    pub keeper: Keeper,
    /// Logs the role of this server in its ensemble.
    pub teller: Teller,
    /// Gets the progress of reading the data, which `phases` watches.
    pub reading: Reading,
    /// Bounds what connections hold together.
    pub budget: Budget,
    /// Bounds how many connections there are.
    pub census: Census,
    /// The audit log, if there is one.
    pub audit: Option<AuditLog>,
    /// Questions of the AdminServer.
    pub inquiries: Inquiries,
    /// `secureClientPort`.
    pub secure_port: Option<u16>,
    /// Counts TLS handshakes of clients.
    pub handshakes: Handshakes,
    /// The certificates of this server, for its clients and for other servers.
    pub certificates: (Option<Certificates>, Option<Certificates>),
    /// TLS between servers.
    pub link_tls: Option<Arc<LinkTls>>,
}

impl HostMaker {
    /// Reads the data, starts the threads of the disk, and makes the host. `carrier` carries bytes to clients, and
    /// `bell` wakes this executor.
    ///
    /// # Errors
    /// The data cannot be read, or the system denies a thread or a ring.
    pub fn make(
        self,
        carrier: Box<dyn Deliver>,
        bell: Doorbell,
        reactor: Reactor,
    ) -> Result<Host, Failure> {
        let HostMaker {
            config,
            folder,
            device,
            client_port,
            keeper,
            teller,
            reading,
            budget,
            census,
            audit,
            inquiries,
            secure_port,
            handshakes,
            certificates,
            link_tls,
        } = self;
        let clock = Clock::start();
        // A random number of the process: the hash of the tree, and delays in elections, must not be guessable or
        // equal on all servers.
        let seed = std::hash::RandomState::new().build_hasher().finish();
        let options = options::replica(&config, device)?;
        // Before the recovery, which may take minutes: a key table that cannot be read ends the start.
        let logins = options::acceptor(&config)
            .map(|acceptor| Logins::start(acceptor, bell.clone()))
            .transpose()
            .map_err(|error| error.to_string())?;
        let link_logins = options::logins(&config)?
            .map(|logins| LinkLogins::start(&logins, &bell))
            .transpose()
            .map_err(|error| error.to_string())?;
        // Kept by the host: a leader may make this server go back, and it then reads its state again.
        let opener = Opener::new(&config, &folder.folders, seed, reading);
        let recovered = opener.open().map_err(|error| Failure {
            reason: recover::told(&error),
            lack: error.lacks_room().then_some(Lack::Room),
        })?;
        let has_gaps = recovered.gaps;
        // After the recovery, which may take minutes: sessions shall not expire for that time.
        let now = clock.now();
        let mut replica = recover::replica(&config, &folder, options, recovered, now, seed)?;
        if has_gaps {
            // The next start reads this snapshot, and needs no permission to skip the gaps again.
            replica.request_snapshot();
        }
        let (ring, lacks) = LogRing::new(bell.clone(), &folder.locks())
            .map_err(|error| Failure::of_ring("the ring of the log", &error))?;
        // What the ring lacks costs speed, not durability.
        for lack in lacks {
            tracing::warn!("{lack}");
        }
        let worker = DiskWorker::start(folder.folders.clone(), bell.clone(), device.direct)
            .map_err(|error| format!("the disk worker: {error}"))?;
        let between = options::between_servers(&config);
        let link_options = LinkOptions {
            keep_alive: between.keep_alive,
            bind_attempts_max: between.bind_attempts_max,
            peer_address_check: between.peer_address_check,
        };
        let link_handshakes = link_tls.as_ref().map(|tls| tls.handshakes.clone());
        let tls = TlsFigures {
            clients: (handshakes, certificates.0),
            servers: (link_handshakes.unwrap_or_default(), certificates.1),
        };
        let links = Links::new(link_options, link_tls, bell.clone(), reactor.clone());
        let past = Past::start(&folder.folders, between.snapshot_size_factor, bell)
            .map_err(|error| format!("the reader of the log: {error}"))?;
        let mut desk =
            options::desk(&config, &folder, client_port.address().map(|address| address.port()));
        if let Some(port) = secure_port {
            desk.conf.secure_client_port = port.into();
        }
        let parts = Parts {
            disk: Disk::new(ring, worker, past, opener, folder),
            clients: ClientSide::new(
                carrier,
                budget,
                census,
                tls,
                desk,
                client_port,
                (audit, logins, inquiries),
            ),
            link_logins,
            links,
            keeper,
            teller,
            clock,
            reactor,
            stall_ms: config.own.stall_millis,
        };
        let host = Host::new(replica, parts);
        if let Some(path) = between.oracle_path.filter(|_| config.quorum.is_distributed()) {
            let every = Duration::from_millis(config.sessions.tick_time_ms.into());
            oracle::watch(path, every, host.entrance());
        }
        Ok(host)
    }
}
