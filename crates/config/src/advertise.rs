//! The address that clients are told.

/// The address that clients are told in place of the one that is listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertise {
    /// Name or address, without brackets.
    pub host: String,
    /// Port; `None` for the one that is listened on.
    pub port: Option<u16>,
}

impl Advertise {
    /// Reads `host` or `host:port`; an IPv6 address stands in brackets. Port 0 and below stand for the port that is listened on.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let refusal = |why: &str| format!("client_advertise {text:?}: {why}");
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, rest)) => match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None => return Err(refusal("a colon and a port belong behind the bracket")),
            },
            None => match text.split_once(':') {
                Some((_, port)) if port.contains(':') => {
                    return Err(refusal("too many colons; an IPv6 address needs brackets"));
                }
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(refusal("it needs a host without blanks"));
        }
        let port = match port.map(str::parse::<i64>) {
            None => None,
            Some(Ok(number)) if number <= 0 => None,
            Some(Ok(number)) => Some(
                u16::try_from(number).map_err(|_| refusal("the port is not from 1 to 65535"))?,
            ),
            Some(Err(_)) => return Err(refusal("the port is no number")),
        };
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}
