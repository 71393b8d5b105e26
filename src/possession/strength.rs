//! What makes a public key unsound although it is well-formed.
//!
//! RSA keys are held to what Boulder and Sigstore hold them to: three sizes, one exponent, and none of
//! the ways in which broken generators were broken (a small factor, Infineon's library, primes that
//! are close together). ECDSA keys are uncompressed points; that they lie on the curve is shown by the
//! library that parses them. Ed25519 points are canonical and not of small order.
//!
//! All of it costs some tens of microseconds for the largest key.

use der::asn1::UintRef;
use der::{Decode, Reader, SliceReader};
use num_bigint::BigUint;

/// Why a key is not certified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// An algorithm or a curve we do not certify, by name or object identifier.
    #[error(
        "{0} keys are not certified; use ECDSA P-256, P-384 or P-521, Ed25519, \
         or RSA with 2048, 3072 or 4096 bits"
    )]
    Algorithm(String),
    /// The curve is spelled out instead of named (CVE-2020-0601).
    #[error("the key spells out its curve's parameters; it must name the curve, such as P-256")]
    ExplicitParameters,
    /// Only one coordinate of the point is given.
    #[error("the key is a compressed point; export it uncompressed")]
    CompressedPoint,
    /// Not a key of its algorithm: a point off the curve, a length that does not fit.
    #[error("the key is not a valid {0} key; make a new one")]
    Invalid(&'static str),
    /// A modulus of another size.
    #[error("RSA keys need 2048, 3072 or 4096 bits; this one has {bits}")]
    RsaSize {
        /// Length of the modulus.
        bits: u64,
    },
    /// A public exponent other than 65537.
    #[error("RSA keys need the public exponent 65537; make a new key with it")]
    RsaExponent,
    /// A prime up to 751 divides the modulus.
    #[error("the RSA key's modulus is divisible by {prime}; whatever made it is broken")]
    RsaSmallFactor {
        /// The smallest such prime.
        prime: u32,
    },
    /// The modulus has the fingerprint of Infineon's library (CVE-2017-15361).
    #[error("the RSA key was made by a library that makes weak keys (ROCA, CVE-2017-15361)")]
    RsaRoca,
    /// The prime factors are so close that Fermat's method finds them (CVE-2022-26320).
    #[error("the RSA key's two primes are too close together; whatever made it is broken")]
    RsaCloseFactors,
    /// A point of order 1, 2, 4 or 8, for which signatures can be made without a private key.
    #[error("the Ed25519 key is a point of small order, for which anybody can sign")]
    Ed25519SmallOrder,
    /// A coordinate that is not reduced: the same key has another encoding.
    #[error("the Ed25519 key is not in its canonical encoding")]
    Ed25519NonCanonical,
}

/// Checks the octets of an elliptic-curve point whose coordinates have `coordinate` octets each.
pub(super) fn point(bits: &[u8], coordinate: usize, name: &'static str) -> Result<(), KeyError> {
    match bits.first() {
        Some(2 | 3) if bits.len() == 1 + coordinate => Err(KeyError::CompressedPoint),
        Some(4) if bits.len() == 1 + 2 * coordinate => Ok(()),
        _ => Err(KeyError::Invalid(name)),
    }
}

/// The y-coordinates, little-endian, of the two pairs of points whose order is 8.
const ORDER_EIGHT: [[u8; 32]; 2] = [
    *b"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\
      \xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
    *b"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\
      \x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a",
];

