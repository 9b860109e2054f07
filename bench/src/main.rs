//! The side-by-side comparison of two servers: interleaved runs of the same load, medians of pairwise ratios.
//!
//! The load generator speaks the raw protocol from prebuilt buffers, so that the server is the bottleneck. What the server costs
//! is its own processor time; rates on a shared machine are the weaker number.
#![forbid(unsafe_code)]

mod arguments;
mod churn_load;
mod comparison;
mod connection;
mod connections_load;
mod core_load;
mod distinct_load;
mod document;
mod figure;
mod frames;
mod machine;
mod outcome;
mod pull_load;
mod queue_load;
mod relay;
mod report;
mod request_crowd;
mod request_load;
mod rows;
mod sinks;
mod stalled_load;
mod statistics;
mod store;
mod stream_load;
mod traffic;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use arguments::{Invocation, Options};

fn main() -> ExitCode {
    let done = match arguments::parse(std::env::args().skip(1)) {
        Ok(Invocation::Help) => {
            print!("{}", arguments::USAGE);
            Ok(())
        }
        Ok(Invocation::Rows) => {
            for row in rows::all() {
                let (name, pairs, seconds) = (row.name, row.pairs, row.seconds);
                println!("{name:<28} {pairs} x {seconds} s  {}", row.title);
            }
            Ok(())
        }
        Ok(Invocation::Compare(options)) => compare(&options),
        Err(error) => Err(format!("{error}\n{}", arguments::USAGE)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("everjet-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures, prints the tables, and writes them into the page if one is named.
fn compare(options: &Options) -> Result<(), String> {
    // The page is looked at first: what is wrong with it should not cost ten minutes.
    if let Some(page) = &options.write {
        put_tables(options, page, |_| String::new())?;
    }
    let results = comparison::run(options);
    for group in options.groups() {
        println!("{}", report::markdown(options, group, &results));
    }
    if let Some(page) = &options.write {
        let text = put_tables(options, page, |group| {
            report::markdown(options, group, &results)
        })?;
        fs::write(page, text).map_err(|error| format!("{}: {error}", page.display()))?;
    }
    Ok(())
}

/// The page with the tables of all groups that were asked for.
fn put_tables(
    options: &Options,
    page: &Path,
    table: impl Fn(rows::Group) -> String,
) -> Result<String, String> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", page.display());
    let mut text = fs::read_to_string(page).map_err(|error| named(&error))?;
    for group in options.groups() {
        text = document::replace(&text, group, &table(group)).map_err(|error| named(&error))?;
    }
    Ok(text)
}
