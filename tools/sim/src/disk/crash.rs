//! What becomes of the files when a process is killed, or the power goes: any part of what was not synced may have
//! happened.

use ringkeeper::io::{Op, Place, segment_temporary};

use super::super::names::{Named, Names};
use super::{Disk, SECTOR_BYTES, Unsynced, index};

impl Disk {
    /// Ends the process. With `power`, everything that only the system knew is lost too.
    pub fn crash(&mut self, power: bool) {
        if power {
            self.lose_writes();
            self.lose_names();
        }
        // The ops end in any order, because they were under way at the same time.
        while !self.pending.is_empty() {
            let at = self.rng.index(self.pending.len());
            let number = *self.pending.keys().nth(at).expect("below the length");
            let op = self.pending.remove(&number).expect("it is there");
            self.do_in_part(op);
        }
        if let Some((name, mut content)) = self.snapshot.take()
            && !(power && self.rng.one_in(3))
        {
            if power {
                self.tear(&mut content);
            }
            self.put(Place::Snapshots, &name, &content);
        }
        self.segments.clear();
        if power {
            // The draw has decided which of these names are kept.
            *self.names.get_mut() = Names::default();
            self.unsynced.get_mut().clear();
        }
        if let Some(overwritten) = &mut self.overwritten {
            overwritten.clear();
        }
        self.snapshot_failed = false;
        self.snapshot_busy_until = 0;
        self.erred = false;
    }

    /// Gives any of the unsynced sectors their old content.
    fn lose_writes(&mut self) {
        let unsynced = std::mem::take(self.unsynced.get_mut());
        if unsynced.is_empty() {
            return;
        }
        let lost_of_four = self.names_rng.below(5);
        let files = self.folder.files.get_mut();
        for Unsynced { key, offset, old } in unsynced.into_iter().rev() {
            let is_lost = self.names_rng.below(4) < lost_of_four;
            let Some(file) = files.get_mut(&key).filter(|_| is_lost) else { continue };
            if let Some(sector) = file.get_mut(offset..offset + old.len()) {
                sector.copy_from_slice(&old);
            }
        }
    }

    /// Gives files their old names.
    fn lose_names(&mut self) {
        let count = self.names.get_mut().count();
        if count == 0 {
            return;
        }
        let kept = self.names_rng.index(count + 1);
        let (files, groups) = (self.folder.files.get_mut(), self.last_groups.get_mut());
        for lost in self.names.get_mut().lose(kept) {
            match lost {
                Named::Renamed { from, to } => {
                    if let Some(file) = files.remove(&to) {
                        if let Some(group) = groups.remove(&to.1) {
                            groups.insert(from.1.clone(), group);
                        }
                        files.insert(from, file);
                    }
                }
                Named::Replaced { key, old } => {
                    match old {
                        Some(old) => files.insert(key, old),
                        None => files.remove(&key),
                    };
                }
            }
        }
    }

    /// Gives a file any content that it may have if its writing was not finished.
    fn tear(&mut self, content: &mut Vec<u8>) {
        content.truncate(self.rng.index(content.len() + 1));
        for sector in content.chunks_mut(SECTOR_BYTES) {
            if self.rng.one_in(4) {
                sector.fill(0);
            }
        }
    }

    /// Does any part of an op that never ended.
    pub(super) fn do_in_part(&mut self, op: Op) {
        let happened = self.rng.one_in(2);
        match op {
            Op::LogWrite { segment, offset, buf, bytes, .. } => {
                let Some(name) = self.segments.get(&segment).cloned() else { return };
                let lost_of_four = self.rng.below(5);
                let key = self.key(Place::Logs, &name);
                let mut files = self.folder.files.borrow_mut();
                let Some(file) = files.get_mut(&key) else { return };
                let from = index(offset);
                for at in (0..bytes as usize).step_by(SECTOR_BYTES) {
                    if self.rng.below(4) >= lost_of_four {
                        let to = from + at;
                        let old = file[to..to + SECTOR_BYTES].to_vec();
                        let sector = Unsynced { key: key.clone(), offset: to, old };
                        self.unsynced.borrow_mut().push(sector);
                        file[to..to + SECTOR_BYTES].copy_from_slice(&buf[at..at + SECTOR_BYTES]);
                    }
                }
                // The torn group does not count as the last one, because the group before it is the last durable
                // one.
            }
            Op::SegmentPrepare { segment, bytes, header, .. } => {
                if happened {
                    let mut file = vec![0; index(self.rng.below(bytes)).max(header.len())];
                    file[..header.len()].copy_from_slice(&header);
                    self.put(Place::Logs, &segment_temporary(segment), &file);
                }
            }
            // Each of these ops has happened whole or not at all.
            Op::SegmentName { segment, ref name, .. } => {
                if happened {
                    let from = self.segments.get(&segment).map(|old| self.key(Place::Logs, old));
                    let to = self.key(Place::Logs, name);
                    if let (Ok(_), Some(from)) = (self.change(op), from) {
                        self.names.get_mut().give(Named::Renamed { from, to });
                    }
                }
            }
            Op::SegmentClose { .. } => {
                if happened {
                    // No process waits for the result.
                    drop(self.change(op));
                }
            }
            Op::SnapshotCreate { temporary, .. } => {
                if happened {
                    self.snapshot = Some((temporary, Vec::new()));
                }
            }
            Op::SnapshotWrite { mut bytes, .. } => {
                self.tear(&mut bytes);
                if let Some((_, content)) = &mut self.snapshot {
                    content.extend_from_slice(&bytes);
                }
            }
            // The file is synced before it is renamed, so the final name always means the whole file. The writer
            // asks for the name only when every write is done.
            Op::SnapshotCommit { name, .. } => {
                if happened && let Some((temporary, content)) = self.snapshot.take() {
                    self.put(Place::Snapshots, &name, &content);
                    let [from, to] = [temporary, name].map(|it| self.key(Place::Snapshots, &it));
                    self.names.get_mut().give(Named::Renamed { from, to });
                }
            }
            Op::SnapshotAbandon { .. } => {
                if happened {
                    self.snapshot = None;
                }
            }
            Op::FileReplace { place, name, mut content, .. } => {
                if happened {
                    let (key, old) = (self.key(place, &name), self.get(place, &name));
                    self.put(place, &name, &content);
                    self.names.get_mut().give(Named::Replaced { key, old });
                } else if self.rng.one_in(2) {
                    self.tear(&mut content);
                    self.put(place, &format!("{name}.tmp"), &content);
                }
            }
            Op::Remove { place, names, .. } => {
                for name in names {
                    if self.rng.one_in(2) {
                        let key = self.key(place, &name);
                        self.folder.files.borrow_mut().remove(&key);
                    }
                }
            }
        }
    }
}
