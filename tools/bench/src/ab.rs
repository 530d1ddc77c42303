//! Compares two commits of this project: builds both from the repository, runs them in turn on fresh folders, pair
//! by pair, and tests whether the differences may be chance.
//!
//! While a commit is built, its sources stand in a worktree below `target/ab`. The binary stays there under the name
//! of the commit, so that it is built once. The commit `.` is the working tree with all its changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::header;
use crate::result::{Difference, Line, Row};
use crate::statistics::{adjusted, median, significance};

const WORKING_TREE: &str = ".";
/// Figures that come by chance less often than this, once in twenty runs, are called a difference.
const P_MAX: f64 = 0.05;

/// A commit with its binary.
#[derive(Debug, Clone)]
pub struct Built {
    /// Abbreviated; `.` is the working tree.
    pub commit: String,
    /// The program.
    pub binary: PathBuf,
}

/// Builds a revision, or finds its binary from an earlier build.
///
/// # Errors
/// There is no such revision, or it does not build.
pub fn build(revision: &str) -> Result<Built, String> {
    let root = PathBuf::from(header::git(&["rev-parse", "--show-toplevel"]).ok_or(
        "`ab` builds revisions of the repository around the current folder, and there is none",
    )?);
    let place = root.join("target/ab");
    let kept = place.join("binaries");
    fs::create_dir_all(&kept).map_err(|error| format!("{}: {error}", kept.display()))?;
    let name = if revision == WORKING_TREE {
        WORKING_TREE.to_owned()
    } else {
        header::commit(revision)
            .ok_or_else(|| format!("`{revision}` is no commit of {}", root.display()))?
    };
    if name == WORKING_TREE {
        eprintln!("building the working tree");
        cargo_build(&root, &root.join("target"))?;
        let binary = kept.join("ringkeeper-working-tree");
        copy(&root.join("target/release/ringkeeper"), &binary)?;
        return Ok(Built { commit: name, binary });
    }
    let binary = kept.join(format!("ringkeeper-{name}"));
    if !binary.exists() {
        eprintln!("building {name}");
        let worktree = Worktree::add(&root, place.join("source"), &name)?;
        cargo_build(&worktree.folder, &place)?;
        copy(&place.join("release/ringkeeper"), &binary)?;
    }
    Ok(Built { commit: name, binary })
}

/// The differences between the rows of two commits: for each workload and figure, the ratio of every pair of turns,
/// and whether it may be chance. Rows without a counterpart are left out.
pub fn differences(lines: &[Line], commits: (&str, &str)) -> Vec<Difference> {
    let rows = |commit: &str| -> Vec<&Row> {
        let all = lines.iter().filter_map(|line| match line {
            Line::Row(row) => Some(row),
            _ => None,
        });
        all.filter(|row| row.commit.as_deref() == Some(commit)).collect()
    };
    let (left, right) = (rows(commits.0), rows(commits.1));
    let mut all = Vec::new();
    for (figure, of) in FIGURES {
        let begin = all.len();
        for first in left.iter().filter(|row| row.round == left[0].round) {
            let pairs = left.iter().filter(|row| is_same_work(row, first)).filter_map(|row| {
                let pair = right
                    .iter()
                    .find(|other| is_same_work(row, other) && other.round == row.round)?;
                Some((of(row)?, of(pair)?)).filter(|(a, b)| *a > 0.0 && *b > 0.0)
            });
            let (a, b): (Vec<f64>, Vec<f64>) = pairs.unzip();
            if a.is_empty() {
                continue;
            }
            let ratios: Vec<f64> = a.iter().zip(&b).map(|(a, b)| b / a).collect();
            all.push(Difference {
                workload: first.workload.clone(),
                title: first.title.clone(),
                step: first.step.clone(),
                servers: first.servers,
                figure: (*figure).to_owned(),
                commits: (commits.0.to_owned(), commits.1.to_owned()),
                medians: (median(&a), median(&b)),
                ratio: median(&ratios),
                p: significance(&ratios),
                ratios,
                p_adjusted: 1.0,
                significant: false,
            });
        }
        // The workloads of one figure are tested together; another figure is another question.
        let family = &mut all[begin..];
        let single: Vec<f64> = family.iter().map(|difference| difference.p).collect();
        for (difference, p) in family.iter_mut().zip(adjusted(&single)) {
            difference.p_adjusted = p;
            difference.significant = p < P_MAX;
        }
    }
    all
}

type FigureOf = fn(&Row) -> Option<f64>;

/// The figures that are compared.
const FIGURES: &[(&str, FigureOf)] = &[
    ("per second", |row| Some(row.measured.all.per_second)),
    ("p50 µs", |row| Some(row.measured.all.percentiles.p50_us)),
    ("p99 µs", |row| Some(row.measured.all.percentiles.p99_us)),
    ("CPU µs each", |row| {
        let answered = row.measured.all.per_second * row.measured.seconds;
        (answered > 0.0).then(|| Some(row.resources?.cpu_seconds * 1e6 / answered))?
    }),
];

