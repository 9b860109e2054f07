//! The flags of the command line: one row a flag, from which it is read and its help is written.

/// What a flag sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    Host,
    Port,
    ServerName,
    PidFile,
    Config,
    Test,
    Signal,
    PortsFileDir,
    LogFile,
    LogTime,
    LogTimeUtc,
    Debug,
    Trace,
    TraceVerbose,
    DebugTrace,
    DebugTraceVerbose,
    TracedPayloadMax,
    ClientAdvertise,
    JetStream,
    StoreDir,
    User,
    Password,
    Token,
    Tls,
    TlsCert,
    TlsKey,
    TlsCaCert,
    TlsVerify,
    Help,
    Version,
}

/// A row of the table.
pub(crate) struct FlagRow {
    pub(crate) flag: Flag,
    /// Its names; each may be written with one dash or two.
    pub(crate) names: &'static [&'static str],
    /// What stands for its value in the help; `None` when it is a switch.
    pub(crate) value: Option<&'static str>,
    /// What it does.
    pub(crate) help: &'static str,
}

const fn switch(flag: Flag, names: &'static [&'static str], help: &'static str) -> FlagRow {
    FlagRow {
        flag,
        names,
        value: None,
        help,
    }
}

const fn option(
    flag: Flag,
    names: &'static [&'static str],
    value: &'static str,
    help: &'static str,
) -> FlagRow {
    FlagRow {
        flag,
        names,
        value: Some(value),
        help,
    }
}

/// The flags this version has, in the order of the help.
pub(crate) const FLAGS: &[FlagRow] = &[
    option(
        Flag::Host,
        &["a", "addr", "net"],
        "host",
        "interface for clients (0.0.0.0)",
    ),
    option(
        Flag::Port,
        &["p", "port"],
        "port",
        "port for clients; -1 is any free one (4222)",
    ),
    option(
        Flag::ServerName,
        &["n", "name", "server_name"],
        "name",
        "name of the server",
    ),
    option(
        Flag::PidFile,
        &["P", "pid"],
        "file",
        "write the process id to a file",
    ),
    option(
        Flag::PortsFileDir,
        &["ports_file_dir"],
        "dir",
        "write the ports to a file in a folder",
    ),
    option(Flag::Config, &["c", "config"], "file", "configuration file"),
    option(
        Flag::Signal,
        &["sl", "signal"],
        "signal[=pid]",
        "tell a running server: ldm, stop, quit, term, reopen, reload; pid is a number or a file",
    ),
    switch(Flag::Test, &["t"], "check the configuration file and exit"),
    option(Flag::LogFile, &["l", "log"], "file", "log to a file"),
    switch(
        Flag::LogTime,
        &["T", "logtime"],
        "begin log lines with the time (true)",
    ),
    switch(
        Flag::LogTimeUtc,
        &["logtime_utc"],
        "log times in UTC (false)",
    ),
    switch(
        Flag::Debug,
        &["D", "debug"],
        "log what happens to each connection",
    ),
    switch(
        Flag::Trace,
        &["V", "trace"],
        "log every line of the protocol",
    ),
    switch(
        Flag::TraceVerbose,
        &["VV"],
        "as -V, with the system account",
    ),
    switch(Flag::DebugTrace, &["DV"], "as -D -V"),
    switch(Flag::DebugTraceVerbose, &["DVV"], "as -D -VV"),
    option(
        Flag::TracedPayloadMax,
        &["max_traced_msg_len"],
        "bytes",
        "most bytes of a logged payload; 0 is all of them (0)",
    ),
    option(
        Flag::ClientAdvertise,
        &["client_advertise"],
        "host",
        "address for clients to be told, host or host:port",
    ),
    switch(Flag::JetStream, &["js", "jetstream"], "turn JetStream on"),
    option(
        Flag::StoreDir,
        &["sd", "store_dir"],
        "dir",
        "folder of the JetStream store",
    ),
    option(Flag::User, &["user"], "name", "user that clients must show"),
    option(
        Flag::Password,
        &["pass"],
        "password",
        "password that clients must show",
    ),
    option(
        Flag::Token,
        &["auth"],
        "token",
        "token that clients must show",
    ),
    switch(
        Flag::Tls,
        &["tls"],
        "TLS for clients; -tls=false turns that of the file off",
    ),
    option(
        Flag::TlsCert,
        &["tlscert"],
        "file",
        "certificate of the server",
    ),
    option(
        Flag::TlsKey,
        &["tlskey"],
        "file",
        "private key of the certificate",
    ),
    option(
        Flag::TlsCaCert,
        &["tlscacert"],
        "file",
        "who signs certificates of clients",
    ),
    switch(
        Flag::TlsVerify,
        &["tlsverify"],
        "clients must show a certificate",
    ),
    switch(Flag::Help, &["h", "help"], "show this text"),
    switch(Flag::Version, &["v", "version"], "show the version"),
];

/// Flags of nats-server that this version does not have.
pub(crate) const UNSUPPORTED: &[&str] = &[
    "cluster",
    "cluster_advertise",
    "cluster_listen",
    "cluster_name",
    "connect_retries",
    "help_tls",
    "http_port",
    "https_port",
    "log_size_limit",
    "m",
    "ms",
    "no_advertise",
    "profile",
    "r",
    "remote_syslog",
    "routes",
    "s",
    "syslog",
];

/// The flag with this name.
pub(crate) fn find(name: &str) -> Option<&'static FlagRow> {
    FLAGS.iter().find(|row| row.names.contains(&name))
}
