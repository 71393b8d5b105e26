//! A claim's number as text: one spelling for rules, for certificates and for the sentences about them.
//!
//! ```text
//! 666, 666.0, 6.66e2    666         whole, whatever its spelling
//! -0.0                  0
//! 1.5, 1e300            1.5, 1e+300 its JSON text: no certificate holds it
//! ```

use std::fmt::{self, Write};

use serde_json::Number;

/// Above 2^53 a float no longer says which whole number was meant.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// A number's text, on the stack. A number's JSON text is never longer than this.
#[derive(Clone, Copy, Debug)]
pub struct Digits {
    octets: [u8; 32],
    length: usize,
    is_whole: bool,
}

impl Digits {
    /// The text of a number.
    pub fn of(number: &Number) -> Self {
        let float = number.as_f64().filter(|_| number.is_f64());
        let is_whole = float.is_none_or(|float| float.fract() == 0.0 && float.abs() <= MAX_EXACT);
        let mut digits = Self { octets: [0; 32], length: 0, is_whole };
        // Adding 0 takes the sign off -0.
        let written = match float.filter(|_| is_whole) {
            Some(float) => write!(digits, "{:.0}", float + 0.0),
            None => write!(digits, "{number}"),
        };
        debug_assert!(written.is_ok());
        digits
    }

    /// Whether the text says which number was meant: a larger one was rounded when it was read.
    pub fn is_exact(number: &Number) -> bool {
        !number.is_f64() || number.as_f64().is_some_and(|float| float.abs() <= MAX_EXACT)
    }

    /// Whether the number is whole, and this its digits, all of them.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        let octets = self.octets.get(..self.length).unwrap_or_default();
        std::str::from_utf8(octets).unwrap_or_default()
    }
}

impl Write for Digits {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        let free = self.octets.get_mut(self.length..end).ok_or(fmt::Error)?;
        free.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(json: &str, text: &str, is_whole: bool) {
        let number = serde_json::from_str(json).unwrap();
        let digits = Digits::of(&number);
        assert_eq!((digits.as_str(), digits.is_whole()), (text, is_whole), "{json}");
    }

    #[test]
    fn a_whole_number_has_one_spelling() {
        for json in ["666", "666.0", "6.66e2", "66600e-2"] {
            check(json, "666", true);
        }
        check("-0.0", "0", true);
        check("-0", "0", true);
        check("-3.0", "-3", true);
        check("18446744073709551615", "18446744073709551615", true);
        check("9007199254740993", "9007199254740993", true);
        check("9007199254740992.0", "9007199254740992", true);
    }

    #[test]
    fn other_numbers_are_their_json_text() {
        check("1.5", "1.5", false);
        check("1e300", "1e+300", false);
        check("100000000000000000000", "1e+20", false);
    }

    proptest! {
        #[test]
        fn every_number_fits(float in any::<f64>(), whole in any::<i64>()) {
            let digits = Digits::of(&whole.into());
            prop_assert_eq!(digits.as_str(), whole.to_string());
            if let Some(number) = Number::from_f64(float) {
                let digits = Digits::of(&number);
                prop_assert_eq!(digits.as_str().parse::<f64>(), Ok(float));
            }
        }
    }
}
