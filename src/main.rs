//! The command line of ringkeeper.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use ringkeeper::cli::{
    self, Cli, Command, ExportArgs, FileArgs, FilesArgs, ServerArgs, SnapshotCommand, TxnlogCommand,
};
use ringkeeper::inspect;

fn main() -> ExitCode {
    ExitCode::from(carry_out(&Cli::parse().command))
}

fn carry_out(command: &Command) -> u8 {
    let variable = |name: &str| std::env::var(name).ok();
    let out = &mut io::BufWriter::new(io::stdout().lock());
    let code = match command {
        Command::Server(ServerArgs { config, properties }) => {
            return match cli::load(config.as_deref(), properties, variable) {
                Ok(settings) => ringkeeper::server::run(&settings, config.as_deref()),
                Err(errors) => {
                    errors.iter().for_each(|error| eprintln!("ringkeeper: {error}"));
                    cli::EXIT_USAGE
                }
            };
        }
        Command::Version => writeln!(out, "{}", cli::version_line()).map(|()| cli::EXIT_OK),
        Command::Config(command) => {
            let look = ringkeeper::server::environment::look;
            cli::run_config(command, variable, look, out, &mut io::stderr())
        }
        Command::Txnlog(TxnlogCommand::Dump(FilesArgs { files, json })) => {
            inspect::dump_logs(files, *json, out).map(verdict)
        }
        Command::Txnlog(TxnlogCommand::Check(FilesArgs { files, json })) => {
            inspect::check_logs(files, *json, out).map(verdict)
        }
        Command::Txnlog(TxnlogCommand::Export(ExportArgs { to, files })) => {
            inspect::export_logs(&files.files, to, files.json, out).map(verdict)
        }
        Command::Snapshot(SnapshotCommand::Dump(FileArgs { file, json })) => {
            inspect::dump_snapshot(file, *json, out).map(verdict)
        }
        Command::Snapshot(SnapshotCommand::Check(FileArgs { file, json })) => {
            inspect::check_snapshot(file, *json, out).map(verdict)
        }
        Command::Snapshot(SnapshotCommand::Summary(FileArgs { file, json })) => {
            inspect::summarize_snapshot(file, *json, out).map(verdict)
        }
    };
    match code.and_then(|code| out.flush().map(|()| code)) {
        Ok(code) => code,
        // The reader has closed the pipe.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => cli::EXIT_OK,
        Err(error) => {
            eprintln!("ringkeeper: {error}");
            cli::EXIT_FAILURE
        }
    }
}

/// The exit code of a command that checked files.
fn verdict(whole: bool) -> u8 {
    if whole { cli::EXIT_OK } else { cli::EXIT_FAILURE }
}
