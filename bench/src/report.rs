//! The result as a Markdown table.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use crate::arguments::Options;
use crate::comparison::Series;
use crate::machine;
use crate::statistics::spread;

/// The report: what was measured where, then a line a row. Ratios above 1 are in our favour.
pub(crate) fn markdown(options: &Options, results: &[Series]) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "- ours: `{}`", version(&options.ours));
    let _ = writeln!(text, "- reference: `{}`", version(&options.reference));
    let _ = writeln!(text, "- machine: {}", machine::description());
    let _ = writeln!(
        text,
        "- {} interleaved pairs of {:.1} s a row, fresh store directory each run; rates and costs are medians, ratios medians of \
         pairs with the least and the greatest; CPU is the server's, a message\n",
        options.pairs,
        options.length.as_secs_f64()
    );
    text.push_str("| workload | ours /s | reference /s | rate ratio | ours CPU us | reference CPU us | CPU ratio | dropped |\n");
    text.push_str("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n");
    for series in results {
        line(&mut text, series);
    }
    text
}

fn line(text: &mut String, series: &Series) {
    let pairs = &series.pairs;
    let rate = spread(pairs, |pair| {
        pair.ours.rate() / pair.reference.rate().max(1e-9)
    });
    let cpu = spread(pairs, |pair| {
        pair.reference.cpu_each_us() / pair.ours.cpu_each_us().max(1e-9)
    });
    let _ = writeln!(
        text,
        "| {} | {} | {} | **{:.2}** ({:.2}-{:.2}) | {:.3} | {:.3} | **{:.2}** ({:.2}-{:.2}) | {} |",
        series.row.title,
        thousands(spread(pairs, |pair| pair.ours.rate()).median),
        thousands(spread(pairs, |pair| pair.reference.rate()).median),
        rate.median,
        rate.min,
        rate.max,
        spread(pairs, |pair| pair.ours.cpu_each_us()).median,
        spread(pairs, |pair| pair.reference.cpu_each_us()).median,
        cpu.median,
        cpu.min,
        cpu.max,
        series.dropped
    );
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
}
