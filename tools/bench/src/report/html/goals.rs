//! The goals: what was to be reached, what was, and how far the rounds lie apart.

use maud::{Markup, html};

use super::super::summary::Summary;
use super::super::words;
use super::costs;
use crate::result::GoalResult;

/// The bar's whole width stands for eight times worse to eight times better than the goal.
const FACTOR_MAX: f64 = 8.0;

pub(super) fn section(summary: &Summary) -> Option<Markup> {
    if summary.goals.is_empty() {
        return None;
    }
    Some(html! {
        div.wide {
            table {
                thead {
                    tr {
                        th { "workload" }
                        th { "goal" }
                        th.number { "reached" }
                        th.number { "rounds" }
                        (costs::head())
                        th { div.scale { span { "an eighth" } span { "the goal" } span { "eight times" } } }
                        th { }
                    }
                }
                tbody {
                    @for goal in &summary.goals {
                        tr {
                            td { (goal.title) }
                            td { (goal.goal) }
                            td.number { b { (value(goal, goal.reached)) } }
                            td.number { (words::range(goal.spread.0, goal.spread.1, |figure| value(goal, figure))) }
                            (costs::cells(summary.cost_of(goal)))
                            td { (bar(goal)) }
                            td {
                                @if goal.met { span.met { "✓ reached" } }
                                @else { span.missed { "✗ missed" } }
                            }
                        }
                    }
                }
            }
        }
        p.muted {
            "A bar that passes the line in the middle reaches its goal; the thin line is the spread of the rounds. "
            (costs::EACH)
        }
    })
}

/// A goal's figure in its unit.
pub fn value(goal: &GoalResult, figure: f64) -> String {
    match &goal.unit[..] {
        "µs" => words::micros(figure),
        "s" => words::micros(figure * 1e6),
        "bytes" => words::bytes(figure),
        "×" => format!("{} ×", words::ratio(figure)),
        unit => format!("{} {unit}", words::count(figure)),
    }
}

/// How far from its goal a figure is, whichever way is better; 0 to 100 per cent of the bar.
fn place(goal: &GoalResult, figure: f64) -> f64 {
    let better = if goal.at_most { goal.limit / figure } else { figure / goal.limit };
    if !better.is_finite() || better <= 0.0 {
        return 0.0;
    }
    (50.0 + 50.0 * better.ln() / FACTOR_MAX.ln()).clamp(0.0, 100.0)
}

fn bar(goal: &GoalResult) -> Markup {
    let (one, other) = (place(goal, goal.spread.0), place(goal, goal.spread.1));
    let (low, high) = (one.min(other), one.max(other));
    let class = if goal.met { "bar met" } else { "bar missed" };
    html! {
        div class=(class) {
            div.fill style={ (width(place(goal, goal.reached))) } {}
            @if high > low {
                div.whisker style={ "left:" (format!("{low:.1}")) "%;" (width(high - low)) } {}
            }
        }
    }
}

fn width(percent: f64) -> String {
    format!("width:{percent:.1}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goal(at_most: bool) -> GoalResult {
        GoalResult {
            title: "1 server, 100 × 16 reads".to_owned(),
            workload: "reads-100x16".to_owned(),
            servers: 1,
            goal: "8 × ZooKeeper 3.9.4".to_owned(),
            limit: 8.0,
            at_most,
            unit: "×".to_owned(),
            reached: 8.0,
            spread: (7.0, 9.0),
            met: true,
        }
    }

    #[test]
    fn the_middle_of_a_bar_is_the_goal_and_right_of_it_is_better() {
        assert_eq!(place(&goal(false), 8.0), 50.0);
        assert!(place(&goal(false), 16.0) > 50.0);
        assert!(place(&goal(true), 16.0) < 50.0);
        assert_eq!([place(&goal(false), 1e9), place(&goal(false), 0.0)], [100.0, 0.0]);
    }
}
