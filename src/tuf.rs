//! TUF metadata: by what clients know that the trust files are ours, and the newest.
//!
//! ```text
//! 1.root.json          the keys of all roles                 signed by the root's key, and the one before it
//! 7.targets.json       each file's length and hash           signed by the online key,
//! 9.snapshot.json      the version of targets.json           and again long before it expires
//! timestamp.json       the version of snapshot.json
//! ```
//!
//! What is signed is the canonical JSON (OLPC: names sorted, no white space) of the member `signed`. Keys are
//! ECDSA P-256, as Sigstore's own repository has them, so that each of its clients can verify them. A key is
//! known by the SHA-256 of its canonical JSON.
//!
//! Spec: The Update Framework 1.0, with consistent snapshots.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::algorithm::SignatureAlgorithm;
use crate::pem;
use crate::time::Timestamp;
use crate::tlog::key::PublicKey;
use crate::tlog::merkle::Hash;
use crate::tlog::tls::DigitallySigned;
use crate::trust::Material;

const SPECIFICATION: &str = "1.0.31";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The files of a repository by name.
pub type Targets = BTreeMap<&'static str, Vec<u8>>;

/// The files that Sigstore's clients look for in a repository.
pub fn targets(material: &Material) -> Targets {
    let text = |file: Value| file.to_string().into_bytes();
    Targets::from([
        ("trusted_root.json", text(material.trusted_root())),
        ("signing_config.v0.2.json", text(material.signing_config())),
    ])
}

/// The file of a target, as clients ask for it.
pub fn target_file(name: &str, text: &[u8]) -> String {
    format!("{}.{name}", Hash::of(&[text]))
}

/// What metadata is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Which keys sign.
    Root,
    /// Which files there are.
    Targets,
    /// Which version of `targets` is in force.
    Snapshot,
    /// Which version of `snapshot` is in force.
    Timestamp,
}

/// How long metadata is valid, when it is signed anew, and how long before its end that must have happened.
struct Term {
    valid: Duration,
    renewed_after: Duration,
    margin: Duration,
}

impl Role {
    const ALL: [Self; 4] = [Self::Root, Self::Targets, Self::Snapshot, Self::Timestamp];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Targets => "targets",
            Self::Snapshot => "snapshot",
            Self::Timestamp => "timestamp",
        }
    }

    /// The name of the file with this version of it.
    pub fn file(self, version: u64) -> String {
        match self {
            Self::Timestamp => "timestamp.json".to_owned(),
            Self::Root | Self::Targets | Self::Snapshot => {
                format!("{version}.{}.json", self.name())
            }
        }
    }

    /// The role and version whose file is called so.
    pub fn of_file(name: &str) -> Option<(Self, u64)> {
        let version = name.split_once('.')?.0.parse().ok()?;
        let role = Self::ALL.into_iter().find(|role| role.file(version) == name)?;
        Some((role, version))
    }

    const fn term(self) -> Term {
        let (valid, renewed_after, margin) = match self {
            // Its key may be off the machine: `rotate` is who renews it.
            Self::Root => (3652, 3652, 90),
            Self::Targets => (90, 30, 45),
            Self::Snapshot => (30, 7, 15),
            Self::Timestamp => (7, 1, 4),
        };
        Term {
            valid: DAY.saturating_mul(valid),
            renewed_after: DAY.saturating_mul(renewed_after),
            margin: DAY.saturating_mul(margin),
        }
    }
}

/// A key that signs metadata, and the id that metadata knows it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    id: Hash,
    key: PublicKey,
}

impl Key {
    /// The key with this DER `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    ///
    /// [`TufError::Key`] when it is not ECDSA P-256.
    pub fn from_spki(spki: &[u8]) -> Result<Self, TufError> {
        let key = PublicKey::from_spki(spki).map_err(|_| TufError::Key)?;
        if key.algorithm() != SignatureAlgorithm::EcdsaP256Sha256 {
            return Err(TufError::Key);
        }
        let id = Hash::of(&[&canonical(&describe(&key))]);
        Ok(Self { id, key })
    }

