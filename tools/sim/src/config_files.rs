//! The configuration files of a simulated server: `zoo.cfg`, the dynamic file that it names, and
//! `zoo.cfg.dynamic.next`. The real [`Keeper`] writes them and the real reader reads them.
//!
//! The power may go between any two steps of the writer: while it writes a temporary file (any part of which may
//! then exist), before it renames that, and before the rename is durable (which then may have happened or not). The
//! rule that is easy to break: after any step, the next start finds a whole configuration, the old one or the new
//! one.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use ringkeeper::config::dynamic::{Files, Keeper, beside, dynamic_text};
use ringkeeper::config::{self, Format, SourceFile, Sources};
use ringkeeper::id::ServerId;
use ringkeeper::quorum::Config;
use ringkeeper::zab::ConfigChange;

const STATIC_FILE: &str = "/conf/zoo.cfg";
const MY_ID_FILE: &str = "/data/myid";

/// The settings in the static file of every server, beside the members.
const SETTINGS: &str = "dataDir=/data\ninitLimit=5\nsyncLimit=5\nreconfigEnabled=true\n\
                        standaloneEnabled=false\nadmin.enableServer=false\nclientPort=2181\n";

/// The moment at which the power goes.
#[derive(Clone, Copy, Debug)]
pub struct PowerCut {
    /// Steps that are still done.
    pub steps: u64,
    /// The part of a temporary file that exists if the power goes while it is written, in thousandths.
    pub part_per_mille: u64,
    /// Whether a rename that was not synced has happened.
    pub renamed: bool,
}

/// The files, which outlive the server's processes.
#[derive(Debug, Default)]
pub struct ConfigFiles {
    files: RefCell<BTreeMap<PathBuf, Vec<u8>>>,
    keeper: Option<Keeper>,
    cut: Cell<Option<PowerCut>>,
}

impl ConfigFiles {
    /// Writes the files as an operator does by hand.
    pub fn write_by_hand(&mut self, me: ServerId, config: &Config) {
        let mut files = BTreeMap::new();
        let members = dynamic_text(config);
        let named = match config.version {
            0 => members,
            version => {
                let dynamic = beside(Path::new(STATIC_FILE), &format!(".dynamic.{version:x}"));
                let line = format!("dynamicConfigFile={}", dynamic.display());
                files.insert(dynamic, members.into_bytes());
                line
            }
        };
        files.insert(STATIC_FILE.into(), format!("{SETTINGS}{named}\n").into_bytes());
        files.insert(MY_ID_FILE.into(), me.to_string().into_bytes());
        self.files = RefCell::new(files);
    }

    /// Reads the files as a process does that begins: the active configuration, and the proposed one if there is
    /// one.
    ///
    /// # Errors
    /// The files cannot be used; the text says why.
    pub fn open(&mut self) -> Result<(Config, Option<Config>), String> {
        let config = self.examine()?;
        self.keeper = Some(Keeper::new(&config, Some(Path::new(STATIC_FILE))));
        Ok((config.quorum.ensemble(), config.quorum.last_seen))
    }

    /// Reads the files without beginning a process.
    ///
    /// # Errors
    /// The files cannot be used; the text says why.
    pub fn look(&self) -> Result<(Config, Option<Config>), String> {
        let config = self.examine()?;
        Ok((config.quorum.ensemble(), config.quorum.last_seen))
    }

    fn examine(&self) -> Result<config::Config, String> {
        let files = self.files.borrow();
        let bytes = files.get(Path::new(STATIC_FILE)).ok_or("there is no zoo.cfg")?;
        let file = SourceFile { name: STATIC_FILE, bytes, format: Format::of_name(STATIC_FILE) };
        let mut read = |path: &Path| Ok(files.get(path).cloned());
        let mut examination = config::examine(
            Sources { file: Some(file), flags: &[], properties: &[] },
            Some(&mut read),
        );
        // A removed server is not in its own files any more. It would not start, and says so, but nothing is wrong
        // with the files.
        examination.errors.retain(|error| !error.origin.to_string().starts_with(MY_ID_FILE));
        examination
            .into_result()
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }

