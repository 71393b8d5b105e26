//! `mayfly log show`: one certificate in plain words, and whether its log entry holds.

use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args as ClapArgs;
use serde_json::{Map, Value, json};

use super::CommandError;
use super::instance::{Instance, Source};
use super::out::Out;
use super::search::Attempts;
use crate::ct::entry::TileLeaf;
use crate::explorer::Question;
use crate::log::proofs::inclusion_proof;
use crate::log::search::Entries;
use crate::pem;
use crate::quote::{escape, quote, visible};
use crate::reading::Reading;
use crate::record::Record;
use crate::record::search::Search;
use crate::store::{Head, Store};
use crate::time::Timestamp;
use crate::tlog::key::PublicKey;
use crate::tlog::merkle::{Hash, verify_inclusion};

/// No certificate file has more octets.
const MOST: u64 = 1 << 20;

/// Show one certificate: what it says, and whether the log holds it; or one refusal
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  mayfly log show 17\n  mayfly log show certificate.pem\n  \
    mayfly log show 5f0c1d2e3f405162-7      the id of a request\n  \
    mayfly log show app.sigstore.json       the certificate of a signature\n  \
    mayfly log show serial=2D:65:0F         the newest that `log search` finds by it\n\n\
    Only certificates are shown. The signature log is read over HTTP (/tlog/YEAR/api/v2).")]
pub struct Args {
    /// A log index (17, or 2026/17 in another shard), a serial number (hex), a certificate file (PEM, also in
    /// base64, DER, or a Sigstore bundle), the id of a request, or FIELD=VALUE
    which: String,
    #[command(flatten)]
    source: Source,
    /// Only in this shard of the log, named after a year; an index alone is of the shard of today
    #[arg(long, value_name = "YEAR")]
    shard: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs `mayfly log show`.
///
/// # Errors
///
/// [`CommandError::Failed`] when there is no such certificate or its entry does not hold.
pub fn run(args: Args) -> Result<(), CommandError> {
    let shard = args.shard.as_deref();
    let instance = Instance::read(&args.source)?.of_shard(shard)?;
    let attempts = Attempts::open(&instance, shard)?;
    let (out, file) = (Out::stdout(), Path::new(&args.which));
    let shown = if file.is_file() {
        from_file(file, &instance, &attempts)?
    } else {
        match find(&args.which, &instance, &attempts)? {
            Some(record @ Record { index: Some(index), .. }) => {
                let store = entries(&attempts, &record.shard)?.store;
                from_log(index, store, record)?
            }
            Some(refusal) if args.json => {
                return out.json(refusal.to_json().map_err(CommandError::failed)?);
            }
            Some(refusal) => return out.print(refused(&out, &refusal)?),
            None if is_number(&args.which) => {
                let which = &args.which;
                let size = entries(&attempts, instance.shard.name())?.size;
                return Err(CommandError::Failed(format!(
                    "the log has no entry {which} (it has {size})"
                )));
            }
            None if args.which.contains('=') => {
                return Err(CommandError::Failed("nothing found".to_owned()));
            }
            None => from_file(file, &instance, &attempts)?,
        }
    };
    if args.json { out.json(shown.json()?) } else { out.print(shown.text(&out)?) }
}

/// Whether this can be an index or a serial number; a file's name has other letters.
fn is_number(which: &str) -> bool {
    which.chars().all(|c| c.is_ascii_hexdigit() || c == ':')
}

/// A certificate, and what was checked of it.
struct Shown {
    reading: Reading,
    pem: String,
    /// What is kept of the attempt.
    record: Record,
    index: u64,
    size: u64,
    checked: Vec<&'static str>,
}

fn entries<'a>(attempts: &'a Attempts, shard: &str) -> Result<Entries<'a>, CommandError> {
    let missing = || CommandError::Usage(format!("the log has no shard {}", quote(shard)));
    attempts.of_shard(shard).ok_or_else(missing)
}