    fn from_json(json: &Value) -> Result<Self, TufError> {
        let text = json.pointer("/keyval/public").and_then(Value::as_str).ok_or(TufError::Key)?;
        let block =
            pem::blocks(text.as_bytes()).next().and_then(Result::ok).ok_or(TufError::Key)?;
        Self::from_spki(&block.der)
    }
}

/// A key as metadata has it.
fn describe(key: &PublicKey) -> Value {
    json!({
        "keytype": "ecdsa",
        "scheme": "ecdsa-sha2-nistp256",
        "keyval": { "public": pem::encode("PUBLIC KEY", key.spki()) },
    })
}

/// What metadata says, whenever and in whatever version it says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    role: Role,
    says: Map<String, Value>,
}

impl Statement {
    /// That `root` signs the keys of the roles, and `online` everything else.
    pub fn root(root: &Key, online: &Key) -> Self {
        let keys: Map<_, _> = [root, online]
            .map(|key| (key.id.to_string(), describe(&key.key)))
            .into_iter()
            .collect();
        let roles: Map<_, _> = Role::ALL
            .map(|role| {
                let key = if role == Role::Root { root } else { online };
                let signers = json!({ "keyids": [key.id.to_string()], "threshold": 1 });
                (role.name().to_owned(), signers)
            })
            .into_iter()
            .collect();
        let says =
            [("consistent_snapshot", json!(true)), ("keys", keys.into()), ("roles", roles.into())];
        Self::new(Role::Root, says)
    }

    /// That these are the files.
    pub fn targets(files: &Targets) -> Self {
        let file = |(name, text): (&&str, &Vec<u8>)| {
            let hashes = json!({ "sha256": Hash::of(&[text]).to_string() });
            ((*name).to_owned(), json!({ "length": text.len(), "hashes": hashes }))
        };
        let files: Map<_, _> = files.iter().map(file).collect();
        Self::new(Role::Targets, [("targets", files.into())])
    }

    /// That this version of `targets` is in force.
    pub fn snapshot(targets: u64) -> Self {
        Self::version_of(Role::Snapshot, Role::Targets, targets)
    }

    /// That this version of `snapshot` is in force.
    pub fn timestamp(snapshot: u64) -> Self {
        Self::version_of(Role::Timestamp, Role::Snapshot, snapshot)
    }

    fn version_of(role: Role, about: Role, version: u64) -> Self {
        let file = format!("{}.json", about.name());
        Self::new(role, [("meta", json!({ file: { "version": version } }))])
    }

    fn new<const N: usize>(role: Role, says: [(&str, Value); N]) -> Self {
        let says = says.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { role, says }
    }
}

/// A statement of some version, until some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    statement: Statement,
    version: u64,
    expires: Timestamp,
}

impl Metadata {
    /// `statement`, made now.
    pub fn new(statement: Statement, version: u64, now: Timestamp) -> Self {
        let expires = now.floor().plus(statement.role.term().valid);
        Self { statement, version, expires }
    }

    /// Reads a document, whoever has signed it.
    ///
    /// # Errors
    ///
    /// [`TufError::Malformed`] when it is not metadata of this role.
    pub fn parse(document: &[u8], role: Role) -> Result<Self, TufError> {
        let document = serde_json::from_slice(document).unwrap_or_default();
        Self::of(&document, role)
    }

    fn of(document: &Value, role: Role) -> Result<Self, TufError> {
        let malformed = || TufError::Malformed { role: role.name() };
        let signed = document.get("signed").and_then(Value::as_object).ok_or_else(malformed)?;
        let text = |name| signed.get(name).and_then(Value::as_str);
        let expires: Option<jiff::Timestamp> = text("expires").and_then(|text| text.parse().ok());
        let expires = expires.and_then(|time| u64::try_from(time.as_second()).ok());
        let version = signed.get("version").and_then(Value::as_u64);
        let (Some(SPECIFICATION), Some(expires), Some(version)) =
            (text("spec_version"), expires, version)
        else {
            return Err(malformed());
        };
        if text("_type") != Some(role.name()) {
            return Err(malformed());
        }
        let says = signed.iter().filter(|(name, _)| !ENVELOPE.contains(&name.as_str()));
        let says = says.map(|(name, value)| (name.clone(), value.clone())).collect();
        let expires = Timestamp::from_secs(expires);
        Ok(Self { statement: Statement { role, says }, version, expires })
    }

