//! A private key in a file.
//!
//! | PEM label | what |
//! |---|---|
//! | `PRIVATE KEY` | PKCS#8 |
//! | `ENCRYPTED PRIVATE KEY` | PKCS#8 under PBES2: AES-CBC or 3DES, key from PBKDF2 or scrypt |
//! | `EC PRIVATE KEY` | SEC1 |
//! | `RSA PRIVATE KEY` | PKCS#1 |
//! | any of these with `Proc-Type: 4,ENCRYPTED` | RFC 1423, OpenSSL's old way |
//!
//! The same without PEM, as DER. ECDSA P-256, P-384 and P-521, RSA with 2048, 3072 or 4096 bits, and
//! Ed25519. The file must be readable by its owner alone, and the key shows that it works, once, when
//! it is opened. What held private octets is wiped.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use der::Decode;
use pkcs8::EncryptedPrivateKeyInfoRef;
use zeroize::Zeroizing;

use super::{Boxed, Signer, SignerError};
use crate::algorithm::SignatureAlgorithm;
use crate::pem::{self, Block, PemError};
use crate::possession::PossessionError;
use crate::possession::key::PublicKey;
use crate::quote::quote;

mod rfc1423;

/// Larger than any key file.
const LIMIT: u64 = 64 * 1024;

/// Signs with a key that was read from a file.
#[derive(Debug)]
pub struct FileSigner {
    key: Key,
    algorithm: SignatureAlgorithm,
    spki: Vec<u8>,
}

#[derive(Debug)]
enum Key {
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl FileSigner {
    /// Opens the key in the file `path`, decrypting it with `passphrase` where it is encrypted.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`], which names the file.
    pub fn open(path: &Path, passphrase: Option<&str>) -> Result<Self, KeyFileError> {
        read(path)
            .and_then(|text| Self::parse(&text, passphrase))
            .map_err(|problem| KeyFileError { path: path.to_owned(), problem })
    }

    /// Reads a key from the contents of a file: PEM or DER.
    ///
    /// # Errors
    ///
    /// [`KeyFileProblem`].
    pub fn parse(text: &[u8], passphrase: Option<&str>) -> Result<Self, KeyFileProblem> {
        let der = decrypt(text, passphrase)?;
        let (key, algorithm) = parse_key(&der)?;
        let spki = key.public_key().ok_or(KeyFileProblem::Unsupported)?;
        let public = PublicKey::from_spki(&spki).map_err(KeyFileProblem::Unsound)?;
        let signer = Self { key, algorithm, spki };
        let message = b"Does this key sign?";
        let signature = signer.sign_now(message).map_err(|_| KeyFileProblem::DoesNotSign)?;
        if !public.verifies_standard(message, &signature) {
            return Err(KeyFileProblem::DoesNotSign);
        }
        Ok(signer)
    }

    /// Signs at once, for those who have nothing to wait for.
    ///
    /// # Errors
    ///
    /// [`SignerError`] when the key could not be used.
    pub fn sign_now(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let failed = |_| SignerError("the cryptographic library refuses".into());
        let random = SystemRandom::new();
        match &self.key {
            Key::Ecdsa(key) => {
                key.sign(&random, message).map(|s| s.as_ref().to_vec()).map_err(failed)
            }
            Key::Ed25519(key) => key.try_sign(message).map(|s| s.as_ref().to_vec()).map_err(failed),
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(failed)?;
                Ok(signature)
            }
        }
    }
}

impl Signer for FileSigner {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    fn public_key(&self) -> &[u8] {
        &self.spki
    }

    fn sign<'a>(&'a self, message: &'a [u8]) -> Boxed<'a, Result<Vec<u8>, SignerError>> {
        Box::pin(async move { self.sign_now(message) })
    }
}

impl Key {
    /// DER `SubjectPublicKeyInfo`.
    fn public_key(&self) -> Option<Vec<u8>> {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Ecdsa(key) => key.public_key().as_der(),
            Self::Rsa(key) => key.public_key().as_der(),
            Self::Ed25519(key) => key.public_key().as_der(),
        }
        .ok()?;
        Some(der.as_ref().to_vec())
    }
}

/// The curves, each with its one hash.
static CURVES: [(&EcdsaSigningAlgorithm, SignatureAlgorithm); 3] = [
    (&ECDSA_P256_SHA256_ASN1_SIGNING, SignatureAlgorithm::EcdsaP256Sha256),
    (&ECDSA_P384_SHA384_ASN1_SIGNING, SignatureAlgorithm::EcdsaP384Sha384),
    (&ECDSA_P521_SHA512_ASN1_SIGNING, SignatureAlgorithm::EcdsaP521Sha512),
];

/// Reads an unencrypted key: DER, PKCS#8 or the older structure of its algorithm.
fn parse_key(der: &[u8]) -> Result<(Key, SignatureAlgorithm), KeyFileProblem> {
    for (curve, algorithm) in CURVES {
        if let Ok(key) = EcdsaKeyPair::from_private_key_der(curve, der) {
            return Ok((Key::Ecdsa(key), algorithm));
        }
    }
    if let Ok(key) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
        return Ok((Key::Ed25519(key), SignatureAlgorithm::Ed25519));
    }
    match RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der)) {
        Ok(key) => Ok((Key::Rsa(key), SignatureAlgorithm::RsaPkcs1Sha256)),
        Err(_) => Err(KeyFileProblem::Unsupported),
    }
}

