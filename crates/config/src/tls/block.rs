//! The keys of the block `tls { … }`.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use super::{
    CertificateFiles, CipherSuite, Curve, HandshakeFirst, TIMEOUT_DEFAULT, TlsOptions, TlsVersion,
};
use crate::reader::Reader;
use crate::unsupported::{self, Block};
use crate::{Entry, Kind, Value};

/// How long `handshake_first: auto` waits for the client to begin.
const AUTO_FALLBACK: Duration = Duration::from_millis(50);

/// A block while it is read.
pub(super) struct TlsBlock {
    cert_file: Option<String>,
    key_file: Option<String>,
    certs: Option<Vec<CertificateFiles>>,
    allow_insecure: bool,
    options: TlsOptions,
}

impl Default for TlsBlock {
    fn default() -> Self {
        Self {
            cert_file: None,
            key_file: None,
            certs: None,
            allow_insecure: false,
            options: TlsOptions::with(Vec::new()),
        }
    }
}

impl TlsBlock {
    /// Takes one entry of the block.
    pub(super) fn take(&mut self, entry: &Entry, reader: &mut Reader) {
        let options = &mut self.options;
        match entry.key.to_ascii_lowercase().as_str() {
            "cert_file" => self.cert_file = filename(entry, reader),
            "key_file" => self.key_file = filename(entry, reader),
            "ca_file" => options.ca_file = filename(entry, reader),
            "certs" => self.certs = certs(entry, reader),
            "verify" => set(&mut options.verify, boolean(entry, reader)),
            // Mapping certificates to users needs users; saying no to it says nothing that is not done.
            "verify_and_map" => {
                if boolean(entry, reader) == Some(true) {
                    unsupported::refuse_option(entry, reader);
                }
            }
            "insecure" => {
                if boolean(entry, reader) == Some(true) {
                    refuse(
                        entry,
                        reader,
                        "'insecure' is for connections to other servers; remove it here",
                    );
                }
            }
            "allow_insecure_cipher_suites" => {
                set(&mut self.allow_insecure, boolean(entry, reader));
            }
            "timeout" => {
                if let Some(timeout) = reader.seconds_or_duration(entry) {
                    options.timeout = if timeout.is_zero() {
                        TIMEOUT_DEFAULT
                    } else {
                        timeout
                    };
                }
            }
            "handshake_first" | "first" | "immediate" => {
                set(&mut options.handshake_first, handshake_first(entry, reader));
            }
            "cipher_suites" => options.cipher_suites = named(entry, reader, CipherSuite::read),
            "curve_preferences" => options.curve_preferences = named(entry, reader, Curve::read),
            "min_version" => set(&mut options.min_version, min_version(entry, reader)),
            "connection_rate_limit" => match entry.value.kind {
                Kind::Integer(number) if number <= 0 => options.connection_rate_limit = None,
                Kind::Integer(number) => match u32::try_from(number) {
                    Ok(number) => options.connection_rate_limit = NonZeroU32::new(number),
                    Err(_) => refuse(entry, reader, "'connection_rate_limit' is too big"),
                },
                _ => refuse(entry, reader, "'connection_rate_limit' wrong type"),
            },
            "pinned_certs" => options.pinned_certs = pinned_certs(entry, reader),
            key => {
                if entry.is_variable {
                } else if Block::Tls.keys().contains(&key) {
                    unsupported::refuse_option(entry, reader);
                } else {
                    refuse(entry, reader, &format!("unknown field {:?}", entry.key));
                }
            }
        }
    }

