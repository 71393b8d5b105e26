//! TLS files that come and go.

use std::path::{Path, PathBuf};

use mayfly::config;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;

/// A certificate for `localhost` in files, as a tool that renews them would leave it.
pub struct Files {
    folder: TempDir,
    pub paths: config::Tls,
}

impl Files {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let paths = config::Tls { certificate: at("tls.crt"), key: at("tls.key") };
        Self { folder, paths }
    }

    /// Writes a new pair at `paths`; yields the certificate.
    pub fn renew(paths: &config::Tls) -> CertificateDer<'static> {
        let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(&paths.certificate, pair.cert.pem()).unwrap();
        std::fs::write(&paths.key, pair.signing_key.serialize_pem()).unwrap();
        CertificateDer::from_pem_slice(pair.cert.pem().as_bytes()).unwrap()
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        folder
    }
}
