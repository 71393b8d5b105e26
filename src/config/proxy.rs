//! `proxy` and `no_proxy`: through what issuers are asked for their keys.
//!
//! Nothing of the environment counts unless the file says `proxy: environment`. Loopback is never
//! reached through a proxy, and issuers elsewhere are https:// always: `HTTP_PROXY` has no say.

use std::fmt;

use crate::config::address::{Address, Scheme};
use crate::config::reader::{Cursor, Section};

/// Through what issuers are asked.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Proxy {
    /// Straight.
    #[default]
    None,
    /// An HTTP proxy that knows CONNECT.
    Url {
        /// `http://host:port`; with user and password where the environment says so.
        url: String,
        /// Names, domains, addresses and networks that are asked straight, parted by commas.
        except: String,
    },
}

/// Leaves out what may hold a password.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Url { except, .. } => {
                f.debug_struct("Url").field("except", except).finish_non_exhaustive()
            }
        }
    }
}

/// What is never behind a proxy.
const OURSELVES: &str = "localhost,127.0.0.0/8,::1/128";

/// Reads both keys from the top of the file.
pub(super) fn read(section: &Section<'_>) -> Option<Proxy> {
    let except = section.get("no_proxy").map_or(Some(Vec::new()), Cursor::texts);
    let Some(cursor) = section.get("proxy") else {
        section.forbid(&["no_proxy"], "says what is not asked through `proxy`, and there is none");
        return Some(Proxy::None);
    };
    let mut except = except?;
    let text = cursor.text()?;
    let url = if text == "environment" {
        except.extend(variable(&["NO_PROXY", "no_proxy"]));
        let Some(url) = variable(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]) else {
            cursor.warn("HTTPS_PROXY is not set: issuers are asked straight");
            return Some(Proxy::None);
        };
        from_environment(cursor, url)?
    } else {
        judge(cursor, text)?;
        text.to_owned()
    };
    except.push(OURSELVES.to_owned());
    Some(Proxy::Url { url, except: except.join(",") })
}

/// The first of the variables that says anything.
#[expect(clippy::disallowed_methods, reason = "the file says that the environment counts here")]
fn variable(names: &[&str]) -> Option<String> {
    let values = names.iter().filter_map(|name| std::env::var(name).ok());
    values.map(|value| value.trim().to_owned()).find(|value| !value.is_empty())
}

/// A proxy as environments write it: perhaps without a scheme, perhaps with a password.
///
/// A user or password with an octet that a URL does not hold as it is (RFC 3986 §3.2.1) is refused:
/// two readers would part it in two ways, and one of them would ask straight.
fn from_environment(cursor: &Cursor<'_>, value: String) -> Option<String> {
    let url = if value.contains("://") { value } else { format!("http://{value}") };
    let Some(((scheme, rest), (_, host))) = url.split_once("://").zip(url.rsplit_once('@')) else {
        judge(cursor, &url)?;
        return Some(url);
    };
    let credentials = rest.strip_suffix(host).and_then(|rest| rest.strip_suffix('@'));
    if !credentials.is_some_and(is_userinfo) {
        return cursor.fail(
            "the user or password in HTTPS_PROXY holds a character that a URL does not: write it as % \
             and two hexadecimal digits, such as %40 for @ and %2F for /",
        );
    }
    judge(cursor, &format!("{scheme}://{host}"))?;
    Some(url)
}

/// Whether `text` is a user, or a user and a password, as URLs hold them (RFC 3986 §3.2.1).
fn is_userinfo(text: &str) -> bool {
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        let held = match octet {
            b'%' => (0..2).all(|_| octets.next().is_some_and(|digit| digit.is_ascii_hexdigit())),
            _ => octet.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:".contains(&octet),
        };
        if !held {
            return false;
        }
    }
    true
}

/// Complains about what is no proxy of ours, without repeating it: there may be a password in it.
fn judge(cursor: &Cursor<'_>, url: &str) -> Option<()> {
    match Address::parse(url) {
        Ok(address)
            if address.scheme == Scheme::Http
                && matches!(address.path, "" | "/")
                && !address.host.contains('*') =>
        {
            Some(())
        }
        _ => cursor.fail(
            "expected `environment`, or an HTTP proxy such as http://proxy.example.com:3128 (a user \
             and a password belong into HTTPS_PROXY)",
        ),
    }
}

#[cfg(test)]
mod tests {
    use hyper_util::client::proxy::matcher::Matcher;

    use super::is_userinfo;

    /// Every octet that we let stand, the client's own reader lets stand too, and asks the proxy.
    #[test]
    fn what_is_held_is_what_the_client_reads() {
        let to = "https://issuer.example/".parse().expect("a URL");
        let read = |text: &str| {
            let url = format!("http://{text}@127.0.0.1:3128");
            let proxy = Matcher::builder().https(url).build().intercept(&to)?;
            Some(proxy.uri().authority()?.to_string())
        };
        for octet in 0_u8..=255 {
            let text = format!("user:a{}b", char::from(octet));
            if is_userinfo(&text) {
                assert_eq!(read(&text).as_deref(), Some("127.0.0.1:3128"), "{text}");
            }
        }
        assert_eq!(read("user:a%5Eb").as_deref(), Some("127.0.0.1:3128"));
    }

    #[test]
    fn what_two_readers_would_part_differently_is_not_held() {
        assert!(is_userinfo("user:pass") && is_userinfo("user") && is_userinfo("u:p%40ss%2F"));
        for text in [
            "u:p@ss",
            "u:p/x",
            "u:p#x",
            "u:p?x",
            "u:p w",
            "u:p^w",
            "u:p\u{e9}",
            "u:%4",
            "u:%zz",
            "u:\n",
        ] {
            assert!(!is_userinfo(text), "{text:?}");
        }
    }
}
