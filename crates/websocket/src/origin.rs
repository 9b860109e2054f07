//! Which pages may connect: the `Origin` header of browsers (RFC 6455, section 10.2).

use std::fmt;

/// A web origin: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// In lower case.
    scheme: String,
    /// In lower case, an IPv6 address without brackets.
    host: String,
    port: String,
}

/// A text that is no origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginError {
    /// It does not begin with a scheme.
    NotAbsolute,
    /// Its scheme is not `http` or `https`.
    Scheme,
    /// It has no host.
    NoHost,
    /// Its port is not a number, or the brackets of its address do not fit.
    Malformed,
}

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAbsolute => "invalid URI for request",
            Self::Scheme => "allowed origins must be absolute URLs with http or https scheme",
            Self::NoHost => "host is required",
            Self::Malformed => "invalid host or port",
        })
    }
}

impl std::error::Error for OriginError {}

impl Origin {
    /// Reads an allowed origin, such as `https://example.com:8443`. Without a port it is that of the scheme; a path is passed over.
    ///
    /// # Errors
    /// The text is no web origin.
    pub fn parse(text: &str) -> Result<Self, OriginError> {
        let origin = Self::of_header(text)?;
        match origin.scheme.as_str() {
            "http" | "https" => Ok(origin),
            _ => Err(OriginError::Scheme),
        }
    }

    /// As [`Self::parse`], for any scheme: what an `Origin` header says is only compared.
    fn of_header(text: &str) -> Result<Self, OriginError> {
        let (scheme, rest) = text.split_once("://").ok_or(OriginError::NotAbsolute)?;
        let valid = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        if !valid {
            return Err(OriginError::NotAbsolute);
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let address = authority.rsplit('@').next().unwrap_or_default();
        Self::of_address(&scheme.to_ascii_lowercase(), address)
    }

    /// The origin of pages of a server at `address`, such as the value of a `Host` header.
    fn of_address(scheme: &str, address: &str) -> Result<Self, OriginError> {
        let (host, port) = match address.strip_prefix('[') {
            Some(rest) => {
                let (host, behind) = rest.split_once(']').ok_or(OriginError::Malformed)?;
                let port = match behind.strip_prefix(':') {
                    None if !behind.is_empty() => return Err(OriginError::Malformed),
                    port => port,
                };
                (host, port)
            }
            None => match address.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (address, None),
            },
        };
        if host.is_empty() {
            return Err(OriginError::NoHost);
        }
        let port = match port {
            Some(port) if !port.is_empty() => port,
            _ if scheme == "https" => "443",
            _ => "80",
        };
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(OriginError::Malformed);
        }
        Ok(Self {
            scheme: scheme.to_owned(),
            host: host.to_ascii_lowercase(),
            port: port.to_owned(),
        })
    }
}

/// Which origins may connect. Without rules all may; who sends no origin is no browser and always may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginRules {
    /// Only pages of the host and port that the request is for.
    pub same_origin: bool,
    /// Only these, if there are any. Both rules can be set together.
    pub allowed: Vec<Origin>,
}

impl OriginRules {
    /// Checks the origin of a request for `host`; `tls` is whether it came over TLS.
    ///
    /// # Errors
    /// Why the origin is not allowed.
    pub(crate) fn check(
        &self,
        origin: Option<&str>,
        host: &str,
        tls: bool,
    ) -> Result<(), &'static str> {
        let unruled = !self.same_origin && self.allowed.is_empty();
        let Some(origin) = origin.filter(|origin| !unruled && !origin.is_empty()) else {
            return Ok(());
        };
        let Ok(origin) = Origin::of_header(origin) else {
            return Err("not an origin");
        };
        if self.same_origin {
            let scheme = if tls { "https" } else { "http" };
            if Origin::of_address(scheme, host).as_ref() != Ok(&origin) {
                return Err("not same origin");
            }
        }
        if !self.allowed.is_empty() && !self.allowed.contains(&origin) {
            return Err("not in the allowed list");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_parse(text: &str, expected: Result<(&str, &str, &str), OriginError>) {
        let expected = expected.map(|(scheme, host, port)| Origin {
            scheme: scheme.to_owned(),
            host: host.to_owned(),
            port: port.to_owned(),
        });
        assert_eq!(Origin::parse(text), expected, "{text:?}");
    }

    #[test]
    fn origins_are_scheme_host_and_port() {
        check_parse("http://Example.COM", Ok(("http", "example.com", "80")));
        check_parse("HTTPS://a", Ok(("https", "a", "443")));
        check_parse("https://a:8443/x?y", Ok(("https", "a", "8443")));
        check_parse("http://[::1]:8080", Ok(("http", "::1", "8080")));
        check_parse("http://[::1]", Ok(("http", "::1", "80")));
        check_parse("http://user@a:1", Ok(("http", "a", "1")));
        check_parse("example.com", Err(OriginError::NotAbsolute));
        check_parse("/path", Err(OriginError::NotAbsolute));
        check_parse("1://a", Err(OriginError::NotAbsolute));
        check_parse("null", Err(OriginError::NotAbsolute));
        check_parse("ws://a", Err(OriginError::Scheme));
        check_parse("http://", Err(OriginError::NoHost));
        check_parse("http://:80", Err(OriginError::NoHost));
        check_parse("http://a:b", Err(OriginError::Malformed));
        check_parse("http://[::1", Err(OriginError::Malformed));
        check_parse("http://[::1]x", Err(OriginError::Malformed));
    }

    #[track_caller]
    fn check_rules(same_origin: bool, allowed: &[&str], origin: Option<&str>, tls: bool) -> bool {
        let rules = OriginRules {
            same_origin,
            allowed: allowed
                .iter()
                .map(|text| Origin::parse(text).unwrap())
                .collect(),
        };
        rules.check(origin, "Host.example:8080", tls).is_ok()
    }

    #[test]
    fn without_rules_all_may_connect() {
        assert!(check_rules(false, &[], Some("http://evil"), false));
        assert!(check_rules(false, &[], Some("nonsense"), false));
    }

    #[test]
    fn who_sends_no_origin_is_no_browser() {
        assert!(check_rules(true, &["http://a"], None, false));
        assert!(check_rules(true, &["http://a"], Some(""), false));
    }

    #[test]
    fn same_origin_compares_scheme_host_and_port() {
        let same = |origin, tls| check_rules(true, &[], Some(origin), tls);
        assert!(same("http://host.EXAMPLE:8080", false));
        assert!(same("https://host.example:8080", true));
        assert!(!same("https://host.example:8080", false));
        assert!(!same("http://host.example", false));
        assert!(!same("http://other.example:8080", false));
        assert!(!same("null", false));
    }

    #[test]
    fn allowed_origins_are_a_list() {
        let allowed = ["http://a.example", "https://b.example:1"];
        let may = |origin| check_rules(false, &allowed, Some(origin), false);
        assert!(may("http://A.example:80"));
        assert!(may("https://b.example:1"));
        assert!(!may("http://b.example:1"));
        assert!(!may("https://a.example"));
        assert!(!may("http://a.example.evil"));
    }

    #[test]
    fn both_rules_can_be_set() {
        let both = |allowed, origin| check_rules(true, &[allowed], Some(origin), false);
        assert!(both("http://host.example:8080", "http://host.example:8080"));
        assert!(!both("http://a", "http://a"));
        assert!(!both("http://a", "http://host.example:8080"));
    }
}
