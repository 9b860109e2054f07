//! `--signal`: what a running server is to be told.

/// What a running server is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalCommand {
    /// Say good-bye and exit: `ldm`, SIGUSR2.
    LameDuck,
    /// End at once, as by a crash: `stop`, SIGKILL.
    Stop,
    /// Stop: `quit`, SIGINT.
    Quit,
    /// Stop, unless it says good-bye: `term`, SIGTERM.
    Terminate,
    /// Open the log file again: `reopen`, SIGUSR1.
    Reopen,
    /// Read the configuration file again: `reload`, SIGHUP.
    Reload,
}

impl SignalCommand {
    const ALL: [Self; 6] = [
        Self::LameDuck,
        Self::Stop,
        Self::Quit,
        Self::Terminate,
        Self::Reopen,
        Self::Reload,
    ];

    /// The word on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LameDuck => "ldm",
            Self::Stop => "stop",
            Self::Quit => "quit",
            Self::Terminate => "term",
            Self::Reopen => "reopen",
            Self::Reload => "reload",
        }
    }
}

/// A command and whom it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalRequest {
    /// What it is told.
    pub command: SignalCommand,
    /// A process id, the beginning of some with `*` behind, or a file with a process id. Empty: the one server that runs.
    pub target: String,
}

impl SignalRequest {
    /// Reads `command` or `command=target`.
    ///
    /// # Errors
    /// What is wrong with it, as nats-server words it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (name, target) = text.split_once('=').unwrap_or((text, ""));
        let command = SignalCommand::ALL
            .into_iter()
            .find(|command| command.name() == name);
        Ok(Self {
            command: command.ok_or_else(|| format!("unknown signal {name:?}"))?,
            target: target.to_owned(),
        })
    }
}
