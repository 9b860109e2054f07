//! The result as Markdown.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use crate::arguments::Options;
use crate::comparison::Series;
use crate::figure::{Figure, Goal};
use crate::machine;
use crate::rows::Group;
use crate::statistics::{Spread, spread};

/// The report on the rows of one group: what was measured where, then a line a figure. Ratios above 1 are in our favour.
pub(crate) fn markdown(options: &Options, group: Group, results: &[Series]) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "- ours: `{}`", version(&options.ours));
    let _ = writeln!(text, "- reference: `{}`", version(&options.reference));
    let _ = writeln!(text, "- machine: {}", machine::description());
    if group == Group::Store && options.scale < 1.0 {
        let _ = writeln!(text, "- scale: {} of what the rows say", options.scale);
    }
    let _ = writeln!(
        text,
        "- interleaved pairs of runs, fresh store directory each run; values are medians, ratios medians of pairs with the least \
         and the greatest; CPU is the server's, for each message unless the row says otherwise\n",
    );
    text.push_str(
        "| workload | figure | ours | reference | compared | goal | reached | pairs | dropped |\n",
    );
    text.push_str("| --- | --- | ---: | ---: | ---: | ---: | --- | ---: | ---: |\n");
    let results = results.iter().filter(|series| series.row.group == group);
    for series in results {
        for (index, (figure, goal)) in series.row.lines.iter().enumerate() {
            line(&mut text, series, *figure, *goal, index == 0);
        }
    }
    text
}

/// One figure of one row; the title and what concerns the whole row stand in its first line only.
fn line(text: &mut String, series: &Series, figure: Figure, goal: Goal, first: bool) {
    let pairs = &series.pairs;
    let ours = spread(pairs.iter().map(|pair| pair.ours.value(figure)));
    let reference = spread(pairs.iter().map(|pair| pair.reference.value(figure)));
    let ratio = spread(
        pairs
            .iter()
            .map(|pair| figure.ratio(pair.ours.value(figure), pair.reference.value(figure))),
    );
    let (compared, judged) = match goal {
        goal if goal.is_ratio() => (range(ratio, 2, "x"), ratio.median),
        _ => (range(ours, figure.decimals(), ""), ours.median),
    };
    let compared = match goal {
        Goal::Shown => String::new(),
        _ => compared,
    };
    let reached = match goal.is_reached(judged) {
        Some(true) => "yes",
        Some(false) => "**no**",
        None => "",
    };
    let (title, count, dropped) = if first {
        let dropped = series.dropped.to_string();
        (series.row.title, pairs.len().to_string(), dropped)
    } else {
        ("", String::new(), String::new())
    };
    let _ = writeln!(
        text,
        "| {title} | {} | {} | {} | {compared} | {goal} | {reached} | {count} | {dropped} |",
        figure.title(),
        number(ours.median, figure.decimals()),
        number(reference.median, figure.decimals()),
    );
}

fn range(spread: Spread, decimals: usize, unit: &str) -> String {
    let Spread { median, min, max } = spread;
    format!("**{median:.decimals$}{unit}** ({min:.decimals$} to {max:.decimals$})")
}

fn number(value: f64, decimals: usize) -> String {
    match decimals {
        0 => thousands(value),
        _ => format!("{value:.decimals$}"),
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn version(executable: &Path) -> String {
    let output = Command::new(executable).arg("-v").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    text.unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::Pair;
    use crate::outcome::Outcome;
    use crate::rows;

    #[test]
    fn thousands_are_grouped() {
        fn check(value: f64, expected: &str) {
            assert_eq!(thousands(value), expected);
        }
        check(0.0, "0");
        check(999.4, "999");
        check(1_000.0, "1,000");
        check(1_234_567.0, "1,234,567");
    }

    fn check(figure: Figure, goal: Goal, values: &[(f64, f64)], expected: &str) {
        let pairs = values.iter().map(|(ours, reference)| Pair {
            ours: Outcome::default().with(figure, *ours),
            reference: Outcome::default().with(figure, *reference),
        });
        let series = Series {
            row: rows::all().next().expect("there are rows"),
            pairs: pairs.collect(),
            dropped: 2,
        };
        let mut text = String::new();
        line(&mut text, &series, figure, goal, true);
        let title = series.row.title;
        assert_eq!(text, format!("| {title} | {expected} |\n"));
    }

    #[test]
    fn a_ratio_is_the_median_of_the_pairs() {
        check(
            Figure::Rate,
            Goal::Ratio(3.0),
            &[(10.0, 10.0), (4000.0, 1000.0), (30.0, 10.0)],
            "rate, /s | 30 | 10 | **3.00x** (1.00 to 4.00) | 3.0x | yes | 3 | 2",
        );
        check(
            Figure::Cpu,
            Goal::Ratio(4.0),
            &[(0.1, 0.3)],
            "CPU, us | 0.100 | 0.300 | **3.00x** (3.00 to 3.00) | 4.0x | **no** | 1 | 2",
        );
    }

    #[test]
    fn an_own_goal_is_judged_by_our_value_alone() {
        check(
            Figure::RateKept,
            Goal::AtLeast(98.0),
            &[(99.0, 10.0), (98.5, 20.0)],
            "rate kept, % | 98.8 | 15.0 | **98.8** (98.5 to 99.0) | at least 98 | yes | 2 | 2",
        );
        check(
            Figure::Resident,
            Goal::AtMost(3.0),
            &[(3.5, 44.0)],
            "resident, KiB | 3.50 | 44.00 | **3.50** (3.50 to 3.50) | at most 3 | **no** | 1 | 2",
        );
    }

    #[test]
    fn a_figure_without_a_goal_is_only_shown() {
        check(
            Figure::RelayP50,
            Goal::Shown,
            &[(30.0, 31.0)],
            "p50 of the raw relay, us | 30.0 | 31.0 |  |  |  | 1 | 2",
        );
    }
}
