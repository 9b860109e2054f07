//! The side-by-side comparison of two servers: interleaved runs of the same load, medians of pairwise ratios.
//!
//! The load generator speaks the raw protocol from prebuilt buffers, so that the server is the bottleneck. What the server costs
//! is its own processor time; rates on a shared machine are the weaker number.
#![forbid(unsafe_code)]

mod arguments;
mod comparison;
mod connection;
mod core_load;
mod machine;
mod pull_load;
mod report;
mod rows;
mod statistics;
mod stream_load;

use std::process::ExitCode;

use arguments::Invocation;

fn main() -> ExitCode {
    match arguments::parse(std::env::args().skip(1)) {
        Ok(Invocation::Help) => {
            print!("{}", arguments::USAGE);
            ExitCode::SUCCESS
        }
        Ok(Invocation::Rows) => {
            for row in &rows::ALL {
                println!("{:<18} {}", row.name, row.title);
            }
            ExitCode::SUCCESS
        }
        Ok(Invocation::Compare(options)) => {
            let results = comparison::run(&options);
            print!("{}", report::markdown(&options, &results));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("everjet-bench: {error}");
            eprint!("{}", arguments::USAGE);
            ExitCode::FAILURE
        }
    }
}
