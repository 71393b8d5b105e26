//! The parts of an `http` or `https` URL that configuration must know: scheme, host, port.
//!
//! Not a general parser: it refuses what an issuer's URL never has (userinfo, query, fragment,
//! white space, anything outside ASCII) instead of interpreting it.

use std::net::IpAddr;

/// The parts of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address<'a> {
    pub scheme: Scheme,
    /// a name or an address, an IPv6 one in brackets; may hold `*` in a pattern
    pub host: &'a str,
    pub port: Option<u16>,
    /// from the first slash on; empty when there is none
    pub path: &'a str,
}

/// The two schemes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

/// Why a text is no such URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AddressError {
    #[error("expected a URL that begins with https://")]
    Scheme,
    #[error("expected a URL without user name or password")]
    Userinfo,
    #[error("expected a URL without `?` and `#`")]
    Query,
    #[error("expected a URL without white space and in ASCII")]
    Character,
    #[error("expected a URL with a host name")]
    Host,
    #[error("expected a URL whose port is a number from 1 to 65535")]
    Port,
}

impl<'a> Address<'a> {
    /// Takes a URL apart.
    pub fn parse(text: &'a str) -> Result<Self, AddressError> {
        let (scheme, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (Scheme::Https, rest),
            (None, Some(rest)) => (Scheme::Http, rest),
            (None, None) => return Err(AddressError::Scheme),
        };
        if !rest.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(AddressError::Character);
        }
        if rest.contains(['?', '#', '\\']) {
            return Err(AddressError::Query);
        }
        let slash = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(slash);
        if authority.contains('@') {
            return Err(AddressError::Userinfo);
        }
        let bracket = authority.rfind(']').unwrap_or(0);
        let colon = authority.rfind(':').filter(|colon| *colon > bracket);
        let (host, port) = authority.split_at(colon.unwrap_or(authority.len()));
        let port = port.strip_prefix(':').map(parse_port).transpose()?;
        if !is_host(host) {
            return Err(AddressError::Host);
        }
        Ok(Self { scheme, host, port, path })
    }

    /// Whether the host is this machine itself.
    pub fn is_loopback(&self) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost" || bare.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }

    /// Whether tokens and keys would cross a network in the clear.
    pub fn is_exposed(&self) -> bool {
        self.scheme == Scheme::Http && !self.is_loopback()
    }

    /// Scheme, host and port, without a path.
    pub fn origin(&self) -> String {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        match self.port {
            Some(port) => format!("{scheme}://{}:{port}", self.host),
            None => format!("{scheme}://{}", self.host),
        }
    }
}

fn parse_port(text: &str) -> Result<u16, AddressError> {
    let digits = text.bytes().all(|octet| octet.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0).ok_or(AddressError::Port)
}

fn is_host(text: &str) -> bool {
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'*');
    text.len() <= 253 && text.split('.').all(|label| !label.is_empty() && label.bytes().all(fits))
}

/// Whether a token of `issuer` may speak for `domain` (host names): equal, or equal in their last two
/// labels.
///
/// Spec: Fulcio's rule, which knows no public suffixes: `a.co.uk` and `b.co.uk` pass.
pub(super) fn same_domain(domain: &str, issuer: &str) -> bool {
    let last_two = |name: &str| {
        let mut labels = name.rsplit('.');
        Some((labels.next()?.to_owned(), labels.next()?.to_owned()))
    };
    domain == issuer || (last_two(domain).is_some() && last_two(domain) == last_two(issuer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(&str, Option<u16>, &str), AddressError>) {
        let parts = Address::parse(text).map(|address| (address.host, address.port, address.path));
        assert_eq!(parts, expected, "{text}");
    }

    #[test]
    fn takes_urls_apart() {
        check("https://ca.example.com", Ok(("ca.example.com", None, "")));
        check("https://ca.example.com:8443/a/b", Ok(("ca.example.com", Some(8443), "/a/b")));
        check("http://[::1]:5555", Ok(("[::1]", Some(5555), "")));
        check(
            "https://oidc.eks.*.amazonaws.com/id/*",
            Ok(("oidc.eks.*.amazonaws.com", None, "/id/*")),
        );
    }

    #[test]
    fn refuses_what_an_issuer_never_has() {
        check("ca.example.com", Err(AddressError::Scheme));
        check("HTTPS://ca.example.com", Err(AddressError::Scheme));
        check("https://u:p@ca.example.com", Err(AddressError::Userinfo));
        check("https://ca.example.com?x", Err(AddressError::Query));
        check("https://ca.example.com/\u{e4}", Err(AddressError::Character));
        check("https://ca.example.com/a b", Err(AddressError::Character));
        check("https:///path", Err(AddressError::Host));
        check("https://a..b", Err(AddressError::Host));
        check("https://[::1", Err(AddressError::Host));
        check("https://a:0", Err(AddressError::Port));
        check("https://a:+1", Err(AddressError::Port));
        check("https://a:", Err(AddressError::Port));
    }

    #[test]
    fn only_plain_http_beyond_this_machine_is_exposed() {
        let exposed = |text| Address::parse(text).is_ok_and(|address| address.is_exposed());
        assert!(exposed("http://ca.example.com"));
        assert!(!exposed("https://ca.example.com"));
        assert!(!exposed("http://localhost:5555"));
        assert!(!exposed("http://127.1.2.3"));
        assert!(!exposed("http://[::1]"));
        assert!(exposed("http://localhost.example.com"));
    }

    #[test]
    fn domains_agree_in_their_last_two_labels() {
        assert!(same_domain("example.com", "example.com"));
        assert!(same_domain("users.example.com", "idp.example.com"));
        assert!(same_domain("localhost", "localhost"));
        assert!(!same_domain("localhost", "example.localhost.com"));
        assert!(!same_domain("example.org", "example.com"));
        assert!(!same_domain("com", "example.com"));
    }
}
