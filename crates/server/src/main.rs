//! The binary `nats-server`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// Less time and fragmentation than the system's allocator under many small records.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    everjet_server::cli::run(&args)
}
