//! Starts on folders that have lost something.

use super::harness::{Crashing, Server};
use super::*;

fn member() -> RecoveryOptions {
    RecoveryOptions { ensemble: true, ..RecoveryOptions::default() }
}

fn recover_as(folder: &dyn Folder, options: &RecoveryOptions) -> Result<Recovered, RecoveryError> {
    recover(folder, options, &mut |_| ())
}

/// A server that skipped the tree would claim its epoch, and with the rest of its log beat servers that have more.
#[test]
fn a_damaged_tree_of_a_leader_with_nothing_behind_it_is_refused() {
    for alone in [false, true] {
        let mut server = Server::new();
        server.log(&[1, 2, 3]);
        server.restore(0x1_0000_0009);
        let (folder, _) = server.stop();
        folder.put(Place::Snapshots, "acceptedEpoch", b"1".to_vec());
        folder.put(Place::Snapshots, "currentEpoch", b"1".to_vec());
        let options = RecoveryOptions { ensemble: !alone, ..RecoveryOptions::default() };
        let whole = recover_as(&folder, &options).unwrap();
        assert_eq!(whole.zxid, Zxid(0x1_0000_0009));
        let content = folder.get(Place::Snapshots, "snapshot.100000009").unwrap();
        let mut flipped = content.clone();
        flipped[100] ^= 1;
        for (damaged, reason) in [
            (flipped, "checksum"),
            (content[..content.len() / 2].to_vec(), "it is incomplete"),
            (Vec::new(), "it is incomplete"),
        ] {
            folder.put(Place::Snapshots, "snapshot.100000009", damaged);
            let before = folder.list(Place::Snapshots).unwrap();
            let error = recover_as(&folder, &options).unwrap_err();
            assert!(matches!(error, RecoveryError::LostTree { last: Zxid(3), .. }), "{error}");
            let text = error.to_string();
            let way_out = "leave acceptedEpoch and currentEpoch where they are";
            for part in ["snapshot.100000009", reason, "ends at 0x3", way_out] {
                assert!(text.contains(part), "{part}: {text}");
            }
            assert_eq!(folder.list(Place::Snapshots).unwrap(), before, "nothing was touched");
        }
        // The damaged tree alone: the folder looks almost empty.
        for name in ["snapshot.0", "log.1"] {
            folder.remove(Place::Snapshots, name).unwrap();
        }
        let error = recover_as(&folder, &options).unwrap_err();
        assert!(matches!(error, RecoveryError::LostTree { last: Zxid::ZERO, .. }), "{error}");
    }
}

#[test]
fn a_damaged_snapshot_whose_content_is_in_the_log_is_passed_over() {
    let mut server = Server::new();
    server.log(&[1, 2, 3]);
    server.snapshot();
    server.log(&[4]);
    let (folder, _) = server.stop();
    let content = folder.get(Place::Snapshots, "snapshot.3").unwrap();
    folder.put(Place::Snapshots, "snapshot.3", content[..content.len() / 2].to_vec());
    assert_eq!(recover_as(&folder, &member()).unwrap().zxid, Zxid(4));
}

/// Whenever the power is cut, the next start must find the operator's file, or what the file vouches for.
#[test]
fn initialize_is_there_until_what_it_vouches_for_is_durable() {
    let options = RecoveryOptions { autocreate: false, ..member() };
    for stale in [false, true] {
        for changes in 0.. {
            let folder = MemoryFolder::new();
            folder.put(Place::DataDir, "initialize", Vec::new());
            if stale {
                folder.put(Place::Snapshots, "acceptedEpoch", b"4".to_vec());
                folder.put(Place::Snapshots, "currentEpoch", b"3".to_vec());
            }
            let crashing = Crashing::after(changes, &folder);
            let done = recover_as(&crashing, &options);
            let again = recover_as(&folder, &options).unwrap();
            assert_eq!(again.zxid, Zxid::ZERO, "after {changes} changes");
            let accepted = Epoch(if stale { 4 } else { 0 });
            let epochs = again.epochs.unwrap();
            assert_eq!((epochs.accepted, epochs.current), (accepted, Epoch::ZERO));
            assert_eq!(folder.get(Place::DataDir, "initialize"), None);
            if done.is_ok() {
                assert!(changes >= 3, "snapshot, two epochs and the file itself");
                break;
            }
        }
    }
}

/// An old `initialize` must not make a folder look new that loses its data later.
#[test]
fn initialize_beside_data_goes_at_once() {
    let mut server = Server::new();
    server.log(&[1]);
    let (folder, _) = server.stop();
    folder.put(Place::DataDir, "initialize", Vec::new());
    folder.put(Place::Snapshots, "acceptedEpoch", b"nonsense".to_vec());
    recover_as(&folder, &member()).unwrap_err();
    assert_eq!(folder.get(Place::DataDir, "initialize"), None);
}

#[test]
fn an_empty_folder_whose_epoch_says_that_there_was_data_has_no_vote() {
    let folder = MemoryFolder::new();
    folder.put(Place::Snapshots, "acceptedEpoch", b"3".to_vec());
    folder.put(Place::Snapshots, "currentEpoch", b"2".to_vec());
    let lost = recover_as(&folder, &member()).unwrap();
    assert_eq!(lost.zxid, Zxid::NONE);
    assert!(lost.notes.iter().any(|note| note.contains("epoch 2")), "{:?}", lost.notes);
    let again = recover_as(&folder, &member()).unwrap();
    assert_eq!(again.zxid, Zxid::NONE, "and after another start");
}

