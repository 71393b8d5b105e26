//! `mayfly log show`: one certificate in plain words, and whether its log entry holds.

use std::path::Path;

use clap::Args as ClapArgs;
use serde_json::json;

use super::CommandError;
use super::instance::{Instance, Source};
use super::style::Style;
use crate::ct::entry::TileLeaf;
use crate::pem;
use crate::reading::Reading;
use crate::record::Record;
use crate::record::search::Terms;
use crate::store::Store;
use crate::tlog::key::PublicKey;
use crate::tlog::merkle::{Frontier, Hash};

/// Show one certificate: what it says, and whether the log holds it
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  mayfly log show 17\n  mayfly log show certificate.pem")]
pub struct Args {
    /// A log index, a serial number (hex), or a certificate file (PEM).
    which: String,
    #[command(flatten)]
    source: Source,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs `mayfly log show`.
///
/// # Errors
///
/// [`CommandError::Failed`] when there is no such certificate or its entry does not hold.
pub fn run(args: Args) -> Result<(), CommandError> {
    let instance = Instance::read(&args.source)?;
    let store = instance.store()?;
    let file = Path::new(&args.which);
    let shown = if file.is_file() {
        from_file(file, &instance, store.as_ref())?
    } else {
        from_log(index(&args.which, store.as_ref())?, store.as_ref())?
    };
    if args.json {
        shown.json()
    } else {
        shown.print()
    }
    Ok(())
}

/// A certificate, and what was checked of it.
struct Shown {
    reading: Reading,
    pem: String,
    index: u64,
    size: u64,
    checked: Vec<&'static str>,
}

/// The index that an index or a serial number means.
fn index(which: &str, store: &dyn Store) -> Result<u64, CommandError> {
    let end = store.head().map_err(CommandError::failed)?.size;
    if let Some(index) = which.parse().ok().filter(|index| *index < end) {
        return Ok(index);
    }
    let nothing = || CommandError::Failed(format!("the log has no entry {which} (it has {end})"));
    let serial = which.replace(':', "").to_lowercase();
    let terms = Terms::parse([format!("serial={serial}").as_str()]).map_err(CommandError::usage)?;
    let wanted = |record: &Record| record.matches(&terms);
    let found = super::search::find(store, 1, wanted)?;
    found.first().and_then(|record| record.index).ok_or_else(nothing)
}

/// The precertificate that the log keeps as entry `index`.
fn from_log(index: u64, store: &dyn Store) -> Result<Shown, CommandError> {
    let leaves = store.tile_leaves(index..index + 1).map_err(CommandError::failed)?;
    let bytes = leaves.first().map(Vec::as_slice).unwrap_or_default();
    let (leaf, _) = TileLeaf::read(bytes).map_err(CommandError::failed)?;
    let size = in_tree(store, index, leaf.leaf_hash())?;
    let pem = pem::encode("CERTIFICATE", leaf.der());
    let reading = Reading::of(leaf.der()).map_err(CommandError::failed)?;
    let checked = vec!["the entry is in the tree under the log's newest root"];
    Ok(Shown { reading, pem, index, size, checked })
}

/// A certificate that somebody holds: its SCT and its place in the log.
fn from_file(file: &Path, instance: &Instance, store: &dyn Store) -> Result<Shown, CommandError> {
    let pem = std::fs::read_to_string(file).map_err(CommandError::failed)?;
    let reading = Reading::of_pem(&pem).map_err(CommandError::failed)?;
    let issuing = instance.chain().ders().first().map(Vec::as_slice).unwrap_or_default();
    let issuing = Reading::of(issuing).map_err(CommandError::failed)?;
    reading.verify_issued_by(&issuing).map_err(CommandError::failed)?;
    let issuer = issuing.public_key().map_err(CommandError::failed)?;
    let log = PublicKey::from_spki(&instance.trust.public_key).map_err(CommandError::failed)?;
    let (sct, hash) = reading.verify_sct(&log, &issuer).map_err(CommandError::failed)?;
    let size = in_tree(store, sct.leaf_index, hash)?;
    let checked = vec![
        "signed by the authority",
        "its SCT is signed by the log",
        "the entry is in the tree under the log's newest root",
    ];
    Ok(Shown { reading, pem, index: sct.leaf_index, size, checked })
}

/// Whether `leaf` is entry `index` of a tree with the store's root; yields the tree's size.
///
/// The tree is grown from all leaf hashes anew: a look from inside needs no proof.
fn in_tree(store: &dyn Store, index: u64, leaf: Hash) -> Result<u64, CommandError> {
    const PAGE: u64 = 256;
    let head = store.head().map_err(CommandError::failed)?;
    let mut tree = Frontier::default();
    let mut found = false;
    while tree.size() < head.size {
        let start = tree.size();
        let end = head.size.min(start + PAGE);
        let hashes = store.leaf_hashes(start..end).map_err(CommandError::failed)?;
        for (at, hash) in (start..end).zip(hashes) {
            found |= at == index && hash == leaf;
            tree.push(hash);
        }
    }
    match found && tree.root() == head.root {
        true => Ok(head.size),
        false => {
            Err(CommandError::Failed(format!("entry {index} is not what the log's root says")))
        }
    }
}

impl Shown {
    fn print(&self) {
        let style = Style::of_stdout();
        let (from, until) = self.reading.validity();
        println!("{}", style.strong(&self.sentence()));
        let line = |name: &str, text: &str| {
            println!("  {} {}", style.quiet(&format!("{name:<42}")), text.escape_debug());
        };
        line("serial", &self.reading.serial());
        line("valid", &format!("{from} to {until}"));
        self.reading.sans().iter().for_each(|san| line("san", san));
        self.reading.extensions().iter().for_each(|(name, text)| line(name, text));
        line("log index", &format!("{} of {}", self.index, self.size));
        for checked in &self.checked {
            println!("  {} {checked}", style.good("✓"));
        }
        print!("{}", self.pem);
    }

    fn sentence(&self) -> String {
        let extensions = self.reading.extensions();
        let text = |name: &str| {
            extensions.iter().find(|(each, _)| *each == name).map(|(_, text)| text.as_str())
        };
        let who = self.reading.sans().join(", ");
        let issuer = text("issuer").unwrap_or("an unnamed issuer");
        let what = match (text("build-trigger"), text("source-repository-uri")) {
            (Some(trigger), Some(repository)) => format!(" after a {trigger} in {repository}"),
            _ => String::new(),
        };
        let (from, _) = self.reading.validity();
        format!("At {from}, {issuer} vouched for {who}{what}").escape_debug().to_string()
    }

    fn json(&self) {
        let (from, until) = self.reading.validity();
        let extensions: serde_json::Map<_, _> = self
            .reading
            .extensions()
            .into_iter()
            .map(|(name, text)| (name.to_owned(), text.into()))
            .collect();
        let shown = json!({
            "index": self.index,
            "tree_size": self.size,
            "serial": self.reading.serial(),
            "not_before": from.to_string(),
            "not_after": until.to_string(),
            "sans": self.reading.sans(),
            "extensions": extensions,
            "checked": self.checked,
            "pem": self.pem,
        });
        println!("{shown}");
    }
}
