//! OpenSSL's old encryption of private keys in PEM: read only.
//!
//! ```text
//! -----BEGIN EC PRIVATE KEY-----
//! Proc-Type: 4,ENCRYPTED
//! DEK-Info: AES-256-CBC,9F58E7A1C7A8B2D0A1F3E0C4B5D69788       cipher, IV in hex
//!
//! base64 of the ciphertext
//! -----END EC PRIVATE KEY-----
//! ```
//!
//! The key is MD5 of passphrase and salt, chained until it is long enough, and the salt is the IV's
//! first eight octets: weak against guessing, but what many installations have.
//!
//! Spec: RFC 1423 §1.1, RFC 1421 §4.6.1.3; OpenSSL's `EVP_BytesToKey`.

use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, KeyInit, KeyIvInit};
use md5::{Digest, Md5};
use zeroize::Zeroizing;

use super::KeyFileProblem;

type Decrypt = fn(&[u8], &[u8], &[u8]) -> Option<Zeroizing<Vec<u8>>>;

/// Cipher, octets of its key, octets of its IV.
static CIPHERS: [(&str, usize, usize, Decrypt); 5] = [
    ("AES-128-CBC", 16, 16, cbc::<aes::Aes128>),
    ("AES-192-CBC", 24, 16, cbc::<aes::Aes192>),
    ("AES-256-CBC", 32, 16, cbc::<aes::Aes256>),
    ("DES-EDE3-CBC", 24, 8, cbc::<des::TdesEde3>),
    ("DES-CBC", 8, 8, cbc::<des::Des>),
];

/// Decrypts `ciphertext`; `parameters` is the value of `DEK-Info`.
pub(super) fn decrypt(
    ciphertext: &[u8],
    parameters: &str,
    passphrase: &str,
) -> Result<Zeroizing<Vec<u8>>, KeyFileProblem> {
    let (name, iv) = parameters.split_once(',').ok_or(KeyFileProblem::Cipher)?;
    let (_, key_length, iv_length, decrypt) =
        CIPHERS.iter().find(|row| row.0 == name).ok_or(KeyFileProblem::Cipher)?;
    let iv = hex(iv).filter(|iv| iv.len() == *iv_length).ok_or(KeyFileProblem::Cipher)?;
    let salt = iv.first_chunk().ok_or(KeyFileProblem::Cipher)?;
    let key = derive(passphrase, salt, *key_length);
    decrypt(&key, &iv, ciphertext).ok_or(KeyFileProblem::WrongPassphrase)
}

/// `EVP_BytesToKey` with MD5 and one round: MD5(last ‖ passphrase ‖ salt), until there is enough.
fn derive(passphrase: &str, salt: &[u8; 8], length: usize) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(Vec::with_capacity(length + 16));
    let mut last = Zeroizing::new(Vec::with_capacity(16));
    while key.len() < length {
        let hash = Md5::new().chain_update(&*last).chain_update(passphrase).chain_update(salt);
        last.clear();
        last.extend_from_slice(&hash.finalize());
        key.extend_from_slice(&last);
    }
    key.truncate(length);
    key
}

fn cbc<C>(key: &[u8], iv: &[u8], ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>>
where
    C: BlockCipherDecrypt + KeyInit,
{
    let decryptor = Decryptor::<C>::new_from_slices(key, iv).ok()?;
    let mut text = Zeroizing::new(ciphertext.to_vec());
    let length = decryptor.decrypt_padded::<Pkcs7>(&mut text).ok()?.len();
    text.truncate(length);
    Some(text)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |octet: &u8| char::from(*octet).to_digit(16);
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| u8::try_from(digit(high)? << 4 | digit(low)?).ok()).collect()
}
