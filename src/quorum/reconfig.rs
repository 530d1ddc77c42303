//! The configuration that results from a reconfiguration (`PrepRequestProcessor.pRequest2Txn`, case reconfig).
//!
//! The result is a pure function of the present configuration and the request. The caller checks what depends on the
//! rest of the server: the permission, the expected version, another reconfiguration in progress, and whether a
//! quorum of the result is present.

use std::collections::BTreeMap;

use super::server_line::{is_loopback, is_wildcard};
use super::{Config, Member};
use crate::id::ServerId;
use crate::limits::CONFIG_MEMBERS_MAX;

/// A client's request (`ReconfigRequest`). If `new_members` is present, the other two are ignored.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reconfiguration<'a> {
    /// The servers to be added or changed, as `server.N=…`, separated by commas.
    pub joining: Option<&'a str>,
    /// The ids of the servers to be removed, separated by commas. A server that leaves and joins in one request has
    /// joined.
    pub leaving: Option<&'a str>,
    /// The whole configuration, its lines separated by commas or line ends. A version in it is ignored.
    pub new_members: Option<&'a str>,
}

/// Why a reconfiguration is refused. The client gets the code; the text is for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReconfigError {
    /// The request does not describe an ensemble that can work (`KeeperException.BadArgumentsException`).
    #[error("{0}")]
    BadArguments(String),
    /// ZooKeeper answers `MarshallingError` because Java throws another exception than `ConfigException`, such as for
    /// an invalid number.
    #[error("{0}")]
    Marshalling(String),
}

use ReconfigError::{BadArguments, Marshalling};

impl Config {
    /// The configuration after the change; `version` is the zxid of its transaction. It is the configuration as other
    /// servers read it from its text: a text that they cannot read would stop them, and the leader with them.
    ///
    /// # Errors
    /// If a text cannot be read, more than [`CONFIG_MEMBERS_MAX`] servers join, two servers would use one address, too
    /// few voters remain (two are needed if `standalone_enabled`, otherwise one), a hierarchical configuration is to
    /// change without naming all members, or others could not read the result.
    ///
    /// # Panics
    /// If the text of the result reads as a configuration that breaks one of these rules.
    pub fn reconfigured(
        &self,
        change: Reconfiguration<'_>,
        version: i64,
        standalone_enabled: bool,
    ) -> Result<Config, ReconfigError> {
        let mut config = match change.new_members {
            Some(members) => whole(members, standalone_enabled)?,
            None if self.is_hierarchical() => {
                let reason = "servers can be added and removed only if a majority is the quorum";
                return Err(BadArguments(reason.to_owned()));
            }
            None => Config { members: self.changed(change)?, ..Config::default() },
        };
        config.version = version;
        let voters = config.voters().count();
        let needed = if standalone_enabled { 2 } else { 1 };
        if voters < needed {
            let reason = format!("the result has {voters} participants, needed: {needed}");
            return Err(BadArguments(reason));
        }
        let config = config.as_read().map_err(|error| BadArguments(error.to_string()))?;
        assert_eq!(config.version, version, "others read the version that was given");
        assert!(config.members.len() <= CONFIG_MEMBERS_MAX, "others read so many members");
        assert!(config.voters().count() >= needed, "others read the voters that are needed");
        Ok(config)
    }

    /// Whether the two differ in nothing but their version.
    pub fn has_same_members(&self, other: &Config) -> bool {
        let Config { members, groups, weights, version: _ } = self;
        (members, groups, weights) == (&other.members, &other.groups, &other.weights)
    }

