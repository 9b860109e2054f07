//! `context`: named connection settings.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::connect::ConnectionFlags;
use crate::context::{Context, Contexts};
use crate::failure::Failure;
use crate::output::block::Block;
use crate::output::table::Table;
use crate::output::{Format, json};

/// The commands of `context`.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Save a context with the connection flags of this call; overwrites one of that name
    #[command(visible_aliases = ["create", "save"])]
    Add {
        /// The name
        name: String,
        /// What it is for
        #[arg(long)]
        description: Option<String>,
        /// Select it
        #[arg(long)]
        select: bool,
    },
    /// List the contexts
    #[command(visible_aliases = ["list", "l"])]
    Ls {
        /// Only the names
        #[arg(short, long)]
        names: bool,
    },
    /// Make a context the one that is used when none is named
    #[command(visible_aliases = ["switch", "set"])]
    Select {
        /// The name
        name: String,
    },
    /// Show a context, without its secrets
    #[command(visible_aliases = ["show", "view"])]
    Info {
        /// The name; without one the selected context
        name: Option<String>,
    },
}

/// Runs one of them.
///
/// # Errors
/// The reason for exit code 1.
pub(crate) fn run(
    command: &Command,
    flags: &ConnectionFlags,
    format: Format,
) -> Result<(), Failure> {
    let contexts = Contexts::of_user().ok_or_else(|| {
        Failure::usage("there is no place for contexts: neither XDG_CONFIG_HOME nor HOME is set")
    })?;
    match command {
        Command::Add {
            name,
            description,
            select,
        } => {
            let mut context = from_flags(name, flags);
            if let Some(description) = description {
                context.set("description", description);
            }
            contexts.save(&context)?;
            if *select {
                contexts.select(name)?;
            }
            show(&context, format)
        }
        Command::Ls { names } => list(&contexts, *names, format),
        Command::Select { name } => {
            contexts.select(name)?;
            show(&contexts.load(name)?, format)
        }
        Command::Info { name } => {
            let name = match name {
                Some(name) => name.clone(),
                None => contexts.selected()?.ok_or_else(|| {
                    Failure::usage("no context is selected; name one, or select one first")
                })?,
            };
            show(&contexts.load(&name)?, format)
        }
    }
}

fn from_flags(name: &str, flags: &ConnectionFlags) -> Context {
    let mut context = Context::new(name);
    let settings = [
        ("url", &flags.server),
        ("user", &flags.user),
        ("password", &flags.password),
        ("token", &flags.token),
        ("cert", &flags.tlscert),
        ("key", &flags.tlskey),
        ("ca", &flags.tlsca),
        ("jetstream_domain", &flags.js_domain),
        ("jetstream_api_prefix", &flags.js_api_prefix),
        ("inbox_prefix", &flags.inbox_prefix),
    ];
    for (key, value) in settings {
        if let Some(value) = value {
            context.set(key, value);
        }
    }
    if flags.tlsfirst {
        context.turn_on("tls_first");
    }
    context
}

fn list(contexts: &Contexts, names_only: bool, format: Format) -> Result<(), Failure> {
    let selected = contexts.selected()?;
    let names = contexts.names()?;
    if names_only && !format.is_json() {
        use std::io::Write;
        for name in &names {
            writeln!(std::io::stdout(), "{name}")?;
        }
        return Ok(());
    }
    let mut documents = Vec::new();
    let mut table = Table::new("Known Contexts", &["Name", "Description", "URL"]);
    for name in &names {
        let context = contexts.load(name)?;
        let is_selected = selected.as_ref() == Some(name);
        let mark = if is_selected { "*" } else { "" };
        table.row([
            format!("{name}{mark}"),
            context.text("description").unwrap_or_default(),
            context.text("url").unwrap_or_default(),
        ]);
        let mut document = without_secrets(&context);
        document["selected"] = json!(is_selected);
        documents.push(document);
    }
    if format.is_json() {
        json::print(&documents)?;
    } else if names.is_empty() {
        eprintln!("There are no contexts");
    } else {
        table.print()?;
    }
    Ok(())
}

fn show(context: &Context, format: Format) -> Result<(), Failure> {
    let document = without_secrets(context);
    if format.is_json() {
        json::print(&document)?;
        return Ok(());
    }
    let mut block = Block::new(format!("NATS Configuration Context \"{}\"", context.name));
    let settings = document.as_object().into_iter().flatten();
    for (key, value) in settings.filter(|(key, _)| *key != "name") {
        match value {
            Value::String(text) => block.value_unless_empty(key, text),
            Value::Bool(true) => block.value(key, "true"),
            _ => {}
        }
    }
    block.print()?;
    Ok(())
}

/// The settings with their secrets replaced by asterisks.
fn without_secrets(context: &Context) -> Value {
    let mut document: Value = serde_json::from_str(&context.render()).unwrap_or_default();
    for key in ["password", "token", "user_jwt", "user_seed"] {
        if context.text(key).is_some() {
            document[key] = json!("*********");
        }
    }
    document["name"] = json!(context.name);
    document
}
