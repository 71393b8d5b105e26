//! The TLS clients that issuers are asked with: few, for however many issuers.
//!
//! A client holds its roots, a verifier made of them and a pool of connections: too dear to have one
//! for each of ten thousand issuers. What two issuers trust and may reach decides whether they share.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::config::Proxy;
use crate::issuer::Issuer;
use crate::keyset::SetupError;
use crate::keyset::address::Reach;
use crate::keyset::fetch::Fetcher;

/// One client for each set of roots and reach, all through one proxy or none.
pub struct Clients<'a> {
    proxy: &'a Proxy,
    made: HashMap<(Option<Vec<u8>>, Reach), Fetcher>,
}

impl<'a> Clients<'a> {
    /// None yet; those to come go through `proxy`.
    pub fn through(proxy: &'a Proxy) -> Self {
        Self { proxy, made: HashMap::new() }
    }

    /// The client for `issuer`, which trusts the system's roots beside its own.
    ///
    /// # Errors
    /// [`SetupError::Roots`], [`SetupError::Tls`].
    pub fn of(&mut self, issuer: &Issuer, reach: Reach) -> Result<Fetcher, SetupError> {
        let key = (issuer.roots.clone(), reach);
        if let Some(fetcher) = self.made.get(&key) {
            return Ok(fetcher.clone());
        }
        let fetcher = Fetcher::new(roots(issuer)?, reach, self.proxy)?;
        self.made.insert(key, fetcher.clone());
        Ok(fetcher)
    }
}

/// A client for what the configuration names beside issuers: it trusts the system's roots.
///
/// # Errors
/// [`SetupError::Tls`].
pub fn plain(proxy: &Proxy) -> Result<Fetcher, SetupError> {
    Fetcher::new(system_roots(), Reach::Private, proxy)
}

/// The roots that the system trusts (or `SSL_CERT_FILE` and `SSL_CERT_DIR`, if set). That there are none
/// shows when an issuer without a CA of its own is asked.
///
/// Read once, when the first issuer needs them.
fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    });
    Arc::clone(&ROOTS)
}

fn roots(issuer: &Issuer) -> Result<Arc<RootCertStore>, SetupError> {
    let Some(pem) = &issuer.roots else { return Ok(system_roots()) };
    let unusable = || SetupError::Roots { issuer: issuer.url.clone() };
    let own: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| unusable())?;
    if own.is_empty() {
        return Err(unusable());
    }
    let mut roots = RootCertStore::clone(&system_roots());
    for certificate in own {
        roots.add(certificate).map_err(|_| unusable())?;
    }
    Ok(Arc::new(roots))
}
