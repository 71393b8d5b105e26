//! Certificate-log structures, bytes only: RFC 6962 and static-ct-api.

pub mod entry;
pub mod sct;
