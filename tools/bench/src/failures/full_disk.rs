//! A disk that is full and gets room again, under writes.
//!
//! A server has a small disk of its own. A large file takes all the room on it, and some seconds later gives the
//! room back. A program that stops when it cannot write its log is then started again, as a supervisor would do.

use std::path::Path;

use ringkeeper_testkit::Server;

use super::{Scene, Stage};
use crate::definition::Definition;
use crate::peers::Launch;
use crate::result::FailureTimeline;
use crate::small_disk::SmallDisk;
use crate::turn::Watcher;

const DISK_MIB: u32 = 96;
/// A small step, in KiB, by which the log grows, because a server goes on until it has used up the room that it has
/// prepared.
const SMALL_STEPS: &str = "preAllocSize=1024";
const FULL_S: f64 = 5.0;
const FREED_S: f64 = 20.0;
const SECONDS: f64 = 35.0;

/// Plays the scenario on one server.
///
/// # Errors
/// Mounting is not allowed here, the server does not start, or the load cannot be prepared.
pub fn full_disk(
    launch: &Launch,
    load: &Definition,
    folder: &Path,
    watcher: Watcher<'_>,
) -> Result<FailureTimeline, String> {
    let disk = SmallDisk::mount(folder, DISK_MIB)?;
    let launch = launch.clone().line(SMALL_STEPS);
    let mut running = launch.start_on(&disk.folder(), folder)?;
    let mut target = running.target()?;
    target.clean_up = false;
    let server = running.server()?;
    let mut load = load.clone();
    load.seconds = load.seconds.max(SECONDS);
    let scene =
        Scene { title: "the disk is full and gets room again", launch: &launch, servers: 1 };
    let played = scene.play(&target, &load, watcher, |stage| fill_and_free(&disk, server, stage));
    // The server must end before its disk is unmounted.
    drop(running);
    let (timeline, _) = played?;
    Ok(timeline)
}

fn fill_and_free(disk: &SmallDisk, server: &mut Server, stage: &mut Stage) {
    stage.wait_until(FULL_S);
    match disk.fill() {
        Ok(()) => stage.event("the disk is full"),
        Err(error) => return stage.event(format!("not filled: {error}")),
    }
    // A server that goes on needs no event here; the errors of the timeline show the time.
    let mut has_ended = false;
    while stage.now_s() < FREED_S {
        if !has_ended && !server.is_running() {
            stage.event("the server has ended");
            has_ended = true;
        }
        stage.wait_until((stage.now_s() + 0.1).min(FREED_S));
    }
    match disk.free() {
        Ok(()) => stage.event("there is room again"),
        Err(error) => return stage.event(format!("not freed: {error}")),
    }
    if !server.is_running() {
        if !has_ended {
            stage.event("the server has ended");
        }
        server.restart();
        stage.event("the server is back");
    }
}
