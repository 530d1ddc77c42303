//! Runs a server: from its configuration to a serving process, and to its end.
//!
//! ```text
//! log ─▶ signals ─▶ limits ─▶ folders (locked) ─▶ client port ─▶ executors ─▶ data ─▶ serving ─▶ ending
//! ```
//! The cheap steps, and those that most often fail, come first; no data is written before the folders are locked.
//! Everything here runs on the main thread, which after that only waits for news of the executors. A failure ends the
//! process with a sentence in the log, or starts the program again if what it lacks may come by itself ([`again`]).

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use glommio::GlommioError;

use super::again::{self, Earlier, Failure, Lack};
use super::certificates::Reloads;
use super::client_port::ClientPort;
use super::clients::Clients;
use super::executors::{self, News, Start, Threads};
use super::host_maker::HostMaker;
use super::membership::{self, Teller};
use super::options;
use super::phases::{Phases, ServerPhase};
use super::secure_links;
use super::secure_side::SecureSide;
use super::turns::Ended;
use super::web_side::WebSide;
use super::wiring::Wiring;
use super::{beginnings, environment, purge};
use crate::admin::inquiries;
use crate::audit::AuditLog;
use crate::config::dynamic::Keeper;
use crate::config::{self, Config, FilesReadableBy, Level};
use crate::id::Epoch;
use crate::log::{self, LogFormat, LogOptions, LoggedState, Speaker};
use crate::net;
use crate::runtime::{
    self, DataFolder, Doorbell, LogDevice, StartError, StopFlag, raise_open_files, watch_signals,
};

/// Exit code of an orderly end.
const EXIT_OK: u8 = 0;
/// Exit code when the server cannot start, or had to stop.
const EXIT_FAILURE: u8 = 1;

/// Runs a server until it is told to stop. Returns the exit code of the process: 0 after an orderly end, otherwise 1.
///
/// `file` is the file of the configuration, for the log and for changes of the ensemble; `None`: the configuration is
/// the embedded default.
pub fn run(config: &Config, file: Option<&Path>) -> u8 {
    // The log first: every other failure is told in it.
    let log = match log::start(&log_options(config)) {
        Ok(log) => log,
        Err(error) => {
            eprintln!("ringkeeper: {}", no_thread(config, "the log cannot be set up", &error));
            return EXIT_FAILURE;
        }
    };
    // Before any thread that could panic.
    abort_after_a_panic();
    let before = Earlier::read();
    let stop = StopFlag::default();
    if let Some(me) = membership::me(config) {
        log.speaker().set_server(me);
    }
    let audit = match options::audit(config).map(AuditLog::start).transpose() {
        Ok(audit) => audit,
        Err(error) => {
            tracing::error!("{error}");
            log.flush();
            return EXIT_FAILURE;
        }
    };
    // From here on a start that takes long says so in the log.
    let flush = flusher(&log, audit.clone());
    let served = Phases::begin(flush)
        .map_err(|error| no_thread(config, "no thread can be made", &error).into())
        .and_then(|phases| serve(config, file, before, &stop, (log.speaker(), &audit), &phases));
    let code = match served {
        Ok(()) => EXIT_OK,
        Err(Failure { reason, lack }) => {
            tracing::error!("{reason}");
            audit.iter().for_each(AuditLog::server_failed);
            audit.iter().for_each(AuditLog::server_stops);
            audit.iter().for_each(AuditLog::flush);
            // A standalone server serves reads on a full disk, so it stops for lack of room only at the start,
            // when an operator is watching.
            let lack = lack.filter(|lack| *lack != Lack::Room || config.quorum.is_distributed());
            log.flush();
            // The next run would not know of the signal.
            if let Some(lack) = lack.filter(|_| !stop.is_set()) {
                match again::start_again(before, lack) {
                    Some(error) => tracing::error!("cannot start the program again: {error}"),
                    None => tracing::error!(
                        "{}",
                        runtime::locked_memory_advice(&environment::needs(config))
                    ),
                }
            }
            EXIT_FAILURE
        }
    };
    audit.iter().for_each(AuditLog::server_stops);
    audit.iter().for_each(AuditLog::flush);
    log.flush();
    code
}

/// Writes what waits for the log and for the audit log.
fn flusher(log: &log::Log, audit: Option<AuditLog>) -> impl Fn() + Send + Sync + use<> {
    let log = log.flusher();
    move || {
        audit.iter().for_each(AuditLog::flush);
        log();
    }
}

