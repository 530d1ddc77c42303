//! Trees in transit between servers, whole and broken.

#![allow(clippy::disallowed_methods, reason = "golden files are read from the disk")]

use std::path::PathBuf;

use super::format::HEADER_BYTES;
use super::tests::{load_plain, same, sample, written};
use super::*;
use crate::database::{Database, DatabaseOptions};
use crate::id::Zxid;
use crate::proto::txn::{DIGEST_VERSION, Txn, TxnDigest};
use crate::txnlog::tests::create;

/// The pieces of a stream, with a transaction applied between any two.
fn stream(database: &mut Database) -> Vec<u8> {
    let mut writer = StreamWriter::begin(database);
    let mut zxid = writer.zxid().0;
    let mut bytes = Vec::new();
    while let Some(piece) = writer.next_piece(database) {
        assert!(piece.len() < 256 << 10, "a piece of {} bytes", piece.len());
        bytes.extend_from_slice(&piece);
        zxid += 1;
        database.apply_in_replay(&create(zxid, b"later"));
    }
    bytes
}

/// Feeds a stream in pieces, and gives the database and the number of bytes left over.
fn read_in(
    bytes: &[u8],
    piece_bytes: usize,
    zxid: Zxid,
) -> Result<Option<(Database, usize)>, SnapshotError> {
    let mut reader = StreamReader::new(DatabaseOptions::default(), zxid, None);
    let mut fed = 0;
    for piece in bytes.chunks(piece_bytes) {
        fed += piece.len();
        match reader.feed(piece)? {
            StreamProgress::NeedMore => (),
            StreamProgress::Done { database, consumed } => {
                return Ok(Some((*database, bytes.len() - fed + piece.len() - consumed)));
            }
        }
    }
    Ok(None)
}

#[test]
fn a_stream_is_the_state_of_its_beginning_and_a_file_without_its_ends() {
    let mut database = sample(3000);
    let bytes = stream(&mut database);
    let expected = sample(3000);
    for piece_bytes in [1 << 20, 100_003, 8192, 777] {
        let (read, rest) = read_in(&bytes, piece_bytes, Zxid(3000)).unwrap().unwrap();
        assert_eq!(rest, 0);
        assert_eq!((read.digest(), read.node_count()), (expected.digest(), expected.node_count()));
        assert_eq!(read.last_processed(), Zxid(3000));
        same(&expected, &read, "/");
    }
    let tree = stream(&mut sample(40));
    let tree = &tree[..tree.len() - 14];
    assert_eq!(written(40)[HEADER_BYTES..][..tree.len()], *tree);
}

#[test]
fn a_tree_of_zookeeper_goes_through_a_stream_unchanged() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/datadir-3.10-HEAD/version-2/snapshot.400000003");
    let file = std::fs::read(path).unwrap();
    let zxid = Zxid(0x4_0000_0003);
    let mut loaded = load_plain(&file, zxid).unwrap().database;
    let sent = stream(&mut loaded);
    let (read, _) = read_in(&sent, 1000, zxid).unwrap().unwrap();
    let loaded = load_plain(&file, zxid).unwrap().database;
    assert_eq!(read.digest(), loaded.digest());
    assert_eq!(read.sessions().collect::<Vec<_>>(), loaded.sessions().collect::<Vec<_>>());
    same(&loaded, &read, "/");
    // ZooKeeper sends the bytes of its file without the header, and without the parts behind the tree.
    let mut sent = file[HEADER_BYTES..file.len() - 13 - 33 - 21].to_vec();
    sent.extend_from_slice(b"\0\0\0\x0aBenWasHere");
    let (read, rest) = read_in(&sent, 64, zxid).unwrap().unwrap();
    assert_eq!((read.digest(), rest), (loaded.digest(), 0));
}

#[test]
fn what_follows_the_tree_is_left_to_others() {
    let mut bytes = stream(&mut sample(20));
    let tree_bytes = bytes.len();
    bytes.extend_from_slice(&[7; 100]);
    for piece_bytes in 1..200 {
        let mut reader = StreamReader::new(DatabaseOptions::default(), Zxid(20), None);
        let mut fed = 0;
        for piece in bytes.chunks(piece_bytes) {
            match reader.feed(piece).unwrap() {
                StreamProgress::NeedMore => fed += piece.len(),
                StreamProgress::Done { consumed, .. } => {
                    assert_eq!(fed + consumed, tree_bytes, "in pieces of {piece_bytes}");
                    break;
                }
            }
        }
    }
}

