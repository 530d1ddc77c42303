//! Texts about a configuration: the table of keys, the check of a file, the start-up summary.
//!
//! It only writes: what a configuration means has been decided, and what the machine says about it comes as [`Here`].
//! The table of keys has four forms with the same content: for people, as JSON, as the tables of
//! docs/configuration.md, and as the comments of a converted file ([`super::convert`]).

use std::fmt::Write as _;

use serde::Serialize;

use super::keys::{self, Fate, Key, Place, Theme};
use super::origin::{Level, Origin};
use super::read::Examination;
use super::settings::Config;

/// One line of the start-up summary: a key that was set and is acted on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SummaryLine {
    /// Canonical name.
    pub key: String,
    /// Value as a `zoo.cfg` writes it; hidden if it is a secret.
    pub value: String,
    /// Its origin.
    pub origin: Origin,
}

/// The keys that were set and are acted on, by name.
pub fn summary(config: &Config) -> Vec<SummaryLine> {
    let acted = config
        .settings()
        .filter(|(key, _)| keys::find(key).is_some_and(|row| matches!(row.fate, Fate::Acted(_))));
    acted
        .map(|(key, setting)| SummaryLine {
            key: key.to_owned(),
            value: setting.text.clone(),
            origin: setting.origin.clone(),
        })
        .collect()
}

/// The findings of this machine about a configuration, a sentence each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Here {
    /// Reasons that keep a server from starting.
    pub denied: Vec<String>,
    /// Ports that a server needs and another process uses at this moment: usually the server that it is
    /// to replace.
    pub taken: Vec<String>,
    /// Whether a Ringkeeper server uses the folder now.
    pub held: bool,
    /// The values of keys that depend on the machine: executors, memory.
    pub in_force: Vec<String>,
    /// Facts that do not keep a server from starting, but that its operator should know.
    pub remarks: Vec<String>,
}

/// The text of `config check`: what is acted on, notes by weight, errors or else what is in force, and in the last
/// line whether a server would start. Sections without lines are left out.
///
/// ```text
/// acted on:
///   zoo.cfg:1: dataDir = /var/lib/zookeeper
/// warnings:
///   zoo.cfg:7: tickTme: unknown key, ignored; did you mean tickTime?
/// in force:
///   data folder /var/lib/zookeeper
/// zoo.cfg: a server would start
/// ```
pub fn check(name: &str, examination: &Examination, here: &Here) -> String {
    let Examination { config, errors } = examination;
    let mut out = String::new();
    let mut acted = summary(config);
    // A value that is refused is not in force, and stands among the errors.
    acted.retain(|line| !errors.iter().any(|e| e.origin == line.origin && e.key == line.key));
    // By line, as a person reads the file.
    acted.sort_by(|a, b| a.origin.cmp(&b.origin));
    section(
        &mut out,
        "acted on",
        acted.iter().map(|line| {
            format!("{}: {} = {}", line.origin, line.key, super::origin::printable(&line.value))
        }),
    );
    for (title, level) in [("ignored or worth knowing", Level::Info), ("warnings", Level::Warn)] {
        let notes = config.notes().iter().filter(|note| note.level == level);
        section(&mut out, title, notes.map(ToString::to_string));
    }
    section(&mut out, "errors", errors.iter().map(|e| e.to_string()));
    if errors.is_empty() {
        let (storage, sessions) = (&config.storage, &config.sessions);
        section(
            &mut out,
            "in force",
            [
                format!("data folder {}", storage.data_dir.display()),
                format!("log folder {}", storage.data_log_dir.display()),
                clients(config),
                format!(
                    "session timeouts from {} to {} ms",
                    sessions.min_session_timeout_ms, sessions.max_session_timeout_ms
                ),
                standing(config),
            ]
            .into_iter()
            .chain(here.in_force.iter().cloned()),
        );
        section(&mut out, "worth knowing here", here.remarks.iter());
        section(&mut out, "denied here", here.denied.iter());
        section(&mut out, "taken now", here.taken.iter());
        let would = match (here.denied.is_empty(), here.taken.is_empty()) {
            (true, true) if here.held => {
                "would start after the server that uses its folder has ended"
            }
            (true, true) => "would start",
            (true, false) => "would start once the ports that are taken now are free",
            (false, _) => "would not start here",
        };
        push(&mut out, format_args!("{name}: a server {would}\n"));
    } else {
        let count = errors.len();
        let plural = if count == 1 { "" } else { "s" };
        push(&mut out, format_args!("{name}: {count} error{plural}, a server would not start\n"));
    }
    out
}

/// The line that says whether the server is standalone or a member.
/// Where clients connect.
fn clients(config: &Config) -> String {
    let plain = config.network.client.as_ref().map(ToString::to_string);
    let secure = config.tls.secure_client.as_ref().map(|listen| format!("{listen} with TLS"));
    format!(
        "clients at {}",
        [plain, secure].into_iter().flatten().collect::<Vec<_>>().join(", and at ")
    )
}

