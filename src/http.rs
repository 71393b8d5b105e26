//! SEAM
pub mod log;