    /// The members after servers have left and joined. Servers leave first.
    fn changed(
        &self,
        change: Reconfiguration<'_>,
    ) -> Result<BTreeMap<ServerId, Member>, ReconfigError> {
        let mut members = self.members.clone();
        for leaving in words(change.leaving, ',') {
            members.remove(&server_id(leaving)?);
        }
        // Each joining server is compared with all members, so a request without this bound would be quadratic.
        if words(change.joining, ',').nth(CONFIG_MEMBERS_MAX).is_some() {
            let reason = format!("more than {CONFIG_MEMBERS_MAX} servers join at once");
            return Err(BadArguments(reason));
        }
        for joining in words(change.joining, ',') {
            let parts: Vec<&str> = words(Some(joining), '=').collect();
            let [key, value] = parts[..] else {
                return Err(BadArguments(format!("{joining:?} is not of the form server.N=…")));
            };
            // ZooKeeper: takes the text after the last dot, whatever is before it.
            let id = server_id(key.rsplit('.').next().unwrap_or(key))?;
            let member = Member::parse(value).map_err(BadArguments)?;
            // ZooKeeper: PrepRequestProcessor refuses a joining server without a port for clients, too.
            if member.client.is_none() {
                return Err(BadArguments(format!("server {id} needs a port for clients")));
            }
            let own = member.own_sockets();
            for (other, known) in &members {
                if *other != id
                    && let Some((host, port)) = known.common_socket(&own)
                {
                    let reason =
                        format!("{host}:{port} of server {id} is already used by server {other}");
                    return Err(BadArguments(reason));
                }
            }
            members.insert(id, member);
        }
        Ok(members)
    }
}

/// A whole configuration; commas count as line ends.
fn whole(members: &str, standalone_enabled: bool) -> Result<Config, ReconfigError> {
    let config = Config::parse_any(&members.replace(',', "\n"))
        .map_err(|error| BadArguments(error.to_string()))?;
    // ZooKeeper: QuorumPeerConfig.parseDynamicConfig throws no ConfigException here.
    let observers = config.members.len() - config.voters().count();
    match config.voters().count() {
        0 if !standalone_enabled => Err(Marshalling("there is no participant".to_owned())),
        0 if observers > 0 => Err(Marshalling("there are only observers".to_owned())),
        1 if standalone_enabled && observers > 0 => {
            Err(Marshalling("one participant and observers are not an ensemble".to_owned()))
        }
        _ => Ok(config),
    }
}

/// The words between separators, without white space around them, and without empty ones.
// ZooKeeper: StringUtils.split.
fn words(text: Option<&str>, separator: char) -> impl Iterator<Item = &str> {
    text.into_iter()
        .flat_map(move |text| text.split(separator))
        .map(str::trim)
        .filter(|word| !word.is_empty())
}

/// The id of a server in a request.
fn server_id(text: &str) -> Result<ServerId, ReconfigError> {
    let id: i64 = text.parse().map_err(|_| Marshalling(format!("{text:?} is no server id")))?;
    // A negative id would be taken for that of an observer without an id.
    if id < 0 { Err(BadArguments(format!("{id} is no server id"))) } else { Ok(ServerId(id)) }
}

impl Member {
    /// The addresses that only this member may use. All members may use wildcard and loopback addresses.
    fn own_sockets(&self) -> Vec<(&str, u16)> {
        self.sockets().filter(|(host, _)| !is_wildcard(host) && !is_loopback(host)).collect()
    }

