//! Certificates of the server: from PEM files, chosen by the name that a client asks for.

use std::sync::Arc;

use everjet_config::CertificateFiles;
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use super::error::{Flaw, TlsError};
use super::files::Files;

/// Chooses among the certificates of a listener.
#[derive(Debug)]
pub(super) struct Resolver {
    /// Never empty.
    certificates: Vec<Arc<CertifiedKey>>,
}

/// Reads all certificates.
///
/// # Errors
/// The first that cannot be used.
pub(super) fn resolver(
    certificates: &[CertificateFiles],
    provider: &CryptoProvider,
    files: &mut Files,
) -> Result<Resolver, TlsError> {
    let certificates = certificates
        .iter()
        .map(|one| certificate(one, provider, files).map(Arc::new))
        .collect::<Result<Vec<_>, _>>()?;
    if certificates.is_empty() {
        return Err(TlsError::Options("there is no certificate".to_owned()));
    }
    Ok(Resolver { certificates })
}

impl ResolvesServerCert for Resolver {
    /// The first certificate for the name whose key the client can check, else the first whose key it can check.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let [only] = &self.certificates[..] {
            return Some(only.clone());
        }
        let usable = || {
            self.certificates
                .iter()
                .filter(|one| one.key.choose_scheme(hello.signature_schemes()).is_some())
        };
        let name = hello
            .server_name()
            .and_then(|name| ServerName::try_from(name).ok());
        name.and_then(|name| usable().find(|one| is_for(one, &name)))
            .or_else(|| usable().next())
            .cloned()
    }
}

fn is_for(certificate: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let parsed = certificate
        .end_entity_cert()
        .and_then(ParsedCertificate::try_from);
    parsed.is_ok_and(|parsed| verify_server_name(&parsed, name).is_ok())
}

fn certificate(
    certificate: &CertificateFiles,
    provider: &CryptoProvider,
    files: &mut Files,
) -> Result<CertifiedKey, TlsError> {
    let CertificateFiles {
        cert_file,
        key_file,
    } = certificate;
    let chain = files
        .certificates(cert_file)
        .map_err(|flaw| flawed(cert_file, flaw))?;
    let key = files.key(key_file).map_err(|flaw| flawed(key_file, flaw))?;
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|error| flawed(key_file, Flaw::Invalid(error.to_string())))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        // A key that does not tell its public half can only be tried.
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(Error::InconsistentKeys(_)) => {
            let cert_file = cert_file.clone();
            Err(flawed(key_file, Flaw::OtherKey { cert_file }))
        }
        Err(error) => Err(flawed(cert_file, Flaw::Invalid(error.to_string()))),
    }
}

fn flawed(path: &str, flaw: Flaw) -> TlsError {
    let path = path.to_owned();
    TlsError::Certificate { path, flaw }
}