    /// Reads a document that this key has signed.
    ///
    /// # Errors
    ///
    /// [`TufError`] when it is not metadata of this role, or its signature does not hold.
    pub fn verify(document: &[u8], role: Role, key: &Key) -> Result<Self, TufError> {
        let document = serde_json::from_slice(document).unwrap_or_default();
        let metadata = Self::of(&document, role)?;
        let unsigned = || TufError::Signature { role: role.name() };
        let signatures =
            document.get("signatures").and_then(Value::as_array).ok_or_else(unsigned)?;
        let id = key.id.to_string();
        let ours = |signature: &&Value| signature.get("keyid").and_then(Value::as_str) == Some(&id);
        let signature = signatures.iter().find(ours).and_then(|it| it.get("sig")?.as_str());
        let signature = signature.and_then(unhex).ok_or_else(unsigned)?;
        let signed = DigitallySigned { algorithm: key.key.algorithm(), signature };
        key.key.verify(&metadata.message(), &signed).map_err(|_| unsigned())?;
        Ok(metadata)
    }

    /// Its version.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Until when it is valid.
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }

    /// The version of the metadata that it puts in force.
    pub fn names(&self) -> Option<u64> {
        let files = self.statement.says.get("meta")?.as_object()?;
        files.values().next()?.get("version")?.as_u64()
    }

    /// The files that it is about, as clients ask for them.
    pub fn target_files(&self) -> Vec<String> {
        let files = self.statement.says.get("targets").and_then(Value::as_object);
        let file = |(name, about): (&String, &Value)| {
            Some(format!("{}.{name}", about.pointer("/hashes/sha256")?.as_str()?))
        };
        files.into_iter().flatten().filter_map(file).collect()
    }

    /// The file that it stands in.
    pub fn file(&self) -> String {
        self.statement.role.file(self.version)
    }

    /// Whether it says this, and need not be signed anew yet. By a clock that was set back it was signed later than
    /// now, and would outlive its term.
    pub fn still_says(&self, statement: &Statement, now: Timestamp) -> bool {
        let Term { valid, renewed_after, .. } = self.statement.role.term();
        let signed = self.expires.minus(valid);
        self.statement == *statement && signed <= now && now < signed.plus(renewed_after)
    }

    /// From when on it is about to expire.
    pub fn overdue(&self) -> Timestamp {
        self.expires.minus(self.statement.role.term().margin)
    }

    /// What is signed.
    pub fn message(&self) -> Vec<u8> {
        canonical(&self.signed())
    }

    /// It with its signatures, DER each.
    pub fn document(&self, signatures: &[(&Key, Vec<u8>)]) -> Vec<u8> {
        let signature = |(key, signature): &(&Key, Vec<u8>)| json!({ "keyid": key.id.to_string(), "sig": hex(signature) });
        let signatures: Vec<Value> = signatures.iter().map(signature).collect();
        json!({ "signatures": signatures, "signed": self.signed() }).to_string().into_bytes()
    }

    fn signed(&self) -> Value {
        let Self { statement, version, expires } = self;
        let mut signed = statement.says.clone();
        let [role, specification, of, until] = ENVELOPE;
        signed.insert(role.to_owned(), statement.role.name().into());
        signed.insert(specification.to_owned(), SPECIFICATION.into());
        signed.insert(of.to_owned(), (*version).into());
        signed.insert(until.to_owned(), expires.to_string().into());
        signed.into()
    }

    /// The keys of a root: its own, and the online one.
    ///
    /// # Errors
    ///
    /// [`TufError::Malformed`] when it names none for a role, [`TufError::Key`] when one is of another kind.
    pub fn keys(&self) -> Result<[Key; 2], TufError> {
        Ok([self.key(Role::Root)?, self.key(Role::Timestamp)?])
    }

    fn key(&self, role: Role) -> Result<Key, TufError> {
        let says = &self.statement.says;
        let id = says.get("roles").and_then(|roles| roles.get(role.name())?.pointer("/keyids/0"));
        let id = id.and_then(Value::as_str);
        let key = id.and_then(|id| says.get("keys")?.get(id));
        Key::from_json(key.ok_or(TufError::Malformed { role: Role::Root.name() })?)
    }
}

