//! The parameters of a query, read so that no two readers can read them in two ways.

use axum::extract::Query as Pairs;
use axum::http::Uri;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::problem::Problem;
use crate::tlog::merkle::Hash;

/// The parameters of one request. Those that nobody asks for are ignored.
pub struct Query(Vec<(String, String)>);

impl Query {
    /// The parameters behind the path of `uri`.
    pub fn of(uri: &Uri) -> Self {
        // What is no query at all has no parameters.
        Self(Pairs::try_from_uri(uri).map_or(Vec::new(), |Pairs(pairs)| pairs))
    }

    /// A whole number, written as we would write it.
    pub fn number(&self, name: &'static str) -> Result<u64, Problem> {
        let text = self.one(name)?;
        let number = text.parse().ok().filter(|number: &u64| number.to_string() == text);
        number.ok_or_else(|| Problem::Number { name, got: text.to_owned() })
    }

    /// A hash in base64.
    pub fn hash(&self, name: &'static str) -> Result<Hash, Problem> {
        let text = self.one(name)?;
        // Quirk: some clients leave base64's plus as it is, which means a space in a query.
        let octets = BASE64_STANDARD.decode(text.replace(' ', "+")).ok();
        let hash = octets.and_then(|octets| octets.try_into().ok()).map(Hash);
        hash.ok_or_else(|| Problem::Hash { name, got: text.to_owned() })
    }

    fn one(&self, name: &'static str) -> Result<&str, Problem> {
        let mut values = self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value);
        let value = values.next().ok_or(Problem::Missing(name))?;
        values.next().map_or(Ok(value), |_| Err(Problem::Twice(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::of(&format!("/ct/v1/get-entries?{text}").parse().unwrap())
    }

    #[test]
    fn a_number_has_one_form() {
        let number = |text: &str| query(text).number("n");
        assert_eq!(number("n=0"), Ok(0));
        assert_eq!(number("a=b&n=18446744073709551615&c"), Ok(u64::MAX));
        assert_eq!(number("%6e=%31"), Ok(1));
        for wrong in ["", "-1", "+1", "01", "1.0", "1e3", "0x1", "18446744073709551616", "١"] {
            let got = wrong.replace('+', " ");
            let escaped: String = wrong.bytes().map(|octet| format!("%{octet:02x}")).collect();
            let wrong = if wrong.is_ascii() { wrong } else { &escaped };
            assert_eq!(number(&format!("n={wrong}")), Err(Problem::Number { name: "n", got }));
        }
    }

    #[test]
    fn a_parameter_is_there_once() {
        let number = |text: &str| query(text).number("n");
        assert_eq!(number(""), Err(Problem::Missing("n")));
        assert_eq!(number("N=1&m=1"), Err(Problem::Missing("n")));
        assert_eq!(number("n=1&n=1"), Err(Problem::Twice("n")));
        assert_eq!(number("n=1&%6E=2"), Err(Problem::Twice("n")));
        assert_eq!(number("m=1&n=1&m=2"), Ok(1));
    }

    #[test]
    fn a_hash_may_keep_its_plus() {
        let hash = Hash([0xfb; 32]);
        let text = BASE64_STANDARD.encode(hash);
        assert!(text.contains('+'));
        assert_eq!(query(&format!("h={text}")).hash("h"), Ok(hash));
        let escaped = text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        assert_eq!(query(&format!("h={escaped}")).hash("h"), Ok(hash));
        let got = text.trim_end_matches('=').replace('+', " ");
        let short = query(&format!("h={}", text.trim_end_matches('=')));
        assert_eq!(short.hash("h"), Err(Problem::Hash { name: "h", got }));
        assert!(query("h=AAAA").hash("h").is_err());
        assert!(query("h=%ff").hash("h").is_err());
    }
}