/// The options of the log.
fn log_options(config: &Config) -> LogOptions {
    // The names of levels in the filter of `tracing`.
    let filter = match config.own.log_level {
        config::LogLevel::Off => "off",
        config::LogLevel::Error => "error",
        config::LogLevel::Warn => "warn",
        config::LogLevel::Info => "info",
        config::LogLevel::Debug => "debug",
        config::LogLevel::Trace => "trace",
    };
    // The lines of libraries do not help an operator.
    let filter = format!("warn,ringkeeper={filter}");
    let format = match config.own.log_format {
        config::LogFormat::Text => LogFormat::Text,
        config::LogFormat::Json => LogFormat::Json,
    };
    LogOptions { filter, format }
}

/// A panic is a broken invariant: the process stops before it answers anything. If only the thread ended, the server
/// would look alive.
fn abort_after_a_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        report(info);
        std::process::abort();
    }));
}

/// Starts the server, and follows it to its end (`QuorumPeerMain.runFromConfig`,
/// `ZooKeeperServerMain.runFromConfig`).
///
/// # Errors
/// Why the server cannot start, or had to stop.
fn serve(
    config: &Config,
    file: Option<&Path>,
    before: Option<Earlier>,
    stop: &StopFlag,
    (speaker, audit): (&Arc<Speaker>, &Option<AuditLog>),
    phases: &Phases,
) -> Result<(), Failure> {
    let started = Instant::now();
    let bell = Doorbell::new().map_err(|error| format!("cannot create an eventfd: {error}"))?;
    // The thread of the signals outlives the start, and ends the process itself as long as nothing is served.
    let (asked, stopping) = (phases.clone(), audit.clone());
    let ask = move |signal: &str| {
        asked.asked_to_stop(signal);
        stopping.iter().for_each(AuditLog::server_stops);
    };
    let reloads = Reloads::default();
    // Before anything that may take long: a signal must end the start in every phase.
    let asked = reloads.clone();
    watch_signals(stop.clone(), vec![bell.clone()], ask, move || asked.ask() > 0)
        .map_err(|error| no_thread(config, "signals cannot be watched", &error))?;
    introduce(config, file);
    let keeper = Keeper::new(config, file);
    if let Some(me) = membership::me(config) {
        membership::introduce(config, me);
        keeper.back_up();
    }
    if let Some(before) = before {
        let folders = [&*config.storage.data_dir, &*config.storage.data_log_dir];
        phases.enter(ServerPhase::Lacking);
        if !before.wait(stop, &folders) {
            tracing::info!("stopped");
            return Ok(());
        }
        phases.enter(ServerPhase::System);
    }
    check_limits(config)?;
    // As many as the system gives: the number of clients follows from it.
    let files = raise_open_files();

    phases.enter(ServerPhase::Folders);
    let (folder, device) = open_folders(config, file)?;

    let spin = config.own.spin_micros.map(|us| Duration::from_micros(us.into()));
    let (allowed, quota) = (runtime::allowed_processors(), runtime::quota_of_processors());
    let wiring = Wiring::choose(config.own.cores, config.own.pin, spin, &allowed, quota);
    // Without session cores, the replica's executor is the one that carries clients.
    let session_cores = wiring.session_cores.max(1);
    phases.enter(ServerPhase::ClientPort);
    // Bound before the data is read: clients that connect early wait in the backlog, and a taken port costs no
    // recovery.
    let (client_port, sockets) = ClientPort::open(config, session_cores)?;
    let secure = SecureSide::open(config, session_cores, &reloads)?;
    let (link_tls, link_certificates) = secure_links::open(config, &reloads)?.unzip();
    let web = WebSide::open(config)?;
    // With the port that the system has chosen, if the configuration says 0.
    let places = secure.describe(client_port.address());
    warn_of_a_short_backlog(config.network.listen_backlog.unwrap_or(net::BACKLOG));
    tracing::info!("running as {}; up to {files} open files", wiring.describe());

    let (budget, said) = options::budget(config, runtime::memory_of_process(), session_cores);
    tracing::info!("{said}");
    let clients = Clients {
        keep_alive: config.network.client_tcp_keep_alive,
        options: options::net(config, session_cores, &budget),
        doors: secure.doors,
        census: options::census(config, environment::files_for_clients(files, session_cores)),
        budget: budget.clone(),
    };
    let storage = &config.storage;
    if let Some(interval_ms) = storage.purge_interval_ms {
        let interval = Duration::from_millis(interval_ms);
        purge::start(&folder.folders, storage.snap_retain_count as usize, interval)
            .map_err(|error| format!("the purge of old files: {error}"))?;
    }
    let (asker, inquiries) = inquiries::queue(bell.clone());
    // Before the data is read: a health check shall see that the process lives.
    web.start(config, &folder.folders, asker)?;
    let (news_sender, news) = mpsc::channel();
    let (serve, may_serve) = mpsc::channel();
    let host_maker = HostMaker {
        config: config.clone(),
        folder,
        device,
        client_port,
        keeper,
        teller: Teller::new(config, speaker.clone()),
        reading: phases.reading(),
        budget,
        census: clients.census.clone(),
        audit: audit.clone(),
        inquiries,
        secure_port: secure.address.map(|address| address.port()),
        handshakes: secure.handshakes,
        certificates: (secure.certificates, link_certificates),
        link_tls,
    };
    let start = Start {
        sockets,
        secure_sockets: secure.sockets,
        clients,
        host_maker,
        bell,
        stop: stop.clone(),
        news: news_sender,
        serve: may_serve,
    };
    phases.enter(ServerPhase::Executors { up: 0, of: wiring.session_cores as usize + 1 });
    // From here on everything runs on the executors.
    let threads = executors::start(&wiring, start)?;
    // A member may have no leader for long, so it does not say that it serves.
    let serving = || {
        audit.iter().for_each(AuditLog::server_started);
        let ms = started.elapsed().as_millis();
        if config.quorum.is_distributed() {
            tracing::info!(
                "listening for clients on {places}, {ms} ms after the start; they are \
                 served as soon as there is a leader"
            );
        } else {
            speaker.set_role(LoggedState::Standalone, Epoch(0));
            tracing::info!("serving clients on {places}, {ms} ms after the start");
        }
    };
    follow(&news, threads, &serve, phases, serving)
}

