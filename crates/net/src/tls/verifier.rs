//! Certificates of clients: who may sign them, and which keys are pinned.

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_lc_rs::digest;
use everjet_config::TlsOptions;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use super::error::{Flaw, TlsError};
use super::files::Files;

/// What checks certificates of clients. The file of the authorities is read even if nobody is checked: a mistake in it should not wait
/// for the day that somebody turns `verify` on.
///
/// # Errors
/// The file of the authorities cannot be used.
pub(super) fn of(
    options: &TlsOptions,
    provider: &Arc<CryptoProvider>,
    files: &mut Files,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let roots = match &options.ca_file {
        Some(path) => authorities(path, files)?,
        None => RootCertStore::empty(),
    };
    if !options.verify {
        return Ok(WebPkiClientVerifier::no_client_auth());
    }
    let inner = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| TlsError::Options(format!("verify: {error}")))?;
    if options.pinned_certs.is_empty() {
        return Ok(inner);
    }
    Ok(Arc::new(Pinned {
        inner,
        pins: options.pinned_certs.clone(),
    }))
}

fn authorities(path: &str, files: &mut Files) -> Result<RootCertStore, TlsError> {
    let flawed = |flaw| TlsError::Authorities {
        path: path.to_owned(),
        flaw,
    };
    let mut roots = RootCertStore::empty();
    for certificate in files.certificates(path).map_err(flawed)? {
        roots
            .add(certificate)
            .map_err(|error| flawed(Flaw::Invalid(error.to_string())))?;
    }
    Ok(roots)
}

/// Lets only certificates pass whose public key is known beforehand.
#[derive(Debug)]
struct Pinned {
    inner: Arc<dyn ClientCertVerifier>,
    pins: BTreeSet<[u8; 32]>,
}

impl ClientCertVerifier for Pinned {
    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .inner
            .verify_client_cert(end_entity, intermediates, now)?;
        let key = ParsedCertificate::try_from(end_entity)?.subject_public_key_info();
        let digest = digest::digest(&digest::SHA256, &key);
        if self.pins.iter().any(|pin| digest.as_ref() == pin) {
            return Ok(verified);
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
