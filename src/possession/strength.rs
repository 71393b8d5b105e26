//! What makes a public key unsound although it is well-formed.
//!
//! RSA keys are held to what Boulder and Sigstore hold them to: three sizes, one exponent, and none of
//! the ways in which broken generators were broken (a small factor, Infineon's library, primes that
//! are close together). ECDSA keys are uncompressed points; that they lie on the curve is shown by the
//! library that parses them. Ed25519 points are canonical and not of small order.
//!
//! All of it costs some tens of microseconds for the largest key.

use std::sync::LazyLock;

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
    let residue = &modulus % &*PRODUCT;
    if let Some(prime) = small_factor(&residue) {
        return Err(KeyError::RsaSmallFactor { prime });
    }
    if is_roca(&residue) {
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

/// The primes up to 751.
static PRIMES: LazyLock<Vec<u32>> = LazyLock::new(|| {
    let is_prime = |n: &u32| (2..*n).all(|divisor| !n.is_multiple_of(divisor));
    (2..=751).filter(is_prime).collect()
});

/// Their product: what a number leaves when divided by it, it leaves for each of them.
static PRODUCT: LazyLock<BigUint> = LazyLock::new(|| PRIMES.iter().product());

/// The smallest prime up to 751 that divides a number, which may be reduced modulo [`PRODUCT`].
fn small_factor(residue: &BigUint) -> Option<u32> {
    PRIMES.iter().copied().find(|prime| remainder(residue, *prime) == 0)
}

/// Whether a number is a power of 65537 modulo every odd prime up to 167, as all products of primes
/// from Infineon's library are, and of others about one in 2^27. It may be reduced modulo [`PRODUCT`].
///
/// Spec: Nemec et al., "The Return of Coppersmith's Attack", CCS 2017, §2.1.
fn is_roca(residue: &BigUint) -> bool {
    PRIMES.iter().copied().filter(|prime| (3..=167).contains(prime)).all(|prime| {
        let residue = remainder(residue, prime);
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

/// A square is 4^k·(8m + 1), and a square modulo whatever: one number in two hundred is looked at
/// more closely than that.
fn is_square(n: &BigUint) -> bool {
    let zeros = n.trailing_zeros().unwrap_or_default();
    if zeros % 2 == 1 || n.bit(zeros + 1) || n.bit(zeros + 2) {
        return false;
    }
    let residue = remainder(n, 63 * 65 * 11);
    let possible = |m: u32| (0..m).any(|root| root * root % m == residue % m);
    [63, 65, 11].into_iter().all(possible) && n.sqrt().pow(2) == *n
}

fn remainder(n: &BigUint, divisor: u32) -> u32 {
    (n % divisor).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asn1;

    /// A modulus and an exponent as DER `RSAPublicKey`.
    fn encode(modulus: &BigUint, exponent: u32) -> Vec<u8> {
        let mut der = Vec::new();
        asn1::nested(&mut der, asn1::SEQUENCE, |der| {
            asn1::unsigned(der, &modulus.to_bytes_be());
            asn1::unsigned(der, &exponent.to_be_bytes());
        });
        der
    }

    fn power_of_two(exponent: u32) -> BigUint {
        BigUint::from(1u32) << exponent
    }

    /// The first number from `start` on that no prime up to 751 divides, so that only the rule under
    /// test refuses a product of it. (No rule asks whether it is prime.)
    fn rough(mut start: BigUint) -> BigUint {
        while small_factor(&start).is_some() {
            start += 1u32;
        }
        start
    }

    /// Two factors whose product has `bits` bits.
    fn factors(bits: u32) -> [BigUint; 2] {
        [(3u32, 2), (7, 3)].map(|(lead, width)| rough(power_of_two(bits / 2 - width) * lead))
    }

    #[track_caller]
    fn check_rsa(modulus: &BigUint, exponent: u32, expected: Result<(), KeyError>) {
        assert_eq!(rsa(&encode(modulus, exponent)), expected);
    }

    #[test]
    fn rsa_keys_have_three_sizes_and_one_exponent() {
        for bits in [2048, 3072, 4096] {
            let [p, q] = factors(bits);
            let modulus = p * q;
            assert_eq!(modulus.bits(), u64::from(bits));
            check_rsa(&modulus, 65_537, Ok(()));
            check_rsa(&modulus, 3, Err(KeyError::RsaExponent));
            check_rsa(&modulus, 65_539, Err(KeyError::RsaExponent));
        }
        for bits in [1, 1024, 2047, 2049, 2056, 8192] {
            let size = KeyError::RsaSize { bits: bits.into() };
            check_rsa(&power_of_two(bits - 1), 65_537, Err(size));
        }
        assert_eq!(
            KeyError::RsaSize { bits: 1024 }.to_string(),
            "RSA keys need 2048, 3072 or 4096 bits; this one has 1024"
        );
    }

    #[test]
    fn rsa_moduli_have_no_small_factor() {
        let multiple = |prime: u32| rough(power_of_two(2046) * 3u32 / prime) * prime;
        for prime in [2, 3, 5, 743, 751] {
            let found = KeyError::RsaSmallFactor { prime };
            check_rsa(&multiple(prime), 65_537, Err(found));
        }
        // The next prime, which is farther than we look.
        check_rsa(&multiple(757), 65_537, Ok(()));
    }

    #[test]
    fn rsa_moduli_are_not_infineons() {
        // What the library makes: k·M + 65537^a, where M is the product of the first primes.
        let primes = (2..=167u32).filter(|n| (2..*n).all(|d| n % d != 0));
        let m: BigUint = primes.map(BigUint::from).product();
        let prime = |a: u32, near: BigUint| {
            let mut candidate = near / &m * &m + BigUint::from(65_537u32).modpow(&a.into(), &m);
            while small_factor(&candidate).is_some() {
                candidate += &m;
            }
            candidate
        };
        let [p, q] = factors(2048);
        let modulus = prime(5, p) * prime(77, q);
        check_rsa(&modulus, 65_537, Err(KeyError::RsaRoca));
        assert!(!is_roca(&(modulus + 2u32)));
    }

    #[test]
    fn rsa_primes_are_not_close() {
        let [p, _] = factors(2048);
        let apart = |distance: BigUint| &p * rough(&p + distance);
        let close = Err(KeyError::RsaCloseFactors);
        check_rsa(&apart(0u32.into()), 65_537, close.clone());
        check_rsa(&apart(1_000_000u32.into()), 65_537, close.clone());
        // Fermat's method needs d² / 8p steps for primes d apart: here 43, then 171.
        check_rsa(&apart(power_of_two(516)), 65_537, close);
        check_rsa(&apart(power_of_two(517)), 65_537, Ok(()));
    }

    #[test]
    fn squares_are_squares() {
        for root in 0..2000u32 {
            assert!(is_square(&BigUint::from(root).pow(2)));
            assert!(!is_square(&(BigUint::from(root + 1).pow(2) + 1u32)));
        }
    }

    #[test]
    fn rsa_keys_are_der() {
        let [p, q] = factors(2048);
        let modulus = p * q;
        let good = encode(&modulus, 65_537);
        let invalid = Err(KeyError::Invalid("RSA"));
        assert_eq!(rsa(&[]), invalid);
        assert_eq!(rsa(&good[..good.len() - 1]), invalid);
        assert_eq!(rsa(&[&good[..], &[0]].concat()), invalid);
        // A negative modulus, and one with a zero too many.
        assert_eq!(rsa(b"\x30\x06\x02\x01\x80\x02\x01\x03"), invalid);
        assert_eq!(rsa(b"\x30\x08\x02\x03\x00\x00\x80\x02\x01\x03"), invalid);
    }

    /// All encodings with which somebody has got past a verifier: RFC 8032's curve, points whose order
    /// divides 8, in canonical form and not.
    #[test]
    fn ed25519_points_are_canonical_and_of_large_order() {
        let y = |low: u8, rest: u8, high: u8| {
            let mut octets = [rest; 32];
            (octets[0], octets[31]) = (low, high);
            octets
        };
        for sign in [0, 0x80] {
            for (point, expected) in [
                (y(0, 0, sign), KeyError::Ed25519SmallOrder),
                (y(1, 0, sign), KeyError::Ed25519SmallOrder),
                (y(0xec, 0xff, 0x7f | sign), KeyError::Ed25519SmallOrder),
                (y(0xed, 0xff, 0x7f | sign), KeyError::Ed25519NonCanonical),
                (y(0xee, 0xff, 0x7f | sign), KeyError::Ed25519NonCanonical),
                (y(0xff, 0xff, 0x7f | sign), KeyError::Ed25519NonCanonical),
            ] {
                assert_eq!(edwards_point(&point), Err(expected), "{point:x?}");
            }
            for mut point in ORDER_EIGHT {
                point[31] |= sign;
                assert_eq!(edwards_point(&point), Err(KeyError::Ed25519SmallOrder));
            }
            assert_eq!(edwards_point(&y(2, 0, sign)), Ok(()));
            assert_eq!(edwards_point(&y(0xeb, 0xff, 0x7f | sign)), Ok(()));
        }
        assert_eq!(edwards_point(&[9; 31]), Err(KeyError::Invalid("Ed25519")));
        assert_eq!(edwards_point(&[9; 33]), Err(KeyError::Invalid("Ed25519")));
    }

    #[test]
    fn points_are_uncompressed() {
        let check = |first: u8, length: usize| {
            let mut bits = vec![first; length];
            bits[1..].fill(1);
            point(&bits, 32, "P")
        };
        assert_eq!(check(4, 65), Ok(()));
        assert_eq!(check(2, 33), Err(KeyError::CompressedPoint));
        assert_eq!(check(3, 33), Err(KeyError::CompressedPoint));
        for (first, length) in [(6, 65), (7, 65), (4, 64), (4, 66), (0, 1), (2, 65)] {
            assert_eq!(check(first, length), Err(KeyError::Invalid("P")));
        }
        assert_eq!(point(&[], 32, "P"), Err(KeyError::Invalid("P")));
    }
}
