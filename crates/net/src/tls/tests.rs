//! Certificates are made here; handshakes happen in memory.

use std::path::PathBuf;

use everjet_config::{CertificateFiles, Curve, TlsVersion};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PublicKeyData,
};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConnection};

use super::*;

/// A folder with an authority and what it signed.
pub(crate) struct Pki {
    folder: tempfile::TempDir,
    authority: Issuer<'static, KeyPair>,
    authority_pem: String,
}

impl Pki {
    pub(crate) fn new() -> Self {
        Self::named("authority")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let pki = Self {
            folder: tempfile::tempdir().expect("a folder"),
            authority: Issuer::new(params, key),
            authority_pem: certificate.pem(),
        };
        pki.write("ca.pem", &pki.authority_pem);
        pki
    }

    /// Options with the certificate of `name`, which is for that host name.
    pub(crate) fn options(&self, name: &str) -> TlsOptions {
        let files = self.sign(name, ExtendedKeyUsagePurpose::ServerAuth);
        TlsOptions::new(&files.cert_file, &files.key_file)
    }

    fn path(&self, name: &str) -> String {
        let path: PathBuf = self.folder.path().join(name);
        path.to_str().expect("text").to_owned()
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    fn sign(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> CertificateFiles {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().expect("a key");
        let certificate = params
            .signed_by(&key, &self.authority)
            .expect("a signature");
        CertificateFiles {
            cert_file: self.write(&format!("{name}.pem"), &certificate.pem()),
            key_file: self.write(&format!("{name}.key"), &key.serialize_pem()),
        }
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let der = CertificateDer::from_pem_slice(self.authority_pem.as_bytes()).expect("PEM");
        roots.add(der).expect("an authority");
        roots
    }

    /// What a client has that trusts the authority.
    pub(crate) fn client(&self) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(self.roots())
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        config
    }

    /// The same with a certificate that `signer` signed.
    fn client_of(&self, signer: &Self) -> (ClientConfig, [u8; 32]) {
        let files = signer.sign("client", ExtendedKeyUsagePurpose::ClientAuth);
        let certificate = CertificateDer::from_pem_file(&files.cert_file).expect("PEM");
        let key = PrivateKeyDer::from_pem_file(&files.key_file).expect("PEM");
        let text = std::fs::read_to_string(&files.key_file).expect("a file");
        let spki = KeyPair::from_pem(&text)
            .expect("a key")
            .subject_public_key_info();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &spki);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(self.roots())
            .with_client_auth_cert(vec![certificate], key)
            .expect("a certificate with its key");
        (config, digest.as_ref().try_into().expect("32 bytes"))
    }
}

fn limited(
    config: &ClientConfig,
    versions: &[&'static rustls::SupportedProtocolVersion],
    pki: &Pki,
) -> ClientConfig {
    ClientConfig::builder_with_provider(config.crypto_provider().clone())
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(pki.roots())
        .with_no_client_auth()
}

/// Lets a client for `name` shake hands, and returns both sides or what the server said against it.
fn shake(
    context: &TlsContext,
    client: &Arc<ClientConfig>,
    name: &str,
) -> Result<(ServerConnection, ClientConnection), rustls::Error> {
    let mut server = ServerConnection::new(context.config.clone())?;
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut client = ClientConnection::new(client.clone(), name)?;
    let mut refusal = None;
    while client.wants_write() || server.wants_write() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).expect("memory");
        }
        let mut rest = &wire[..];
        while !rest.is_empty() && refusal.is_none() {
            server.read_tls(&mut rest).expect("memory");
            refusal = server.process_new_packets().err();
        }
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("memory");
        }
        let mut rest = &wire[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).expect("memory");
            if let Err(error) = client.process_new_packets() {
                return Err(refusal.unwrap_or(error));
            }
        }
    }
    match refusal {
        Some(error) => Err(error),
        None => Ok((server, client)),
    }
}

