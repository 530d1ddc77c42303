//! Installs the programs of others that the tests run against. Says what it does while it does it,
//! does only what is missing, and where it may not install, names the packages to install by hand.
//!
//! What comes from where:
//! * Debian: Java, ZooKeeper 3.8.0 with `zkCli.sh`, the C client's `cli_mt`, Python, a key distribution centre of MIT
//!   Kerberos.
//! * The Python package index: kazoo, and what its own test suite needs; and the jars of ZooKeeper 3.9.4 and Curator
//!   5.9.0, which lie in the source archive of pyspark. They come through pip, so pip's own settings decide which
//!   index that is.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use ringkeeper_testkit::{Environment, KAZOO_SUITE, PINS};

const FETCH_JARS: &str = include_str!("fetch_jars.py");
const JARS_ARCHIVE: &str = "pyspark==4.1.0";
const JARS_ARCHIVE_SHA256: &str =
    "09c714ada88dfac3e1213c066617c6f473c1e22fbe279855028f77e12434147d";
/// pip's inner interface finds the archive, so pip itself is pinned.
const PYTHON_PACKAGES: [&str; 2] = ["pip==25.3", "kazoo==2.11.0"];

/// What a ZooKeeper 3.9.4 server and Curator's recipes load, of the 280 jars in the archive.
const JARS: &[&str] = &[
    "commons-cli-1.10.0.jar",
    "commons-io-2.21.0.jar",
    "curator-client-5.9.0.jar",
    "curator-framework-5.9.0.jar",
    "curator-recipes-5.9.0.jar",
    "jackson-annotations-2.20.jar",
    "jackson-core-2.20.0.jar",
    "jackson-databind-2.20.0.jar",
    "log4j-api-2.24.3.jar",
    "log4j-core-2.24.3.jar",
    "log4j-slf4j2-impl-2.24.3.jar",
    "metrics-core-4.2.37.jar",
    "netty-buffer-4.2.7.Final.jar",
    "netty-codec-base-4.2.7.Final.jar",
    "netty-common-4.2.7.Final.jar",
    "netty-handler-4.2.7.Final.jar",
    "netty-resolver-4.2.7.Final.jar",
    "netty-transport-4.2.7.Final.jar",
    "netty-transport-classes-epoll-4.2.7.Final.jar",
    "netty-transport-native-unix-common-4.2.7.Final.jar",
    "slf4j-api-2.0.17.jar",
    "snappy-java-1.1.10.8.jar",
    "zookeeper-3.9.4.jar",
    "zookeeper-jute-3.9.4.jar",
];

/// Fails where Python's C headers are missing.
const HAS_HEADERS: &str = "\
import os, sysconfig
open(os.path.join(sysconfig.get_paths()['include'], 'Python.h'))";

/// Fails where the library that Ringkeeper opens for Kerberos is missing.
const HAS_GSSAPI: &str = "import ctypes; ctypes.CDLL('libgssapi_krb5.so.2')";

/// Something that must be on the machine, how to see that it is, and the Debian package that brings
/// it.
struct Requirement {
    package: &'static str,
    present: fn() -> bool,
}

