//! The arguments: global flags and the tree of commands. Each command's own flags are in its file.

use clap::{Parser, Subcommand};

use crate::commands::{
    account, consumer, context, publish, reply, request, rtt, stream, subscribe,
};
use crate::connect::ConnectionFlags;

/// NATS from the command line: publish, subscribe, request, and manage streams and consumers.
#[derive(Parser, Debug)]
#[command(
    name = "nats",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    disable_help_subcommand = false,
    max_term_width = 100
)]
pub(crate) struct Cli {
    /// Where and how to connect.
    #[command(flatten)]
    pub(crate) connection: ConnectionFlags,
    /// Write JSON, and nothing else, to standard output
    #[arg(short, long, global = true)]
    pub(crate) json: bool,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Publish messages; waits for the acknowledgement when a stream stores them
    #[command(name = "publish", visible_alias = "pub")]
    Publish(publish::Flags),
    /// Show messages: those stored in streams first, then new ones
    #[command(name = "subscribe", visible_alias = "sub")]
    Subscribe(subscribe::Flags),
    /// Send requests and show the replies
    #[command(name = "request", visible_alias = "req")]
    Request(request::Flags),
    /// Answer requests
    Reply(reply::Flags),
    /// Manage streams
    #[command(subcommand, visible_aliases = ["str", "st", "s"], alias = "ms")]
    Stream(stream::Command),
    /// Manage consumers of streams
    #[command(subcommand, visible_aliases = ["con", "c"], alias = "obs")]
    Consumer(consumer::Command),
    /// Measure the round trip time to the servers
    Rtt(rtt::Flags),
    /// Show the account
    #[command(subcommand, visible_alias = "a")]
    Account(account::Command),
    /// Manage named connection settings
    #[command(subcommand, visible_alias = "ctx")]
    Context(context::Command),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn check(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_command_tree_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn aliases_and_short_forms_are_accepted() {
        for line in [
            "nats pub a b",
            "nats publish a b -J",
            "nats sub a -r -T",
            "nats req a b",
            "nats reply a --echo",
            "nats s ls",
            "nats str list -n",
            "nats st add X --subjects a",
            "nats stream create X --subjects a",
            "nats stream new X --subjects a,b --defaults",
            "nats stream nfo X",
            "nats stream i X -j",
            "nats stream del X -f",
            "nats stream delete X --force",
            "nats stream get X 1",
            "nats stream get X -S a",
            "nats stream view X 10",
            "nats c ls X",
            "nats con add X c --pull --defaults",
            "nats obs nfo X c",
            "nats consumer next X c --count 2 --no-ack",
            "nats consumer rm X c -f",
            "nats rtt",
            "nats a info",
            "nats account info",
            "nats ctx ls",
            "nats -s nats://h:1 --json rtt",
            "nats rtt --server h --timeout 1s",
            "nats stream add X --subjects a --max-age=-1 --max-msgs -1 --retention days=7",
            "nats stream add ORDERS --subjects order.* --storage file --replicas 1 --retention days=7 --max-age 7d --max-msg-size 1MB",
        ] {
            if let Err(error) = check(line) {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn what_is_not_built_is_refused_and_not_ignored() {
        for line in [
            "nats sub a --translate cat",
            "nats sub a --graph",
            "nats stream add X --subjects a --persist-mode async",
            "nats stream edit X",
            "nats kv add B",
            "nats pub a b --schedule-after 1s",
            "nats --creds file rtt",
            "nats rtt --colors red",
        ] {
            assert!(check(line).is_err(), "{line}");
        }
    }
}
