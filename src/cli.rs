//! The command line, and the `config` commands.
//!
//! Exit codes: 0 for success, 1 for a failure, 2 for a wrong command line or configuration. The other
//! commands are only defined here; `main` passes them to the modules that execute them.

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
use crate::runtime::{open_regular, way_out_for_user};

/// Exit code of a command that succeeded.
pub const EXIT_OK: u8 = 0;
/// Exit code of a command that failed.
pub const EXIT_FAILURE: u8 = 1;
/// Exit code of a wrong command line or configuration; clap's is the same.
pub const EXIT_USAGE: u8 = 2;

/// A coordination server that replaces Apache ZooKeeper: same protocol, same files, same zoo.cfg.
#[derive(Debug, Parser)]
#[command(name = "ringkeeper", version, propagate_version = false, subcommand_required = true)]
#[command(after_help = "Exit codes: 0 success, 1 failure, 2 wrong command line or configuration.")]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a server until SIGTERM or SIGINT.
    Server(ServerArgs),
    /// Print the version.
    Version,
    /// Check and convert configuration files.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Inspect transaction logs, also ZooKeeper's.
    #[command(subcommand)]
    Txnlog(TxnlogCommand),
    /// Inspect snapshots, also ZooKeeper's.
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
    /// JVMFLAGS, then from those of the command line; the file overrides them.
    pub config: Option<PathBuf>,
    /// System properties.
    #[command(flatten)]
    pub properties: PropertyArgs,
}

/// System properties on the command line, in the form of a JVM.
#[derive(Debug, Default, Args)]
pub struct PropertyArgs {
    /// A system property, such as -Dringkeeper.allowLogGaps=true; may be repeated.
    ///
    /// It counts like a word of SERVER_JVMFLAGS, but overrides it: of two values of one property the
    /// one on the command line counts. The file overrides both.
    #[arg(short = 'D', value_name = "NAME=VALUE", value_parser = property)]
    pub properties: Vec<String>,
}

/// A property needs its `=`: without it a file name after `-D` would be taken for a property, and the
/// server would start without its configuration.
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
    /// Print what a server would do with each key of a file, and whether it would start here.
    ///
    /// It also checks the machine: io_uring, limits of the process, folders that cannot be used, ports
    /// that other processes use, names that do not resolve. Run it as the user, and under the limits,
    /// of the server. While a Ringkeeper server runs on the same data, it does not try the ports. The
    /// -D words of SERVER_JVMFLAGS, JVMFLAGS and the command line count, as they do for a server.
    Check {
        /// A zoo.cfg, or a file in TOML if its name ends in .toml.
        file: PathBuf,
        /// System properties.
        #[command(flatten)]
        properties: PropertyArgs,
    },
    /// List every key: its allowed values, its default, where it may be set, and its effect.
    Keys(KeysArgs),
}

/// Arguments of `config convert`.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// The file to read: TOML if its name ends in .toml, otherwise a zoo.cfg.
    pub input: PathBuf,
    /// The file to write, or - for standard output; the form depends on the name, as for the input.
    pub output: PathBuf,
    /// The form to write, whatever the name of the output; for - the default is the other form.
    #[arg(long, value_enum)]
    pub to: Option<FormArg>,
    /// Overwrite an existing file.
    #[arg(long)]
    pub force: bool,
}

/// A form of configuration files.
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
    /// Check every record, and print where a file ends and whether it is whole.
    Check(FilesArgs),
    /// Write logs without padding and guards, for programs that stop at them.
    ///
    /// ZooKeeper and its tools read the logs as they are. Existing files are never overwritten;
    /// damaged logs are not exported.
    Export(ExportArgs),
}

/// Arguments of `txnlog export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The folder that gets a log of the same name for each FILE.
    #[arg(long, value_name = "FOLDER")]
    pub to: PathBuf,
    /// The files to export.
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
    /// The file, such as version-2/snapshot.0; .gz and .snappy are also read.
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
/// All errors in it.
pub fn load(
    path: Option<&Path>,
    properties: &PropertyArgs,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Config, Vec<ConfigError>> {
    examine(path, properties, variable).into_result()
}

/// Prints every error of a configuration, a line each; the exit code is then [`EXIT_USAGE`].
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
    let mut read_file = |path: &Path| match read_bounded(path, open_regular) {
        Ok(bytes) => Ok(Some(bytes)),
        // A path below a file does not exist either; the code that opens the folder reports that it is
        // a file.
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
    // This one may be a pipe, as the shell makes them: `ringkeeper server <(sed … zoo.cfg)`.
    match read_bounded(path, |path| File::open(path)) {
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

/// Reads a file, up to a little more than the longest allowed configuration.
fn read_bounded(path: &Path, open: impl FnOnce(&Path) -> io::Result<File>) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(config::FILE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    let _awaited = Awaited::begin(path);
    open(path)?.take(limit).read_to_end(&mut bytes)?;
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

/// Executes a `config` command and returns its exit code. Results go to `out`, errors to `complaints`;
/// `look` checks a configuration on this machine.
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
    let bytes = match read_bounded(input, |path| File::open(path)) {
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

/// Writes a file completely or not at all, so that an interrupted run leaves no partial configuration.
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
                "{} already exists: another conversion may be writing it. If none is running, an \
                 interrupted one has left it: remove it",
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

/// Writes a file that must not exist yet, and removes it if that fails. It may hold passwords, so only
/// its owner may read it.
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
