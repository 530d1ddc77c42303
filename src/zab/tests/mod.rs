//! What the conversations of both sides share: the words of their scripts, and the files in `tests/golden/zab`.
//!
//! `UPDATE_GOLDEN=1 cargo test --lib zab::` records all conversations anew, the leader's and the learner's. Do so
//! only if you can explain the difference.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::id::{Epoch, SessionId, Zxid};
use crate::proto::OpCode;
use crate::proto::txn::{Txn, TxnBody, TxnHeader};
use crate::quorum::Config;

/// The end of a tree in a script: the signature that also ends a tree on the wire.
pub(in crate::zab) const TREE_END: &[u8] = b"BenWasHere";

/// The types of packets, from 1 on.
const KINDS: [&str; 19] = [
    "REQUEST",
    "PROPOSAL",
    "ACK",
    "COMMIT",
    "PING",
    "REVALIDATE",
    "SYNC",
    "INFORM",
    "COMMITANDACTIVATE",
    "NEWLEADER",
    "FOLLOWERINFO",
    "UPTODATE",
    "DIFF",
    "TRUNC",
    "SNAP",
    "OBSERVERINFO",
    "LEADERINFO",
    "ACKEPOCH",
    "INFORMANDACTIVATE",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/zab")
}

/// Runs the conversation of this name and compares the result with the recorded one. `run` repeats the events of a
/// text and adds what happens.
pub(in crate::zab) fn golden(name: &str, run: impl FnOnce(&str) -> String) {
    let path = folder().join(format!("{name}.txt"));
    let recorded = fs::read_to_string(&path).unwrap();
    let got = run(&recorded);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, got).unwrap();
        return;
    }
    for (at, (got, recorded)) in got.lines().zip(recorded.lines()).enumerate() {
        assert_eq!(got, recorded, "{}:{}", path.display(), at + 1);
    }
    assert_eq!(got.lines().count(), recorded.lines().count(), "lines of {}", path.display());
}

/// Fails if a file of this side is none of these conversations, because such a file would look like a test and test
/// nothing.
pub(in crate::zab) fn all_are_held(side: &str, names: &[&str]) {
    let held: BTreeSet<String> = names.iter().map(|name| format!("{name}.txt")).collect();
    let entries = fs::read_dir(folder()).unwrap();
    let files = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let recorded: BTreeSet<String> = files.filter(|file| file.starts_with(side)).collect();
    assert_eq!(recorded, held);
}

/// Makes a test for each conversation of one side; test and conversation have the same name.
macro_rules! conversations {
    ($side:literal, $run:path: $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                $crate::zab::tests::golden(stringify!($name), $run);
            }
        )*

        #[test]
        fn every_recorded_conversation_is_held() {
            $crate::zab::tests::all_are_held($side, &[$(stringify!($name)),*]);
        }
    };
}
pub(in crate::zab) use conversations;

/// The zxid that is written `epoch:counter`, or `none`.
pub(in crate::zab) fn zxid(text: &str) -> Zxid {
    if text == "none" {
        return Zxid::NONE;
    }
    let (epoch, counter) = text.split_once(':').unwrap_or_else(|| panic!("no zxid: {text}"));
    Zxid::new(Epoch(epoch.parse().unwrap()), counter.parse().unwrap())
}

/// A zxid as scripts write it: `epoch:counter`.
pub(in crate::zab) fn shown(zxid: Zxid) -> String {
    if zxid == Zxid::NONE {
        return "none".to_owned();
    }
    format!("{}:{}", zxid.epoch(), zxid.counter())
}

/// The zxids of several transactions as scripts write them.
pub(in crate::zab) fn shown_all(txns: &[Txn]) -> String {
    txns.iter().map(|txn| shown(txn.zxid())).collect::<Vec<_>>().join(" ")
}

/// A transaction that changes nothing.
pub(in crate::zab) fn txn(zxid: Zxid) -> Txn {
    let header = TxnHeader { client_id: SessionId(0), cxid: 0, zxid, time: 0, op: OpCode::Error };
    Txn::new(header, &TxnBody::Error { err: 0 }, None)
}

/// The configuration that is written `1,2,3/4@100000000`: voters, observers, version.
pub(in crate::zab) fn config(text: &str) -> Config {
    let (members, version) = text.split_once('@').unwrap_or((text, "0"));
    let (voters, observers) = members.split_once('/').unwrap_or((members, ""));
    let line = |id: &str, role: &str| format!("server.{id}=h{id}:2888:3888:{role}\n");
    let ids = |text: &str| text.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect();
    let (voters, observers): (Vec<String>, Vec<String>) = (ids(voters), ids(observers));
    let voters: String = voters.iter().map(|id| line(id, "participant")).collect();
    let observers: String = observers.iter().map(|id| line(id, "observer")).collect();
    Config::parse(&format!("{voters}{observers}version={version}")).unwrap()
}

/// The voters of a configuration as scripts write them.
pub(in crate::zab) fn voters(config: &Config) -> String {
    config.voters().map(|id| id.to_string()).collect::<Vec<_>>().join(",")
}

/// The name of a type of packets.
pub(in crate::zab) fn name_of(kind: i32) -> &'static str {
    KINDS[usize::try_from(kind).unwrap() - 1]
}

/// The type of packets that has this name.
pub(in crate::zab) fn kind_of(name: &str) -> Option<i32> {
    let at = KINDS.iter().position(|kind| *kind == name)?;
    Some(i32::try_from(at).unwrap() + 1)
}

/// The bytes that these hexadecimal digits stand for.
pub(in crate::zab) fn bytes_of(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
