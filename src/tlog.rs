//! Transparency-log formats, bytes only; every log is made of these.

pub mod merkle;
pub mod note;
pub mod tile;
