//! The command line: what can be said on it, and the `config` commands themselves.
//!
//! Exit codes: 0 for success, 1 for a failure, 2 for a wrong command line or configuration. The
//! other commands are only defined here; `main` hands them to the parts that carry them out.

mod awaited;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use awaited::Awaited;

use crate::config::{
    self, Config, ConfigError, Examination, FLAG_VARIABLES, Format, Origin, Problem, SourceFile,
    Sources, convert, report,
};
use crate::runtime::way_out_for_user;

/// Exit code of a command that did what it should.
pub const EXIT_OK: u8 = 0;
/// Exit code of a command that failed.
pub const EXIT_FAILURE: u8 = 1;
/// Exit code of a wrong command line or configuration; clap's is the same.
pub const EXIT_USAGE: u8 = 2;

/// A coordination server that takes the place of Apache ZooKeeper: same protocol, same files, same
/// zoo.cfg.
#[derive(Debug, Parser)]
#[command(name = "ringkeeper", version, propagate_version = false, subcommand_required = true)]
#[command(after_help = "Exit codes: 0 success, 1 failure, 2 wrong command line or configuration.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a server until SIGTERM or SIGINT.
    Server(ServerArgs),
    /// Say which version this is.
    Version,
    /// Look at configuration files.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look at transaction logs, ZooKeeper's as well.
    #[command(subcommand)]
    Txnlog(TxnlogCommand),
    /// Look at snapshots, ZooKeeper's as well.
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
}

/// Arguments of `server`.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// A zoo.cfg, or a file in TOML if its name ends in .toml.
    ///
    /// Without it the server keeps its data in ./ringkeeper-data and listens on 127.0.0.1:2181.
    /// System properties are taken from -D words in the environment variables SERVER_JVMFLAGS and
    /// JVMFLAGS, then from those of the command line; what the file says wins over them.
    pub config: Option<PathBuf>,
    /// System properties.
    #[command(flatten)]
    pub properties: PropertyArgs,
}

/// System properties on the command line, as a JVM takes them.
#[derive(Debug, Default, Args)]
pub struct PropertyArgs {
    /// A system property, such as -Dringkeeper.allowLogGaps=true; may stand several times.
    ///
    /// It counts like a word of SERVER_JVMFLAGS, and more than one: of two values of one property the
    /// command line's is taken. What the file says wins over both.
    #[arg(short = 'D', value_name = "NAME=VALUE", value_parser = property)]
    pub properties: Vec<String>,
}

/// A property needs its `=`: without it a file behind `-D` would be taken for a name, and the server
/// would start without its configuration.
fn property(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((name, _)) if !name.trim().is_empty() => Ok(text.to_owned()),
        _ => Err("allowed: -DNAME=VALUE, in one word".to_owned()),
    }
}

/// The `config` commands.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Turn a zoo.cfg into TOML, or TOML into a zoo.cfg.
    Convert(ConvertArgs),
    /// Say what a server would do with each key of a file, and whether it would start here.
    ///
    /// What the machine denies is looked for as well: io_uring, limits of the process, folders that
    /// cannot be used, ports that others have, names that do not resolve. Run it as the user, and
    /// under the limits, of the server. While a ringkeeper runs on the same data, ports are not tried.
    /// The -D words of SERVER_JVMFLAGS, JVMFLAGS and the command line count, as they do for a server.
    Check {
        /// A zoo.cfg, or a file in TOML if its name ends in .toml.
        file: PathBuf,
        /// System properties.
        #[command(flatten)]
        properties: PropertyArgs,
    },
    /// List every key: what it allows, its default, where it may stand, what becomes of it.
    Keys(KeysArgs),
}

/// Arguments of `config convert`.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// The file to read: TOML if its name ends in .toml, otherwise a zoo.cfg.
    pub input: PathBuf,
    /// The file to write, or - for standard output; the form follows the name, as for the input.
    pub output: PathBuf,
    /// The form to write, whatever the name of the output; for - the default is the other one.
    #[arg(long, value_enum)]
    pub to: Option<FormArg>,
    /// Write over an existing file.
    #[arg(long)]
    pub force: bool,
}

