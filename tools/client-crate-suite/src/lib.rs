//! Stands in for the `testcontainers` crate: what the suite believes to be a container of ZooKeeper is a process of ours
//! on this machine. It has what the suite calls, and no more.
//!
//! `RINGKEEPER_UNDER_TEST` is the program of the servers; without it they are Apache ZooKeeper 3.9.4, to show that the
//! suite passes with it. A folder of the image (`/data`, `/conf`, `/certs`) is a folder or file of the test.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::marker::PhantomData;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use ringkeeper_testkit::{Environment, Guarded, free_port};

const START_LIMIT: Duration = Duration::from_secs(60);
/// The only port of an image that the suite asks for.
const PORT: &str = "2181";
/// `zoo.cfg` of the image.
const DEFAULT_CONFIG: &str =
    "dataDir=/data\ntickTime=2000\ninitLimit=5\nsyncLimit=2\nclientPort=2181\n";
const JAAS_FLAG: &str = "java.security.auth.login.config";
const SOME_USER: &str = "Server {
    org.apache.zookeeper.server.auth.DigestLoginModule required
    user_somebody=\"secret\";
};
";

pub mod clients {
    pub use crate::Cli;
}

pub mod core {
    pub use crate::{Container, Healthcheck, LogStream, RunnableImage, WaitFor};
}

pub mod images {
    pub mod generic {
        pub use crate::GenericImage;
    }
}

/// Starts servers.
#[derive(Default)]
pub struct Cli;

/// Says when a container is ready; here it is when its server accepts connections.
#[derive(Default)]
pub struct Healthcheck;

impl Healthcheck {
    pub fn with_cmd<T>(self, _words: impl Iterator<Item = T>) -> Self {
        self
    }

    pub fn with_interval(self, _interval: Duration) -> Self {
        self
    }

    pub fn with_retries(self, _retries: u32) -> Self {
        self
    }
}

pub enum WaitFor {
    Healthcheck,
}

#[derive(Default)]
pub struct GenericImage {
    variables: Vec<(String, String)>,
}

impl GenericImage {
    pub fn new(_name: &str, _tag: &str) -> Self {
        GenericImage::default()
    }

    pub fn with_env_var(mut self, name: &str, value: String) -> Self {
        self.variables.push((name.to_owned(), value));
        self
    }

    pub fn with_healthcheck(self, _check: Healthcheck) -> Self {
        self
    }

    pub fn with_wait_for(self, _event: WaitFor) -> Self {
        self
    }
}

pub struct RunnableImage<I> {
    variables: Vec<(String, String)>,
    /// A file or folder of this machine, and its path in the image.
    volumes: Vec<(PathBuf, String)>,
    image: PhantomData<I>,
}

impl From<GenericImage> for RunnableImage<GenericImage> {
    fn from(image: GenericImage) -> Self {
        RunnableImage { variables: image.variables, volumes: Vec::new(), image: PhantomData }
    }
}

impl<I> RunnableImage<I> {
    pub fn with_volume(mut self, (from, to): (&str, &str)) -> Self {
        self.volumes.push((from.into(), to.to_owned()));
        self
    }

    /// All servers are on this host's network.
    pub fn with_network(self, _name: &str) -> Self {
        self
    }
}

/// A server.
pub struct Container<'d, I> {
    folder: PathBuf,
    flags: String,
    port: u16,
    running: Mutex<Option<Guarded>>,
    /// Removed at the end, after the server.
    _folder: tempfile::TempDir,
    kind: PhantomData<(&'d (), I)>,
}

