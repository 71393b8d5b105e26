//! SEAM: rusqlite