/// A form of configuration files, on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormArg {
    /// Java properties.
    ZooCfg,
    /// TOML.
    Toml,
}

/// Arguments of `config keys`.
#[derive(Debug, Args)]
pub struct KeysArgs {
    /// As a JSON array.
    #[arg(long)]
    pub json: bool,
    /// As the tables of docs/configuration.md.
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
}

/// The `txnlog` commands.
#[derive(Debug, Subcommand)]
pub enum TxnlogCommand {
    /// Print every transaction.
    Dump(FilesArgs),
    /// Check every record, and say where a file ends and whether it is whole.
    Check(FilesArgs),
    /// Write logs without padding and guards, for programs that stop at them.
    ///
    /// ZooKeeper and its tools read the logs as they are. Files that are there already are never
    /// written over; damaged logs are not exported.
    Export(ExportArgs),
}

/// Arguments of `txnlog export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The folder that gets a log of the same name for each FILE.
    #[arg(long, value_name = "FOLDER")]
    pub to: PathBuf,
    /// What to export.
    #[command(flatten)]
    pub files: FilesArgs,
}

/// Arguments of commands on several files.
#[derive(Debug, Args)]
pub struct FilesArgs {
    /// The files, such as version-2/log.1.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// One JSON object per line.
    #[arg(long)]
    pub json: bool,
}

/// The `snapshot` commands.
#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Print every session and node.
    Dump(FileArgs),
    /// Check the file's seals and its digest.
    Check(FileArgs),
    /// Print how many nodes and bytes each part of the tree has.
    Summary(FileArgs),
}

/// Arguments of commands on one file.
#[derive(Debug, Args)]
pub struct FileArgs {
    /// The file, such as version-2/snapshot.0; .gz and .snappy are read as well.
    pub file: PathBuf,
    /// One JSON object per line.
    #[arg(long)]
    pub json: bool,
}

/// The line of `ringkeeper version`.
pub fn version_line() -> String {
    format!("ringkeeper {} (protocol and files of Apache ZooKeeper 3.9)", env!("CARGO_PKG_VERSION"))
}

/// Reads the configuration of a server: a file or the embedded default, the `-D` words of
/// `variable(name)` and of the command line, and the files that the configuration names.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(
    path: Option<&Path>,
    properties: &PropertyArgs,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Config, Vec<ConfigError>> {
    examine(path, properties, variable).into_result()
}

/// Says every error of a configuration, a line each; the exit code is then [`EXIT_USAGE`].
pub fn complain(errors: &[ConfigError], complaints: &mut dyn Write) -> io::Result<()> {
    errors.iter().try_for_each(|error| writeln!(complaints, "{error}"))
}

fn examine(
    path: Option<&Path>,
    properties: &PropertyArgs,
    variable: impl Fn(&str) -> Option<String>,
) -> Examination {
    let flags: Vec<(&str, String)> =
        FLAG_VARIABLES.iter().filter_map(|&name| Some((name, variable(name)?))).collect();
    let flags: Vec<(&str, &str)> = flags.iter().map(|(n, text)| (*n, text.as_str())).collect();
    let properties: Vec<&str> = properties.properties.iter().map(String::as_str).collect();
    let mut sources = Sources { file: None, flags: &flags, properties: &properties };
    let mut read_file = |path: &Path| match read_bounded(path) {
        Ok(bytes) => Ok(Some(bytes)),
        // Below a file there is nothing either; that a folder is a file is said by who opens it.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(None)
        }
        Err(error) => Err(format!("{error}{}", way_out_for_user(&error))),
    };
    let Some(path) = path else {
        return config::examine(sources, Some(&mut read_file));
    };
    let name = path.display().to_string();
    match read_bounded(path) {
        Ok(bytes) => {
            let file = SourceFile { name: &name, bytes: &bytes, format: Format::of_name(&name) };
            sources.file = Some(file);
            config::examine(sources, Some(&mut read_file))
        }
        Err(error) => {
            Examination { config: Config::default(), errors: vec![unreadable(&name, &error)] }
        }
    }
}

