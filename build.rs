//! Puts the files of `config/presets` into the binary: a table of name and text, in alphabetical order.

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=config/presets");
    let root = env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    let mut rows = Vec::new();
    for file in fs::read_dir(Path::new(&root).join("config/presets"))? {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            rows.push(format!("    ({name:?}, include_str!({path:?})),\n"));
        }
    }
    rows.sort();
    let table = format!("&[\n{}]\n", rows.concat());
    fs::write(Path::new(&out).join("presets.rs"), table)
}
