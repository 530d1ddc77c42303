//! The report on example lines: the page has everything that was measured, has nothing else, and loads nothing from
//! elsewhere. Afterwards the page lies in the build's folder for temporary files, as `report-example.html`, for
//! people who want to look at it.

#[path = "report/example.rs"]
mod example;

use std::collections::BTreeMap;
use std::path::Path;

use example::{OURS, ZOOKEEPER};
use ringkeeper_bench::report::doubts::doubts;
use ringkeeper_bench::report::notes::Notes;
use ringkeeper_bench::report::summary::Summary;
use ringkeeper_bench::report::{self, charts, headline, html, markdown};
use ringkeeper_bench::result::{CoreRow, FailureTimeline, Line, Resources, Row, Slice};

fn rows(rates: &[(&str, u32, f64)]) -> Vec<Line> {
    let row = |&(program, round, rate): &(&str, u32, f64)| {
        let measured = example::measured_at(rate, 100.0);
        Line::Row(example::row("writes", "100 × 1 writes", program, 1, round, None, measured))
    };
    rates.iter().map(row).collect()
}

fn only_row(line: &mut Line) -> &mut Row {
    match line {
        Line::Row(row) => row,
        other => panic!("not a row: {other:?}"),
    }
}

#[test]
fn the_page_shows_every_workload_series_and_event_and_fetches_nothing() {
    let summary = Summary::of([example::run()]);
    let page = html::page(&summary, &Notes::default());
    std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("report-example.html"), &page)
        .unwrap();
    for shown in [
        OURS,
        ZOOKEEPER,
        "100 × 16 writes",
        "3 servers, 99 × 4, 90 % reads",
        "leader killed",
        "size of the values",
        "Under churn",
        "restart with 1000000 znodes",
        "may be chance",
        "3 of 6 goals reached",
        "c708519",
        "ringkeeper-bench compare --group goals --rounds 3",
    ] {
        assert!(page.contains(shown), "{shown} is not in the page");
    }
    let elsewhere = page.replace("http://www.w3.org/2000/svg", "");
    for needs in ["http:", "https:", "<script", "<link", "src=", "@import", "url("] {
        assert!(!elsewhere.contains(needs), "the page has {needs}");
    }
    assert!(!page.contains("NaN") && !page.contains("inf,"), "a chart has a place that is none");
}

#[test]
fn what_comes_from_a_results_file_is_escaped() {
    let mut lines = rows(&[("<b>bold</b>", 1, 100.0)]);
    only_row(&mut lines[0]).title = "a <script> & a | bar".to_owned();
    let summary = Summary::of([lines]);
    let page = html::page(&summary, &Notes::default());
    assert!(!page.contains("<script>") && !page.contains("<b>bold"), "raw text in the page");
    assert!(page.contains("a &lt;script&gt; &amp; a | bar"));
    let text = markdown::text(&summary, &Notes::default());
    assert!(text.contains("a <script> & a \\| bar |"), "{text}");
}

#[test]
fn a_ratio_is_made_round_by_round_before_its_median_is_taken() {
    // The machine is twice as fast in the second round. The report must not count that as a gain of ringkeeper.
    let lines = rows(&[
        (OURS, 1, 200.0),
        (ZOOKEEPER, 1, 100.0),
        (OURS, 2, 600.0),
        (ZOOKEEPER, 2, 200.0),
        (OURS, 3, 250.0),
        (ZOOKEEPER, 3, 100.0),
    ]);
    let summary = Summary::of([lines]);
    let workload = &summary.workloads[0];
    let rate = summary.ratios(&workload.entries[0], &workload.entries).unwrap().rate.unwrap();
    assert_eq!((rate.median, rate.least, rate.most), (2.5, 2.0, 3.0));
    assert_eq!(summary.ratios(&workload.entries[1], &workload.entries), None);
}

