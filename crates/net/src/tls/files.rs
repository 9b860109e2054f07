//! PEM files, and what they held together.

use aws_lc_rs::digest;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::error::Flaw;

/// Reads files and remembers a digest of all their bytes, which tells whether reading them again changed something.
pub(super) struct Files(digest::Context);

impl Default for Files {
    fn default() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }
}

impl Files {
    /// The certificates of a PEM file, at least one, in order.
    pub(super) fn certificates(
        &mut self,
        path: &str,
    ) -> Result<Vec<CertificateDer<'static>>, Flaw> {
        let bytes = self.read(path)?;
        let all = CertificateDer::pem_slice_iter(&bytes)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| invalid(&error))?;
        if all.is_empty() {
            return Err(Flaw::NoCertificate);
        }
        Ok(all)
    }

    /// The first private key of a PEM file.
    pub(super) fn key(&mut self, path: &str) -> Result<PrivateKeyDer<'static>, Flaw> {
        let bytes = self.read(path)?;
        match PrivateKeyDer::from_pem_slice(&bytes) {
            Ok(key) => Ok(key),
            Err(pem::Error::NoItemsFound) => Err(Flaw::NoKey),
            Err(error) => Err(invalid(&error)),
        }
    }

    /// SHA-256 of everything that was read.
    pub(super) fn fingerprint(self) -> [u8; 32] {
        let digest = self.0.finish();
        digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>, Flaw> {
        let bytes = std::fs::read(path).map_err(Flaw::Unreadable)?;
        // The lengths keep files apart whose bytes moved from one to the next.
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(&bytes);
        Ok(bytes)
    }
}

fn invalid(error: &pem::Error) -> Flaw {
    Flaw::Invalid(format!("not valid PEM: {error}"))
}
