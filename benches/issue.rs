//! SEAM
fn main() {}
