//! The options of both servers under which plans run.

use ringkeeper_testkit::Config;

use crate::operations::Shape;
use crate::universe::{SUPER, digest_of};

const FRAME_BYTES_MAX_DEFAULT: usize = 0xf_ffff;

/// Options of the servers, and what plans may do under them.
#[derive(Debug)]
pub struct Profile {
    /// Its name on the command line.
    pub name: &'static str,
    lines: &'static [&'static str],
    flags: &'static [&'static str],
    frame_bytes_max: usize,
    quota_percent: usize,
    /// Whether the super user exists.
    pub has_super: bool,
    /// Whether plans restart the servers.
    pub restarts: bool,
    /// Whether a run of all profiles leaves this one out.
    pub by_name_only: bool,
}

const BASE: Profile = Profile {
    name: "plain",
    lines: &[],
    flags: &[],
    frame_bytes_max: FRAME_BYTES_MAX_DEFAULT,
    quota_percent: 1,
    has_super: true,
    restarts: true,
    by_name_only: false,
};

/// All profiles; `timers` is for plans written by hand.
pub const PROFILES: &[Profile] = &[
    BASE,
    Profile { name: "extended", flags: &["-Dzookeeper.extendedTypesEnabled=true"], ..BASE },
    Profile { name: "skip-acl", lines: &["skipACL=yes"], has_super: false, ..BASE },
    Profile {
        name: "quota",
        lines: &["enforceQuota=true"],
        flags: &["-Dzookeeper.extendedTypesEnabled=true"],
        quota_percent: 14,
        ..BASE
    },
    Profile {
        name: "local-sessions",
        lines: &["localSessionsEnabled=true", "localSessionsUpgradingEnabled=true"],
        ..BASE
    },
    Profile {
        name: "sha-256",
        flags: &["-Dzookeeper.DigestAuthenticationProvider.digestAlg=SHA-256"],
        has_super: false,
        ..BASE
    },
    Profile {
        name: "small-frames",
        flags: &["-Djute.maxbuffer=4096"],
        frame_bytes_max: 4096,
        ..BASE
    },
    Profile {
        name: "enforce-auth",
        lines: &["enforce.auth.enabled=true", "enforce.auth.schemes=digest"],
        ..BASE
    },
    Profile { name: "no-digest", lines: &["digest.enabled=false", "reconfigEnabled=true"], ..BASE },
    Profile {
        name: "timers",
        by_name_only: true,
        lines: &["tickTime=200", "minSessionTimeout=400"],
        flags: &[
            "-Dzookeeper.extendedTypesEnabled=true",
            "-Dznode.container.checkIntervalMs=150",
            "-Dznode.container.maxNeverUsedIntervalMs=1000",
        ],
        ..BASE
    },
];

impl Profile {
    /// The profile with this name.
    pub fn named(name: &str) -> Option<&'static Profile> {
        PROFILES.iter().find(|profile| profile.name == name)
    }

    /// The servers' configuration.
    pub fn config(&self) -> Config {
        let mut config = Config::new()
            // No session of a plan may expire while it runs, whatever timeout its client wished for.
            .line("minSessionTimeout=600000")
            .line("maxSessionTimeout=2000000")
            .line("maxClientCnxns=0")
            // Other tests check durability; here it would only cost time.
            .line("forceSync=no")
            .flag("-Dznode.container.checkIntervalMs=3600000");
        if self.has_super {
            let digest = digest_of(SUPER);
            config = config
                .flag(&format!("-Dzookeeper.DigestAuthenticationProvider.superDigest={digest}"));
        }
        for line in self.lines {
            config = config.line(line);
        }
        for flag in self.flags {
            config = config.flag(flag);
        }
        config
    }

    /// The operations from which its plans draw.
    pub fn shape(&self) -> Shape {
        Shape {
            frame_bytes_max: self.frame_bytes_max,
            broken_bodies: true,
            quota_percent: self.quota_percent,
            // ZooKeeper: a quota check uses the applied tree, not outstanding changes, so in a pipeline the answer
            // depends on the timing of its threads.
            bursts: !self.lines.contains(&"enforceQuota=true"),
        }
    }
}