#[test]
fn a_broken_stream_is_refused_or_never_ends_and_does_not_depend_on_its_pieces() {
    let bytes = stream(&mut sample(4));
    for cut in 0..bytes.len() {
        assert!(read_in(&bytes[..cut], 50, Zxid(4)).unwrap().is_none(), "cut at {cut}");
    }
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x40;
        let outcome = |piece_bytes| match read_in(&changed, piece_bytes, Zxid(4)) {
            Ok(done) => done.map(|(database, rest)| format!("{} {rest}", database.digest())),
            Err(error) => Some(error.to_string()),
        };
        assert_eq!(outcome(usize::MAX), outcome(7), "byte {at}");
    }
}

#[test]
fn a_stream_that_is_given_up_frees_the_database() {
    let mut database = sample(5000);
    let mut writer = StreamWriter::begin(&mut database);
    writer.next_piece(&mut database).unwrap();
    writer.abandon(&mut database);
    assert_eq!(stream(&mut database), stream(&mut sample(5000)));
}

/// Transactions that carry the digest that the tree has after each, applied to `database`.
fn with_digests(database: &mut Database, zxids: std::ops::RangeInclusive<i64>) -> Vec<Txn> {
    let mut txns = Vec::new();
    for zxid in zxids {
        let txn = create(zxid, b"data");
        database.apply_in_replay(&txn);
        let tree_digest = database.digest();
        let digest = TxnDigest { version: DIGEST_VERSION, tree_digest };
        txns.push(Txn::new(*txn.header(), &txn.body(), Some(digest)));
    }
    txns
}

#[test]
fn a_tree_that_comes_with_its_digest_is_compared_and_may_speak_for_its_history() {
    let mut leader = sample(10);
    let (digest, bytes) = (leader.digest(), stream(&mut leader));
    let read = |digest| {
        let mut reader = StreamReader::new(DatabaseOptions::default(), Zxid(10), digest);
        match reader.feed(&bytes).unwrap() {
            StreamProgress::Done { database, .. } => database,
            StreamProgress::NeedMore => panic!("the stream is whole"),
        }
    };
    assert_eq!(read(Some(digest)).sure_digest(), Some(digest));
    let wrong = read(Some(digest + 1));
    assert_eq!((wrong.digest_mismatches(), wrong.sure_digest()), (1, None));
    assert_eq!(read(None).sure_digest(), None, "it may be ahead");
}

#[test]
fn a_tree_that_is_ahead_of_its_zxid_counts_no_mismatch_here_nor_in_its_file() {
    let mut leader = sample(10);
    let txns = with_digests(&mut leader, 11..=30);
    // The tree of the leader, with zxid 10, already holds everything up to 20.
    let mut ahead = sample(10);
    txns[..10].iter().for_each(|txn| ahead.apply_in_replay(txn));
    let bytes = stream(&mut ahead);
    let (mut learner, _) = read_in(&bytes, 4096, Zxid(10)).unwrap().unwrap();
    assert!(learner.is_fuzzy());

    // The learner's own snapshot, as a later start loads it.
    let file = tests::write_file(&mut learner);
    let loaded = load_plain(&file, Zxid(10)).unwrap();
    assert_eq!(loaded.trailers.digest.map(|digest| digest.zxid), Some(Zxid::ZERO));
    let digest = leader.digest();
    let later = with_digests(&mut leader, 31..=32);
    for mut database in [learner, loaded.database] {
        for (at, txn) in (11..).zip(&txns) {
            assert_eq!(database.is_fuzzy(), at <= 20, "before {at}");
            database.apply(txn, &mut Vec::new());
        }
        assert_eq!(database.digest_mismatches(), 0);
        assert_eq!(database.digest(), digest);
        // From then on the database notices a difference.
        database.apply_in_replay(&create(31, b"x"));
        database.apply_in_replay(&later[1]);
        assert_eq!(database.digest_mismatches(), 1);
    }
}
