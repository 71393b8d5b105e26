//! Roots, intermediate and keys of a new installation.
//!
//! | | root | intermediate | root of the timestamps | timestamps |
//! |---|---|---|---|---|
//! | validity | ten years | five years | ten years | five years |
//! | basicConstraints (critical) | CA, path length 1 | CA, path length 0 | CA, path length 0 | none |
//! | keyUsage (critical) | keyCertSign, cRLSign | keyCertSign, cRLSign | keyCertSign, cRLSign | digitalSignature |
//! | extKeyUsage | none, which Go and Java want of a root | codeSigning | none | timeStamping (critical) |
//!
//! The first ones begin an hour ago: a verifier whose clock is behind ours must not find them not yet valid.
//! Those that follow begin when they take over.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use der::Decode;
use der::asn1::ObjectIdentifier;
use pkcs8::PrivateKeyInfoRef;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData, SerialNumber, SignatureAlgorithm,
    SigningKey,
};
use x509_cert::spki::SubjectPublicKeyInfoRef;
use zeroize::Zeroizing;

use super::succession::Next;
use super::{Authority, InstallationError, Options};
use crate::algorithm;
use crate::certificate::{Chain, Serial};
use crate::pem;
use crate::rekor::{Material, Request, Signature, Verifier};
use crate::signer::Signer;
use crate::signer::file::FileSigner;
use crate::store::Epoch;
use crate::time::Timestamp;
use crate::timestamp::Chain as TimestampChain;
use crate::tlog::key::PublicKey;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const ROOT_LIFETIME: Duration = DAY.saturating_mul(3652);
const INTERMEDIATE_LIFETIME: Duration = DAY.saturating_mul(1826);
const BACKDATE: Duration = Duration::from_secs(60 * 60);

/// RFC 4519 §2.19.
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
/// extKeyUsage, and its value: timeStamping and nothing else.
const EXTENDED_KEY_USAGE: [u64; 4] = [2, 5, 29, 37];
const TIME_STAMPING: &[u8] = b"\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x08";

/// The curve of an authority's keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Curve {
    /// P-256 with SHA-256: five times faster.
    #[default]
    P256,
    /// P-384 with SHA-384.
    P384,
}

/// A file to be.
pub(super) struct Made {
    pub(super) name: String,
    pub(super) contents: Zeroizing<Vec<u8>>,
    pub(super) secrecy: Secrecy,
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Secrecy {
    Private,
    Public,
}

/// Writes files that are not there yet into `folder`, and flushes them.
pub(super) fn write(folder: &Path, made: &[Made]) -> Result<(), InstallationError> {
    made.iter().try_for_each(|made| {
        let path = folder.join(&made.name);
        made.write(&path).map_err(|error| InstallationError::io(&path, &error))
    })
}

impl Made {
    fn write(&self, path: &Path) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(
            &mut options,
            match self.secrecy {
                Secrecy::Private => 0o600,
                Secrecy::Public => 0o644,
            },
        );
        let mut file = options.open(path)?;
        file.write_all(&self.contents)?;
        file.sync_all()
    }
}

/// Makes keys and certificates of the authority, unless it has them; the chain comes last.
pub(super) fn perform(options: &Options<'_>) -> Result<Vec<Made>, String> {
    match options.authority {
        Authority::New { name, curve } => Ok(authority(options, name, curve)?.into()),
        Authority::Given { .. } => Ok(Vec::new()),
    }
}

fn authority(options: &Options<'_>, name: &str, curve: Curve) -> Result<[Made; 4], String> {
    let algorithm = match curve {
        Curve::P256 => &PKCS_ECDSA_P256_SHA256,
        Curve::P384 => &PKCS_ECDSA_P384_SHA384,
    };
    let (root_key, intermediate_key) = (generate(algorithm)?, generate(algorithm)?);

    let root_params = root(options.now, name)?;
    let root = root_params.self_signed(&root_key).map_err(|e| e.to_string())?;
    let issuer = Issuer::from_params(&root_params, &root_key);
    let intermediate = intermediate(options.now, name)?
        .signed_by(&intermediate_key, &issuer)
        .map_err(|e| e.to_string())?;

    let (root, intermediate) = (certificate(root.der()), certificate(intermediate.der()));
    Ok([
        private("root.key", &root_key, options.passphrase)?,
        private("authority.key", &intermediate_key, options.passphrase)?,
        public("root.pem", root.clone()),
        public("authority.pem", intermediate + &root),
    ])
}