/// Reads the file, if nobody but its owner can.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileProblem> {
    let unreadable = |error: std::io::Error| KeyFileProblem::Unreadable(error.to_string());
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > LIMIT {
        return Err(KeyFileProblem::NotAKeyFile);
    }
    check_mode(&metadata)?;
    // Large enough at once: a vector that grows leaves unwiped copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(LIMIT as usize + 1));
    file.take(LIMIT + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() as u64 > LIMIT { Err(KeyFileProblem::NotAKeyFile) } else { Ok(text) }
}

#[cfg(unix)]
fn check_mode(metadata: &std::fs::Metadata) -> Result<(), KeyFileProblem> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(KeyFileProblem::ReadableByOthers { mode }) }
}

#[cfg(not(unix))]
fn check_mode(_metadata: &std::fs::Metadata) -> Result<(), KeyFileProblem> {
    Ok(())
}

/// Yields the key's DER, decrypted where it is encrypted.
fn decrypt(text: &[u8], passphrase: Option<&str>) -> Result<Zeroizing<Vec<u8>>, KeyFileProblem> {
    // `openssl ecparam -genkey` puts the curve's parameters in front of the key.
    let mut blocks = pem::blocks(text)
        .filter(|block| !matches!(block, Ok(block) if block.label == "EC PARAMETERS"));
    match blocks.next() {
        Some(block) => decrypt_block(block?, passphrase),
        None if EncryptedPrivateKeyInfoRef::from_der(text).is_ok() => {
            decrypt_pkcs8(text, passphrase)
        }
        None => Ok(Zeroizing::new(text.to_vec())),
    }
}

fn decrypt_block(
    block: Block<'_>,
    passphrase: Option<&str>,
) -> Result<Zeroizing<Vec<u8>>, KeyFileProblem> {
    match block.label {
        "ENCRYPTED PRIVATE KEY" => decrypt_pkcs8(&block.der, passphrase),
        "PRIVATE KEY" | "EC PRIVATE KEY" | "RSA PRIVATE KEY" => {
            if !block.header("Proc-Type").is_some_and(|value| value.ends_with("ENCRYPTED")) {
                return Ok(block.der);
            }
            let passphrase = passphrase.ok_or(KeyFileProblem::NoPassphrase)?;
            let parameters = block.header("DEK-Info").unwrap_or_default();
            rfc1423::decrypt(&block.der, parameters, passphrase)
        }
        label => Err(KeyFileProblem::Label(label.chars().take(40).collect())),
    }
}

fn decrypt_pkcs8(
    der: &[u8],
    passphrase: Option<&str>,
) -> Result<Zeroizing<Vec<u8>>, KeyFileProblem> {
    let passphrase = passphrase.ok_or(KeyFileProblem::NoPassphrase)?;
    let encrypted =
        EncryptedPrivateKeyInfoRef::from_der(der).map_err(|_| KeyFileProblem::Cipher)?;
    match encrypted.decrypt(passphrase) {
        Ok(key) => Ok(key.to_bytes()),
        Err(pkcs8::Error::EncryptedPrivateKey(pkcs8::pkcs5::Error::DecryptFailed)) => {
            Err(KeyFileProblem::WrongPassphrase)
        }
        // A wrong passphrase that leaves plausible padding behind.
        Err(pkcs8::Error::Asn1(_)) => Err(KeyFileProblem::WrongPassphrase),
        Err(_) => Err(KeyFileProblem::Cipher),
    }
}

/// Why the key in a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("key file {}: {problem}", path.display())]
pub struct KeyFileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: KeyFileProblem,
}

/// What is wrong with a key file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileProblem {
    /// The system does not let us read it.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// A directory, a device, or far too long.
    #[error(
        "is not a key file: it must be a file of at most 64 KiB with one private key, PEM or DER; correct \
         the path"
    )]
    NotAKeyFile,
    /// Group or others can read or write it.
    #[error("others than its owner may read it (mode {mode:o}); run chmod 600 on it")]
    ReadableByOthers {
        /// The permission bits.
        mode: u32,
    },
    /// The PEM is damaged.
    #[error("{0}")]
    Pem(#[from] PemError),
    /// A PEM block of another kind.
    #[error("holds a block {}; it must hold a private key (PKCS#8, SEC1 or PKCS#1)", quote(.0))]
    Label(String),
    /// Encrypted, and no passphrase is configured.
    #[error(
        "is encrypted; name the file with its passphrase in mayfly.yaml (authority.passphrase_file)"
    )]
    NoPassphrase,
    /// Does not decrypt.
    #[error("the passphrase does not decrypt it")]
    WrongPassphrase,
    /// Encrypted in a way that we do not read.
    #[error(
        "is encrypted in a way that is not supported; convert it with \
         openssl pkcs8 -topk8 -v2 aes-256-cbc"
    )]
    Cipher,
    /// Not a private key of a kind that signs here.
    #[error("holds no private key that is supported: ECDSA P-256, P-384 or P-521, RSA, Ed25519")]
    Unsupported,
    /// The public half is not sound.
    #[error("{0}")]
    Unsound(PossessionError),
    /// The self-test failed.
    #[error("its key does not verify its own signature; the file is damaged")]
    DoesNotSign,
}
