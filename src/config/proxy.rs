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
fn from_environment(cursor: &Cursor<'_>, value: String) -> Option<String> {
    let url = if value.contains("://") { value } else { format!("http://{value}") };
    let bare = match url.split_once("://").zip(url.rsplit_once('@')) {
        Some(((scheme, _), (_, host))) => format!("{scheme}://{host}"),
        None => url.clone(),
    };
    judge(cursor, &bare)?;
    Some(url)
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