fn is_same_work(a: &Row, b: &Row) -> bool {
    (&a.workload, &a.step, a.servers) == (&b.workload, &b.step, b.servers)
}

/// The sources of a commit, checked out as long as the value lives.
struct Worktree {
    root: PathBuf,
    folder: PathBuf,
}

impl Worktree {
    fn add(root: &Path, folder: PathBuf, commit: &str) -> Result<Worktree, String> {
        let worktree = Worktree { root: root.to_owned(), folder };
        // Removes a worktree that an earlier run could not remove.
        worktree.remove();
        let place = worktree.folder.display().to_string();
        run("git", root, &["worktree", "add", "--force", "--detach", &place, commit], &[])?;
        Ok(worktree)
    }

    fn remove(&self) {
        let place = self.folder.display().to_string();
        // The worktree need not exist.
        let _ = run("git", &self.root, &["worktree", "remove", "--force", &place], &[]);
        let _ = fs::remove_dir_all(&self.folder);
        let _ = run("git", &self.root, &["worktree", "prune"], &[]);
    }
}

impl Drop for Worktree {
    fn drop(&mut self) {
        self.remove();
    }
}

fn cargo_build(source: &Path, target: &Path) -> Result<(), String> {
    let arguments = ["build", "--release", "--locked", "-p", "ringkeeper", "--bin", "ringkeeper"];
    run("cargo", source, &arguments, &[("CARGO_TARGET_DIR", target)])
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    // The final name always means a whole binary, even if this program stops half-way.
    let half = to.with_extension("half");
    fs::copy(from, &half)
        .and_then(|_| fs::rename(&half, to))
        .map_err(|error| format!("{}: {error}", to.display()))
}

fn run(
    program: &str,
    folder: &Path,
    arguments: &[&str],
    variables: &[(&str, &Path)],
) -> Result<(), String> {
    let mut command = Command::new(program);
    command.current_dir(folder).args(arguments).envs(variables.iter().copied());
    let output = command.output().map_err(|error| format!("cannot run `{program}`: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let skipped = errors.lines().count().saturating_sub(20);
    let tail: Vec<&str> = errors.lines().skip(skipped).collect();
    Err(format!("`{program} {}` failed:\n{}", arguments.join(" "), tail.join("\n")))
}

#[cfg(test)]
mod tests {
    use crate::result::{Measured, OpResult, Percentiles, Resources};

    use super::*;

    fn row(commit: &str, workload: &str, round: u32, per_second: f64) -> Line {
        let percentiles = Percentiles { p50_us: 100.0, p99_us: 200.0, ..Percentiles::default() };
        let all = OpResult { per_second, percentiles, ..OpResult::default() };
        Line::Row(Row {
            workload: workload.to_owned(),
            commit: Some(commit.to_owned()),
            servers: 1,
            round,
            measured: Measured { seconds: 2.0, all, ..Measured::default() },
            resources: Some(Resources { cpu_seconds: 1.0, ..Resources::default() }),
            ..Row::default()
        })
    }

    #[test]
    fn a_difference_in_every_pair_is_found_and_no_difference_is_not() {
        let mut lines = Vec::new();
        for round in 1..=10 {
            let drift = 1000.0 + 100.0 * f64::from(round % 4);
            lines.push(row("a", "faster", round, drift));
            lines.push(row("b", "faster", round, drift * 1.02));
            lines.push(row("a", "same", round, drift));
            lines.push(row("b", "same", round, drift * if round % 2 == 0 { 1.03 } else { 0.97 }));
        }
        let found = differences(&lines, ("a", "b"));
        let rates: Vec<_> = found.iter().filter(|row| row.figure == "per second").collect();
        assert_eq!(rates.len(), 2);
        assert_eq!(rates[0].workload, "faster");
        assert!((rates[0].ratio - 1.02).abs() < 1e-9, "{}", rates[0].ratio);
        assert!(rates[0].significant && rates[0].p_adjusted == 2.0 * rates[0].p);
        assert!(!rates[1].significant, "{:?}", rates[1]);
        assert_eq!(rates[1].ratios.len(), 10);
        let cpu = found.iter().find(|row| row.figure == "CPU µs each").expect("with resources");
        assert!((cpu.ratio - 1.0 / 1.02).abs() < 1e-9, "{}", cpu.ratio);
    }

    #[test]
    fn a_turn_without_its_counterpart_is_left_out() {
        let lines = [row("a", "w", 1, 1.0), row("b", "w", 1, 2.0), row("a", "w", 2, 1.0)];
        let found = differences(&lines, ("a", "b"));
        assert!(found.iter().all(|row| row.ratios.len() == 1), "{found:?}");
        assert!(differences(&lines[..1], ("a", "b")).is_empty());
    }
}