    /// Writes a change of the ensemble to the files. Returns `false` if the power went meanwhile.
    pub fn keep(&mut self, change: &ConfigChange, cut: Option<PowerCut>) -> bool {
        let Some(mut keeper) = self.keeper.take() else { return true };
        self.cut.set(cut);
        keeper.keep_in(self, change);
        self.cut.set(None);
        self.keeper = Some(keeper);
        cut.is_none()
    }

    /// Counts one step. Returns `false` if the power went before it.
    fn step(&self) -> bool {
        match self.cut.get() {
            None => true,
            Some(PowerCut { steps: 0, .. }) => false,
            Some(cut) => {
                self.cut.set(Some(PowerCut { steps: cut.steps - 1, ..cut }));
                true
            }
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("the power went")
}

impl Files for ConfigFiles {
    fn read(&self, file: &Path) -> io::Result<Vec<u8>> {
        self.files.borrow().get(file).cloned().ok_or(io::ErrorKind::NotFound.into())
    }

    fn replace(&self, file: &Path, bytes: &[u8]) -> io::Result<()> {
        let temporary = beside(file, ".tmp");
        let put = |name: &Path, bytes: &[u8]| {
            self.files.borrow_mut().insert(name.to_owned(), bytes.to_vec());
        };
        if !self.step() {
            // If the power went long before, the writer writes nothing, and a reader knows no power cut.
            let part = self.cut.get().map_or(0, |cut| cut.part_per_mille);
            let length = bytes.len() * usize::try_from(part).unwrap_or(0) / 1000;
            put(&temporary, &bytes[..length]);
            return Err(gone());
        }
        put(&temporary, bytes);
        if !self.step() {
            return Err(gone());
        }
        let may_be_lost = !self.step();
        if !may_be_lost || self.cut.get().is_some_and(|cut| cut.renamed) {
            put(file, bytes);
            self.files.borrow_mut().remove(&temporary);
        }
        if may_be_lost { Err(gone()) } else { Ok(()) }
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        if !self.step() {
            return Err(gone());
        }
        match self.files.borrow_mut().remove(file) {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn whole_name(&self, file: &Path) -> io::Result<PathBuf> {
        match self.files.borrow().contains_key(file) {
            true => Ok(file.to_owned()),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    fn config(ids: &[i64], version: i64) -> Config {
        let line = |id: &i64| format!("server.{id}=s{id}:2888:3888:participant\n");
        let lines: String = ids.iter().map(line).collect();
        Config::parse(&format!("{lines}version={version:x}")).unwrap()
    }

    fn after(cut: Option<PowerCut>, changes: &[ConfigChange]) -> (Config, Option<Config>) {
        let mut files = ConfigFiles::default();
        files.write_by_hand(ServerId(1), &config(&[1, 2], 5));
        assert_eq!(files.open(), Ok((config(&[1, 2], 5), None)));
        let (last, before) = changes.split_last().unwrap();
        assert!(before.iter().all(|change| files.keep(change, None)));
        files.keep(last, cut);
        files.open().unwrap()
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let next = Rc::new(config(&[1, 2, 3], 7));
        let proposed = ConfigChange::Proposed(next.clone());
        let (old, new) = (config(&[1, 2], 5), config(&[1, 2, 3], 7));
        assert_eq!(after(None, std::slice::from_ref(&proposed)), (old, Some(new.clone())));
        assert_eq!(after(None, &[proposed, ConfigChange::Active(next)]), (new, None));
    }

    /// The steps of one change: three for each of two files, and one for the removal of a third file.
    const STEPS: u64 = 7;

    #[test]
    fn wherever_the_power_goes_one_of_the_two_configurations_is_read() {
        let next = Rc::new(config(&[1, 2, 3], 7));
        let changes = [ConfigChange::Proposed(next.clone()), ConfigChange::Active(next)];
        let mut found = Vec::new();
        for steps in 0..=STEPS {
            for part_per_mille in [0, 500, 1000] {
                for renamed in [false, true] {
                    let cut = Some(PowerCut { steps, part_per_mille, renamed });
                    let (active, last_seen) = after(cut, &changes);
                    // Either the old one with the proposed one, or the new one.
                    assert!(active.version == 7 || last_seen.is_some(), "{cut:?}");
                    found.push((active.version, last_seen.map(|next| next.version)));
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        // Between the change of the static file and the removal, the proposed configuration is still there.
        assert_eq!(found, [(5, Some(7)), (7, None), (7, Some(7))]);
    }
}
