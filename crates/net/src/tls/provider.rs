//! Cipher suites, key exchanges and versions, as the configuration names them and rustls has them.

use everjet_config::{Curve, TlsOptions, TlsVersion};
use rustls::crypto::aws_lc_rs::{cipher_suite as suite, default_provider, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion, version};

/// All suites by name in the order of preference: what costs the processor least comes first, among what is safe.
static SUITES: [(&str, SupportedCipherSuite); 9] = [
    ("TLS_AES_128_GCM_SHA256", suite::TLS13_AES_128_GCM_SHA256),
    ("TLS_AES_256_GCM_SHA384", suite::TLS13_AES_256_GCM_SHA384),
    (
        "TLS_CHACHA20_POLY1305_SHA256",
        suite::TLS13_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// What may be negotiated.
pub(super) fn provider(options: &TlsOptions) -> CryptoProvider {
    CryptoProvider {
        cipher_suites: suites(options),
        kx_groups: options
            .curve_preferences
            .iter()
            .filter_map(|&curve| group(curve))
            .collect(),
        ..default_provider()
    }
}

/// The versions that have a suite. For TLS 1.2 there may be none, if only suites of 1.3 are configured.
pub(super) fn versions(
    options: &TlsOptions,
    provider: &CryptoProvider,
) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
    static NEW: [&SupportedProtocolVersion; 1] = [&version::TLS13];
    let has_old = provider
        .cipher_suites
        .iter()
        .any(|suite| suite.tls13().is_none());
    if options.min_version == TlsVersion::V1_3 || !has_old {
        &NEW
    } else {
        &BOTH
    }
}

/// The name of a suite, as nats-server has it.
pub(super) fn suite_name(suite: SupportedCipherSuite) -> &'static str {
    SUITES
        .iter()
        .find(|(_, known)| *known == suite)
        .map_or("unknown", |(name, _)| name)
}

/// What the configuration lists. TLS 1.3 keeps all its suites when none of them is listed: the lists of many configurations are older
/// than it, and nats-server does not let them restrict it.
fn suites(options: &TlsOptions) -> Vec<SupportedCipherSuite> {
    let listed = &options.cipher_suites;
    let restricts_new = listed.iter().any(|suite| suite.is_1_3());
    SUITES
        .iter()
        .filter(|(name, suite)| {
            let is_free = listed.is_empty() || (suite.tls13().is_some() && !restricts_new);
            is_free || listed.iter().any(|listed| listed.name() == *name)
        })
        .map(|(_, suite)| *suite)
        .collect()
}

fn group(curve: Curve) -> Option<&'static dyn SupportedKxGroup> {
    match curve {
        Curve::X25519MlKem768 => Some(kx_group::X25519MLKEM768),
        Curve::SecP256r1MlKem768 => Some(kx_group::SECP256R1MLKEM768),
        Curve::X25519 => Some(kx_group::X25519),
        Curve::P256 => Some(kx_group::SECP256R1),
        Curve::P384 => Some(kx_group::SECP384R1),
        // The configuration refuses these.
        Curve::SecP384r1MlKem1024 | Curve::P521 => None,
    }
}
