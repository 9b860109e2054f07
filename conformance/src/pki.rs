//! Certificates for tests of TLS, and what a client of such a server has.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PublicKeyData,
};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion, version};
use tempfile::TempDir;

/// An authority, and a folder with what it has signed.
pub struct Pki {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
    authority: CertificateDer<'static>,
}

/// A certificate with its key, in files.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// PEM.
    pub cert_file: PathBuf,
    /// PEM.
    pub key_file: PathBuf,
    /// The certificate.
    pub der: Vec<u8>,
    /// Its public key, `SubjectPublicKeyInfo` in DER.
    pub spki: Vec<u8>,
}

/// Versions of TLS that a client offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// 1.2 and 1.3.
    Both,
    /// Only 1.2.
    V1_2,
    /// Only 1.3.
    V1_3,
}

/// The side of the client. It trusts one authority and keeps no sessions.
#[derive(Clone, Debug)]
pub struct TlsClient(Arc<ClientConfig>);

impl Default for Pki {
    fn default() -> Self {
        Self::new("authority")
    }
}

impl Pki {
    /// An authority of this name.
    ///
    /// # Panics
    /// When the temporary folder cannot be written.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let folder = tempfile::tempdir().expect("a temporary directory can be made");
        let pem = certificate.pem();
        fs::write(folder.path().join("ca.pem"), pem).expect("the temporary directory is writable");
        Self {
            folder,
            issuer: Issuer::new(params, key),
            authority: certificate.der().clone(),
        }
    }

    /// The certificate of the authority, PEM.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for a server on this machine.
    #[must_use]
    pub fn server(&self, name: &str) -> Certificate {
        self.sign(name, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A certificate for a client.
    #[must_use]
    pub fn client(&self, name: &str) -> Certificate {
        self.sign(name, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> Certificate {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a signature");
        let cert_file = self.folder.path().join(format!("{name}.pem"));
        let key_file = self.folder.path().join(format!("{name}.key"));
        let written = fs::write(&cert_file, certificate.pem())
            .and_then(|()| fs::write(&key_file, key.serialize_pem()));
        written.expect("the temporary directory is writable");
        Certificate {
            cert_file,
            key_file,
            der: certificate.der().to_vec(),
            spki: key.subject_public_key_info(),
        }
    }

    /// A client that trusts this authority and shows nothing.
    #[must_use]
    pub fn trusting(&self, version: TlsVersion) -> TlsClient {
        self.build(version, None)
    }

    /// A client that trusts this authority and shows a certificate.
    #[must_use]
    pub fn showing(&self, version: TlsVersion, certificate: &Certificate) -> TlsClient {
        self.build(version, Some(certificate))
    }

    fn build(&self, version: TlsVersion, certificate: Option<&Certificate>) -> TlsClient {
        let versions: &[&SupportedProtocolVersion] = match version {
            TlsVersion::Both => &[&version::TLS13, &version::TLS12],
            TlsVersion::V1_2 => &[&version::TLS12],
            TlsVersion::V1_3 => &[&version::TLS13],
        };
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).expect("an authority");
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match certificate {
            None => builder.with_no_client_auth(),
            Some(shown) => {
                let chain = vec![CertificateDer::from(shown.der.clone())];
                let key = PrivateKeyDer::from_pem_file(&shown.key_file).expect("a key");
                builder
                    .with_client_auth_cert(chain, key)
                    .expect("a certificate with its key")
            }
        };
        config.resumption = Resumption::disabled();
        TlsClient(Arc::new(config))
    }
}

impl TlsClient {
    pub(crate) fn connection(&self) -> Result<ClientConnection, rustls::Error> {
        let name = ServerName::try_from("localhost").expect("a name");
        ClientConnection::new(Arc::clone(&self.0), name)
    }
}

impl Certificate {
    /// The two lines of a `tls` block that name it.
    #[must_use]
    pub fn lines(&self) -> String {
        format!(
            "cert_file: \"{}\"\nkey_file: \"{}\"\n",
            self.cert_file.display(),
            self.key_file.display()
        )
    }
}