/// What every role's metadata says beside its own.
const ENVELOPE: [&str; 4] = ["_type", "spec_version", "version", "expires"];

/// Canonical JSON; metadata has whole numbers only.
fn canonical(value: &Value) -> Vec<u8> {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text.into_bytes()
}

fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<_, _> = members.iter().collect();
            write_list(('{', '}'), text, members, |(name, value), text| {
                write_text(name, text);
                text.push(':');
                write_canonical(value, text);
            });
        }
        Value::Array(items) => write_list(('[', ']'), text, items, write_canonical),
        Value::String(string) => write_text(string, text),
        Value::Null | Value::Bool(_) | Value::Number(_) => text.push_str(&value.to_string()),
    }
}

fn write_list<T>(
    (open, close): (char, char),
    text: &mut String,
    items: impl IntoIterator<Item = T>,
    write: impl Fn(T, &mut String),
) {
    text.push(open);
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        write(item, text);
    }
    text.push(close);
}

/// Only `"` and `\` are escaped: a line end stands as it is.
fn write_text(string: &str, text: &mut String) {
    text.push('"');
    for c in string.chars() {
        if matches!(c, '"' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let octet = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    rest.is_empty().then(|| pairs.iter().map(octet).collect())?
}

/// Why something is not metadata of this repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TufError {
    /// Not of the right shape.
    #[error("it is not {role} metadata of this program; put the right file back")]
    Malformed {
        /// What it should be about.
        role: &'static str,
    },
    /// Not a key that signs here.
    #[error("a key of TUF metadata must be ECDSA P-256, which all clients verify")]
    Key,
    /// Somebody else has signed it, or it was changed.
    #[error("the {role} metadata is not signed by its key; put the right file back")]
    Signature {
        /// What it is about.
        role: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, KeyPair as _,
    };

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

    fn pair(algorithm: &'static EcdsaSigningAlgorithm) -> (EcdsaKeyPair, Vec<u8>) {
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let spki = spki.as_ref().to_vec();
        (pair, spki)
    }

    fn key() -> (EcdsaKeyPair, Key) {
        let (pair, spki) = pair(&ECDSA_P256_SHA256_ASN1_SIGNING);
        (pair, Key::from_spki(&spki).unwrap())
    }

    fn sign(metadata: &Metadata, signers: &[&(EcdsaKeyPair, Key)]) -> Vec<u8> {
        let sign = |(pair, key): &'_ &'_ (EcdsaKeyPair, Key)| {
            let signature = pair.sign(&SystemRandom::new(), &metadata.message()).unwrap();
            (key.clone(), signature.as_ref().to_vec())
        };
        let signatures: Vec<(Key, Vec<u8>)> = signers.iter().map(sign).collect();
        let signatures: Vec<_> = signatures.iter().map(|(key, sig)| (key, sig.clone())).collect();
        metadata.document(&signatures)
    }

    fn files() -> Targets {
        [("b.json", b"b".to_vec()), ("a.json", b"a".to_vec())].into()
    }

    #[test]
    fn canonical_json_is_sorted_bare_and_hardly_escaped() {
        let value = json!({ "b": [1, true, null], "a\"": "line\nend \\ \u{e9}", "_": {} });
        let expected = "{\"_\":{},\"a\\\"\":\"line\nend \\\\ \u{e9}\",\"b\":[1,true,null]}";
        assert_eq!(String::from_utf8(canonical(&value)).unwrap(), expected);
    }

    #[test]
    fn what_was_signed_is_read_back_with_its_key_only() {
        let (ours, other) = (key(), key());
        for statement in [
            Statement::root(&ours.1, &other.1),
            Statement::targets(&files()),
            Statement::snapshot(7),
            Statement::timestamp(9),
        ] {
            let role = statement.role;
            let metadata = Metadata::new(statement, 3, NOW);
            let document = sign(&metadata, &[&other, &ours]);
            for (_, key) in [&ours, &other] {
                assert_eq!(Metadata::verify(&document, role, key).as_ref(), Ok(&metadata));
            }
            let unsigned = Err(TufError::Signature { role: role.name() });
            let document = sign(&metadata, &[&ours]);
            assert_eq!(Metadata::verify(&document, role, &other.1), unsigned);
            let text = String::from_utf8(document.clone()).unwrap();
            let forged = text.replace("\"version\":3", "\"version\":4").into_bytes();
            assert_eq!(Metadata::verify(&forged, role, &ours.1), unsigned);
            let another = if role == Role::Root { Role::Targets } else { Role::Root };
            let malformed = Err(TufError::Malformed { role: another.name() });
            assert_eq!(Metadata::verify(&document, another, &ours.1), malformed);
            let cut = document.get(1..).unwrap();
            assert_eq!(Metadata::parse(cut, role), Err(TufError::Malformed { role: role.name() }));
        }
    }

    #[test]
    fn a_root_names_the_keys_of_all_roles() {
        let ((_, root), (_, online)) = (key(), key());
        let metadata = Metadata::new(Statement::root(&root, &online), 1, NOW);
        assert_eq!(metadata.keys(), Ok([root.clone(), online.clone()]));
        let says = &metadata.statement.says;
        for (role, key) in
            [("root", &root), ("targets", &online), ("snapshot", &online), ("timestamp", &online)]
        {
            assert_eq!(says["roles"][role]["keyids"], json!([key.id.to_string()]), "{role}");
            let named = &says["keys"][&key.id.to_string()];
            assert_eq!(Hash::of(&[&canonical(named)]), key.id, "{role}");
        }
    }

    #[test]
    fn keys_are_of_the_kind_that_all_clients_verify() {
        let (_, spki) = pair(&ECDSA_P384_SHA384_ASN1_SIGNING);
        assert_eq!(Key::from_spki(&spki), Err(TufError::Key));
        assert_eq!(Key::from_spki(b"no key"), Err(TufError::Key));
    }

    #[test]
    fn metadata_is_signed_anew_long_before_it_expires() {
        const DAY: u64 = 24 * 60 * 60;
        for (statement, renewed, overdue, expires) in [
            (Statement::targets(&files()), 30, 45, 90),
            (Statement::snapshot(1), 7, 15, 30),
            (Statement::timestamp(1), 1, 3, 7),
        ] {
            let metadata = Metadata::new(statement.clone(), 1, NOW);
            let day = |days: u64| Timestamp::from_secs(NOW.as_secs() + days * DAY);
            let before = Timestamp::from_secs(day(renewed).as_secs() - 1);
            assert!(metadata.still_says(&statement, before));
            assert!(!metadata.still_says(&statement, day(renewed)));
            assert!(!metadata.still_says(&statement, NOW.minus(Duration::from_secs(1))));
            assert_eq!((metadata.overdue(), metadata.expires()), (day(overdue), day(expires)));
            assert!(!metadata.still_says(&Statement::targets(&Targets::new()), NOW));
        }
    }

    #[test]
    fn each_names_what_it_puts_in_force() {
        let new = |statement| Metadata::new(statement, 1, NOW);
        assert_eq!(new(Statement::snapshot(7)).names(), Some(7));
        assert_eq!(new(Statement::timestamp(9)).names(), Some(9));
        let targets = new(Statement::targets(&files()));
        let expected =
            files().iter().map(|(name, text)| target_file(name, text)).collect::<Vec<_>>();
        assert_eq!((targets.names(), targets.target_files()), (None, expected));
        for role in [Role::Root, Role::Targets, Role::Snapshot] {
            assert_eq!(Role::of_file(&role.file(12)), Some((role, 12)));
        }
        for other in ["timestamp.json", "root.json", "01.root.json", "1.key", "1.root.json.new", ""]
        {
            assert_eq!(Role::of_file(other), None, "{other}");
        }
    }

    #[test]
    fn clients_find_the_files_under_the_names_that_they_ask_for() {
        let material = Material { url: "https://ca.example.com".to_owned(), ..Material::default() };
        let targets = targets(&material);
        let read = |name: &str| serde_json::from_slice::<Value>(&targets[name]).unwrap();
        assert_eq!(read("trusted_root.json"), material.trusted_root());
        assert_eq!(read("signing_config.v0.2.json"), material.signing_config());
    }
}