impl Cli {
    pub fn run(&self, image: RunnableImage<GenericImage>) -> Container<'static, GenericImage> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_owned();
        fs::create_dir(path.join("data")).expect("a data folder");
        let mut config = DEFAULT_CONFIG.to_owned();
        let mut places = image.volumes;
        if let Some(at) = places.iter().position(|(_, to)| to == "/conf/zoo.cfg") {
            config = fs::read_to_string(&places[at].0).expect("zoo.cfg");
        }
        // After those of the test, so that its own wins.
        places.push((path.join("data"), "/data".to_owned()));
        let mut flags = String::new();
        for (name, value) in image.variables {
            if name == "SERVER_JVMFLAGS" {
                flags = value;
            }
        }
        let data = places.iter().find(|(_, to)| to == "/data").expect("pushed above").0.clone();
        let own = own_port(&config, &data);
        let port = own.unwrap_or_else(free_port);
        for key in ["clientPort", "secureClientPort"] {
            config = config.replace(&format!("{key}={PORT}\n"), &format!("{key}={port}\n"));
        }
        for (from, to) in &places {
            let from = from.display().to_string();
            config = config.replace(&format!("={to}\n"), &format!("={from}\n"));
            flags = flags.replace(&format!("={to}"), &format!("={from}"));
        }
        // One test demands logins of a server that has no users, to see its client refused. Ringkeeper does not start so.
        if config.contains("sessionRequireClientSASLAuth=true") && !flags.contains(JAAS_FLAG) {
            let file = path.join("jaas.conf");
            fs::write(&file, SOME_USER).expect("jaas.conf");
            flags += &format!(" -D{JAAS_FLAG}={}", file.display());
        }
        config += "admin.enableServer=false\n4lw.commands.whitelist=*\n";
        if config.contains("\nsecureClientPort=") {
            config += "secureClientPortAddress=127.0.0.1\n";
        } else if own.is_none() {
            config += "clientPortAddress=127.0.0.1\n";
        }
        fs::write(path.join("zoo.cfg"), &config).expect("zoo.cfg");
        let kind = PhantomData;
        let running = Mutex::default();
        let server = Container { folder: path, flags, port, running, _folder: folder, kind };
        server.start();
        // The servers of an ensemble wait for each other, and the suite does not start them one after the other.
        server.wait();
        server
    }
}

/// The port for clients in a member's own line.
fn own_port(config: &str, data: &Path) -> Option<u16> {
    let id = fs::read_to_string(data.join("myid")).ok()?;
    let line = config.lines().find(|line| line.starts_with(&format!("server.{}=", id.trim())))?;
    line.rsplit_once(':')?.1.parse().ok()
}

impl<I> Container<'_, I> {
    pub fn get_host_port(&self, port: u16) -> u16 {
        assert_eq!(port.to_string(), PORT);
        self.port
    }

    pub fn start(&self) {
        let log = OpenOptions::new().create(true).append(true).open(self.log()).expect("a log");
        let mut command = match env::var_os("RINGKEEPER_UNDER_TEST") {
            Some(binary) => {
                let mut command = Command::new(binary);
                command.arg("server").env("SERVER_JVMFLAGS", &self.flags);
                command
            }
            None => {
                let mut command = Command::new("java");
                command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
                command.arg("-Dlog4j2.level=INFO").args(self.flags.split_whitespace());
                command.args(["-cp", &Environment::found().class_path_3_9()]);
                command.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain");
                command
            }
        };
        command.arg(self.folder.join("zoo.cfg")).current_dir(&self.folder);
        command.stdout(log.try_clone().expect("a handle")).stderr(log);
        let server = Guarded::spawn(&mut command, Some(&self.folder)).expect("a server");
        *self.running.lock().expect("no panic") = Some(server);
    }

    /// As `docker stop` does when a server does not end by itself.
    pub fn stop(&self) {
        *self.running.lock().expect("no panic") = None;
    }

    pub fn stdout(&self) -> LogStream {
        LogStream { log: self.log(), from: fs::metadata(self.log()).map_or(0, |log| log.len()) }
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn wait(&self) {
        let begun = Instant::now();
        while TcpStream::connect(("localhost", self.port)).is_err() {
            if begun.elapsed() > START_LIMIT {
                panic!("it does not serve:\n{}", fs::read_to_string(self.log()).expect("a log"));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// What a server writes from now on.
pub struct LogStream {
    log: PathBuf,
    from: u64,
}

impl LogStream {
    /// Waits for words of ZooKeeper's, or for ours that say the same.
    pub fn wait_for_message(&self, message: &str) -> Result<(), String> {
        let ours = match message {
            "Read-only server started" => "clients that only read are served",
            other => return Err(format!("what does a server say instead of {other:?}?")),
        };
        let begun = Instant::now();
        while begun.elapsed() < START_LIMIT {
            let mut log = File::open(&self.log).map_err(|error| error.to_string())?;
            let mut text = String::new();
            std::io::Seek::seek(&mut log, std::io::SeekFrom::Start(self.from))
                .and_then(|_| std::io::Read::read_to_string(&mut log, &mut text))
                .map_err(|error| error.to_string())?;
            if text.contains(message) || text.contains(ours) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err(fs::read_to_string(&self.log).map_err(|error| error.to_string())?)
    }
}
