//! SEAM: one TBS, three encodings
use crate::ct::{entry::Entry, sct::Sct};
use super::{Certificate, check::{CheckError, CheckedTbs}};

/// The extension in which a precertificate, a log's view and a certificate differ.
#[derive(Clone, Copy, Debug)]
pub enum CtExtension<'a> { Absent, Poison, Scts(&'a [Sct]) }
/// One certificate to be, in whichever of the three encodings is asked for.
#[derive(Clone, Debug)]
pub struct Tbs { }
impl Tbs {
    pub fn encode(&self, _ct: CtExtension<'_>) -> Vec<u8> { todo!() }
    /// encodes, parses back with x509-cert, compares with profile and grant
    pub fn check(&self, _ct: CtExtension<'_>) -> Result<CheckedTbs, CheckError> { todo!() }
    /// log entry of the precertificate
    pub fn entry(&self, _precertificate: &Certificate) -> Entry { todo!() }
}
