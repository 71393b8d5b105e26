//! SEAM
pub mod verify;
