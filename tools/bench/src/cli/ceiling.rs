//! `ringkeeper-bench ceiling`: what the generator itself can do on this machine.

use crate::definition::Operations;
use crate::header;
use crate::null_server;
use crate::report::words;

/// How to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Threads of the generator.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// How long to measure each row.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
}

/// Loads the null server with the loads of the comparisons.
///
/// # Errors
/// This machine refuses sockets or threads.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let busy = header::machine_is_busy();
    println!(
        "{:<22} {:>12} {:>10} {:>10} {:>10} {:>14} {:>19}",
        "against a null server",
        "per second",
        "p50",
        "p99",
        "max",
        "generator busy",
        "per its busy second"
    );
    let threads = f64::from(u32::try_from(arguments.threads).unwrap_or(u32::MAX).max(1));
    for (sessions, depth) in [(1, 1), (100, 1), (1000, 1), (5000, 1), (100, 16)] {
        for operations in [
            Operations { get: 1, ..Operations::default() },
            Operations { set: 1, ..Operations::default() },
        ] {
            let mut definition = null_server::workload("ceiling", sessions, depth, operations);
            definition.seconds = arguments.seconds;
            let measured = null_server::load(&definition, arguments.threads)?;
            let of = &measured.all.percentiles;
            println!(
                "{:<22} {:>12.0} {:>10} {:>10} {:>10} {:>12.0} % {:>19.0}",
                definition.title,
                measured.all.per_second,
                words::micros(of.p50_us),
                words::micros(of.p99_us),
                words::micros(of.max_us),
                measured.generator_busy * 100.0,
                measured.all.per_second / (measured.generator_busy * threads),
            );
        }
    }
    println!(
        "\nThe null server frames and answers, and nothing else, with one thread. Both share this \
         machine's cores, so\nthe generator's own limit is the last column, per core that it has to itself. A server \
         that comes near it is measured\nwith more --threads, or from another machine."
    );
    if let Some(busy) = busy {
        println!("{busy}");
    }
    Ok(())
}