fn standing(config: &Config) -> String {
    let quorum = &config.quorum;
    match quorum.my_id.filter(|_| quorum.is_distributed()) {
        None => "a standalone server".to_owned(),
        Some(me) => {
            // All members, this server included.
            let others: Vec<String> =
                quorum.servers.iter().map(|(id, line)| format!("{id} ({})", line.role)).collect();
            format!("server {me} of the ensemble {}", others.join(", "))
        }
    }
}

/// Writes a title and its lines, each indented; nothing if there is no line.
fn section(out: &mut String, title: &str, lines: impl Iterator<Item = impl std::fmt::Display>) {
    for (i, line) in lines.enumerate() {
        if i == 0 {
            push(out, format_args!("{title}:\n"));
        }
        push(out, format_args!("  {line}\n"));
    }
}

/// Appends formatted text.
fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _ = out.write_fmt(text);
}

/// One row of the table, for JSON.
#[derive(Debug, Serialize)]
struct Row<'a> {
    /// Name, as in [`Key::name`].
    key: &'a str,
    /// Title of its theme.
    theme: &'static str,
    /// Where it may be set: `file`, or the prefix of a `-D` word.
    places: Vec<&'static str>,
    /// Which values are allowed, in words, without the unit.
    allowed: String,
    /// Unit of a number; empty if it has none.
    unit: &'a str,
    /// Value if it is not set; empty if there is none.
    default: &'a str,
    /// One of `acted on`, `no meaning here`, `not built yet`, `refused`.
    fate: &'static str,
    /// What it does, or why it does nothing.
    about: &'a str,
}

/// All rows by theme; the sort is stable, so within a theme they stay in the order of the table.
fn rows() -> Vec<&'static Key> {
    let mut rows: Vec<&Key> = keys::all().collect();
    rows.sort_by_key(|row| row.theme);
    rows
}

/// The table as a JSON array of objects.
///
/// # Errors
/// None is known: every field is text.
pub fn keys_json() -> Result<String, serde_json::Error> {
    let rows: Vec<Row<'_>> = rows()
        .into_iter()
        .map(|row| {
            let (fate, about) = row.fate_text();
            Row {
                key: row.name,
                theme: theme_title(row.theme),
                places: places(row.place),
                allowed: row.kind.allowed(),
                unit: row.unit,
                default: row.default,
                fate,
                about,
            }
        })
        .collect();
    serde_json::to_string_pretty(&rows)
}

/// The places of a key, for JSON.
fn places(place: Place) -> Vec<&'static str> {
    match place {
        Place::File => vec!["file"],
        Place::Property => vec!["file", "-Dzookeeper."],
        Place::PropertyOrBare => vec!["file", "-Dzookeeper.", "-D"],
        Place::Bare => vec!["-D", "ringkeeper. in zoo.cfg", "toml"],
        Place::Own => vec!["file", "-D"],
    }
}

/// The heading of a theme.
fn theme_title(theme: Theme) -> &'static str {
    match theme {
        Theme::Storage => "Storage",
        Theme::Network => "Network",
        Theme::Sessions => "Sessions",
        Theme::Limits => "Limits and throttles",
        Theme::Security => "Security",
        Theme::Nodes => "Nodes and watches",
        Theme::Admin => "Operation",
        Theme::Quorum => "Ensemble",
        Theme::Pipeline => "The JVM, its threads and caches",
        Theme::Client => "Clients",
        Theme::Own => "Ringkeeper's own",
    }
}

/// The table for people.
pub fn keys_text() -> String {
    let mut out = String::new();
    let mut theme = None;
    for row in rows() {
        if theme.replace(row.theme) != Some(row.theme) {
            let blank = if out.is_empty() { "" } else { "\n" };
            push(&mut out, format_args!("{blank}{}\n", theme_title(row.theme)));
        }
        let (fate, about) = row.fate_text();
        let default = match row.default {
            "" => String::new(),
            default => format!("; default {default}"),
        };
        push(
            &mut out,
            format_args!(
                "  {}\n      {}{default}\n      where: {}\n      {fate}: {about}\n",
                row.name,
                row.allowed(),
                row.place_text()
            ),
        );
    }
    out
}

/// The tables of the documentation: a heading and a table for each theme. The letters in `where` are F file, P
/// `-Dzookeeper.`, B `-D`, O our own.
pub fn keys_markdown() -> String {
    let mut out = String::new();
    let mut theme = None;
    for row in rows() {
        if theme.replace(row.theme) != Some(row.theme) {
            let blank = if out.is_empty() { "" } else { "\n" };
            push(
                &mut out,
                format_args!(
                    "{blank}### {}\n\n| key | allowed | default | where | effect |\n|---|---|---|---|---|\n",
                    theme_title(row.theme)
                ),
            );
        }
        let (fate, about) = row.fate_text();
        let default =
            if row.default.is_empty() { String::new() } else { format!("`{}`", row.default) };
        let place = match row.place {
            Place::File => "F",
            Place::Property => "F P",
            Place::PropertyOrBare => "F P B",
            Place::Bare => "B",
            Place::Own => "O",
        };
        // A bar would end the cell.
        let allowed = row.allowed().replace('|', "\\|");
        push(
            &mut out,
            format_args!(
                "| `{}` | {allowed} | {default} | {place} | {fate}: {about} |\n",
                row.name
            ),
        );
    }
    out
}
