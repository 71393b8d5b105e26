//! Certificate-log structures, bytes only: RFC 6962 and static-ct-api.

pub mod sct;
pub mod entry;
pub mod precertificate;
pub mod judge;
pub mod window;
