//! The report as Markdown, for a repository or a terminal: everything but the charts.

use super::doubts::doubts;
use super::notes::Notes;
use super::sections::{Cell, Part, Section, Table, sections, verdict};
use super::summary::Summary;

/// The whole report.
pub fn text(summary: &Summary, notes: &Notes) -> String {
    let title = notes.title.as_deref().unwrap_or("Ringkeeper benchmark");
    let mut out = format!("# {title}\n\n{}\n\n", verdict(summary));
    if let Some(text) = &notes.summary {
        out += &format!("{}\n\n", text.trim());
    }
    let doubts = doubts(summary);
    if !doubts.is_empty() {
        out += &format!("**What to doubt**\n\n* {}\n\n", doubts.join("\n* "));
    }
    let sections = sections(summary, notes);
    sections.iter().for_each(|section| append(section, &mut out));
    out
}

/// All sections except the machine's, for the terminal at the end of a run.
pub fn tables(summary: &Summary) -> String {
    let mut out = String::new();
    let sections = sections(summary, &Notes::default());
    let told = sections.iter().filter(|section| section.id != "machine");
    told.for_each(|section| append(section, &mut out));
    out
}

fn append(section: &Section, out: &mut String) {
    out.push_str(&format!("## {}\n\n", section.title));
    // A title is written only when something stands under it.
    let mut title = String::new();
    for part in &section.parts {
        let text = match part {
            Part::Title(text, name) => {
                let name = name.as_ref().map(|name| format!(" (`{name}`)"));
                title = format!("### {text}{}\n\n", name.unwrap_or_default());
                continue;
            }
            Part::Legend(_) | Part::Charts(_) => continue,
            Part::Text(text) => format!("{}\n\n", text.trim()),
            Part::Remark(text) => format!("{text}\n\n"),
            Part::Command(command) => format!("    {command}\n\n"),
            Part::Table(table) => self::table(table),
        };
        out.push_str(&std::mem::take(&mut title));
        out.push_str(&text);
    }
}

fn table(table: &Table) -> String {
    let line = |cells: Vec<String>| {
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let cell = |cell: &Cell| match &cell.range {
        Some(range) => format!("{} ({range})", cell.text),
        None => cell.text.clone(),
    };
    let rows = table.rows.iter().map(|row| line(row.iter().map(cell).collect()));
    let rule = format!("|{}\n", "---|".repeat(table.head.len()));
    format!("{}{rule}{}\n", line(table.head.clone()), rows.collect::<String>())
}
