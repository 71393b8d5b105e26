//! TLS: the certificate of the port, and its successors.
//!
//! Certificates are renewed under running servers: by a file written over, by a rename, by a symbolic
//! link that points elsewhere (as Kubernetes does it). A look every few seconds at what the two paths
//! lead to sees all three. A new pair that cannot be used leaves the old one in place.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_rustls::TlsAcceptor;

use crate::config::{self, Files};

/// The port's TLS. Cloning shares it.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    files: config::Tls,
    seen: Mutex<Files>,
    current: Arc<Current>,
    acceptor: TlsAcceptor,
    provider: Arc<CryptoProvider>,
}

/// The pair that new handshakes get.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Tls {
    /// Reads certificate and key.
    ///
    /// # Errors
    ///
    /// [`TlsError`], naming the file that is at fault.
    pub fn open(files: &config::Tls) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        // Before they are read: what is written meanwhile is seen by the next look.
        let seen = Mutex::new(Files::at([&files.certificate, &files.key]));
        let current = Arc::new(Current(ArcSwap::from_pointee(read(files, &provider)?)));
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| TlsError::Unusable(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Self(Arc::new(Inner { files: files.clone(), seen, current, acceptor, provider })))
    }

    /// Makes handshakes.
    pub fn acceptor(&self) -> &TlsAcceptor {
        &self.0.acceptor
    }

    /// Takes up new files as they come, for ever: looks at them once in `every`.
    pub async fn follow(self, every: Duration) {
        let mut ticks = interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let tls = self.clone();
            // Disks can be slow, and the runtime's threads have certificates to issue.
            let looked = tokio::task::spawn_blocking(move || tls.refresh()).await;
            match looked {
                Ok(Ok(true)) => tracing::info!("the TLS certificate was renewed"),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    tracing::error!(%error, "the new TLS certificate cannot be used, the old one stays");
                }
                Err(error) => tracing::error!(%error, "the TLS files could not be looked at"),
            }
        }
    }

    /// Looks at the files now; yields whether there was a new pair.
    ///
    /// Two files cannot be replaced at once: between the two, the pair does not match, which is an
    /// error once; the second file's change is seen by the next look.
    ///
    /// # Errors
    ///
    /// [`TlsError`], once for each change, when the new pair cannot be used.
    pub fn refresh(&self) -> Result<bool, TlsError> {
        let Inner { files, seen, current, provider, .. } = self.0.as_ref();
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = seen.look();
        if *seen == now {
            return Ok(false);
        }
        *seen = now;
        current.0.store(Arc::new(read(files, provider)?));
        Ok(true)
    }
}

fn read(files: &config::Tls, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let certificate = contents(&files.certificate)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&certificate).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| TlsError::NoCertificate(name(&files.certificate)))?;
    let key = PrivateKeyDer::from_pem_slice(&contents(&files.key)?)
        .map_err(|_| TlsError::NoKey(name(&files.key)))?;
    CertifiedKey::from_der(chain, key, provider)
        .map_err(|error| TlsError::Unusable(error.to_string()))
}

fn contents(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error: io::Error| TlsError::Unreadable {
        path: name(path),
        cause: error.to_string(),
    })
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

/// Why there is no TLS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {cause}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        cause: String,
    },
    /// There is no certificate in the file, or one that is not PEM.
    #[error("{0} holds no certificate in PEM")]
    NoCertificate(String),
    /// There is no key in the file, or one that is encrypted.
    #[error("{0} holds no private key in PEM that can be read without a passphrase")]
    NoKey(String),
    /// They do not go together, or are of a kind that TLS does not know.
    #[error("TLS cannot use this certificate with this key: {0}")]
    Unusable(String),
}