#[test]
fn rounds_of_one_file_are_never_compared_with_those_of_another() {
    let files = [
        rows(&[(OURS, 1, 200.0), (ZOOKEEPER, 1, 100.0)]),
        rows(&[(OURS, 1, 900.0), (ZOOKEEPER, 1, 300.0)]),
    ];
    let summary = Summary::of(files);
    let workload = &summary.workloads[0];
    assert_eq!(workload.entries[0].rows.len(), 2);
    let rate = summary.ratios(&workload.entries[0], &workload.entries).unwrap().rate.unwrap();
    assert_eq!((rate.least, rate.most), (2.0, 3.0));
}

#[test]
fn goals_of_several_files_form_one_table_and_the_last_answer_counts() {
    let goal = |title: &str, reached: f64| {
        let goals = example::goals().into_iter();
        let mut goal = goals.last().expect("an example has goals");
        (goal.title, goal.reached, goal.met) = (title.to_owned(), reached, reached >= goal.limit);
        Line::Goal(goal)
    };
    let files = [
        vec![goal("reads", 9.0), goal("writes", 2.0)],
        vec![goal("restart", 8.0), goal("writes", 8.5)],
    ];
    let summary = Summary::of(files);
    let goals: Vec<_> = summary.goals.iter().map(|goal| (&goal.title[..], goal.reached)).collect();
    assert_eq!(goals, [("reads", 9.0), ("writes", 8.5), ("restart", 8.0)]);
    let text = markdown::text(&summary, &Notes::default());
    assert_eq!(text.matches("## Goals").count(), 1);
    assert!(text.contains("3 of 3 goals reached"), "{text}");
}

#[test]
fn a_goal_says_what_its_workload_cost_our_servers() {
    let mut lines = rows(&[(OURS, 1, 1000.0), (ZOOKEEPER, 1, 1000.0)]);
    for (at, cpu_seconds) in [(0, 0.05), (1, 5.0)] {
        only_row(&mut lines[at]).resources = Some(Resources {
            cpu_seconds,
            server_bytes_written: 5 * 700_000,
            device_writes: 5 * 250,
            ..Resources::default()
        });
    }
    let mut goal = example::goals().remove(0);
    (goal.workload, goal.servers) = ("writes".to_owned(), 1);
    lines.push(Line::Goal(goal.clone()));
    let summary = Summary::of([lines]);
    assert_eq!(summary.cost_of(&goal).unwrap().cpu_us.median, 10.0);
    let text = markdown::text(&summary, &Notes::default());
    let line = text.lines().find(|line| line.contains("single write p50")).unwrap();
    assert!(line.ends_with("| 10 µs | 700 B | 0.25 |"), "{line}");
    assert!(html::page(&summary, &Notes::default()).contains("700 B"));
    goal.servers = 3;
    assert!(summary.cost_of(&goal).is_none(), "nothing was measured with three servers");
}

#[test]
fn what_the_core_does_is_shown_as_the_median_of_the_rounds() {
    let row = |round, per_second| {
        Line::Core(CoreRow { round, request: "getData".to_owned(), per_second })
    };
    let summary = Summary::of([vec![row(1, 4e6), row(2, 5e6), row(3, 9e6)]]);
    for report in
        [html::page(&summary, &Notes::default()), markdown::text(&summary, &Notes::default())]
    {
        assert!(report.contains("getData") && report.contains("5 M"), "{report}");
        assert!(report.contains("0.2 µs"), "{report}");
    }
}

#[test]
fn two_commits_of_one_program_are_two_series_and_the_first_is_the_reference() {
    let mut lines = rows(&[(OURS, 1, 100.0), (OURS, 1, 150.0)]);
    only_row(&mut lines[1]).commit = Some("fedcba9".to_owned());
    let summary = Summary::of([lines]);
    assert_eq!(summary.series, ["ringkeeper c708519", "ringkeeper fedcba9"]);
    let entries = &summary.workloads[0].entries;
    let rate = summary.ratios(&entries[1], entries).unwrap().rate.unwrap();
    assert!((rate.median - 1.5).abs() < 1e-9);
}