/// Makes the intermediate that takes over from `last` below the same root: its key and its chain, in files of
/// these names. Whether it is the same root is for the caller to see.
pub(super) fn successor(
    (key_file, chain_file): (&str, &str),
    last: &Chain,
    root_key: &FileSigner,
    next: Next<'_>,
) -> Result<[Made; 2], String> {
    let name = organization(last.subject())?;
    let key = generate(rcgen_algorithm(last.spki())?)?;
    let root_params = root(next.begins, &name)?;
    let issuer = Issuer::from_params(&root_params, RootKey::new(root_key)?);
    let intermediate = intermediate(next.begins.plus(BACKDATE), &name)?
        .signed_by(&key, &issuer)
        .map_err(|e| e.to_string())?;
    let root = last.pems().last().map(String::as_str).unwrap_or_default();
    Ok([
        private(key_file, &key, next.passphrase)?,
        public(chain_file, certificate(intermediate.der()) + root),
    ])
}

/// `O` of the last certificate's subject: the name that the authority was given.
fn organization(subject: &[u8]) -> Result<String, String> {
    let name = x509_cert::name::Name::from_der(subject).map_err(|e| e.to_string())?;
    let mut attributes = name.iter().filter(|attribute| attribute.oid == ORGANIZATION);
    let value = attributes.next().ok_or("the last certificate names no organization")?;
    Ok(String::from_utf8_lossy(value.value.value()).into_owned())
}

/// What rcgen calls the algorithm of a key, one of those that authorities are made with.
fn rcgen_algorithm(spki: &[u8]) -> Result<&'static SignatureAlgorithm, String> {
    match PublicKey::from_spki(spki).map(|key| key.algorithm()) {
        Ok(algorithm::SignatureAlgorithm::EcdsaP256Sha256) => Ok(&PKCS_ECDSA_P256_SHA256),
        Ok(algorithm::SignatureAlgorithm::EcdsaP384Sha384) => Ok(&PKCS_ECDSA_P384_SHA384),
        _ => Err("the key is neither P-256 nor P-384, as those of this authority are".to_owned()),
    }
}

/// The root's key, as rcgen wants it.
struct RootKey<'a> {
    signer: &'a FileSigner,
    algorithm: &'static SignatureAlgorithm,
    /// The public key, without its algorithm.
    public: Vec<u8>,
}

impl<'a> RootKey<'a> {
    fn new(signer: &'a FileSigner) -> Result<Self, String> {
        let spki = signer.public_key();
        let info = SubjectPublicKeyInfoRef::from_der(spki).map_err(|e| e.to_string())?;
        let public = info.subject_public_key.raw_bytes().to_vec();
        Ok(Self { signer, algorithm: rcgen_algorithm(spki)?, public })
    }
}

impl PublicKeyData for RootKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

