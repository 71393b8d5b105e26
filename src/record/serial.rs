//! Serial numbers as people write them: with whatever zeros, in either case, with colons.
//!
//! OpenSSL prints two digits an octet, the log lines forty digits, a certificate has the octets of its
//! DER. All are one number, and [`bare`] is how to compare them.

/// How many octets with colons between make a serial number, rather than some address.
const GROUPS: usize = 4;

/// A number's hexadecimal digits in lower case, without colons and without the zeros before it.
pub fn bare(serial: &str) -> String {
    let digits: String = serial.chars().filter(|c| *c != ':').collect();
    digits.trim_start_matches('0').to_ascii_lowercase()
}

/// The [`bare`] number of a word that may be one, if it is written in another way.
pub fn spelled(word: &str) -> Option<String> {
    let (mut groups, is_hex) = (word.split(':'), |c: char| c.is_ascii_hexdigit());
    let is_plain = !word.contains(':');
    let has_octets = word.split(':').count() >= GROUPS && groups.all(|octet| octet.len() == 2);
    let is_number = word.chars().all(|c| is_hex(c) || c == ':') && (is_plain || has_octets);
    let bare = bare(word);
    (is_number && !bare.is_empty() && bare != word.to_ascii_lowercase()).then_some(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_has_one_bare_form() {
        for spelling in ["00ff01", "ff01", "0000FF01", "00:ff:01", "FF:01"] {
            assert_eq!(bare(spelling), "ff01", "{spelling}");
        }
        assert_eq!(bare("0f01"), "f01");
    }

    #[test]
    fn a_word_may_be_a_number_in_another_spelling() {
        for (word, number) in [
            ("00ff01", Some("ff01")),
            ("0a1b", Some("a1b")),
            ("00:FF:01:02", Some("ff0102")),
            ("ff01", None),
            ("FF01", None),
            ("ff:01", None),
            ("2001:db8::1", None),
            ("0xyz", None),
            ("0", None),
            ("", None),
        ] {
            assert_eq!(spelled(word).as_deref(), number, "{word}");
        }
    }
}