/// Reads a file, but not much more than a configuration may have.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(config::FILE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    let _awaited = Awaited::begin(path);
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(name: &str, error: &io::Error) -> ConfigError {
    ConfigError {
        origin: Origin::file(name),
        problem: Problem::Missing,
        key: String::new(),
        value: None,
        text: format!("cannot be read: {error}"),
    }
}

/// Carries out a `config` command and gives its exit code. Results go to `out`, complaints to
/// `complaints`; `look` says what this machine has to say to a configuration.
pub fn run_config(
    command: &ConfigCommand,
    variable: impl Fn(&str) -> Option<String>,
    look: impl Fn(&Config) -> report::Here,
    out: &mut dyn Write,
    complaints: &mut dyn Write,
) -> io::Result<u8> {
    match command {
        ConfigCommand::Keys(KeysArgs { json, markdown }) => {
            let text = match (json, markdown) {
                (true, _) => report::keys_json()? + "\n",
                (false, true) => report::keys_markdown(),
                (false, false) => report::keys_text(),
            };
            out.write_all(text.as_bytes())?;
            Ok(EXIT_OK)
        }
        ConfigCommand::Check { file, properties } => {
            let examination = examine(Some(file), properties, variable);
            let is_valid = examination.errors.is_empty();
            let here = match is_valid {
                true => look(&examination.config),
                false => report::Here::default(),
            };
            let text = report::check(&file.display().to_string(), &examination, &here);
            out.write_all(text.as_bytes())?;
            Ok(match (is_valid, here.denied.is_empty()) {
                (false, _) => EXIT_USAGE,
                (true, false) => EXIT_FAILURE,
                (true, true) => EXIT_OK,
            })
        }
        ConfigCommand::Convert(args) => run_convert(args, out, complaints),
    }
}

fn run_convert(
    args: &ConvertArgs,
    out: &mut dyn Write,
    complaints: &mut dyn Write,
) -> io::Result<u8> {
    let ConvertArgs { input, output, to, force } = args;
    let name = input.display().to_string();
    let bytes = match read_bounded(input) {
        Ok(bytes) => bytes,
        Err(error) => {
            complain(&[unreadable(&name, &error)], complaints)?;
            return Ok(EXIT_USAGE);
        }
    };
    let from = Format::of_name(&name);
    let to_standard_output = output.as_os_str() == "-";
    let to = match to {
        Some(FormArg::ZooCfg) => Format::ZooCfg,
        Some(FormArg::Toml) => Format::Toml,
        None if to_standard_output && from == Format::Toml => Format::ZooCfg,
        None if to_standard_output => Format::Toml,
        None => Format::of_name(&output.display().to_string()),
    };
    let converted = match convert::convert(&bytes, &name, from, to) {
        Ok(converted) => converted,
        Err(errors) => {
            complain(&errors, complaints)?;
            return Ok(EXIT_USAGE);
        }
    };
    for note in &converted.notes {
        writeln!(complaints, "{note}")?;
    }
    if to_standard_output {
        out.write_all(converted.text.as_bytes())?;
        return Ok(EXIT_OK);
    }
    match write_new(output, &converted.text, *force) {
        Ok(()) => Ok(EXIT_OK),
        Err(error) => {
            let hint = match error.kind() {
                io::ErrorKind::AlreadyExists if !*force => "; --force writes over it",
                _ => "",
            };
            writeln!(complaints, "{}: cannot be written: {error}{hint}", output.display())?;
            Ok(EXIT_FAILURE)
        }
    }
}

/// Writes a file whole or not at all, so that an interrupted run leaves no half of a configuration.
fn write_new(path: &Path, text: &str, force: bool) -> io::Result<()> {
    if !force {
        return write_private(path, text);
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    write_private(&temporary, text).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => io::Error::new(
            error.kind(),
            format!(
                "{} is there already: another conversion may be writing it. If none runs, one that \
                 was broken off has left it: remove it",
                temporary.display()
            ),
        ),
        _ => error,
    })?;
    let renamed = fs::rename(&temporary, path);
    if renamed.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    renamed
}

/// Writes a file that must not exist yet, and takes it away again if that fails. It may hold
/// passwords, so it is for its owner alone.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;

    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(path);
    }
    written
}