    /// An address that this member uses and that is also one of `others`, if there is one.
    // ZooKeeper: QuorumServer.checkAddressDuplicate compares resolved addresses; here names are compared as they are
    // written.
    fn common_socket<'a>(&'a self, others: &[(&str, u16)]) -> Option<(&'a str, u16)> {
        self.sockets().find(|(host, port)| {
            others.iter().any(|(h, p)| p == port && h.eq_ignore_ascii_case(host))
        })
    }

    /// All its addresses with their ports: for learners, for elections, and for clients if that one has a host.
    fn sockets(&self) -> impl Iterator<Item = (&str, u16)> {
        let servers = self.addresses.iter().flat_map(|address| {
            [(&*address.host, address.quorum_port), (&*address.host, address.election_port)]
        });
        let clients = self.client.iter().filter_map(|(host, port)| Some((host.as_deref()?, *port)));
        servers.chain(clients)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::HOST_BYTES_MAX;
    use crate::random::Random;

    fn config() -> Config {
        let text = "server.1=a:1:2;3\nserver.2=b:1:2;3\nserver.3=c:1:2:observer;3\nversion=7";
        Config::parse(text).unwrap()
    }

    fn incremental(joining: &str, leaving: &str) -> Result<String, ReconfigError> {
        let (joining, leaving) = (Some(joining), Some(leaving));
        let change = Reconfiguration { joining, leaving, new_members: None };
        config().reconfigured(change, 0x10, true).map(|config| config.to_text())
    }

    fn bulk(members: &str, standalone_enabled: bool) -> Result<String, ReconfigError> {
        let change = Reconfiguration { new_members: Some(members), ..Default::default() };
        config().reconfigured(change, 0x10, standalone_enabled).map(|config| config.to_text())
    }

    fn is_bad(result: &Result<String, ReconfigError>) -> bool {
        matches!(result, Err(BadArguments(_)))
    }

    fn is_marshalling(result: &Result<String, ReconfigError>) -> bool {
        matches!(result, Err(Marshalling(_)))
    }

    #[test]
    fn servers_join_change_and_leave() {
        let joined = incremental("server.4=d:1:2;3, server.5 = e:1:2:observer;h:4", "3").unwrap();
        assert_eq!(
            joined,
            "server.1=a:1:2:participant;0.0.0.0:3\nserver.2=b:1:2:participant;0.0.0.0:3\n\
             server.4=d:1:2:participant;0.0.0.0:3\nserver.5=e:1:2:observer;h:4\nversion=10"
        );
        // The same id again is a change: an observer becomes a participant.
        let changed = incremental("server.3=c:1:2:participant;3", "").unwrap();
        assert!(changed.contains("server.3=c:1:2:participant;0.0.0.0:3"), "{changed}");
        // A server that leaves and joins has joined; a server that is not there may leave.
        let moved = incremental("server.2=x:1:2;3", "2,9").unwrap();
        assert!(moved.contains("server.2=x:1:2"), "{moved}");
    }

    #[test]
    fn wrong_arguments_are_refused_as_zookeeper_does() {
        for joining in [
            "server.4",
            "server.4=d:1:2;3=x",
            "server.4=d:1;3",
            "server.4=d:1:2",
            "server.4=d:1:1;3",
            "server.4=a:1:9;3",
            "server.4=d:1:2;b:2",
            "server.-4=d:1:2;3",
        ] {
            assert!(is_bad(&incremental(joining, "")), "{joining}");
        }
        for joining in ["server.x=d:1:2;3", "x=d:1:2;3"] {
            assert!(is_marshalling(&incremental(joining, "")), "{joining}");
        }
        assert!(is_marshalling(&incremental("", "x")));
        assert!(is_bad(&incremental("", "2")), "one participant is too few");
    }

    #[test]
    fn addresses_that_everybody_may_have_are_no_conflict() {
        let text = "server.1=127.0.0.1:1:2;0.0.0.0:3\nserver.2=127.0.0.1:4:5;0.0.0.0:3";
        let config = Config::parse(text).unwrap();
        let joining = Some("server.3=127.0.0.1:1:2;3");
        let change = Reconfiguration { joining, ..Default::default() };
        assert!(config.reconfigured(change, 1, true).is_ok());
    }

    #[test]
    fn all_members_may_be_named_at_once() {
        let text = "server.2=b:1:2:participant;0.0.0.0:3\nserver.9=i:1:2:participant\nversion=10";
        assert_eq!(bulk("server.2=b:1:2;3,server.9=i:1:2,version=77", true).unwrap(), text);
        let groups = bulk("server.1=a:1:2\nserver.2=b:1:2\ngroup.1=1:2", true).unwrap();
        assert!(groups.ends_with("group.1=1:2\nweight.1=1\nweight.2=1\nversion=10"), "{groups}");
        assert!(bulk("server.1=a:1:2", false).is_ok());
        for (members, standalone_enabled) in [
            ("server.1=a:1:2", true),
            ("", true),
            ("clientPort=1\nserver.1=a:1:2", true),
            ("server.1=a:1", true),
        ] {
            assert!(is_bad(&bulk(members, standalone_enabled)), "{members}");
        }
        for (members, standalone_enabled) in [
            ("", false),
            ("server.1=a:1:2:observer", true),
            ("server.1=a:1:2,server.2=b:1:2:observer", true),
        ] {
            assert!(is_marshalling(&bulk(members, standalone_enabled)), "{members}");
        }
    }

    #[test]
    fn where_groups_decide_all_members_must_be_named() {
        let text = "server.1=a:1:2\nserver.2=b:1:2\ngroup.1=1:2";
        let config = Config::parse(text).unwrap();
        let change = Reconfiguration { leaving: Some("9"), ..Default::default() };
        assert!(matches!(config.reconfigured(change, 1, true), Err(BadArguments(_))));
    }

    #[test]
    fn what_others_could_not_read_is_refused() {
        let zone = "z".repeat(HOST_BYTES_MAX - 4);
        for joining in [
            r"server.9=\:2888:3888:observer;2181",
            r"server.9=a\b:2888:3888:observer;2181",
            r"server.9=z:2888:3888:observer;\:2181",
            &format!("server.9=[::1%{zone}]:1:2:observer;2181"),
            &format!("server.9=z:1:2:observer;[::1%{zone}]:2181"),
        ] {
            assert!(is_bad(&incremental(joining, "")), "{joining}");
        }
        for members in
            [r"server.1=\\\\:1:2;3,server.2=b:1:2;3", r"server.1=a:1:2;\\:3,server.2=b:1:2;3"]
        {
            assert!(is_bad(&bulk(members, true)), "{members}");
        }
    }

    #[test]
    fn an_ensemble_does_not_grow_beyond_what_others_read() {
        let observer = |id: usize, host: &str| format!("server.{id}={host}{id}:1:2:observer;3");
        let with = |members: usize, host: &str| {
            let lines = (1..members).map(|id| observer(id, host) + "\n").collect::<String>();
            Config::parse(&format!("{lines}server.2000=a:1:2\nserver.2001=b:1:2")).unwrap()
        };
        let join = |config: &Config, joining: &str| {
            let change = Reconfiguration { joining: Some(joining), ..Default::default() };
            config.reconfigured(change, 0x10, true).map(|config| config.to_text())
        };
        let full = with(CONFIG_MEMBERS_MAX - 1, "h");
        assert!(join(&full, &observer(7, "other")).is_ok());
        assert!(is_bad(&join(&full, &observer(3000, "h"))));
        let same = vec![observer(7, "h"); CONFIG_MEMBERS_MAX + 1].join(",");
        assert!(is_bad(&join(&full, &same)), "each costs a look at all the others");
        let (mut long, host) = (with(930, &"h".repeat(240)), "h".repeat(250));
        for id in 3000.. {
            let Ok(text) = join(&long, &observer(id, &host)) else { break };
            long = Config::parse(&text).unwrap();
        }
        assert!(long.members.len() < CONFIG_MEMBERS_MAX, "its text would be too long");
    }

    #[test]
    fn what_is_accepted_is_read_as_it_is() {
        let alphabet: Vec<char> =
            "0123456789=:;|.[]#!\\\n\t ,%svegrwn-+\u{e9}\u{2028}".chars().collect();
        let mut random = Random::new(11);
        let mut below = |bound: usize| random.index(bound);
        let lines = [
            "server.4=d:1:2:observer;h:4",
            "server.1=a:1:2|[::1%lo]:3:4;[::]:3,server.2=b:1:2;0.0.0.0:3",
            "server.1=a:1:2,server.2=[::ffff:1.2.3.4]:1:2,server.3=c:1:2:observer,group.1=1:2,weight.1=7",
        ];
        let mut accepted = 0;
        for round in 0..30_000 {
            let mut line: Vec<char> = lines[round % lines.len()].chars().collect();
            for _ in 0..below(5) {
                let (at, new) = (below(line.len()), alphabet[below(alphabet.len())]);
                match below(3) {
                    0 => line[at] = new,
                    1 => line.insert(at, new),
                    _ => _ = line.remove(at),
                }
            }
            let line: String = line.into_iter().collect();
            let joining = (round % 2 == 0).then_some(&*line);
            let new_members = joining.is_none().then_some(&*line);
            let change = Reconfiguration { joining, leaving: None, new_members };
            if let Ok(config) = self::config().reconfigured(change, 0x10, true) {
                accepted += 1;
                assert_eq!(Config::parse(&config.to_text()), Ok(config), "{line:?}");
            }
        }
        assert!(accepted > 1000, "{accepted}");
    }

    #[test]
    fn the_version_is_not_part_of_the_members() {
        let newer = Config { version: 9, ..config() };
        assert!(config().has_same_members(&newer));
        let mut other = config();
        other.members.remove(&ServerId(1));
        assert!(!config().has_same_members(&other));
    }
}
