//! What the AdminServer answers: a request's path and words in, status and JSON out.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::http::StatusCode;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::commands::{self, Command};
use super::jackson;
use crate::admin::inquiries::{Asker, Unanswered};
use crate::admin::report::{Health, Inquiry, NoReport, Pairs, Report};
use crate::admin::version::full_version;
use crate::admin::word::TRACE_MASK;
use crate::limits::{WEB_ANSWER_MS_MAX, WEB_LONG_ANSWERS_MAX, WEB_SHORT_ANSWER_BYTES};
use crate::metrics::process::{FileDescriptors, Machine, Memory, folder_bytes};

/// What is known without the replica. Made once, at the start.
#[derive(Debug)]
pub struct Facts {
    /// The machine of the server.
    pub machine: Machine,
    /// The folders of the snapshots and of the logs.
    pub folders: (PathBuf, PathBuf),
    /// The keys that were set, with their values; secrets are hidden.
    pub settings: Vec<(String, String)>,
}

/// Answers requests. Clones are the same.
#[derive(Clone)]
pub struct Desk {
    facts: Arc<Facts>,
    asker: Asker,
    /// Bounds answers about everything.
    long: Arc<Semaphore>,
}

/// An answer.
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// JSON.
    pub text: String,
    /// To be held until the text has been sent, if it is long.
    pub place: Option<OwnedSemaphorePermit>,
}

/// An answer that is short.
fn short(status: StatusCode, text: String) -> Reply {
    Reply { status, text, place: None }
}

const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";
const CROWDED: &str = "Too many questions to the server wait. Ask again later.";

/// An answer with the name of its command.
#[derive(Serialize)]
struct Named<'a, T> {
    #[serde(flatten)]
    result: T,
    command: &'a str,
    error: Option<&'a str>,
}

fn done(name: &str, result: impl Serialize) -> Reply {
    short(StatusCode::OK, jackson::text(&Named { result, command: name, error: None }))
}

// ZooKeeper: an error in a command is no error of HTTP.
fn failed(status: StatusCode, name: &str, error: &str) -> Reply {
    #[derive(Serialize)]
    struct Nothing {}
    short(status, jackson::text(&Named { result: Nothing {}, command: name, error: Some(error) }))
}

impl Desk {
    /// Asks `asker`.
    pub fn new(facts: Facts, asker: Asker) -> Desk {
        let long = Arc::new(Semaphore::new(WEB_LONG_ANSWERS_MAX));
        Desk { facts: Arc::new(facts), asker, long }
    }

    /// Runs a command; `words` are those of the query.
    pub async fn run(&self, word: &str, words: &HashMap<String, String>) -> Reply {
        let Some((name, command)) = commands::find(word) else {
            return failed(StatusCode::OK, word, &format!("Unknown command: {word}"));
        };
        match command {
            Command::Asks(inquiry) => self.ask(name, inquiry).await,
            Command::Dirs => {
                let (data, log) = self.folder_bytes();
                done(name, Pairs(vec![("datadir_size", data), ("logdir_size", log)]))
            }
            Command::Environment => done(name, environment(&self.facts.machine)),
            Command::GetTraceMask => done(name, Pairs(vec![("tracemask", TRACE_MASK)])),
            Command::SetTraceMask => set_trace_mask(name, words.get("traceMask")),
            Command::InitialConfiguration => {
                let lines =
                    self.facts.settings.iter().map(|(key, value)| format!("{key}={value}\n"));
                done(name, Pairs(vec![("initial_configuration", lines.collect::<String>())]))
            }
            Command::LastSnapshot => self.last_snapshot(name),
            Command::SystemProperties => done(name, self.properties()),
            Command::Unbuilt(instead) => failed(
                StatusCode::NOT_IMPLEMENTED,
                name,
                &format!("Ringkeeper does not have this command yet: {instead}"),
            ),
        }
    }

    async fn ask(&self, name: &str, inquiry: Inquiry) -> Reply {
        if !inquiry.tells_of_everything() {
            return self.ask_now(name, inquiry).await;
        }
        let patience = Duration::from_millis(WEB_ANSWER_MS_MAX);
        let Ok(place) = timeout(patience, self.long.clone().acquire_owned()).await else {
            return failed(StatusCode::SERVICE_UNAVAILABLE, name, CROWDED);
        };
        let mut reply = self.ask_now(name, inquiry).await;
        let place = place.expect("it is never closed");
        reply.place = Some(place).filter(|_| reply.text.len() > WEB_SHORT_ANSWER_BYTES);
        reply
    }

