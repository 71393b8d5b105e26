//! The floor: the five signature operations that no issuance can do without, and nothing else.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
};

use crate::cli::CommandError;

/// Octets of a token's signing input, of a challenge and of a TBS, as they usually are.
const TOKEN: usize = 1400;
const CHALLENGE: usize = 60;
const TBS: usize = 1400;

/// One issuance's signatures: RS256 verify, P-256 verify, three P-256 signatures.
pub struct Floor {
    issuer: (ParsedPublicKey, Vec<u8>),
    caller: (ParsedPublicKey, Vec<u8>),
    authority: EcdsaKeyPair,
    random: SystemRandom,
}

impl Floor {
    /// Makes the keys (which takes longer than the measurement).
    ///
    /// # Errors
    ///
    /// [`CommandError::Failed`] when a key cannot be made.
    pub fn new() -> Result<Self, CommandError> {
        Self::keys().ok_or_else(|| CommandError::Failed("cannot make keys".to_owned()))
    }

    fn keys() -> Option<Self> {
        let random = SystemRandom::new();
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).ok()?;
        let mut token = vec![0; rsa.public_modulus_len()];
        rsa.sign(&RSA_PKCS1_SHA256, &random, &[1; TOKEN], &mut token).ok()?;
        let components = PublicKeyComponents {
            n: rsa.public_key().modulus().big_endian_without_leading_zero(),
            e: rsa.public_key().exponent().big_endian_without_leading_zero(),
        };
        let issuer = components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).ok()?;

        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).ok()?;
        let proof = key.sign(&random, &[2; CHALLENGE]).ok()?.as_ref().to_vec();
        let caller =
            ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public_key().as_ref()).ok()?;

        let authority = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).ok()?;
        Some(Self { issuer: (issuer, token), caller: (caller, proof), authority, random })
    }

    /// Does the five operations once; `false` when one of them failed.
    pub fn run(&self) -> bool {
        let verified = self.issuer.0.verify_sig(&[1; TOKEN], &self.issuer.1).is_ok()
            && self.caller.0.verify_sig(&[2; CHALLENGE], &self.caller.1).is_ok();
        let signed = (0..3).all(|_| self.authority.sign(&self.random, &[3; TBS]).is_ok());
        verified && signed
    }
}