    /// Checks what can only be seen when the whole block was read.
    pub(super) fn finish(self) -> Result<TlsOptions, String> {
        let mut options = self.options;
        options.certificates = match (self.cert_file, self.key_file, self.certs) {
            (Some(_), _, Some(_)) => {
                return Err(
                    "error parsing tls config, cannot combine 'cert_file' option with 'certs' option"
                        .to_owned(),
                );
            }
            (Some(cert_file), Some(key_file), None) => vec![CertificateFiles {
                cert_file,
                key_file,
            }],
            (Some(_), None, None) => {
                return Err("missing 'key_file' in TLS configuration".to_owned());
            }
            (None, Some(_), _) => {
                return Err("missing 'cert_file' in TLS configuration".to_owned());
            }
            (None, None, certs) => certs.unwrap_or_default(),
        };
        if options.certificates.is_empty() {
            return Err(
                "no certificate in TLS configuration: every handshake would fail; set 'cert_file' and 'key_file'"
                    .to_owned(),
            );
        }
        let insecure: Vec<&str> = names_of(&options.cipher_suites, CipherSuite::is_insecure);
        if !insecure.is_empty() && !self.allow_insecure {
            return Err(format!(
                "insecure cipher suites configured without 'allow_insecure_cipher_suites' option set: {}",
                insecure.join(", ")
            ));
        }
        let missing = names_of(&options.cipher_suites, |suite| !suite.is_built());
        if !missing.is_empty() {
            return Err(format!(
                "cipher suites that this server does not have: {}; remove them, those with ECDHE and GCM or CHACHA20 \
                 are there",
                missing.join(", ")
            ));
        }
        let missing: Vec<&str> = options
            .curve_preferences
            .iter()
            .filter(|curve| !curve.is_built())
            .map(|curve| curve.name())
            .collect();
        if !missing.is_empty() {
            return Err(format!(
                "curve preferences that this server does not have: {}; remove them",
                missing.join(", ")
            ));
        }
        options.validate().map_err(str::to_owned)?;
        Ok(options)
    }
}

fn names_of(suites: &[CipherSuite], wanted: impl Fn(&CipherSuite) -> bool) -> Vec<&'static str> {
    suites
        .iter()
        .filter(|suite| wanted(suite))
        .map(|suite| suite.name())
        .collect()
}

fn refuse(entry: &Entry, reader: &mut Reader, text: &str) {
    reader.refuse(entry, format!("error parsing tls config, {text}"));
}

fn set<T>(option: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *option = value;
    }
}

fn filename(entry: &Entry, reader: &mut Reader) -> Option<String> {
    let Kind::Text(text) = &entry.value.kind else {
        let text = format!("expected '{}' to be filename", entry.key);
        refuse(entry, reader, &text);
        return None;
    };
    (!text.is_empty()).then(|| text.clone())
}

fn boolean(entry: &Entry, reader: &mut Reader) -> Option<bool> {
    let Kind::Bool(value) = entry.value.kind else {
        let text = format!("expected '{}' to be a boolean", entry.key);
        refuse(entry, reader, &text);
        return None;
    };
    Some(value)
}

/// `true` and `false` may be texts; any other text is `auto` or a duration.
fn handshake_first(entry: &Entry, reader: &mut Reader) -> Option<HandshakeFirst> {
    let text = match &entry.value.kind {
        Kind::Bool(true) => return Some(HandshakeFirst::Always),
        Kind::Bool(false) => return Some(HandshakeFirst::Never),
        Kind::Text(text) => text.to_ascii_lowercase(),
        other => {
            let text = format!(
                "field {:?} should be a boolean or a string, got {}",
                entry.key,
                other.name()
            );
            reader.refuse(entry, text);
            return None;
        }
    };
    match text.as_str() {
        "true" | "on" => Some(HandshakeFirst::Always),
        "false" | "off" => Some(HandshakeFirst::Never),
        "auto" | "auto_fallback" => Some(HandshakeFirst::Within(AUTO_FALLBACK)),
        text => match everjet_values::parse_duration(text) {
            Ok(Duration::ZERO) => Some(HandshakeFirst::Always),
            Ok(delay) => Some(HandshakeFirst::Within(delay)),
            Err(_) => {
                let text = format!("field {:?}'s value {text:?} is invalid", entry.key);
                reader.refuse(entry, text);
                None
            }
        },
    }
}