/// A member that loses its data has forgotten what it acknowledged. If it had a vote, it could elect a server that
/// lacks the same transactions.
#[test]
fn who_does_what_is_said_about_epoch_files_has_no_vote_without_data() {
    let written = [
        (Some("4"), Some("4")),
        (Some("0"), Some("0")),
        (Some("-1"), Some("0")),
        (Some("0"), None),
        (Some("0"), Some("4")),
        (Some("5"), Some("4")),
        (None, Some("4")),
        (None, Some("0")),
        (Some("five"), Some("5")),
        (Some(""), Some("0")),
        (Some("5"), Some("-3")),
    ];
    for (current, accepted) in written {
        let context = format!("currentEpoch {current:?}, acceptedEpoch {accepted:?}");
        let folder = golden_folder();
        for (name, content) in [("currentEpoch", current), ("acceptedEpoch", accepted)] {
            match content {
                Some(content) => folder.put(Place::Snapshots, name, content.into()),
                None => folder.remove(Place::Snapshots, name).unwrap(),
            }
        }
        let said = recover_as(&folder, &member()).unwrap_err().to_string();
        assert!(
            said.contains("the other servers have a quorum, move log.* and snapshot.*"),
            "{said}"
        );
        for file in folder.list(Place::Snapshots).unwrap() {
            if file.name.starts_with("log.") || file.name.starts_with("snapshot.") {
                folder.remove(Place::Snapshots, &file.name).unwrap();
            }
        }
        let number = |before: &str, behind: &str| -> Option<Vec<u8>> {
            let (_, rest) = said.split_once(before)?;
            let number = rest.split(|it: char| !it.is_ascii_digit()).next()?;
            rest.contains(behind).then(|| number.into())
        };
        let of_leader =
            said.contains("what currentEpoch of the leader says").then(|| b"7".to_vec());
        if let Some(both) = number("aside, write ", "into both of these files").or(of_leader) {
            folder.put(Place::Snapshots, "currentEpoch", both.clone());
            folder.put(Place::Snapshots, "acceptedEpoch", both);
        }
        for start in 1..=2 {
            let recovered = recover_as(&folder, &member());
            let recovered = recovered.unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(recovered.zxid, Zxid::NONE, "{context}, start {start}: {said}");
        }
    }
}

/// currentEpoch may be lost together with the data, or may have been 0 when the data was lost.
#[test]
fn an_empty_folder_of_a_server_that_has_accepted_an_epoch_has_no_vote() {
    for current in [None, Some("0"), Some("-1")] {
        let folder = MemoryFolder::new();
        folder.put(Place::Snapshots, "acceptedEpoch", b"3".to_vec());
        if let Some(current) = current {
            folder.put(Place::Snapshots, "currentEpoch", current.into());
        }
        let lost = recover_as(&folder, &member()).unwrap();
        assert_eq!(lost.zxid, Zxid::NONE, "{current:?}");
        assert!(
            lost.notes.iter().any(|note| note.contains("acceptedEpoch says")),
            "{:?}",
            lost.notes
        );
        folder.put(Place::DataDir, "initialize", Vec::new());
        let new = recover_as(&folder, &member()).unwrap();
        assert_eq!((new.zxid, new.epochs.unwrap().accepted), (Zxid::ZERO, Epoch(3)));
        assert_eq!(
            recover_as(&folder, &member()).unwrap().zxid,
            Zxid::ZERO,
            "its snapshot is there"
        );
    }
}

/// 1. A server without data gets a tree of epoch 1.
/// 2. A power cut comes before it writes currentEpoch.
/// 3. If the file then held the number that means "do not count me" to every leader, no leader would ever count the server
///    again.
#[test]
fn a_server_that_stopped_behind_its_first_tree_has_an_epoch_that_counts() {
    let options = RecoveryOptions { autocreate: false, ..member() };
    let folder = MemoryFolder::new();
    let unknown = recover_as(&folder, &options).unwrap();
    assert_eq!(unknown.zxid, Zxid::NONE);
    let mut server = Server::new();
    server.restore(0x1_0000_0009);
    let (tree, _) = server.stop();
    let content = tree.get(Place::Snapshots, "snapshot.100000009").unwrap();
    // The value that Ringkeeper writes, and ZooKeeper's.
    let ours = folder.get(Place::Snapshots, "currentEpoch").unwrap();
    for current in [ours, b"-1".to_vec()] {
        let folder = MemoryFolder::new();
        folder.put(Place::Snapshots, "snapshot.100000009", content.clone());
        folder.put(Place::Snapshots, "acceptedEpoch", b"1".to_vec());
        folder.put(Place::Snapshots, "currentEpoch", current);
        let epochs = recover_as(&folder, &options).unwrap().epochs.unwrap();
        assert_eq!((epochs.accepted, epochs.current), (Epoch(1), Epoch::ZERO));
    }
    folder.put(Place::Snapshots, "currentEpoch", b"-2".to_vec());
    let error = recover_as(&folder, &options).unwrap_err().to_string();
    assert!(error.contains("-2 is no epoch"), "{error}");
}
