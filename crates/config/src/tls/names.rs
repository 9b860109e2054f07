//! Cipher suites and curves by the names that nats-server gives them.

/// A cipher suite that nats-server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CipherSuite(&'static SuiteRow);

#[derive(Debug, PartialEq, Eq)]
struct SuiteRow {
    name: &'static str,
    grade: Grade,
}

/// What is thought of a cipher suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grade {
    /// Of TLS 1.3, built.
    V1_3,
    /// Of TLS 1.2, built.
    V1_2,
    /// nats-server uses it if asked to; not built.
    Old,
    /// nats-server uses it only with `allow_insecure_cipher_suites`; not built.
    Insecure,
}

const fn row(name: &'static str, grade: Grade) -> SuiteRow {
    SuiteRow { name, grade }
}

/// The suites of `nats-server --help_tls`.
static SUITES: [SuiteRow; 25] = [
    row("TLS_AES_128_GCM_SHA256", Grade::V1_3),
    row("TLS_AES_256_GCM_SHA384", Grade::V1_3),
    row("TLS_CHACHA20_POLY1305_SHA256", Grade::V1_3),
    row("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", Grade::V1_2),
    row("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", Grade::V1_2),
    row("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", Grade::V1_2),
    row("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Grade::V1_2),
    row("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", Grade::V1_2),
    row("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", Grade::V1_2),
    row("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", Grade::Old),
    row("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", Grade::Old),
    row("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", Grade::Old),
    row("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", Grade::Old),
    row("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", Grade::Insecure),
    row("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", Grade::Insecure),
    row("TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", Grade::Insecure),
    row("TLS_ECDHE_RSA_WITH_RC4_128_SHA", Grade::Insecure),
    row("TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", Grade::Insecure),
    row("TLS_RSA_WITH_3DES_EDE_CBC_SHA", Grade::Insecure),
    row("TLS_RSA_WITH_AES_128_CBC_SHA", Grade::Insecure),
    row("TLS_RSA_WITH_AES_128_CBC_SHA256", Grade::Insecure),
    row("TLS_RSA_WITH_AES_128_GCM_SHA256", Grade::Insecure),
    row("TLS_RSA_WITH_AES_256_CBC_SHA", Grade::Insecure),
    row("TLS_RSA_WITH_AES_256_GCM_SHA384", Grade::Insecure),
    row("TLS_RSA_WITH_RC4_128_SHA", Grade::Insecure),
];

impl CipherSuite {
    pub(crate) fn read(name: &str) -> Result<Self, String> {
        SUITES
            .iter()
            .find(|row| row.name == name)
            .map(Self)
            .ok_or_else(|| format!("unrecognized cipher {name}"))
    }

    /// Its name, as the registry of TLS has it; for suites of TLS 1.3 without `WITH`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// Whether it is one of TLS 1.3, not of 1.2.
    #[must_use]
    pub fn is_1_3(&self) -> bool {
        self.0.grade == Grade::V1_3
    }

    pub(crate) fn is_built(&self) -> bool {
        matches!(self.0.grade, Grade::V1_3 | Grade::V1_2)
    }

    pub(crate) fn is_insecure(&self) -> bool {
        self.0.grade == Grade::Insecure
    }
}

/// A key exchange that nats-server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// X25519 together with ML-KEM-768: safe from quantum computers too.
    X25519MlKem768,
    /// P-256 together with ML-KEM-768.
    SecP256r1MlKem768,
    /// P-384 together with ML-KEM-1024; not built.
    SecP384r1MlKem1024,
    /// X25519.
    X25519,
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// NIST P-521; not built.
    P521,
}

impl Curve {
    /// What is preferred without `curve_preferences`.
    pub const DEFAULT: [Self; 4] = [Self::X25519MlKem768, Self::X25519, Self::P256, Self::P384];

    const ALL: [Self; 7] = [
        Self::X25519MlKem768,
        Self::SecP256r1MlKem768,
        Self::SecP384r1MlKem1024,
        Self::X25519,
        Self::P256,
        Self::P384,
        Self::P521,
    ];

    pub(crate) fn read(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|curve| curve.name() == name)
            .ok_or_else(|| format!("unrecognized curve preference {name}"))
    }

    /// Its name, as nats-server has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::X25519MlKem768 => "X25519MLKEM768",
            Self::SecP256r1MlKem768 => "SecP256r1MLKEM768",
            Self::SecP384r1MlKem1024 => "SecP384r1MLKEM1024",
            Self::X25519 => "X25519",
            Self::P256 => "CurveP256",
            Self::P384 => "CurveP384",
            Self::P521 => "CurveP521",
        }
    }

    pub(crate) fn is_built(self) -> bool {
        !matches!(self, Self::SecP384r1MlKem1024 | Self::P521)
    }
}
