//! SEAM: keys and their validity → trusted_root.json (spec/clients.md §5)