fn load(options: &TlsOptions) -> TlsContext {
    TlsContext::load(options).expect("the files are right")
}

#[test]
fn tls_13_with_the_cheapest_suite_and_the_safest_exchange_is_preferred() {
    let pki = Pki::new();
    let context = load(&pki.options("localhost"));
    // As the clients in Go do it; rustls itself sends only the key share that it likes best.
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider
        .kx_groups
        .sort_by_key(|group| group.name() != rustls::NamedGroup::X25519MLKEM768);
    let client = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(pki.roots())
        .with_no_client_auth();
    let (server, client) = shake(&context, &Arc::new(client), "localhost").expect("a handshake");
    assert!(!server.is_handshaking() && !client.is_handshaking());
    let suite = server.negotiated_cipher_suite().expect("a suite");
    assert_eq!(provider::suite_name(suite), "TLS_AES_128_GCM_SHA256");
    let group = server
        .negotiated_key_exchange_group()
        .expect("a group")
        .name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
}

#[test]
fn versions_suites_and_curves_are_kept_to() {
    let pki = Pki::new();
    let options = pki.options("localhost");
    let old = Arc::new(limited(&pki.client(), &[&rustls::version::TLS12], &pki));
    let new = Arc::new(pki.client());
    let negotiated = |options: &TlsOptions, client: &Arc<ClientConfig>| {
        shake(&load(options), client, "localhost")
            .map(|(server, _)| {
                provider::suite_name(server.negotiated_cipher_suite().expect("a suite"))
            })
            .ok()
    };
    assert_eq!(
        negotiated(&options, &old),
        Some("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")
    );
    let only_new = TlsOptions {
        min_version: TlsVersion::V1_3,
        ..options.clone()
    };
    assert_eq!(negotiated(&only_new, &old), None);
    assert!(negotiated(&only_new, &new).is_some());
    let text = "tls { cert_file: a, key_file: b, cipher_suites: [LIST] }";
    let suites = |list: &str| {
        let mut sources = Text(text.replace("LIST", list));
        let loaded = everjet_config::load("t", &mut sources).expect("it is right");
        TlsOptions {
            cipher_suites: loaded.options.tls.expect("tls").cipher_suites,
            ..options.clone()
        }
    };
    let listed = suites("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256");
    assert_eq!(
        negotiated(&listed, &old),
        Some("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256")
    );
    assert_eq!(negotiated(&listed, &new), Some("TLS_AES_128_GCM_SHA256"));
    let listed = suites("TLS_AES_256_GCM_SHA384");
    assert_eq!(negotiated(&listed, &new), Some("TLS_AES_256_GCM_SHA384"));
    assert_eq!(negotiated(&listed, &old), None);
    let curve = TlsOptions {
        curve_preferences: vec![Curve::P384],
        ..options.clone()
    };
    let (server, _) = shake(&load(&curve), &new, "localhost").expect("a handshake");
    let group = server.negotiated_key_exchange_group().expect("a group");
    assert_eq!(group.name(), rustls::NamedGroup::secp384r1);
}

struct Text(String);

impl everjet_config::Sources for Text {
    fn read(&mut self, _: &str) -> Result<String, String> {
        Ok(self.0.clone())
    }

    fn variable(&mut self, _: &str) -> Option<String> {
        None
    }
}

#[test]
fn the_name_that_is_asked_for_chooses_the_certificate() {
    let pki = Pki::new();
    let mut options = pki.options("one.test");
    options
        .certificates
        .extend(["two.test", "three.test"].map(|name| pki.options(name).certificates[0].clone()));
    let context = load(&options);
    let client = Arc::new(pki.client());
    for name in ["one.test", "two.test", "three.test"] {
        shake(&context, &client, name).expect(name);
    }
    // The first is for all others; the client says no to it.
    assert!(shake(&context, &client, "four.test").is_err());
}