impl SigningKey for RootKey<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.signer.sign_now(message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

fn generate(algorithm: &'static SignatureAlgorithm) -> Result<KeyPair, String> {
    KeyPair::generate_for(algorithm).map_err(|error| error.to_string())
}

/// Makes the two keys of a shard: P-256, which all clients verify, and Ed25519, which witnesses do.
pub(super) fn log_keys(shard: &str, passphrase: Option<&str>) -> Result<[Made; 2], String> {
    let (log, note) = (generate(&PKCS_ECDSA_P256_SHA256)?, generate(&PKCS_ED25519)?);
    Ok([
        private(&format!("{shard}.key"), &log, passphrase)?,
        private(&format!("{shard}.note.key"), &note, passphrase)?,
    ])
}

/// Makes a key that signs TUF metadata: P-256, which all clients verify.
pub(super) fn signing_key(name: &str, passphrase: Option<&str>) -> Result<Made, String> {
    private(name, &generate(&PKCS_ECDSA_P256_SHA256)?, passphrase)
}

/// Makes key and chain of a timestamp authority. The key of its root is forgotten: what it has signed is all
/// that it is for, and a key that nobody has signs no second certificate.
pub(super) fn timestamps(
    file: &str,
    organization: &str,
    (now, passphrase): (Timestamp, Option<&str>),
) -> Result<[Made; 2], String> {
    let [root_key, key] = [generate(&PKCS_ECDSA_P256_SHA256)?, generate(&PKCS_ECDSA_P256_SHA256)?];
    let named = |name: &str, lifetime| {
        certificate_of(organization, &format!("{organization} {name}"), now, lifetime)
    };
    let mut root = named("timestamps root", ROOT_LIFETIME)?;
    root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let mut leaf = named("timestamps", INTERMEDIATE_LIFETIME)?;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.use_authority_key_identifier_extension = true;
    // By its own means rcgen does not make it critical.
    let mut purpose =
        CustomExtension::from_oid_content(&EXTENDED_KEY_USAGE, TIME_STAMPING.to_vec());
    purpose.set_criticality(true);
    leaf.custom_extensions = vec![purpose];

    let issuer = Issuer::from_params(&root, &root_key);
    let leaf = leaf.signed_by(&key, &issuer).map_err(|e| e.to_string())?;
    let root = root.self_signed(&root_key).map_err(|e| e.to_string())?;
    Ok([
        private(&format!("{file}.key"), &key, passphrase)?,
        public(&format!("{file}.pem"), certificate(leaf.der()) + &certificate(root.der())),
    ])
}

/// Makes the key and the chain that take over from `last` at `begins`.
pub(super) fn next_timestamps(
    file: &str,
    last: &TimestampChain,
    (begins, passphrase): (Timestamp, Option<&str>),
) -> Result<[Made; 2], String> {
    let organization = organization(last.subject())?;
    timestamps(file, &organization, (begins.plus(BACKDATE), passphrase))
}

/// The first entry of a shard of the signature log: it says whose it is, by a key that nobody keeps.
pub(super) fn first_entry(origin: &str, shard: &str) -> Result<Vec<u8>, String> {
    let unmade = |_| "the first entry of the signature log cannot be signed".to_owned();
    let message = format!("the signature log of {origin}, shard {shard}, begins here\n");
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(unmade)?;
    let content = key.sign(&SystemRandom::new(), message.as_bytes()).map_err(unmade)?;
    let spki: PublicKeyX509Der<'_> = key.public_key().as_der().map_err(unmade)?;
    let material = Material::PublicKey(spki.as_ref().to_vec());
    let verifier = Verifier { material, key_details: "PKIX_ECDSA_P256_SHA_256".to_owned() };
    let signature = Signature { content: content.as_ref().to_vec(), verifier };
    let digest = digest(&SHA256, message.as_bytes()).as_ref().to_vec();
    let entry = Request::HashedRekord { digest, signature }.check();
    entry.map(|entry| entry.body().to_vec()).map_err(|error| error.to_string())
}

/// An epoch that no process has had.
pub(super) fn epoch() -> Result<Epoch, String> {
    let mut octets = [0; 16];
    SystemRandom::new().fill(&mut octets).map_err(|_| "no random numbers".to_owned())?;
    Ok(Epoch(octets))
}

fn root(now: Timestamp, name: &str) -> Result<CertificateParams, String> {
    let mut params = certificate_of(name, &format!("{name} root"), now, ROOT_LIFETIME)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    Ok(params)
}

fn intermediate(now: Timestamp, name: &str) -> Result<CertificateParams, String> {
    let mut params = certificate_of(name, name, now, INTERMEDIATE_LIFETIME)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// What root and intermediate share.
fn certificate_of(
    organization: &str,
    common_name: &str,
    now: Timestamp,
    lifetime: Duration,
) -> Result<CertificateParams, String> {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let start = now.floor().minus(BACKDATE);
    let mut distinguished_name = DistinguishedName::new();
    distinguished_name.push(DnType::OrganizationName, organization);
    distinguished_name.push(DnType::CommonName, common_name);
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name;
    params.not_before = epoch + since_epoch(start);
    params.not_after = epoch + since_epoch(start.plus(lifetime));
    params.serial_number = Some(serial()?);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn since_epoch(time: Timestamp) -> Duration {
    Duration::from_millis(time.as_millis())
}

fn serial() -> Result<SerialNumber, String> {
    let mut octets = [0; 20];
    SystemRandom::new().fill(&mut octets).map_err(|_| "no random numbers".to_owned())?;
    Ok(SerialNumber::from_slice(Serial::from_bytes(octets).as_bytes()))
}

fn certificate(der: &[u8]) -> String {
    pem::encode("CERTIFICATE", der)
}

pub(super) fn public(name: &str, text: String) -> Made {
    let contents = Zeroizing::new(text.into_bytes());
    Made { name: name.to_owned(), contents, secrecy: Secrecy::Public }
}

/// PKCS#8, encrypted with scrypt and AES-256-CBC where there is a passphrase.
fn private(name: &str, key: &KeyPair, passphrase: Option<&str>) -> Result<Made, String> {
    let der = Zeroizing::new(key.serialize_der());
    let text = match passphrase {
        None => pem::encode("PRIVATE KEY", &der),
        Some(passphrase) => {
            let info = PrivateKeyInfoRef::try_from(der.as_slice()).map_err(|e| e.to_string())?;
            let encrypted = info.encrypt(passphrase).map_err(|e| e.to_string())?;
            pem::encode("ENCRYPTED PRIVATE KEY", encrypted.as_bytes())
        }
    };
    let contents = Zeroizing::new(text.into_bytes());
    Ok(Made { name: name.to_owned(), contents, secrecy: Secrecy::Private })
}