/// Logs the version of the server, its configuration, and the notes on it.
fn introduce(config: &Config, file: Option<&Path>) {
    tracing::info!("ringkeeper {} starts, pid {}", env!("CARGO_PKG_VERSION"), std::process::id());
    match file {
        Some(file) => tracing::info!("configuration: {}", file.display()),
        None => tracing::info!(
            "no configuration given: data in {}, clients on 127.0.0.1:2181 only; \
             `ringkeeper server zoo.cfg` runs one of yours",
            config.storage.data_dir.display()
        ),
    }
    for note in config.notes() {
        match note.level {
            Level::Warn => tracing::warn!("{note}"),
            Level::Info => tracing::info!("{note}"),
        }
    }
}

/// Opens and locks the data folders, and logs where they are and what an operator should know about them.
fn open_folders(config: &Config, file: Option<&Path>) -> Result<(DataFolder, LogDevice), Failure> {
    let storage = &config.storage;
    let (readers, denied) = match config.own.files_readable_by {
        FilesReadableBy::Owner => ("owner", 0o077),
        FilesReadableBy::Group => ("group", 0o027),
        FilesReadableBy::Umask => ("umask", 0),
    };
    if denied != 0 {
        runtime::deny_access_to_new_files(denied);
    }
    // Without a configuration file the operator has named no folder, so no name can be wrong.
    if file.is_some() {
        beginnings::missing_folders(config).iter().for_each(|line| tracing::warn!("{line}"));
    }
    let folder =
        DataFolder::open(&storage.data_dir, &storage.data_log_dir, storage.datadir_autocreate)
            .map_err(|error| Failure {
                reason: error.to_string(),
                lack: error.lacks_room().then_some(Lack::Room),
            })?;
    let device = folder.probe_log_device().map_err(|error| error.to_string())?;
    tracing::info!(
        "data: {}, transaction log: {} ({})",
        folder.folders.snapshots.display(),
        folder.folders.logs.display(),
        if device.direct {
            format!("written directly in blocks of {} bytes", device.block_bytes)
        } else {
            "its file system has no O_DIRECT: written through the page cache, then synced".into()
        }
    );
    for (folder, mode) in folder.open_to_more_than(denied) {
        tracing::warn!(
            "{} has the mode {mode:o}, so more users may read the data in it than \
             ringkeeper.filesReadableBy={readers} allows. `chmod -R {} {}` takes that permission away",
            folder.display(),
            if denied == 0o077 { "go=" } else { "o=" },
            folder.display(),
        );
    }
    Ok((folder, device))
}

