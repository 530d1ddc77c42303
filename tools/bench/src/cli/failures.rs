//! `ringkeeper-bench failures`: timelines through failures.

use clap::{Args, ValueEnum};

use crate::cli::places::{Judgement, Places, conclude};
use crate::cli::programs::Programs;
use crate::definition::{Definition, Work};
use crate::failures::{self, Snapshots};
use crate::header;
use crate::peers::Launch;
use crate::progress::Narrator;
use crate::result::Line;

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
    let load = |scenario| arguments.load(scenario).map(|load| (scenario, load));
    let scenarios = arguments.scenarios.iter().copied().map(load).collect::<Result<Vec<_>, _>>()?;
    let launches = arguments.programs.launches()?;
    let mut output = arguments.places.results.output()?;
    let seconds = scenarios.iter().map(|(_, load)| load.seconds).fold(0.0, f64::max);
    output.keep(Line::Run(header::collect(&arguments.programs.folder, seconds, 1)))?;
    let mut narrator = Narrator::default();
    for (scenario, load) in &scenarios {
        for launch in &launches {
            match arguments.play(*scenario, load, launch, &mut narrator) {
                Ok(lines) => {
                    for line in lines {
                        narrator.tell(&line);
                        output.keep(line)?;
                    }
                }
                Err(why) => narrator.miss(&format!("{scenario:?}"), &launch.name, &why),
            }
        }
    }
    conclude(&goals, &mut output)?;
    narrator.conclude()
}

impl Arguments {
    /// The load on the servers in a scenario.
    fn load(&self, scenario: Scenario) -> Result<Definition, String> {
        let name = match scenario {
            Scenario::Members | Scenario::Takeover => &self.workload,
            Scenario::Snapshots => &self.snapshot_workload,
            Scenario::FullDisk => &self.full_disk_workload,
        };
        let definition = self.places.definition(name)?;
        if !matches!(definition.work, Work::Mix(_)) {
            return Err(format!("{name}: failures are watched under a mix of requests"));
        }
        Ok(definition)
    }

    fn play(
        &self,
        scenario: Scenario,
        load: &Definition,
        launch: &Launch,
        narrator: &mut Narrator,
    ) -> Result<Vec<Line>, String> {
        let Arguments { servers, znodes, snap_count, kills, .. } = self;
        let folder = &self.programs.folder;
        let what = format!("{}: {scenario:?}", launch.name);
        let show = &mut |progress: &_| narrator.show(&what, progress);
        Ok(match scenario {
            Scenario::Members => {
                vec![Line::Failures(failures::members(launch, *servers, load, folder, show)?)]
            }
            Scenario::Takeover => {
                let times = failures::takeover(launch, *servers, *kills, folder)?;
                times.into_iter().map(Line::Elapsed).collect()
            }
            Scenario::Snapshots => {
                let Snapshots { timeline, rows } =
                    failures::snapshots(launch, *znodes, *snap_count, load, folder, show)?;
                rows.map(Line::Row).into_iter().chain([Line::Failures(timeline)]).collect()
            }
            Scenario::FullDisk => {
                vec![Line::Failures(failures::full_disk(launch, load, folder, show)?)]
            }
        })
    }
}