/// Checks a point of edwards25519 in its encoding: y, little-endian, and the sign of x on top.
pub(super) fn edwards_point(bits: &[u8]) -> Result<(), KeyError> {
    let mut y: [u8; 32] = bits.try_into().map_err(|_| KeyError::Invalid("Ed25519"))?;
    let [low, middle @ .., high] = &mut y;
    *high &= 0x7f;
    // y is 0, 1 or −1, or at least p = 2^255 − 19: told apart by the lowest octet alone.
    let tiny = *low < 2 && *high == 0 && middle.iter().all(|octet| *octet == 0);
    let huge = *low >= 0xec && *high == 0x7f && middle.iter().all(|octet| *octet == 0xff);
    if huge && *low != 0xec {
        Err(KeyError::Ed25519NonCanonical)
    } else if tiny || huge || ORDER_EIGHT.contains(&y) {
        Err(KeyError::Ed25519SmallOrder)
    } else {
        Ok(())
    }
}

/// Checks an RSA key: DER `RSAPublicKey`.
pub(super) fn rsa(bits: &[u8]) -> Result<(), KeyError> {
    let (modulus, exponent) = decode(bits).map_err(|_| KeyError::Invalid("RSA"))?;
    let modulus = BigUint::from_bytes_be(modulus);
    if !matches!(modulus.bits(), 2048 | 3072 | 4096) {
        return Err(KeyError::RsaSize { bits: modulus.bits() });
    }
    if exponent != [1, 0, 1] {
        return Err(KeyError::RsaExponent);
    }
    if let Some(prime) = small_factor(&modulus) {
        return Err(KeyError::RsaSmallFactor { prime });
    }
    if is_roca(&modulus) {
        return Err(KeyError::RsaRoca);
    }
    if has_close_factors(modulus) {
        return Err(KeyError::RsaCloseFactors);
    }
    Ok(())
}

fn decode(bits: &[u8]) -> der::Result<(&[u8], &[u8])> {
    let mut reader = SliceReader::new(bits)?;
    let numbers = reader.sequence(|numbers| {
        let (modulus, exponent) = (UintRef::decode(numbers)?, UintRef::decode(numbers)?);
        Ok::<_, der::Error>((modulus.as_bytes(), exponent.as_bytes()))
    })?;
    reader.finish()?;
    Ok(numbers)
}

/// The smallest prime up to 751 that divides `modulus`.
fn small_factor(modulus: &BigUint) -> Option<u32> {
    let prime = |n: &u32| (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0);
    (2..=751).filter(prime).find(|prime| remainder(modulus, *prime) == 0)
}

/// Whether the modulus is a power of 65537 modulo every odd prime up to 167, as all products of primes
/// from Infineon's library are, and of others about one in 2^27.
///
/// Spec: Nemec et al., "The Return of Coppersmith's Attack", CCS 2017, §2.1.
fn is_roca(modulus: &BigUint) -> bool {
    let prime = |n: &u32| (2..*n).all(|d| n % d != 0);
    (3..=167).filter(prime).all(|prime| {
        let residue = remainder(modulus, prime);
        let power = |power: &u32| Some(power * 65537 % prime);
        std::iter::successors(Some(1), power).take(prime as usize).any(|power| power == residue)
    })
}

/// How many steps of Fermat's method a modulus must withstand.
const ROUNDS: usize = 100;

/// Whether Fermat's method splits `modulus`: a² − n is a square for one of the first a ≥ √n.
fn has_close_factors(modulus: BigUint) -> bool {
    let mut a = modulus.sqrt();
    if &a * &a < modulus {
        a += 1u32;
    }
    let mut square = &a * &a - modulus;
    for _ in 0..ROUNDS {
        if is_square(&square) {
            return true;
        }
        square += (&a << 1u8) + 1u32;
        a += 1u32;
    }
    false
}

/// Residues rule out all but one in a hundred numbers before a root is taken.
fn is_square(n: &BigUint) -> bool {
    let residue = remainder(n, 64 * 63 * 65 * 11);
    let possible = |m: u32| (0..m).any(|root| root * root % m == residue % m);
    [64, 63, 65, 11].into_iter().all(possible) && n.sqrt().pow(2) == *n
}

fn remainder(n: &BigUint, divisor: u32) -> u32 {
    (n % divisor).try_into().unwrap_or_default()
}
