//! The head of an HTTP/1.1 request (RFC 9112, sections 2 to 5).

/// A request that is not HTTP, or not as this server takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// No request line, or no header line.
    Syntax,
    /// A version other than 1.x.
    Version,
    /// A character that no header name has.
    HeaderName,
    /// No `Host` where the version wants one.
    NoHost,
    /// A character that no `Host` has.
    Host,
}

/// The parts of a request's head.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    pub(crate) method: &'a str,
    /// What is between the host and the query, as sent.
    pub(crate) path: &'a str,
    headers: Vec<(&'a str, &'a str)>,
}

impl<'a> Head<'a> {
    /// Reads a head, the empty line at its end included.
    pub(crate) fn parse(head: &'a [u8]) -> Result<Self, Malformed> {
        let head = str::from_utf8(head).map_err(|_| Malformed::Syntax)?;
        let mut lines = head
            .split('\n')
            .map(|line| line.strip_suffix('\r').unwrap_or(line));
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Malformed::Syntax);
        };
        let newer = match version.as_bytes() {
            [
                b'H',
                b'T',
                b'T',
                b'P',
                b'/',
                b'1',
                b'.',
                minor @ b'0'..=b'9',
            ] => *minor != b'0',
            [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
                return Err(Malformed::Version);
            }
            _ => return Err(Malformed::Syntax),
        };
        if !is_token(method) {
            return Err(Malformed::Syntax);
        }
        let path = path(target).ok_or(Malformed::Syntax)?;
        let headers = lines
            .take_while(|line| !line.is_empty())
            .map(header)
            .collect::<Result<Vec<_>, _>>()?;
        let head = Self {
            method,
            path,
            headers,
        };
        let hosts = head.all("host").collect::<Vec<_>>();
        match hosts[..] {
            [] if newer => Err(Malformed::NoHost),
            [_, _, ..] => Err(Malformed::Syntax),
            [host] if !host.bytes().all(is_host_byte) => Err(Malformed::Host),
            _ => Ok(head),
        }
    }

    /// The value of the first header of this name, given in lower case.
    pub(crate) fn first(&self, name: &str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// The values of all headers of this name, given in lower case.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }

    /// Whether the list that headers of this name make up has the element, in whatever case.
    pub(crate) fn lists(&self, name: &str, element: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(','))
            .any(|one| one.trim_matches([' ', '\t']).eq_ignore_ascii_case(element))
    }

    /// The cookies that the browser sent.
    pub(crate) fn cookies(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.all("cookie")
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim_matches([' ', '\t']).split_once('='))
            .map(|(name, value)| {
                let quoted = value.strip_prefix('"');
                let bare = quoted.and_then(|value| value.strip_suffix('"'));
                (name, bare.unwrap_or(value))
            })
    }
}

/// The path of a request target; `None` if it is no path and no URL.
fn path(target: &str) -> Option<&str> {
    let whole = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => {
            rest.find(['/', '?']).map_or("/", |at| &rest[at..])
        }
        _ => target,
    };
    let path = whole.split('?').next()?;
    let printable = target.bytes().all(|byte| byte.is_ascii_graphic());
    // An absolute URL may go on with its query at once.
    let rooted = path.starts_with('/') || (path.is_empty() && whole.len() < target.len());
    (printable && rooted && is_escaped(path)).then_some(path)
}

