//! The files of the epochs: `acceptedEpoch`, `currentEpoch` and `historyOrigin`, each replaced as a whole.

use super::ensemble::Ensemble;
use super::pipeline::Pipeline;
use super::room::Room;
use super::steps::{Planned, Step, StepPhase};
use crate::database::Database;
use crate::id::Epoch;
use crate::io::{Completion, IoFailureKind, Op, Place};
use crate::time::Now;
use crate::zab::{Epochs, OriginFile};

impl Pipeline {
    /// Begins to replace the next epoch file that differs from `wanted`. True: none differs.
    pub(super) fn write_epochs(&mut self, wanted: Epochs) -> bool {
        let looks_for_room = matches!(self.room, Room::Looking(_));
        let steps = &mut self.steps;
        if steps.phase != StepPhase::Waiting || looks_for_room {
            return false;
        }
        let on_disk = steps.epochs_on_disk;
        let known = on_disk.unwrap_or(wanted);
        let mut origin_file = steps.origin_file;
        let says = origin_file.origin(wanted.current);
        // A server that has followed an epoch says where its history began, so `historyOrigin` is written first. Of the
        // two epochs, `acceptedEpoch` is written first, because it must never be behind `currentEpoch`.
        let (name, content, after) = if wanted.current > Epoch::ZERO && says != wanted.origin {
            origin_file = OriginFile::between(on_disk, wanted);
            let origin = origin_file.origin(known.current);
            (Epochs::ORIGIN_FILE, origin_file.to_string(), Epochs { origin, ..known })
        } else if on_disk.map(|epochs| epochs.accepted) != Some(wanted.accepted) {
            let after = Epochs { accepted: wanted.accepted, ..known };
            (Epochs::ACCEPTED_FILE, wanted.accepted.to_string(), after)
        } else if on_disk.map(|epochs| epochs.current) != Some(wanted.current) {
            (Epochs::CURRENT_FILE, wanted.current.to_string(), wanted)
        } else {
            return true;
        };
        let token = steps.token();
        steps.phase = StepPhase::File(token, after, origin_file);
        self.ops.push(Op::FileReplace {
            token,
            place: Place::Snapshots,
            name: name.to_owned(),
            content: content.into_bytes(),
        });
        false
    }

    /// Handles the end of one of the replica's own operations.
    pub(super) fn on_file_completion(
        &mut self,
        now: Now,
        completion: Completion,
        database: &mut Database,
        ensemble: &mut Ensemble,
    ) {
        if self.on_room_completion(now, &completion, database, ensemble) {
            return;
        }
        let steps = &mut self.steps;
        // The completion is that of an attempt to find room that no longer matters.
        let StepPhase::File(token, after, origin_file) = steps.phase else { return };
        if token != completion.token {
            return;
        }
        let first = steps.planned.front().map(|planned| &planned.step);
        assert!(matches!(first, Some(Step::Epochs(_))), "an epoch file is part of the first step");
        steps.phase = StepPhase::Waiting;
        match completion.result {
            Ok(_) => {
                steps.epochs_on_disk = Some(after);
                steps.origin_file = origin_file;
                self.has_room_for_files(now, ensemble);
                self.run_steps(now, database, ensemble);
            }
            Err(failure) if failure.kind == IoFailureKind::Full => {
                // The messages behind the file would not be true, so they are not sent.
                tracing::error!(%failure, "no room for an epoch file: leaving the ensemble for now");
                let durable = |planned: &Planned| match planned.step {
                    Step::Durable(token) => Some(token),
                    _ => None,
                };
                let unwritten: Vec<u64> = steps.planned.iter().filter_map(durable).collect();
                steps.planned.retain(|planned| planned.step.is_cut());
                steps.epochs_planned = steps.epochs_on_disk;
                self.lacks_room_for_files(now, ensemble);
                let reason = "no room on the disk for an epoch file";
                ensemble.peer.leave_unwritten(now.mono, reason, &unwritten);
            }
            Err(failure) => self.stop(format!("an epoch file cannot be written: {failure}")),
        }
    }

    // ---- truncate
}
