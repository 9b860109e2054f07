//! Where drivers say what happened.

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For those who look for a cause.
    Debug,
    /// What an operator expects to see.
    Info,
    /// What an operator should look at.
    Warn,
    /// What an operator must act on.
    Error,
}

/// Takes one line at a time for the log of the server.
pub trait Report: Send + Sync {
    /// Notes `text`, one line without an end-of-line.
    fn report(&self, level: Level, text: &str);
}