    async fn ask_now(&self, name: &str, inquiry: Inquiry) -> Reply {
        match self.asker.ask(inquiry).await {
            Ok(Ok(mut report)) => {
                if let Report::Monitor(monitor) = &mut report {
                    monitor.set_file_descriptors(FileDescriptors::read());
                } else if let Report::ServerStats(stats) = &mut report {
                    let (data, log) = self.folder_bytes();
                    stats.set_folder_bytes(data, log);
                } else if let Report::Stats(stats) = &mut report {
                    let (data, log) = self.folder_bytes();
                    stats.server.set_folder_bytes(data, log);
                }
                if let Report::Leader(crate::admin::report::Leader::Standalone { error }) = report {
                    // ZooKeeper: here alone the error stands before the name.
                    let text = Pairs(vec![("error", error), ("command", name)]);
                    return short(StatusCode::OK, jackson::text(&text));
                }
                done(name, report)
            }
            Ok(Err(NoReport::NotServing)) | Err(Unanswered::Silent) => {
                failed(StatusCode::OK, name, NOT_SERVING)
            }
            Ok(Err(NoReport::TooLong(why))) => failed(StatusCode::OK, name, &why),
            Err(Unanswered::Crowded) => failed(StatusCode::SERVICE_UNAVAILABLE, name, CROWDED),
        }
    }

    /// What a health check wants to know; `None`: the server does not answer.
    pub async fn health(&self) -> Option<Health> {
        match self.asker.ask(Inquiry::Health).await {
            Ok(Ok(Report::Health(health))) => Some(health),
            Ok(_) | Err(_) => None,
        }
    }

    /// The text for Prometheus, of the metrics `wanted` or of all; `None`: the server does not answer.
    pub async fn metrics(&self, wanted: &[String]) -> Option<String> {
        match self.asker.ask(Inquiry::Monitor).await {
            Ok(Ok(Report::Monitor(mut it))) => {
                it.set_file_descriptors(FileDescriptors::read());
                it.values.extend(crate::metrics::usage());
                Some(crate::metrics::exposition(&it.values, &it.quantiles, wanted))
            }
            Ok(_) | Err(_) => None,
        }
    }

    fn folder_bytes(&self) -> (u64, u64) {
        let (data, log) = &self.facts.folders;
        (folder_bytes(data), folder_bytes(log))
    }

    /// The newest snapshot, from the folder, because the replica does not keep its time.
    fn last_snapshot(&self, name: &str) -> Reply {
        let files = std::fs::read_dir(&self.facts.folders.0).into_iter().flatten().flatten();
        let snapshots = files.filter_map(|file| {
            let zxid = crate::txnlog::plan::snapshot_zxid(file.file_name().to_str()?)?;
            let written = file.metadata().ok()?.modified().ok()?;
            Some((zxid.0, written.duration_since(UNIX_EPOCH).ok()?.as_secs()))
        });
        let (zxid, timestamp) = match snapshots.max() {
            Some((zxid, secs)) => (zxid, i64::try_from(secs).unwrap_or(i64::MAX)),
            None => (-1, -1),
        };
        #[derive(Serialize)]
        struct LastSnapshot {
            zxid: String,
            timestamp: i64,
        }
        done(name, LastSnapshot { zxid: format!("{zxid:x}"), timestamp })
    }

    /// The system properties that the settings stand for, by name.
    fn properties(&self) -> Pairs<String, String> {
        let mut found: Vec<(String, String)> = self
            .facts
            .settings
            .iter()
            .map(|(key, value)| (format!("zookeeper.{key}"), value.clone()))
            .collect();
        found.sort();
        Pairs(found)
    }
}

fn set_trace_mask(name: &str, mask: Option<&String>) -> Reply {
    let Some(mask) = mask else {
        return failed(StatusCode::OK, name, "setTraceMask requires long traceMask argument");
    };
    match mask.parse::<i64>() {
        // ZooKeeper: sets the mask and returns it; here it is only returned.
        Ok(mask) => done(name, Pairs(vec![("tracemask", mask)])),
        Err(_) => {
            let why = format!("setTraceMask requires long traceMask argument, got {mask}");
            failed(StatusCode::OK, name, &why)
        }
    }
}

/// The keys of `envi`, but for those of a JVM.
fn environment(machine: &Machine) -> Pairs<&'static str, String> {
    let Machine { host_name, os_name, os_arch, os_version, user_name, user_home, user_dir } =
        machine;
    let folder = |folder: &Option<PathBuf>| {
        folder.as_ref().map_or("<NA>".to_owned(), |folder| folder.display().to_string())
    };
    let memory = Memory::read();
    Pairs(vec![
        ("zookeeper.version", full_version()),
        ("host.name", host_name.to_string()),
        ("os.name", os_name.to_string()),
        ("os.arch", os_arch.to_string()),
        ("os.version", os_version.to_string()),
        ("user.name", user_name.to_string()),
        ("user.home", folder(user_home)),
        ("user.dir", folder(user_dir)),
        ("os.memory.free", format!("{}MB", memory.available_mib)),
        ("os.memory.max", format!("{}MB", memory.total_mib)),
        ("os.memory.total", format!("{}MB", memory.total_mib)),
    ])
}
