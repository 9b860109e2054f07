//! Messages to send: where bodies come from, and the places in them that are filled in.

use std::io::{IsTerminal, Write};

use async_nats::HeaderMap;
use clap::{Args, ValueEnum};
use everjet_values::SeededEntropy;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines, Stdin};

use crate::failure::Failure;
use crate::forms::{header, header_map};
use crate::template::{Filling, Template, entropy};

/// The largest body that the protocol of any server allows.
const BODY_MAX: u64 = 2_147_483_647;

/// The flags that say what is sent.
#[derive(Args, Clone, Debug)]
pub(crate) struct OutgoingFlags {
    /// The body; without one it is read from standard input unless that is a terminal
    #[arg(allow_negative_numbers = true)]
    body: Option<String>,
    /// A header Key:Value; may be repeated
    #[arg(short = 'H', long = "header", value_name = "KEY:VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// When standard input becomes a message: at its end, or at each line end
    #[arg(long, value_enum, default_value = "eof", value_name = "WHEN")]
    send_on: SendOn,
    /// Read the body from standard input even if it is a terminal
    #[arg(long, conflicts_with = "body")]
    force_stdin: bool,
    /// Send {{...}} as it is
    #[arg(long)]
    no_templates: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SendOn {
    Eof,
    Newline,
}

/// The messages to send, one after another.
pub(crate) struct Outgoing {
    source: Source,
    headers: Vec<(String, Template)>,
    templates: bool,
    entropy: SeededEntropy,
}

enum Source {
    /// The same body as often as it is asked for.
    Fixed { body: Body, left: u64 },
    /// A message for each line of standard input.
    Lines(Lines<BufReader<Stdin>>),
}

enum Body {
    Template(Template),
    Bytes(Vec<u8>),
}

impl Outgoing {
    /// Reads what the flags say, and standard input if it holds the body of `count` messages.
    ///
    /// # Errors
    /// [`Failure::Usage`] for flags that contradict each other, [`Failure::File`] when standard input cannot be read.
    pub(crate) async fn new(flags: OutgoingFlags, count: u64) -> Result<Self, Failure> {
        let templates = !flags.no_templates;
        let headers = flags
            .headers
            .into_iter()
            .map(|(key, value)| (key, template(&value, templates)))
            .collect();
        let source = match (flags.send_on, flags.body) {
            (SendOn::Newline, Some(_)) => {
                return Err(Failure::usage(
                    "--send-on newline reads standard input; leave the body out",
                ));
            }
            (SendOn::Newline, None) if count != 1 => {
                return Err(Failure::usage(
                    "--send-on newline sends a message a line; leave --count out",
                ));
            }
            (SendOn::Newline, None) => Source::Lines(BufReader::new(tokio::io::stdin()).lines()),
            (SendOn::Eof, body) => Source::Fixed {
                body: match body {
                    Some(text) => Body::Template(template(&text, templates)),
                    None => read_body(flags.force_stdin, templates).await?,
                },
                left: count,
            },
        };
        Ok(Self {
            source,
            headers,
            templates,
            entropy: entropy(),
        })
    }

    /// The next message, number `number` from 1; `None` when there are no more.
    ///
    /// # Errors
    /// [`Failure::Usage`] for a header that cannot be sent, [`Failure::File`] when standard input cannot be read.
    pub(crate) async fn next(
        &mut self,
        number: u64,
    ) -> Result<Option<(Option<HeaderMap>, Vec<u8>)>, Failure> {
        let filling = Filling::new(number, "");
        let body = match &mut self.source {
            Source::Fixed { left: 0, .. } => return Ok(None),
            Source::Fixed { body, left } => {
                *left -= 1;
                match body {
                    Body::Template(template) => {
                        template.expand(&filling, &self.entropy).into_bytes()
                    }
                    Body::Bytes(bytes) => bytes.clone(),
                }
            }
            Source::Lines(lines) => {
                let line = lines
                    .next_line()
                    .await
                    .map_err(|error| Failure::file("cannot read standard input", error))?;
                let Some(line) = line else { return Ok(None) };
                template(&line, self.templates)
                    .expand(&filling, &self.entropy)
                    .into_bytes()
            }
        };
        let headers: Vec<(String, String)> = self
            .headers
            .iter()
            .map(|(key, value)| (key.clone(), value.expand(&filling, &self.entropy)))
            .collect();
        Ok(Some((header_map(&headers)?, body)))
    }
}

/// A template, or the text as it is when templates are off or it is none, with a warning in the latter case.
pub(crate) fn template(text: &str, on: bool) -> Template {
    if !on {
        return Template::literal(text);
    }
    Template::parse(text).unwrap_or_else(|error| {
        let _ = writeln!(
            std::io::stderr(),
            "nats: warning: {error}; sent unchanged (--no-templates says that this is wanted)"
        );
        Template::literal(text)
    })
}

async fn read_body(force: bool, templates: bool) -> Result<Body, Failure> {
    if std::io::stdin().is_terminal() && !force {
        return Ok(Body::Bytes(Vec::new()));
    }
    let mut bytes = Vec::new();
    tokio::io::stdin()
        .take(BODY_MAX + 1)
        .read_to_end(&mut bytes)
        .await
        .map_err(|error| Failure::file("cannot read standard input", error))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > BODY_MAX) {
        return Err(Failure::other(format!(
            "standard input holds more than {BODY_MAX} bytes, the most that a message can have"
        )));
    }
    Ok(match String::from_utf8(bytes) {
        Ok(text) => Body::Template(template(&text, templates)),
        Err(binary) => Body::Bytes(binary.into_bytes()),
    })
}
