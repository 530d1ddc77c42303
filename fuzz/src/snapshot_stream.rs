//! A tree from a leader: a stream of anything, in pieces.

use ringkeeper::database::{Database, DatabaseOptions};
use ringkeeper::id::Zxid;
use ringkeeper::snapshot::{StreamProgress, StreamReader, StreamWriter};

/// The first two bytes give the length of a piece, and the rest is the stream.
pub fn run(data: &[u8]) {
    let Some((&[low, high], stream)) = data.split_first_chunk() else { return };
    let piece_bytes = usize::from(u16::from_be_bytes([high, low])).max(1);
    let whole = read(stream, stream.len().max(1));
    let pieces = read(stream, piece_bytes);
    match (whole, pieces) {
        (Ended::Done(mut one, rest), Ended::Done(other, rest_other)) => {
            assert_eq!(rest, rest_other, "where the tree ends");
            same(&one, &other);
            let sent = written(&mut one);
            let Ended::Done(again, 0) = read(&sent, piece_bytes) else {
                panic!("what was sent can be read");
            };
            same(&one, &again);
        }
        (Ended::Wanting, Ended::Wanting) => {}
        (Ended::Refused(one), Ended::Refused(other)) => assert_eq!(one, other),
        (one, other) => panic!("the pieces decide: {} and {}", one.name(), other.name()),
    }
}

enum Ended {
    Done(Box<Database>, usize),
    Wanting,
    Refused(String),
}

impl Ended {
    fn name(&self) -> &str {
        match self {
            Ended::Done(..) => "whole",
            Ended::Wanting => "not whole",
            Ended::Refused(reason) => reason,
        }
    }
}

fn read(stream: &[u8], piece_bytes: usize) -> Ended {
    let options = DatabaseOptions { hash_seed: 3, ..DatabaseOptions::default() };
    let mut reader = StreamReader::new(options, Zxid(7), None);
    let mut left = stream.len();
    for piece in stream.chunks(piece_bytes) {
        match reader.feed(piece) {
            Ok(StreamProgress::NeedMore) => left -= piece.len(),
            Ok(StreamProgress::Done { database, consumed }) => {
                return Ended::Done(database, left - consumed);
            }
            Err(error) => return Ended::Refused(error.to_string()),
        }
    }
    Ended::Wanting
}

fn written(database: &mut Database) -> Vec<u8> {
    let mut writer = StreamWriter::begin(database);
    let mut sent = Vec::new();
    while let Some(piece) = writer.next_piece(database) {
        sent.extend_from_slice(&piece);
    }
    sent
}

fn same(one: &Database, other: &Database) {
    assert_eq!(one.digest(), other.digest());
    assert_eq!(one.node_count(), other.node_count());
    assert_eq!(one.approximate_data_size(), other.approximate_data_size());
    assert_eq!(one.sessions().collect::<Vec<_>>(), other.sessions().collect::<Vec<_>>());
}
