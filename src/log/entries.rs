//! Stored entries, looked at one after another: at the start the newest, in an audit all.

use std::collections::HashSet;

use super::LogError;
use super::form::Form;
use crate::store::{Store, StoreError};
use crate::time::Timestamp;
use crate::tlog::merkle::Hash;

/// What a stored entry has to be, and the certificates that were found so far.
pub struct Entries {
    form: Form,
    newest: Timestamp,
    issuers: HashSet<[u8; 32]>,
}

impl Entries {
    /// Those of a log of this form, none of which is later than `newest`.
    pub fn new(form: Form, newest: Timestamp) -> Self {
        Self { form, newest, issuers: HashSet::new() }
    }

    /// What is wrong with the entry at `index`, whose leaf hash is `hash`: it says something else of itself,
    /// or a certificate that it refers to is not there.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn look(
        &mut self,
        store: &dyn Store,
        index: u64,
        (stored, hash): (&[u8], Hash),
    ) -> Result<Option<LogError>, StoreError> {
        let leaf = self.form.read(stored);
        let leaf = leaf.filter(|leaf| leaf.hash == hash && leaf.fits(index, self.newest));
        let Some(leaf) = leaf else { return Ok(Some(LogError::Entry { index })) };
        for issuer in leaf.issuers {
            if self.issuers.insert(*issuer)
                && store.issuer(issuer)?.is_none_or(|der| Hash::of(&[&der]).0 != *issuer)
            {
                return Ok(Some(LogError::Issuer { index, fingerprint: Hash(*issuer) }));
            }
        }
        Ok(None)
    }
}
