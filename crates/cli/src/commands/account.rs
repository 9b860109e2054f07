//! `account`: the login, and what JetStream allows and holds.

use clap::Subcommand;
use everjet_values::{format_duration, format_size};
use serde_json::{Value, json};

use crate::api::{Answer, count_at, number_at, text_at};
use crate::connect::{Connection, Settings};
use crate::failure::Failure;
use crate::forms::{show_byte_limit, show_limit, show_number};
use crate::keeper::has_no_jetstream;
use crate::output::block::Block;
use crate::output::{Format, json};

/// The commands of `account`.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Show the login, the server and the limits and use of JetStream
    #[command(visible_aliases = ["nfo", "i"])]
    Info,
}

/// Runs one of them.
///
/// # Errors
/// The reason for exit code 1.
pub(crate) async fn run(
    command: &Command,
    settings: &Settings,
    format: Format,
) -> Result<(), Failure> {
    let Command::Info = command;
    let connection = settings.connect().await?;
    let rtt = connection.round_trip(&[]).await?;
    let user = user_info(&connection).await;
    let jetstream = match connection
        .api
        .call("INFO", None, "cannot ask for the account")
        .await
    {
        Ok(answer) => Some(answer),
        Err(failure) if has_no_jetstream(&failure) => None,
        Err(failure) => return Err(failure),
    };
    let server = connection.client.server_info();
    if format.is_json() {
        let document = json!({
            "server": {
                "url": connection.servers,
                "id": server.server_id,
                "name": server.server_name,
                "version": server.version,
                "client_id": server.client_id,
                "client_ip": server.client_ip,
                "headers": server.headers,
                "max_payload": server.max_payload,
                "jetstream": server.jetstream,
                "tls_required": server.tls_required,
                "rtt_ns": u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX),
            },
            "user": user,
            "jetstream": jetstream.map(|answer| answer.value),
        });
        json::print(&document)?;
        return Ok(());
    }
    let mut block = Block::new("Account Information");
    if let Some(user) = &user {
        block.value_unless_empty("User", text_at(user, "/user"));
        block.value_unless_empty("Account", text_at(user, "/account"));
    }
    block.value("Client ID", server.client_id);
    block.value("Client IP", server.client_ip);
    block.value("RTT", format_duration(rtt));
    block.value("Headers Supported", server.headers);
    block.value(
        "Maximum Payload",
        format_size(u64::try_from(server.max_payload).unwrap_or(u64::MAX)),
    );
    block.value("Connected URL", &connection.servers);
    block.value("Connected Server ID", server.server_id);
    block.value_unless_empty("Connected Server Name", &server.server_name);
    block.value("Connected Server Version", server.version);
    block.value("TLS Required", server.tls_required);
    match &jetstream {
        Some(answer) => describe_jetstream(&mut block, answer),
        None => {
            block.heading("JetStream");
            block.value("JetStream", "not enabled for this account");
        }
    }
    block.print()?;
    Ok(())
}

/// Who the server says we are; `None` when it does not tell.
async fn user_info(connection: &Connection) -> Option<Value> {
    let reply = connection
        .client
        .request("$SYS.REQ.USER.INFO", "".into())
        .await
        .ok()?;
    let document: Value = serde_json::from_slice(&reply.payload).ok()?;
    document.get("data").cloned()
}

fn describe_jetstream(block: &mut Block, answer: &Answer) {
    let info = &answer.value;
    let bytes = |path: &str| format_size(count_at(info, path));
    block.heading("JetStream Usage");
    block.value("Storage", bytes("/storage"));
    block.value("Memory", bytes("/memory"));
    block.value("Streams", show_number(number_at(info, "/streams")));
    block.value("Consumers", show_number(number_at(info, "/consumers")));
    block.heading("JetStream Limits");
    let limit = |path: &str| show_byte_limit(number_at(info, path));
    block.value("Maximum Storage", limit("/limits/max_storage"));
    block.value("Maximum Memory", limit("/limits/max_memory"));
    block.value(
        "Maximum Streams",
        show_limit(number_at(info, "/limits/max_streams")),
    );
    block.value(
        "Maximum Consumers",
        show_limit(number_at(info, "/limits/max_consumers")),
    );
    block.value(
        "Maximum Ack Pending",
        show_limit(number_at(info, "/limits/max_ack_pending")),
    );
    block.heading("JetStream API");
    block.value_unless_empty("Domain", text_at(info, "/domain"));
    block.value("Level", number_at(info, "/api/level"));
    block.value("Requests", show_number(number_at(info, "/api/total")));
    block.value("Errors", show_number(number_at(info, "/api/errors")));
}
