//! `ringkeeper-bench disk`: is this disk good enough for an ensemble?

use std::path::PathBuf;

use crate::disk;
use crate::header;
use crate::report::words;
use crate::result::Percentiles;

/// The disk to measure.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A folder on the disk to measure, such as the one that `dataLogDir` names. A file of 64 MiB
    /// lies there meanwhile.
    folder: PathBuf,
    /// How long to measure.
    #[arg(long, default_value_t = 8.0)]
    seconds: f64,
}

/// Measures and says what an ensemble can expect.
///
/// # Errors
/// The folder cannot be written.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let busy = header::machine_is_busy();
    let disk = disk::measure(&arguments.folder, arguments.seconds)?;
    let how = if disk.buffered { "through the page cache, dsync" } else { "direct, dsync" };
    println!("{:<44} {:>8} {:>8} {:>8} {:>8}", "", "p50", "p99", "p99.9", "max");
    let show = |what: String, of: &Percentiles| {
        let [p50, p99, p99_9, max] =
            [of.p50_us, of.p99_us, of.p99_9_us, of.max_us].map(words::micros);
        println!("{what:<44} {p50:>8} {p99:>8} {p99_9:>8} {max:>8}");
    };
    show(format!("a lone write, 4 KiB ({how})"), &disk.lone);
    show("a group of writes, 64 KiB".to_owned(), &disk.group);
    show("the largest group, 1 MiB".to_owned(), &disk.largest_group);
    show("4 KiB through the page cache, fdatasync".to_owned(), &disk.through_cache);
    println!("\n{}", disk.verdict());
    if let Some(busy) = busy {
        println!("{busy}");
    }
    Ok(())
}
