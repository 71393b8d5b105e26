//! Transparency-log formats, bytes only; every log is made of these.

pub mod merkle;
pub mod tile;
pub mod tls;
pub mod note;
pub mod key;
pub mod cosignature;
pub mod policy;
