//! `rtt`: the round trip time to each configured server, at each of its addresses.

use std::time::Duration;

use clap::Args;
use everjet_values::format_duration;
use serde::Serialize;

use crate::connect::{Settings, without_secrets};
use crate::failure::Failure;
use crate::output::{Format, json};

/// The arguments of `rtt`.
#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// How often to measure; the average is shown
    #[arg(default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    iterations: u32,
}

#[derive(Serialize)]
struct Measured {
    server: String,
    address: String,
    iterations: u32,
    average_ns: u64,
    min_ns: u64,
    max_ns: u64,
}

/// Measures.
///
/// # Errors
/// [`Failure::Connect`] when a server cannot be reached.
pub(crate) async fn run(flags: &Flags, settings: &Settings, format: Format) -> Result<(), Failure> {
    let mut all = Vec::new();
    for server in settings.servers() {
        let shown = without_secrets(server);
        if !format.is_json() {
            println_checked(&format!("{shown}:\n"))?;
        }
        for address in addresses(server, &shown).await? {
            let measured = measure(flags.iterations, settings, server, &shown, &address).await?;
            if !format.is_json() {
                let average = Duration::from_nanos(measured.average_ns);
                println_checked(&format!("   {address}: {}", format_duration(average)))?;
            }
            all.push(measured);
        }
        if !format.is_json() {
            println_checked("")?;
        }
    }
    if format.is_json() {
        json::print(&all)?;
    }
    Ok(())
}

fn println_checked(line: &str) -> std::io::Result<()> {
    use std::io::Write;
    writeln!(std::io::stdout(), "{line}")
}

async fn measure(
    iterations: u32,
    settings: &Settings,
    server: &str,
    shown: &str,
    address: &str,
) -> Result<Measured, Failure> {
    // Certificates are for names: a TLS server is connected by its name, whatever the address.
    let target = if shown.starts_with("tls://") {
        server.to_owned()
    } else {
        with_host(server, address)
    };
    let connection = settings.connect_to(&[target]).await?;
    // The first round trip also sets up the reply subscription.
    connection.round_trip(&[]).await?;
    let mut times = Vec::new();
    for _ in 0..iterations {
        let took = connection.round_trip(&[]).await?;
        times.push(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }
    let sum: u64 = times.iter().sum();
    Ok(Measured {
        server: shown.to_owned(),
        address: address.to_owned(),
        iterations,
        average_ns: sum / u64::from(iterations),
        min_ns: times.iter().min().copied().unwrap_or(0),
        max_ns: times.iter().max().copied().unwrap_or(0),
    })
}

/// The addresses of a server, each with its port.
async fn addresses(server: &str, shown: &str) -> Result<Vec<String>, Failure> {
    let failed = |reason: String| Failure::Connect {
        servers: shown.to_owned(),
        reason,
    };
    let parsed: async_nats::ServerAddr = server
        .parse()
        .map_err(|error: std::io::Error| failed(error.to_string()))?;
    let host = parsed.host().trim_matches(['[', ']']).to_owned();
    let found = tokio::net::lookup_host((host, parsed.port()))
        .await
        .map_err(|error| failed(error.to_string()))?;
    let mut addresses: Vec<String> = found.map(|address| address.to_string()).collect();
    addresses.dedup();
    Ok(addresses)
}

/// The server's URL with another host and port; user and password stay.
fn with_host(server: &str, address: &str) -> String {
    let (scheme, rest) = server.split_once("://").unwrap_or(("nats", server));
    match rest.rsplit_once('@') {
        Some((secrets, _)) => format!("{scheme}://{secrets}@{address}"),
        None => format!("{scheme}://{address}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_replaces_the_host_and_keeps_the_login() {
        for (server, expected) in [
            ("localhost", "nats://127.0.0.1:4222"),
            ("nats://localhost:1", "nats://127.0.0.1:4222"),
            ("nats://u:p@localhost:1", "nats://u:p@127.0.0.1:4222"),
        ] {
            assert_eq!(with_host(server, "127.0.0.1:4222"), expected);
        }
    }
}
