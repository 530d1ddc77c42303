//! Puts the bytes of a connection into words.

use ringkeeper::id::Zxid;
use ringkeeper::proto::quorum::packet;
use ringkeeper::zab::packets::{Packet, PacketReader};

use crate::disk::Database;

/// Reads one direction of a connection.
pub struct Ear {
    reader: PacketReader,
    /// Whether the next bytes belong to a tree.
    is_tree: bool,
    tree: Vec<u8>,
}

impl Default for Ear {
    fn default() -> Self {
        Ear { reader: PacketReader::new(1 << 20), is_tree: false, tree: Vec::new() }
    }
}

impl Ear {
    pub fn hear(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut rest = bytes.to_vec();
        loop {
            if self.is_tree {
                self.tree.append(&mut rest);
                let Some(length) = Database::length(&self.tree) else { return lines };
                rest = self.tree.split_off(length);
                self.tree.clear();
                self.is_tree = false;
            }
            self.reader.push(&rest);
            loop {
                let Some(packet) = self.reader.next().unwrap() else { return lines };
                lines.push(describe(&packet));
                if packet.kind == packet::SNAP {
                    rest = self.reader.take_rest();
                    self.is_tree = true;
                    break;
                }
            }
        }
    }
}

fn describe(packet: &Packet) -> String {
    let name = match packet.kind {
        packet::FOLLOWERINFO => "FOLLOWERINFO",
        packet::LEADERINFO => "LEADERINFO",
        packet::ACKEPOCH => "ACKEPOCH",
        packet::DIFF => "DIFF",
        packet::TRUNC => "TRUNC",
        packet::SNAP => "SNAP",
        packet::NEWLEADER => "NEWLEADER",
        packet::UPTODATE => "UPTODATE",
        packet::PROPOSAL => "PROPOSAL",
        packet::ACK => "ACK",
        packet::COMMIT => "COMMIT",
        other => panic!("nobody has a reason for a packet of type {other}"),
    };
    if packet.zxid == Zxid::NONE {
        return name.to_owned();
    }
    format!("{name} {}:{}", packet.zxid.epoch(), packet.zxid.counter())
}