/// The attempt that an index, a serial number or the id of a request means, or the newest that has this
/// value in this field.
fn find(
    which: &str,
    instance: &Instance,
    attempts: &Attempts,
) -> Result<Option<Record>, CommandError> {
    let (shard, index) = which.split_once('/').unwrap_or((instance.shard.name(), which));
    if let Ok(index) = index.parse()
        && let Some(record) =
            entries(attempts, shard)?.record(index).map_err(CommandError::failed)?
    {
        return Ok(Some(record));
    }
    // A star would stand for anything.
    let of = |field: &str| format!("{field}={}", which.replace('*', ""));
    let terms = match which.contains('=') {
        true => vec![which.to_owned()],
        false if is_number(which) => vec![of("serial"), of("request")],
        false => vec![of("request")],
    };
    for term in terms {
        let search = Search::parse([term.as_str()], Timestamp::default());
        let search = search.map_err(CommandError::usage)?;
        let asked = attempts.ask(Question { search, limit: 1, ..Question::default() });
        let found = asked.map_err(CommandError::failed)?.records.into_iter().next();
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// What is kept of a refusal: why, then everything else by name.
fn refused(out: &Out, record: &Record) -> Result<String, CommandError> {
    let mut lines = lines(record)?;
    lines.retain(|(name, _)| name != "message");
    let lines: Vec<(&str, &str)> =
        lines.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let why = escape(record.message.as_deref().unwrap_or_default()).to_string();
    let sentence = format!("refused at {}: {why}", record.time);
    Ok(format!("{}\n{}", out.style.strong(&out.wrap(&sentence, 0)), out.fields(&lines)))
}

/// A record's fields, with those within its fields, each name and value once.
fn lines(record: &Record) -> Result<Vec<(String, String)>, CommandError> {
    let mut lines: Vec<(String, String)> = Vec::new();
    for (name, value) in fields(record)? {
        let of = if name == "claimed" { "unverified " } else { "" };
        let found = match value.as_object() {
            Some(inner) => {
                inner.iter().map(|(name, value)| (format!("{of}{name}"), said(value))).collect()
            }
            None => vec![(name, said(&value))],
        };
        for line in found {
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    Ok(lines)
}

fn fields(record: &Record) -> Result<Map<String, Value>, CommandError> {
    match serde_json::to_value(record) {
        Ok(Value::Object(fields)) => Ok(fields),
        _ => Err(CommandError::Failed("the record cannot be written".to_owned())),
    }
}

fn said(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The precertificate that the log keeps as entry `index`.
fn from_log(index: u64, store: &dyn Store, record: Record) -> Result<Shown, CommandError> {
    let leaves = store.tile_leaves(index..index + 1).map_err(CommandError::failed)?;
    let bytes = leaves.first().map(Vec::as_slice).unwrap_or_default();
    let (leaf, _) = TileLeaf::read(bytes).map_err(CommandError::failed)?;
    let size = in_tree(store, index, leaf.leaf_hash())?;
    let pem = pem::encode("CERTIFICATE", leaf.der());
    let reading = Reading::of(leaf.der()).map_err(CommandError::failed)?;
    let checked = vec!["the entry is in the tree under the log's newest root"];
    Ok(Shown { reading, pem, record, index, size, checked })
}

/// A certificate that somebody holds: its SCT and its place in the log.
fn from_file(file: &Path, instance: &Instance, attempts: &Attempts) -> Result<Shown, CommandError> {
    let octets = octets(file)?;
    let der = certificate(&octets).ok_or_else(|| {
        CommandError::at(
            file,
            "holds no certificate (PEM, PEM in base64 as cosign writes it, DER, or a Sigstore bundle)",
        )
    })?;
    let reading = Reading::of(&der).map_err(|error| CommandError::at(file, error))?;
    let pem = pem::encode("CERTIFICATE", &der);
    let issuing = issuing(&reading, instance)?;
    let issuer = issuing.public_key().map_err(CommandError::failed)?;
    let id = reading.sct().map_err(CommandError::failed)?.log_id;
    let mut shards = instance.installation.shards.iter();
    let shard = shards.find(|shard| shard.owner.log_id == id).unwrap_or(&instance.shard);
    let log = PublicKey::from_spki(shard.signer.public_key()).map_err(CommandError::failed)?;
    let (sct, hash) = reading.verify_sct(&log, &issuer).map_err(CommandError::failed)?;
    let entries = entries(attempts, shard.name())?;
    let size = in_tree(entries.store, sct.leaf_index, hash)?;
    let record = entries.record(sct.leaf_index).map_err(CommandError::failed)?.unwrap_or_default();
    let checked = vec![
        "signed by the authority",
        "its SCT is signed by the log",
        "the entry is in the tree under the log's newest root",
    ];
    Ok(Shown { reading, pem, record, index: sct.leaf_index, size, checked })
}

/// The certificate of the authority that issued `reading`, whether it still issues or not.
fn issuing(reading: &Reading, instance: &Instance) -> Result<Reading, CommandError> {
    let mut refused = None;
    for issuer in instance.installation.issuers.iter().rev() {
        let der = issuer.chain.ders().first().map(Vec::as_slice).unwrap_or_default();
        let issuing = Reading::of(der).map_err(CommandError::failed)?;
        match reading.verify_issued_by(&issuing) {
            Ok(()) => return Ok(issuing),
            Err(error) => refused = Some(error),
        }
    }
    let refused = refused.map(CommandError::failed);
    Err(refused.unwrap_or_else(|| CommandError::failed("there is no authority")))
}

fn octets(file: &Path) -> Result<Vec<u8>, CommandError> {
    let unreadable = |error| {
        CommandError::at(
            file,
            format_args!(
                "{error} (expected a log index, a serial number in hex, the id of a request, \
                 FIELD=VALUE, or a certificate file)"
            ),
        )
    };
    let mut octets = Vec::new();
    let file = std::fs::File::open(file).map_err(unreadable)?;
    file.take(MOST).read_to_end(&mut octets).map_err(unreadable)?;
    Ok(octets)
}

/// The DER of the first certificate in what a file holds: PEM, base64 of PEM or of DER, DER, or a bundle.
fn certificate(octets: &[u8]) -> Option<Vec<u8>> {
    let first = |octets: &[u8]| {
        let mut blocks = pem::blocks(octets).filter_map(Result::ok);
        blocks.find(|block| block.label == "CERTIFICATE").map(|block| block.der.to_vec())
    };
    if let Some(der) = first(octets).or_else(|| bundled(octets)) {
        return Some(der);
    }
    let text: Vec<u8> = octets.iter().copied().filter(|c| !c.is_ascii_whitespace()).collect();
    let inner = STANDARD.decode(text).unwrap_or_else(|_| octets.to_vec());
    first(&inner).or_else(|| Reading::of(&inner).is_ok().then_some(inner))
}

/// The DER of the certificate in a Sigstore bundle; until version 0.2 it came in a chain.
fn bundled(octets: &[u8]) -> Option<Vec<u8>> {
    let bundle: Value = serde_json::from_slice(octets).ok()?;
    let material = bundle.get("verificationMaterial")?;
    let places = ["/certificate/rawBytes", "/x509CertificateChain/certificates/0/rawBytes"];
    let der = places.iter().find_map(|place| material.pointer(place))?;
    STANDARD.decode(der.as_str()?).ok()
}

/// Whether `leaf` is entry `index` of the tree with the store's root; yields the tree's size.
fn in_tree(store: &dyn Store, index: u64, leaf: Hash) -> Result<u64, CommandError> {
    let Head { size, root, .. } = store.head().map_err(CommandError::failed)?;
    let proof = inclusion_proof(store, index, size).map_err(CommandError::failed)?;
    verify_inclusion((index, leaf), (size, root), &proof).map_err(|_| {
        CommandError::Failed(format!("entry {index} is not what the log's root says"))
    })?;
    Ok(size)
}

impl Shown {
    fn text(&self, out: &Out) -> Result<String, CommandError> {
        let (from, until) = self.reading.validity();
        let sans = self.reading.sans();
        let mut fields =
            vec![("serial", self.reading.serial()), ("valid", format!("{from} to {until}"))];
        fields.extend(sans.into_iter().map(|san| ("subject alternative name", san)));
        fields.extend(self.reading.extensions());
        fields.push(("log index", format!("{} of {}", self.index, self.size)));
        // Said above, by these names or others.
        const SAID: [&str; 3] = ["index", "result", "san"];
        let lines = lines(&self.record)?;
        for (name, value) in &lines {
            let is_said = fields.iter().any(|(said, by)| said == name && by == value);
            if !is_said && !SAID.contains(&name.as_str()) {
                fields.push((name, value.clone()));
            }
        }
        let mut text = format!(
            "{}\n{}",
            out.style.strong(&out.wrap(&self.sentence(), 0)),
            out.fields(&fields)
        );
        for checked in &self.checked {
            let _ = writeln!(text, "  {} {checked}", out.style.good("✓"));
        }
        Ok(text + &self.pem)
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
        visible(&format!("At {from}, {issuer} vouched for {who}{what}")).to_string()
    }

    /// The record's fields, and those of the certificate.
    fn json(&self) -> Result<Value, CommandError> {
        let (from, until) = self.reading.validity();
        let extensions: Map<_, _> = self
            .reading
            .extensions()
            .into_iter()
            .map(|(name, text)| (name.to_owned(), text.into()))
            .collect();
        let mut fields = fields(&self.record)?;
        let own = json!({
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
        if let Value::Object(own) = own {
            fields.extend(own);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ct::window::Window;
    use crate::store::{Batch, Epoch, Owner, Placed, sqlite};
    use crate::tlog::merkle::Frontier;

    #[test]
    fn takes_a_certificate_as_people_have_it() {
        let key = rcgen::KeyPair::generate().unwrap();
        let made = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        let (der, pem) = (made.der().to_vec(), made.pem());
        let crlf = pem.replace('\n', "\r\n");
        let raw = json!({ "rawBytes": STANDARD.encode(&der) });
        let bundle =
            |material: Value| json!({ "verificationMaterial": material }).to_string().into_bytes();
        let forms = [
            der.clone(),
            pem.clone().into_bytes(),
            crlf.into_bytes(),
            STANDARD.encode(&pem).into_bytes(),
            format!("{}\n", STANDARD.encode(&pem)).into_bytes(),
            STANDARD.encode(&der).into_bytes(),
            bundle(json!({ "certificate": raw })),
            bundle(json!({ "x509CertificateChain": { "certificates": [raw] } })),
        ];
        for form in forms {
            assert_eq!(certificate(&form), Some(der.clone()), "{}", String::from_utf8_lossy(&form));
        }
        assert_eq!(certificate(b""), None);
        assert_eq!(certificate(b"holiday.jpg"), None);
    }

    #[test]
    fn a_line_is_said_once() {
        let (issuer, other) = ("https://a.example", "https://b.example");
        let mut record = Record { issuer: issuer.to_owned(), ..Record::default() };
        let issuers = |record: &Record| {
            let lines = lines(record).unwrap().into_iter();
            lines.filter(|(name, _)| name == "issuer").map(|(_, value)| value).collect::<Vec<_>>()
        };
        record.extensions.insert("issuer".into(), issuer.to_owned());
        assert_eq!(issuers(&record), [issuer]);
        record.extensions.insert("issuer".into(), other.to_owned());
        assert_eq!(issuers(&record).len(), 2);
    }

    #[test]
    fn an_entry_is_in_the_tree_at_its_place_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (path, window) = (folder.path().join("log.sqlite"), Window::year(Timestamp::default()));
        let owner = Owner { origin: "a.example/ct/1970".into(), log_id: [1; 32], window };
        sqlite::create(&path, &owner, Timestamp::default()).unwrap();
        let store = sqlite::open(&path).unwrap();
        let leaves = [1, 2, 3].map(|octet| Hash([octet; 32]));
        let mut tree = Frontier::default();
        leaves.iter().for_each(|leaf| tree.push(*leaf));
        let placed = |(index, leaf_hash)| {
            let (tile_leaf, record) = (Vec::new(), "{}".to_owned());
            Placed { index, leaf_hash, tile_leaf, record }
        };
        let (before, epoch) = (store.head().unwrap(), Epoch([0; 16]));
        let entries = (0..).zip(leaves).map(placed).collect();
        let head = Head { size: 3, root: tree.root(), ..before };
        store.append(&Batch { before, epoch, entries, tiles: Vec::new(), head }).unwrap();
        for (index, leaf) in (0..4).flat_map(|index| leaves.map(|leaf| (index, leaf))) {
            let place = leaves.iter().position(|each| *each == leaf);
            let expected = (place == Some(index)).then_some(3);
            assert_eq!(in_tree(&store, index as u64, leaf).ok(), expected, "{leaf} at {index}");
        }
    }

    #[test]
    fn a_serial_number_is_no_file() {
        assert!(is_number("17") && is_number("0a:FF:12"));
        assert!(!is_number("certificate.pem") && !is_number("./17"));
    }
}