#[test]
fn a_clean_run_raises_no_doubt_and_each_flaw_one() {
    assert_eq!(doubts(&Summary::of([example::run()])), Vec::<String>::new());

    let mut lines = rows(&[(OURS, 1, 100.0), (OURS, 2, 400.0), (OURS, 3, 100.0)]);
    let flawed = only_row(&mut lines[0]);
    flawed.measured.errors = BTreeMap::from([("connection lost".to_owned(), 7)]);
    flawed.measured.sessions_lost = 2;
    flawed.measured.generator_busy = 0.97;
    let mut header = example::header();
    (header.dirty, header.rounds, header.loadavg_before) = (true, 2, 1.5);
    lines.insert(0, Line::Run(header));
    let doubts = doubts(&Summary::of([lines])).join("\n");
    for doubt in [
        "changes on top of commit c708519",
        "load average up to 1.5",
        "fewer than three rounds",
        "7 × connection lost",
        "sessions expire",
        "97 %",
        "far apart",
    ] {
        assert!(doubts.contains(doubt), "{doubt} is not among\n{doubts}");
    }
}

#[test]
fn what_is_wrong_with_several_runs_is_said_once() {
    let run = |date: &str, loadavg_before| {
        let mut header = example::header();
        (header.date, header.loadavg_before) = (date.to_owned(), loadavg_before);
        (header.dirty, header.rounds) = (true, 1);
        vec![Line::Run(header)]
    };
    let summary = Summary::of([run("2026-03", 1.5), run("2026-01", 4.0), run("2026-02", 0.0)]);
    let doubts = doubts(&summary);
    assert_eq!(doubts.len(), 3, "{doubts:?}");
    assert!(doubts[1].contains("before 2 of 3 runs: load average up to 4.0"), "{doubts:?}");
    assert!(doubts[2].starts_with("3 of 3 runs had fewer than three rounds"), "{doubts:?}");
    let circumstances = summary.circumstances();
    assert_eq!(circumstances.len(), 1);
    assert_eq!(circumstances[0].1, ["2026-01", "2026-03"]);
    assert!(html::page(&summary, &Notes::default()).contains("2026-01 to 2026-03 · commit"));
}

#[test]
fn after_an_event_the_longest_silence_is_found_and_belongs_to_it_alone() {
    let slice = |at: u32, operations| Slice {
        at_s: f64::from(at) / 10.0,
        operations,
        p99_us: 50.0,
        ..Slice::default()
    };
    let operations = [9, 9, 9, 0, 0, 0, 9, 0, 9, 9, 9, 0];
    let slices = (0..).zip(operations).map(|(at, count)| slice(at, count)).collect();
    let timeline = FailureTimeline {
        slices,
        events: vec![(0.25, "leader killed".to_owned()), (0.9, "it is back".to_owned())],
        ..FailureTimeline::default()
    };
    let after = charts::aftermath(&timeline);
    let silences: Vec<f64> = after.iter().map(|after| (after.silent_s * 10.0).round()).collect();
    assert_eq!(silences, [3.0, 1.0]);
}

#[test]
fn what_happens_again_and_again_is_listed_once_by_its_worst() {
    let slices = (0..10).map(|at| Slice {
        at_s: f64::from(at),
        operations: u64::from(at != 6),
        p99_us: f64::from(at),
        ..Slice::default()
    });
    let timeline = FailureTimeline {
        slices: slices.collect(),
        events: [0.5, 2.5, 4.5, 6.5].map(|at| (at, "snapshot begins".to_owned())).to_vec(),
        ..FailureTimeline::default()
    };
    let after = charts::aftermath(&timeline);
    assert_eq!(after.len(), 1);
    assert_eq!((after[0].times, after[0].silent_s, after[0].p99_us), (4, 1.0, 9.0));
}

