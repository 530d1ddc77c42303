//! The command line of ringkeeper.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use ringkeeper::cli::{self, Cli, Command, ServerArgs};

fn main() -> ExitCode {
    let arguments = Cli::parse();
    ExitCode::from(carry_out(&arguments.command))
}

fn carry_out(command: &Command) -> u8 {
    let variable = |name: &str| std::env::var(name).ok();
    match command {
        Command::Server(ServerArgs { config }) => match cli::load(config.as_deref(), variable) {
            Ok(settings) => ringkeeper::server::run(&settings, config.as_deref()),
            Err(errors) => {
                for error in errors {
                    eprintln!("ringkeeper: {error}");
                }
                cli::EXIT_USAGE
            }
        },
        Command::Version => {
            said(writeln!(io::stdout(), "{}", cli::version_line()).map(|()| cli::EXIT_OK))
        }
        Command::Config(command) => {
            said(cli::run_config(command, variable, &mut io::stdout().lock(), &mut io::stderr()))
        }
        Command::Txnlog(_) | Command::Snapshot(_) => cli::EXIT_FAILURE,
    }
}

/// The exit code of a command whose result may not have been read to its end.
fn said(result: io::Result<u8>) -> u8 {
    match result {
        Ok(code) => code,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => cli::EXIT_OK,
        Err(error) => {
            eprintln!("ringkeeper: {error}");
            cli::EXIT_FAILURE
        }
    }
}