#[test]
fn clients_must_show_a_certificate_of_the_authority() {
    let (pki, other) = (Pki::new(), Pki::named("other"));
    let options = TlsOptions {
        ca_file: Some(pki.path("ca.pem")),
        verify: true,
        ..pki.options("localhost")
    };
    let context = load(&options);
    let (known, pin) = pki.client_of(&pki);
    let known = Arc::new(known);
    shake(&context, &known, "localhost").expect("a certificate of the authority");
    let refused = |context: &TlsContext, client: ClientConfig| {
        shake(context, &Arc::new(client), "localhost")
            .expect_err("it is refused")
            .to_string()
    };
    let text = refused(&context, pki.client());
    assert_eq!(text, "peer sent no certificates");
    let text = refused(&context, pki.client_of(&other).0);
    assert!(text.contains("UnknownIssuer"), "{text}");

    let pinned = TlsOptions {
        pinned_certs: [pin].into(),
        ..options
    };
    shake(&load(&pinned), &known, "localhost").expect("the pinned key");
    let text = refused(&load(&pinned), pki.client_of(&pki).0);
    assert!(text.contains("ApplicationVerificationFailure"), "{text}");
}

#[test]
fn sessions_are_resumed_until_the_certificates_are_read_again() {
    let pki = Pki::new();
    let options = pki.options("localhost");
    let mut client = pki.client();
    client.resumption = Resumption::in_memory_sessions(4);
    let client = Arc::new(client);
    let kind = |context: &TlsContext| {
        let (server, _) = shake(context, &client, "localhost").expect("a handshake");
        server.handshake_kind().expect("it is done")
    };
    let switch = TlsSwitch::new(Some(load(&options)));
    let context = switch.context().expect("it is on");
    assert_eq!(kind(&context), HandshakeKind::Full);
    assert_eq!(kind(&context), HandshakeKind::Resumed);
    switch.swap(Some(load(&options)));
    let context = switch.context().expect("it is on");
    assert_eq!(kind(&context), HandshakeKind::Full);
    switch.swap(None);
    assert!(switch.context().is_none());
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_name() {
    let pki = Pki::new();
    let good = pki.options("localhost");
    let other = pki.options("other");
    let files = good.certificates[0].clone();
    let empty = pki.write("empty.pem", "nothing here");
    let broken = pki.write(
        "broken.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let missing = pki.path("missing.pem");
    let pair = |cert: &str, key: &str| TlsOptions::new(cert, key);
    let with_ca = |ca: &str| TlsOptions {
        ca_file: Some(ca.to_owned()),
        ..good.clone()
    };
    let prefix = "error parsing X509 certificate/key pair: ";
    for (options, expected) in [
        (
            pair(&missing, &files.key_file),
            format!("{prefix}open {missing}: no such file or directory"),
        ),
        (
            pair(&files.cert_file, &missing),
            format!("{prefix}open {missing}: no such file or directory"),
        ),
        (
            pair(&empty, &files.key_file),
            format!("{prefix}{empty}: there is no certificate in PEM form in it"),
        ),
        (
            pair(&files.cert_file, &empty),
            format!(
                "{prefix}{empty}: there is no private key in PEM form in it (PKCS #8, PKCS #1 or SEC1, not encrypted)"
            ),
        ),
        (
            pair(&files.cert_file, &other.certificates[0].key_file),
            format!(
                "{prefix}{}: private key does not match public key of {}",
                other.certificates[0].key_file, files.cert_file
            ),
        ),
        (
            pair(&broken, &files.key_file),
            format!("{prefix}{broken}: invalid peer certificate: BadEncoding"),
        ),
        (
            with_ca(&missing),
            format!("open {missing}: no such file or directory"),
        ),
        (
            with_ca(&empty),
            format!(
                "failed to parse root ca certificate: {empty}: there is no certificate in PEM form in it"
            ),
        ),
    ] {
        let error = TlsContext::load(&options).expect_err(&expected);
        assert_eq!(error.to_string(), expected);
    }
}