#[test]
fn a_ladder_says_where_it_bends() {
    let summary = Summary::of([example::run()]);
    let ladder = summary.ladders.iter().find(|ladder| ladder.name == "ladder-values").unwrap();
    let bend = charts::bend(ladder, &summary).unwrap();
    assert!(bend.starts_with("ringkeeper goes from") && bend.contains("at 0 B"), "{bend}");
    assert!(
        bend.contains("from 64 KiB to 1 MiB") || bend.contains("from 1 KiB to 64 KiB"),
        "{bend}"
    );
}

#[test]
fn the_headline_shows_the_workloads_that_were_named_and_needs_a_reference() {
    let summary = Summary::of([example::run()]);
    let picture = headline::svg(&summary, &["reads-100x16".to_owned()]).unwrap();
    assert!(picture.contains("100 × 16 reads") && !picture.contains("1000 × 1 reads"));
    std::fs::write(
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("report-example.svg"),
        headline::svg(&summary, &[]).unwrap(),
    )
    .unwrap();
    assert_eq!(headline::svg(&Summary::of([rows(&[(OURS, 1, 1.0)])]), &[]), None);
}

#[test]
fn a_line_that_is_no_result_is_named_by_file_and_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.jsonl");
    let good = serde_json::to_string(&Line::Run(example::header())).unwrap();
    std::fs::write(&path, format!("{good}\n\n{{\"line\":\"row\"}}\n")).unwrap();
    let error = report::read(&path).unwrap_err();
    assert!(error.contains("run.jsonl, line 3: missing field"), "{error}");
    std::fs::write(&path, "\n").unwrap();
    assert!(report::read(&path).unwrap_err().contains("no results in it"));
}

#[test]
fn remarks_stand_beside_what_they_are_about() {
    let notes: Notes = toml::from_str(
        "title = 'A title'\nsummary = 'In short.'\n[notes]\nladder-sessions = 'It bends because.'\n'mix-90 × 3' = 'Of three.'\nmix-90 = 'Of one.'",
    )
    .unwrap();
    let summary = Summary::of([example::run()]);
    for report in [html::page(&summary, &notes), markdown::text(&summary, &notes)] {
        for text in ["A title", "In short.", "It bends because.", "Of three."] {
            assert!(report.contains(text), "{text} is missing");
        }
        assert!(!report.contains("Of one."), "a remark about another size of ensemble");
    }
}

#[test]
fn the_command_writes_three_files_beside_the_results() {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("ringkeeper-0.2.jsonl");
    let lines: Vec<String> =
        example::run().iter().map(|line| serde_json::to_string(line).unwrap()).collect();
    std::fs::write(&results, lines.join("\n")).unwrap();
    let notes = folder.path().join("ringkeeper-0.2.notes.toml");
    std::fs::write(&notes, "title = 'Two cores'").unwrap();
    let command = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ringkeeper-bench"));
        command.arg("report").arg(&results);
        command
    };
    let done = command().output().unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success() && said.contains("3 of 6 goals reached"), "{said}");
    for (ending, begins) in [("md", "# Two cores"), ("html", "<!DOCTYPE html>"), ("svg", "<svg")] {
        let text = std::fs::read_to_string(folder.path().join(format!("ringkeeper-0.2.{ending}")));
        assert!(text.unwrap().starts_with(begins), "{ending}");
    }

    let failed = command().args(["--headline", "write-1x1,writes-1x1"]).output().unwrap();
    let said = String::from_utf8(failed.stderr).unwrap();
    assert!(said.contains("--headline writes-1x1: not in these results"), "{said}");

    std::fs::write(&notes, "titel = 'Two cores'").unwrap();
    let failed = command().output().unwrap();
    let said = String::from_utf8(failed.stderr).unwrap();
    assert!(!failed.status.success() && said.contains("ringkeeper-0.2.notes.toml"), "{said}");
}