fn min_version(entry: &Entry, reader: &mut Reader) -> Option<TlsVersion> {
    let refusal = match &entry.value.kind {
        Kind::Text(text) => match text.as_str() {
            "1.2" => return Some(TlsVersion::V1_2),
            "1.3" => return Some(TlsVersion::V1_3),
            "1.0" | "1.1" => format!("unsupported TLS version: TLS {text}"),
            other => format!("unknown version: {other}"),
        },
        Kind::Float(number) => {
            format!("'min_version' wrong type: {number}; write it in quotes")
        }
        other => format!("'min_version' wrong type: {}", other.name()),
    };
    reader.refuse(entry, format!("error parsing tls config: {refusal}"));
    None
}

/// A list of names that is not empty; `read` knows them.
fn named<T>(entry: &Entry, reader: &mut Reader, read: fn(&str) -> Result<T, String>) -> Vec<T> {
    let Kind::List(items) = &entry.value.kind else {
        reader.mismatch(entry, "a list of names");
        return Vec::new();
    };
    if items.is_empty() {
        let text = format!("'{}' cannot be empty", entry.key);
        refuse(entry, reader, &text);
    }
    let mut all = Vec::with_capacity(items.len());
    for item in items {
        let outcome = match &item.kind {
            Kind::Text(name) => read(name),
            other => Err(format!("a name is needed, not {}", other.name())),
        };
        match outcome {
            Ok(one) => all.push(one),
            Err(text) => reader.refuse_at(&item.position, text),
        }
    }
    all
}

fn certs(entry: &Entry, reader: &mut Reader) -> Option<Vec<CertificateFiles>> {
    let Kind::List(items) = &entry.value.kind else {
        let text = format!(
            "error parsing certificates config: a list of blocks is needed, not {}",
            entry.value.kind.name()
        );
        reader.refuse(entry, text);
        return None;
    };
    Some(
        items
            .iter()
            .filter_map(|item| certificate(item, reader))
            .collect(),
    )
}

fn certificate(item: &Value, reader: &mut Reader) -> Option<CertificateFiles> {
    let Kind::Table(table) = &item.kind else {
        let text = format!(
            "error parsing certificates config: a block is needed, not {}",
            item.kind.name()
        );
        reader.refuse_at(&item.position, text);
        return None;
    };
    let (mut cert_file, mut key_file) = (None, None);
    for entry in table.entries() {
        match entry.key.to_ascii_lowercase().as_str() {
            "cert_file" => cert_file = filename(entry, reader),
            "key_file" => key_file = filename(entry, reader),
            _ if entry.is_variable => {}
            _ => {
                let text = format!(
                    "error parsing certificates config: unknown field {:?}",
                    entry.key
                );
                reader.refuse(entry, text);
            }
        }
    }
    if let (Some(cert_file), Some(key_file)) = (cert_file, key_file) {
        return Some(CertificateFiles {
            cert_file,
            key_file,
        });
    }
    reader.refuse_at(
        &item.position,
        "error parsing certificates config: both 'cert_file' and 'key_file' options are required",
    );
    None
}

fn pinned_certs(entry: &Entry, reader: &mut Reader) -> BTreeSet<[u8; 32]> {
    const WANTED: &str = "hex-encoded sha256 of DER encoded SubjectPublicKeyInfo";
    let Kind::List(items) = &entry.value.kind else {
        let text = format!("expected 'pinned_certs' to be a list of {WANTED}");
        refuse(entry, reader, &text);
        return BTreeSet::new();
    };
    let mut pins = BTreeSet::new();
    for item in items {
        let shown = match &item.kind {
            Kind::Text(text) => match digest(text) {
                Some(pin) => {
                    pins.insert(pin);
                    continue;
                }
                None => text,
            },
            other => other.name(),
        };
        let text = format!(
            "error parsing tls config, 'pinned_certs' key {shown} does not look like {WANTED}"
        );
        reader.refuse_at(&item.position, text);
    }
    pins
}

/// 32 bytes in hexadecimal.
fn digest(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let value = digit(pair[0])? * 16 + digit(pair[1])?;
        *byte = u8::try_from(value).ok()?;
    }
    Some(bytes)
}