const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        package: "default-jdk-headless",
        present: || runs("javac", &["-version"]) && runs("java", &["-version"]),
    },
    Requirement {
        package: "libzookeeper-java",
        present: || Path::new("/usr/share/java/zookeeper.jar").exists(),
    },
    Requirement {
        package: "libslf4j-java",
        present: || Path::new("/usr/share/java/slf4j-simple.jar").exists(),
    },
    Requirement { package: "zookeeper", present: || Environment::place().zkcli().exists() },
    Requirement { package: "zookeeper-bin", present: || Environment::place().cli_mt().exists() },
    // A client of its own, in tests of TLS.
    Requirement { package: "openssl", present: || runs("openssl", &["version"]) },
    // A realm of Kerberos, and clients that log in by it. The service that comes with it makes no realm and does not run.
    Requirement { package: "krb5-kdc", present: || Path::new("/usr/sbin/krb5kdc").exists() },
    Requirement {
        package: "krb5-admin-server",
        present: || Path::new("/usr/sbin/kadmin.local").exists(),
    },
    Requirement {
        package: "python3-kerberos",
        present: || runs("/usr/bin/python3", &["-c", "import kerberos"]),
    },
    Requirement {
        package: "libgssapi-krb5-2",
        present: || runs("/usr/bin/python3", &["-c", HAS_GSSAPI]),
    },
    // Agents that read a server's metrics.
    Requirement { package: "prometheus", present: || runs("prometheus", &["--version"]) },
    Requirement {
        package: "collectd-core",
        present: || Path::new("/usr/lib/collectd/zookeeper.so").exists(),
    },
    // Networks that tests make and break.
    Requirement { package: "iproute2", present: || runs("ip", &["-V"]) },
    // A part of kazoo's test suite comes as C.
    Requirement { package: "gcc", present: || runs("gcc", &["--version"]) },
    Requirement { package: "python3-dev", present: || runs("python3", &["-c", HAS_HEADERS]) },
    Requirement { package: "python3", present: || runs("python3", &["--version"]) },
    Requirement {
        package: "python3-venv",
        present: || runs("python3", &["-c", "import ensurepip, venv"]),
    },
];

/// Brings the test environment into the state that the tests expect.
///
/// # Errors
/// What could not be done and what to do about it.
pub fn run() -> Result<(), String> {
    let environment = Environment::place();
    if environment.downloads_complete()
        && environment.lacking().is_empty()
        && REQUIREMENTS.iter().all(|need| (need.present)())
    {
        println!("The test environment in {} is complete.", environment.folder().display());
        return Ok(());
    }
    install_packages()?;
    download(&environment)?;
    install_kazoo_suite(&environment)?;
    let lacking = environment.lacking();
    if lacking.is_empty() {
        println!("The test environment in {} is complete.", environment.folder().display());
        Ok(())
    } else {
        Err(format!("After all steps there still lacks: {}", lacking.join(", ")))
    }
}

fn install_packages() -> Result<(), String> {
    let missing: Vec<&str> =
        REQUIREMENTS.iter().filter(|need| !(need.present)()).map(|need| need.package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    let by_hand = |why: &str| {
        Err(format!(
            "The tests need Debian packages that are not installed, and {why}.\n\
             Install them by hand, then run this command again:\n\n    \
             sudo apt-get install --no-install-recommends {list}\n\n\
             On another distribution: a JDK of version 17 or newer, Python 3 with venv, and Debian's\n\
             build of ZooKeeper 3.8.0 (server jars in /usr/share/java, zkCli.sh in\n\
             /usr/share/zookeeper/bin, cli_mt in /usr/lib/zookeeper/bin)."
        ))
    };
    if !runs("apt-get", &["--version"]) {
        return by_hand("this system has no apt-get");
    }
    if !is_root() {
        return by_hand("only root may install them");
    }
    println!("Installing Debian packages: {list}");
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .args(["-q", "-o", "DPkg::Lock::Timeout=300"])
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive");
        checked(&mut command)
    };
    apt(&["update"])?;
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(&missing);
    apt(&arguments)
}

