//! The command line of `ringkeeper-bench`; everything else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ringkeeper_bench::cli::main()
}
