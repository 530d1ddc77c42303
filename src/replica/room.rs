//! Whether the disk has room for what a leader has to write: its log, and the small files of the epochs. A
//! server without room does not stand for election.

use super::ensemble::Ensemble;
use super::ensemble::ReplicaRole;
use super::pipeline::DiskFull;
use super::pipeline::Pipeline;
use crate::database::Database;
use crate::io::{Completion, IoFailureKind, Op, Place, Token};
use crate::time::{MonoUs, Now};
use crate::zab::Epochs;

/// Time between two attempts to replace a small file. A guess, the same as for the log.
const RETRY_MS: u64 = 1000;

/// Whether the disk has room for small files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Room {
    /// The last small file found room.
    #[default]
    There,
    /// The last small file found no room; when the next attempt begins.
    LookAt(MonoUs),
    /// An attempt is under way.
    ///
    /// Invariant: no epoch file is being written meanwhile.
    Looking(Token),
}

impl Room {
    /// When the next attempt begins.
    pub fn next_timeout(self) -> Option<MonoUs> {
        match self {
            Room::LookAt(at) => Some(at),
            Room::There | Room::Looking(_) => None,
        }
    }
}

impl Pipeline {
    /// Replaces a file by a copy of itself, to see whether there is room again. The file already holds what it should
    /// hold, so nothing depends on how the attempt ends.
    pub(super) fn look_for_room(&mut self, now: Now) {
        // There is room, or an attempt is under way.
        let Room::LookAt(at) = self.room else { return };
        let steps = &mut self.steps;
        // A file that is being written tells as much as an attempt; and two writes of one file must not
        // overtake each other.
        let Some(epochs) = steps.epochs_on_disk.filter(|_| at <= now.mono) else { return };
        if steps.writes_file() {
            self.room = Room::LookAt(now.mono.plus_ms(RETRY_MS));
            return;
        }
        let token = steps.token();
        self.room = Room::Looking(token);
        self.ops.push(Op::FileReplace {
            token,
            place: Place::Snapshots,
            name: Epochs::ACCEPTED_FILE.to_owned(),
            content: epochs.accepted.0.to_string().into_bytes(),
        });
    }

    /// When this server looks for room on the disk again.
    pub(super) fn next_room_timeout(&self) -> Option<MonoUs> {
        let log = match self.disk_full {
            DiskFull::No => None,
            DiskFull::RetryAt(at) => Some(at),
        };
        let log = log.into_iter().chain(self.prepare_again_at);
        log.chain(self.room.next_timeout()).min()
    }
}

impl Pipeline {
    /// Tells the peer whether the disk has room.
    pub(super) fn tell_room(&mut self, now: Now, ensemble: &mut Ensemble) {
        if ensemble.role != ReplicaRole::Alone {
            let has_room = !self.is_disk_full() && self.room == Room::There;
            ensemble.peer.set_room(now.mono, has_room);
        }
    }

    /// A small file found no room.
    pub(super) fn lacks_room_for_files(&mut self, now: Now, ensemble: &mut Ensemble) {
        let is_news = self.room == Room::There;
        self.room = Room::LookAt(now.mono.plus_ms(RETRY_MS));
        if is_news {
            self.tell_room(now, ensemble);
        }
    }

    /// A small file was written.
    pub(super) fn has_room_for_files(&mut self, now: Now, ensemble: &mut Ensemble) {
        if self.room != Room::There {
            self.room = Room::There;
            self.tell_room(now, ensemble);
        }
    }

    /// Handles the end of an attempt to find room. False: the completion is that of another operation.
    pub(super) fn on_room_completion(
        &mut self,
        now: Now,
        completion: &Completion,
        database: &mut Database,
        ensemble: &mut Ensemble,
    ) -> bool {
        if self.room != Room::Looking(completion.token) {
            return false;
        }
        assert!(!self.steps.writes_file(), "no epoch file is written during an attempt");
        match &completion.result {
            Ok(_) => {
                tracing::info!("there is room for small files again");
                self.has_room_for_files(now, ensemble);
            }
            Err(failure) if failure.kind == IoFailureKind::Full => {
                self.lacks_room_for_files(now, ensemble)
            }
            Err(failure) => self.stop(format!("an epoch file cannot be written: {failure}")),
        }
        self.run_steps(now, database, ensemble);
        true
    }
}
