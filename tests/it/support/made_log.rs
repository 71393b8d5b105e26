//! A small log made by hand: real certificates, every file that static-ct-api wants, nothing of the engine.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::path::Path;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use mayfly::ct::entry::Entry;
use mayfly::ct::judge::{Sighting, Tiles, Unjudged, Verdict, check_log};
use mayfly::ct::precertificate::Parts;
use mayfly::time::Timestamp;
use mayfly::tlog::key::PublicKey;
use mayfly::tlog::merkle::{Hash, leaf_hash, root};
use mayfly::tlog::note::{Checkpoint, SignedNote, rfc6962_signature, tree_head};
use mayfly::tlog::tile::TileKind;
use mayfly::tlog::tls::DigitallySigned;
use rcgen::{BasicConstraints, CertificateParams, CustomExtension, IsCa, Issuer, KeyPair};
use sha2::{Digest as _, Sha256};

/// The name of every made log.
pub const ORIGIN: &str = "localhost/ct/2026";
/// When every entry was logged; the heads are signed a second later.
pub const LOGGED: Timestamp = Timestamp::from_secs(1_767_225_600);

/// An authority with the certificates that it logged, and the log's key.
pub struct MadeLog {
    pair: EcdsaKeyPair,
    pub key: PublicKey,
    pub root_der: Vec<u8>,
    pub entries: Vec<Entry>,
}

/// The files of a log, by their path below its prefix.
pub type Files = BTreeMap<String, Vec<u8>>;

impl MadeLog {
    /// A log of `size` precertificates.
    pub fn of(size: u64) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let key = PublicKey::from_spki(spki.as_ref()).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = KeyPair::generate().unwrap();
        let root_der = params.self_signed(&authority).unwrap().der().to_vec();
        let issuer = Issuer::new(params, authority);
        let entries = (0..size).map(|serial| entry(serial, &issuer, &root_der)).collect();
        Self { pair, key, root_der, entries }
    }

    /// The files of the log when it had `size` entries.
    pub fn files(&self, size: u64) -> Files {
        let leaves: Vec<Hash> = (0..)
            .zip(&self.entries)
            .map(|(index, entry)| leaf_hash(&entry.merkle_tree_leaf(LOGGED, index)))
            .collect();
        let mut files = Files::new();
        for path in Tiles::of(size, TileKind::Data) {
            let content: Vec<u8> = (0..u64::from(path.width))
                .map(|position| path.index * 256 + position)
                .flat_map(|place| match path.kind {
                    TileKind::Hashes { level } => node(&leaves, level * 8, place).0.to_vec(),
                    _ => self.entries[place as usize].tile_leaf(LOGGED, place),
                })
                .collect();
            files.insert(format!("tile/{path}"), content);
        }
        let fingerprint = Hash(Sha256::digest(&self.root_der).into());
        files.insert(format!("issuer/{fingerprint}"), self.root_der.clone());
        let Ok(root) = root::<Infallible>(size, |level, index| Ok(node(&leaves, level, index)));
        files.insert("checkpoint".to_owned(), self.checkpoint(size, root).into_bytes());
        files
    }

    /// A checkpoint that says whatever it is told to.
    pub fn checkpoint(&self, size: u64, root: Hash) -> String {
        let at = Timestamp::from_millis(LOGGED.as_millis() + 1000);
        let signature = self.pair.sign(&SystemRandom::new(), &tree_head(at, size, &root)).unwrap();
        let algorithm = self.key.algorithm();
        let signed = DigitallySigned { algorithm, signature: signature.as_ref().to_vec() };
        let line = rfc6962_signature(ORIGIN, &self.key.id(), at, &signed.encode());
        let text = Checkpoint { origin: ORIGIN.to_owned(), size, root }.to_string();
        SignedNote { text, signatures: vec![line] }.to_string()
    }

    /// A `trusted_root.json` that names the log.
    pub fn trusted_root(&self) -> String {
        let key = BASE64_STANDARD.encode(self.key.spki());
        let log = serde_json::json!({
            "baseUrl": format!("https://{ORIGIN}"),
            "publicKey": { "rawBytes": key },
        });
        serde_json::json!({ "ctlogs": [log] }).to_string()
    }
}

/// Judges files held in memory.
pub fn judge(
    files: &Files,
    key: &PublicKey,
    earlier: Option<Sighting>,
) -> Result<Verdict, Unjudged<String>> {
    let read = |path: &str| files.get(path).cloned().ok_or_else(|| path.to_owned());
    check_log(Some(key), earlier, read)
}

/// Writes files below a folder.
pub fn write(files: &Files, folder: &Path) {
    for (path, content) in files {
        let file = folder.join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }
}

/// A node by definition: with another library than the engine's.
fn node(leaves: &[Hash], level: u8, index: u64) -> Hash {
    if level == 0 {
        return leaves[index as usize];
    }
    let (left, right) =
        (node(leaves, level - 1, index * 2), node(leaves, level - 1, index * 2 + 1));
    Hash(
        Sha256::new()
            .chain_update([1])
            .chain_update(left.0)
            .chain_update(right.0)
            .finalize()
            .into(),
    )
}

fn entry(serial: u64, issuer: &Issuer<'_, KeyPair>, root_der: &[u8]) -> Entry {
    static KEY: std::sync::LazyLock<KeyPair> =
        std::sync::LazyLock::new(|| KeyPair::generate().unwrap());
    let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
    params.serial_number = Some((serial + 1).into());
    let clean = params.signed_by(&*KEY, issuer).unwrap();
    let mut poison =
        CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 11129, 2, 4, 3], vec![5, 0]);
    poison.set_criticality(true);
    params.custom_extensions.push(poison);
    let precertificate = params.signed_by(&*KEY, issuer).unwrap();
    Entry {
        issuer_key_hash: PublicKey::from_certificate(root_der).unwrap().id(),
        tbs: Parts::of(clean.der()).unwrap().tbs.to_vec(),
        precertificate: precertificate.der().to_vec(),
        chain: [Sha256::digest(root_der).into()].into(),
    }
}