/// Follows the executors from their start to their end. Calls `serving` when the server serves.
///
/// # Errors
/// An executor was not made or has failed, or the replica must stop.
fn follow(
    news: &Receiver<News>,
    threads: Threads,
    serve: &Sender<()>,
    phases: &Phases,
    serving: impl Fn(),
) -> Result<(), Failure> {
    let of = threads.len();
    let mut threads: Vec<Option<_>> = threads.into_iter().map(Some).collect();
    let (mut up, mut is_ready) = (0, false);
    for what in news {
        match what {
            // Counted for the line about a start that takes long: which executor is late does not matter.
            News::Up => {
                up += 1;
                phases.enter(ServerPhase::Executors { up, of });
            }
            News::Ready => is_ready = true,
            News::Failed(failure) => return Err(failure),
            // The thread has ended, so joining it does not wait, and its result has the reason.
            News::NotMade(number) => {
                let error = threads[number].take().and_then(|thread| thread.join().err());
                return Err(not_made(number, of, error.as_ref()));
            }
            News::Ended(Ended::Fatal(Failure { reason, lack })) => {
                return Err(Failure { reason: format!("stopping: {reason}"), lack });
            }
            News::Ended(ended) => {
                if ended == Ended::Hurried {
                    tracing::warn!(
                        "stopped while something was in flight; nothing that was \
                                    acknowledged is lost"
                    );
                }
                phases.enter(ServerPhase::Ending);
                for thread in threads.into_iter().flatten() {
                    if let Err(error) = thread.join() {
                        return Err(format!("an executor failed: {error}").into());
                    }
                }
                tracing::info!("stopped");
                return Ok(());
            }
        }
        if up == of && is_ready {
            // From here on a signal ends the server in order.
            phases.enter(ServerPhase::Serving);
            serving();
            is_ready = false;
            // If the executor has ended, it has sent the reason.
            let _ = serve.send(());
        } else if up == of {
            phases.enter(ServerPhase::Data);
        }
    }
    Err("the executors have ended by themselves".to_owned().into())
}

/// The failure to make an executor, for glommio's reason.
fn not_made(number: usize, of: usize, error: Option<&GlommioError<()>>) -> Failure {
    let what = format!("executor {} of {of} could not be made", number + 1);
    if let Some(GlommioError::IoError(error)) = error
        && let failure @ Failure { lack: Some(_), .. } = Failure::of_executor(&what, error)
    {
        return failure;
    }
    let reason = error.map_or_else(String::new, |error| format!(": {error}"));
    let fewer = match number {
        0 => String::new(),
        _ => format!("; ringkeeper.cores={number} needs fewer"),
    };
    format!("{what}{reason}{fewer}").into()
}

/// Why a thread could not be made: the limit on threads, if a check now finds it too low, otherwise `error`.
fn no_thread(config: &Config, what: &str, error: &dyn std::error::Error) -> String {
    let mut obstacles = runtime::obstacles(&environment::needs(config)).into_iter();
    let limit = obstacles.find(|obstacle| matches!(obstacle, StartError::Threads { .. }));
    limit.map_or_else(|| format!("{what}: {error}"), |limit| format!("{what}: {limit}"))
}

/// Checks what the system allows. Fails with the first obstacle, and logs the others.
fn check_limits(config: &Config) -> Result<(), Failure> {
    let mut obstacles = runtime::obstacles(&environment::needs(config)).into_iter();
    let first = obstacles.next();
    for further in obstacles {
        tracing::error!("{further}");
    }
    if let Some(warning) = runtime::limit_warnings() {
        tracing::warn!("{warning}");
    }
    first.map_or(Ok(()), |first| {
        let no_memory = matches!(first, StartError::NoLockedMemory(_));
        Err(Failure { reason: first.to_string(), lack: no_memory.then_some(Lack::LockedMemory) })
    })
}

/// Tells the operator if the kernel cuts the backlog of the client port short.
fn warn_of_a_short_backlog(backlog: u32) {
    let Ok(text) = std::fs::read_to_string("/proc/sys/net/core/somaxconn") else { return };
    let Ok(somaxconn) = text.trim().parse::<u32>() else { return };
    if somaxconn < backlog {
        tracing::info!(
            "net.core.somaxconn={somaxconn} bounds the connections waiting to be accepted; \
             `sysctl -w net.core.somaxconn={backlog}` lets more clients connect at once"
        );
    }
}
