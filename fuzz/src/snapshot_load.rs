//! Loading snapshots: files of anything in each compression, and files of ours that were damaged.

use ringkeeper::database::{Database, DatabaseOptions};
use ringkeeper::id::Zxid;
use ringkeeper::io::Op;
use ringkeeper::snapshot::{Compression, Loaded, Progress, Writer, WriterOptions, load};
use ringkeeper::watch::WatchBounds;

use super::disk::{Disk, place_number};
use super::script::Script;
use super::tree_model::World;

/// The first byte chooses whether the rest is a file, or a script that makes one.
pub fn run(data: &[u8]) {
    let Some((&choice, data)) = data.split_first() else { return };
    match choice % 4 {
        0 => anything(data, Compression::None),
        1 => anything(data, Compression::Gzip),
        2 => anything(data, Compression::Snappy),
        _ => damaged(&mut Script::new(data)),
    }
}

const OPTIONS: DatabaseOptions = DatabaseOptions {
    extended_types: true,
    emulate_353_ttl: false,
    digest_enabled: true,
    hash_seed: 3,
    watches: WatchBounds::DEFAULT,
    record: false,
    planted: None,
};

fn loaded(mut file: &[u8], compression: Compression, zxid: Zxid) -> Option<Loaded> {
    load(&mut file, compression, zxid, OPTIONS, &mut |_, _| {}).ok()
}

/// Checks that a database that loads can be written, and that the written file loads as the same database.
fn anything(file: &[u8], compression: Compression) {
    let Some(Loaded { mut database, trailers }) = loaded(file, compression, Zxid(7)) else {
        return;
    };
    let root = database.node("/").expect("what was loaded has a root");
    // The empty name counts as a node, too.
    assert_eq!(root.descendants_count() + 2, database.node_count());
    assert!(trailers.nodes <= database.node_count() as u64);
    for session in database.ephemeral_owners() {
        for path in database.ephemerals(session) {
            assert!(database.node(path).is_some(), "an owner of {path}, which is not there");
        }
    }
    let again = loaded(&written(&mut database), Compression::None, Zxid(7));
    let again = again.expect("our own file loads").database;
    same(&database, &again);
}

fn same(one: &Database, other: &Database) {
    assert_eq!(one.digest(), other.digest());
    assert_eq!(one.node_count(), other.node_count());
    assert_eq!(one.approximate_data_size(), other.approximate_data_size());
    assert_eq!(one.ephemerals_count(), other.ephemerals_count());
    assert_eq!(one.sessions().collect::<Vec<_>>(), other.sessions().collect::<Vec<_>>());
}

/// The database as the bytes of a snapshot.
fn written(database: &mut Database) -> Vec<u8> {
    let options = WriterOptions { nodes_max: 16, slice_bytes: 300, ..WriterOptions::default() };
    let mut writer = Writer::new(options);
    let mut disk = Disk::default();
    let mut ops: Vec<Op> = Vec::new();
    writer.begin(database, &mut ops);
    loop {
        writer.poll(database, &mut ops);
        disk.submit(ops.drain(..));
        let completion = disk.perform().expect("the end comes before there is nothing to do");
        match writer.handle_completion(completion) {
            Progress::None => {}
            Progress::Failed(failure) => panic!("a disk with room: {failure}"),
            Progress::Done { name, bytes, .. } => {
                let key = (place_number(ringkeeper::io::Place::Snapshots), name);
                let file = disk.files.remove(&key).expect("it was committed");
                assert_eq!(file.len() as u64, bytes);
                return file;
            }
        }
    }
}

/// Makes a tree, writes it and damages the file. The reader refuses the damaged file, or reads the same tree.
fn damaged(script: &mut Script<'_>) {
    let mut world = World::new();
    for _ in 0..script.below(40) {
        world.command(script);
    }
    world.finish_snapshot();
    let zxid = world.database.last_processed();
    let file = written(&mut world.database);
    let whole = loaded(&file, Compression::None, zxid).expect("our own file loads").database;
    same(&world.database, &whole);
    assert_eq!(whole.digest_mismatches(), 0);
    let at = usize::from(script.word()) % file.len();
    let mut harmed = file;
    match script.below(3) {
        0 => harmed.truncate(at),
        1 => harmed[at] ^= 1 << script.below(8),
        _ => drop(harmed.drain(at..(at + 1 + script.below(9)).min(harmed.len()))),
    }
    if let Some(Loaded { database, .. }) = loaded(&harmed, Compression::None, zxid) {
        // Only the trailers, which stand behind the checksum, may be damaged without notice.
        same(&world.database, &database);
    }
}