/// Everything that comes through pip, into a folder that gets its stamp last.
fn download(environment: &Environment) -> Result<(), String> {
    let folder = environment.folder();
    let failed =
        |what: &str, error: std::io::Error| format!("{what} in {}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(|error| failed("making the folder", error))?;

    // Several checkouts share the folder, so two runs may meet: the second waits and then finds the
    // work done.
    let lock =
        File::create(folder.join("lock")).map_err(|error| failed("making the lock", error))?;
    lock.lock().map_err(|error| failed("locking", error))?;
    if environment.downloads_complete() {
        return Ok(());
    }
    println!("Filling {}", folder.display());
    let _ = fs::remove_file(environment.stamp());
    for part in ["jars", "venv"] {
        let part = folder.join(part);
        if part.exists() {
            fs::remove_dir_all(&part).map_err(|error| failed("removing an older state", error))?;
        }
    }

    println!("Python packages: {}", PYTHON_PACKAGES.join(", "));
    checked(Command::new("python3").args(["-m", "venv"]).arg(folder.join("venv")))?;
    checked(
        Command::new(environment.python())
            .args([
                "-m",
                "pip",
                "--disable-pip-version-check",
                "install",
                "--quiet",
                "--only-binary=:all:",
            ])
            .args(PYTHON_PACKAGES),
    )?;

    println!(
        "{} jars out of the source archive of {JARS_ARCHIVE} (some 400 MB pass, some 15 MB stay)",
        JARS.len()
    );
    fetch_jars(environment)?;

    fs::write(environment.stamp(), PINS).map_err(|error| failed("writing the stamp", error))
}

/// kazoo's own tests with what they import, apart from the Python of the other tests. The stamp comes last.
fn install_kazoo_suite(environment: &Environment) -> Result<(), String> {
    let folder = environment.kazoo_suite();
    let failed =
        |what: &str, error: std::io::Error| format!("{what} in {}: {error}", folder.display());
    let lock = File::create(environment.folder().join("lock"))
        .map_err(|error| failed("making the lock", error))?;
    lock.lock().map_err(|error| failed("locking", error))?;
    if environment.kazoo_suite_complete() {
        return Ok(());
    }
    println!("kazoo's own test suite: {}", KAZOO_SUITE.join(", "));
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| failed("removing an older state", error))?;
    }
    checked(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    checked(
        Command::new(folder.join("bin/python"))
            .args(["-m", "pip", "--disable-pip-version-check", "install", "--quiet"])
            .args(KAZOO_SUITE),
    )?;
    fs::write(environment.kazoo_suite_stamp(), KAZOO_SUITE.join("\n"))
        .map_err(|error| failed("writing the stamp", error))
}

fn fetch_jars(environment: &Environment) -> Result<(), String> {
    // The script is given as an argument and not as a file, because the names of the jars go
    // through standard input.
    let mut child = Command::new(environment.python())
        .args(["-c", FETCH_JARS, JARS_ARCHIVE, JARS_ARCHIVE_SHA256])
        .arg(environment.jars())
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot run {}: {error}", environment.python().display()))?;
    let mut names = child.stdin.take().expect("standard input is piped, two lines above");
    // If the script has ended already, its exit status says more than our broken pipe.
    let _ = names.write_all(JARS.join("\n").as_bytes());
    drop(names);
    let status = child.wait().map_err(|error| format!("waiting for Python: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("Fetching the jars failed ({status}).")) }
}

fn checked(command: &mut Command) -> Result<(), String> {
    match command.stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?} failed ({status})")),
        Err(error) => Err(format!("cannot run {command:?}: {error}")),
    }
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// By asking `id`, which every Unix has, rather than by a dependency.
fn is_root() -> bool {
    let answer = Command::new("id")
        .arg("-u")
        .env_clear()
        .env("PATH", env::var_os("PATH").unwrap_or_default())
        .output();
    answer.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_names_every_pinned_version() {
        for pinned in PYTHON_PACKAGES.iter().chain([&JARS_ARCHIVE]) {
            let words = pinned.replace("==", " ");
            assert!(
                PINS.contains(&words),
                "{words} is not in {PINS:?}: old environments would be taken for new ones"
            );
        }
        assert!(KAZOO_SUITE.contains(&PYTHON_PACKAGES[1]), "one version of kazoo for all");
        for jar in ["zookeeper-3.9.4.jar", "curator-recipes-5.9.0.jar"] {
            assert!(JARS.contains(&jar), "{jar}");
        }
    }
}