/// Whether every `%` is followed by two hexadecimal digits.
fn is_escaped(path: &str) -> bool {
    path.split('%').skip(1).all(|behind| {
        behind
            .as_bytes()
            .first_chunk::<2>()
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

fn header(line: &str) -> Result<(&str, &str), Malformed> {
    let (name, value) = line.split_once(':').ok_or(Malformed::Syntax)?;
    if !is_token(name) {
        return Err(Malformed::HeaderName);
    }
    if value
        .bytes()
        .any(|byte| byte.is_ascii_control() && byte != b'\t')
    {
        return Err(Malformed::Syntax);
    }
    Ok((name, value.trim_matches([' ', '\t'])))
}

fn is_token(text: &str) -> bool {
    let is_token_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token_byte)
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!$%&'()*+,-.:;=[]_~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(head: &str, expected: Result<(&str, &str), Malformed>) {
        let head = head.replace('\n', "\r\n") + "\r\n\r\n";
        let parsed = Head::parse(head.as_bytes());
        let parsed = parsed.map(|head| (head.method, head.path));
        assert_eq!(parsed, expected, "{head:?}");
    }

    #[test]
    fn request_lines() {
        check("GET / HTTP/1.1\nHost: a", Ok(("GET", "/")));
        check("GET / HTTP/1.0", Ok(("GET", "/")));
        check("GET /a/b?c=/d HTTP/1.1\nHost: a", Ok(("GET", "/a/b")));
        check("GET http://a/b HTTP/1.1\nHost: a", Ok(("GET", "/b")));
        check("GET http://a HTTP/1.1\nHost: a", Ok(("GET", "/")));
        check("GET http://a?b HTTP/1.1\nHost: a", Ok(("GET", "")));
        check("get /%2f HTTP/1.1\nHost: a", Ok(("get", "/%2f")));
        check("GET /%zz HTTP/1.1\nHost: a", Err(Malformed::Syntax));
        check("GET a HTTP/1.1\nHost: a", Err(Malformed::Syntax));
        check("GET * HTTP/1.1\nHost: a", Err(Malformed::Syntax));
        check("GET /\u{e9} HTTP/1.1\nHost: a", Err(Malformed::Syntax));
        check("GET /  HTTP/1.1\nHost: a", Err(Malformed::Syntax));
        check("G@T / HTTP/1.1\nHost: a", Err(Malformed::Syntax));
        check("CONNECT {}", Err(Malformed::Syntax));
        check("", Err(Malformed::Syntax));
        check("GET / HTTP/2.0\nHost: a", Err(Malformed::Version));
        check("GET / HTTP/1.10\nHost: a", Err(Malformed::Syntax));
    }

    #[test]
    fn header_lines() {
        check("GET / HTTP/1.1", Err(Malformed::NoHost));
        check("GET / HTTP/1.1\nHost: a b", Err(Malformed::Host));
        check("GET / HTTP/1.1\nHost: a\nhost: b", Err(Malformed::Syntax));
        check("GET / HTTP/1.1\nHost: a\nfoo", Err(Malformed::Syntax));
        check(
            "GET / HTTP/1.1\nHost: a\nfoo : b",
            Err(Malformed::HeaderName),
        );
        check("GET / HTTP/1.1\nHost: a\n: b", Err(Malformed::HeaderName));
        check("GET / HTTP/1.1\nHost: a\nX: a\n b", Err(Malformed::Syntax));
        check("GET / HTTP/1.1\nHost: a\nX: \u{1}", Err(Malformed::Syntax));
        check("GET / HTTP/1.1\nHost: a\nX:\t\u{e9}", Ok(("GET", "/")));
    }

    #[test]
    fn lists_span_headers_and_ignore_case() {
        let head = b"GET / HTTP/1.1\nHost: a\nConnection: keep-alive\nCONNECTION: x,\tUpgrade \n\n";
        let head = Head::parse(head).unwrap();
        assert!(head.lists("connection", "upgrade"));
        assert!(!head.lists("connection", "up"));
        assert_eq!(head.first("connection"), Some("keep-alive"));
    }

    #[test]
    fn cookies_are_pairs() {
        let head =
            b"GET / HTTP/1.1\nHost: a\nCookie: a=1; b=\"x y\";c=\nCookie: d=e=f; g; h=\"\n\n";
        let head = Head::parse(head).unwrap();
        let cookies: Vec<_> = head.cookies().collect();
        let expected = [
            ("a", "1"),
            ("b", "x y"),
            ("c", ""),
            ("d", "e=f"),
            ("h", "\""),
        ];
        assert_eq!(cookies, expected);
    }
}
