//! `ringkeeper-bench failures`: timelines through failures.

use clap::{Args, ValueEnum};

use crate::cli::judgement::{Judgement, conclude};
use crate::cli::places::Places;
use crate::cli::programs::Programs;
use crate::definition::{Definition, Work};
use crate::failures::{self, Snapshots};
use crate::header;
use crate::output::Output;
use crate::peers::Launch;
use crate::progress::{Display, summary};
use crate::result::{FailureTimeline, Line};

/// What happens to the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// The leader is killed, a follower is killed, all are restarted one after the other.
    Members,
    /// The leader is killed again and again: how long until the next write?
    Takeover,
    /// Snapshots of a large tree, one after the other.
    Snapshots,
    /// The disk is full and gets room again; takes root, for a file system of its own.
    FullDisk,
}

/// Loads servers while they fail and come back, and records what clients see.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What happens.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_values_t = [Scenario::Members, Scenario::Takeover, Scenario::Snapshots, Scenario::FullDisk]
    )]
    scenarios: Vec<Scenario>,
    /// Servers of the ensemble whose members fail.
    #[arg(long, default_value_t = 3)]
    servers: usize,
    /// The load on members that fail.
    #[arg(long, default_value = "failures")]
    workload: String,
    /// The load on the full disk.
    #[arg(long, default_value = "full-disk")]
    full_disk_workload: String,
    /// The load beside snapshots.
    #[arg(long, default_value = "writes-beside-snapshots")]
    snapshot_workload: String,
    /// Znodes of which snapshots are taken.
    #[arg(long, default_value_t = 1_000_000)]
    znodes: u32,
    /// Transactions between two snapshots.
    #[arg(long, default_value_t = 10_000)]
    snap_count: u32,
    /// How often each leader is killed for `takeover`.
    #[arg(long, default_value_t = 10)]
    kills: u32,
    #[command(flatten)]
    programs: Programs,
    #[command(flatten)]
    places: Places,
    #[command(flatten)]
    judgement: Judgement,
}

/// Plays the scenarios.
///
/// # Errors
/// A program that is missing or does not start, a workload that does not exist, or a disk that
/// cannot be mounted.
pub fn run(arguments: &Arguments) -> Result<(), String> {
    let goals = arguments.judgement.goals()?;
    let loads = Loads {
        members: arguments.definition(&arguments.workload)?,
        snapshots: arguments.definition(&arguments.snapshot_workload)?,
        full_disk: arguments.definition(&arguments.full_disk_workload)?,
    };
    let launches = arguments.programs.launches_of_zookeepers_kind()?;
    let mut session =
        Session { output: arguments.places.results.output()?, lines: Vec::new(), failed: 0 };
    let folder = &arguments.programs.folder;
    session.keep(Line::Run(header::collect(folder, loads.members.seconds, 1)))?;
    for scenario in &arguments.scenarios {
        for launch in &launches {
            if let Err(why) = session.play(*scenario, launch, arguments, &loads) {
                eprintln!("{}: {scenario:?}: FAILED: {why}", launch.name);
                session.failed += 1;
            }
        }
    }
    conclude(&goals, &session.lines, &mut session.output)?;
    match session.failed {
        0 => Ok(()),
        failed => Err(format!("{failed} scenarios failed; the lines above say why")),
    }
}

/// What the servers have to do meanwhile.
struct Loads {
    members: Definition,
    snapshots: Definition,
    full_disk: Definition,
}

struct Session {
    output: Output,
    lines: Vec<Line>,
    failed: usize,
}

impl Session {
    fn play(
        &mut self,
        scenario: Scenario,
        launch: &Launch,
        arguments: &Arguments,
        loads: &Loads,
    ) -> Result<(), String> {
        let Arguments { servers, znodes, snap_count, kills, .. } = arguments;
        let folder = &arguments.programs.folder;
        let mut display = Display::new(&format!("{}: {scenario:?}", launch.name));
        let show = &mut |progress: &_| display.show(progress);
        let lines = match scenario {
            Scenario::Members => {
                vec![Line::Failures(failures::members(
                    launch,
                    *servers,
                    &loads.members,
                    folder,
                    show,
                )?)]
            }
            Scenario::Takeover => {
                let times = failures::takeover(launch, *servers, *kills, 1, folder)?;
                times.into_iter().map(Line::Elapsed).collect()
            }
            Scenario::Snapshots => {
                let Snapshots { timelines, rows } = failures::snapshots(
                    launch,
                    *znodes,
                    *snap_count,
                    &loads.snapshots,
                    1,
                    folder,
                    show,
                )?;
                let timelines = timelines.into_iter().map(Line::Failures);
                rows.into_iter().map(Line::Row).chain(timelines).collect()
            }
            Scenario::FullDisk => {
                vec![Line::Failures(failures::full_disk(launch, &loads.full_disk, folder, show)?)]
            }
        };
        display.end();
        lines.into_iter().try_for_each(|line| self.keep(line))
    }

    fn keep(&mut self, line: Line) -> Result<(), String> {
        self.output.line(&line)?;
        match &line {
            Line::Failures(timeline) => tell(timeline),
            Line::Row(row) => {
                println!("{}: {}: {}", row.program, row.title, summary(&row.measured.all));
            }
            Line::Elapsed(elapsed) => println!(
                "{}: {}: {:.0} ms",
                elapsed.program,
                elapsed.what,
                elapsed.seconds * 1000.0
            ),
            _ => {}
        }
        self.lines.push(line);
        Ok(())
    }
}

/// The seconds around each event, in words; the report draws it.
fn tell(timeline: &FailureTimeline) {
    println!("{} × {}: {}", timeline.program, timeline.servers, timeline.title);
    for (at, event) in &timeline.events {
        println!("  {at:6.2} s  {event}");
    }
    let silent = timeline.slices.iter().filter(|slice| slice.operations == 0).count();
    println!("  {silent} of {} slices without any answer", timeline.slices.len());
    for (name, count) in &timeline.errors {
        println!("  {name}: {count}");
    }
    if timeline.sessions_lost > 0 {
        println!("  sessions lost: {}", timeline.sessions_lost);
    }
}

impl Arguments {
    fn definition(&self, name: &str) -> Result<Definition, String> {
        let definition = self.places.definition(name)?;
        if !matches!(definition.work, Work::Mix(_)) {
            return Err(format!("{name}: failures are watched under a mix of requests"));
        }
        Ok(definition)
    }
}
