//! Which addresses we connect to: decided after the name is resolved, for the connection that is made.
//!
//! Attack: whoever runs an issuer (or may name one that matches a pattern) points its name at our own
//! network: a cloud's metadata service, a database, ourselves. The name proves nothing, so each
//! address is looked at, and the connection goes to an address that was looked at.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;
use tower::Service;

/// How far an issuer's connections may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Public addresses only: somebody else chose the host.
    Public,
    /// Private networks and loopback, too: the configuration names the host.
    Private,
}

impl Reach {
    /// Whether connections may go to `address`.
    pub fn allows(self, address: IpAddr) -> bool {
        match class(address) {
            Class::Public => true,
            Class::Private => self == Self::Private,
            Class::Never => false,
        }
    }
}

/// What kind of address it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Public,
    /// Loopback, private and special-purpose ranges.
    Private,
    /// Link-local addresses, the metadata services of clouds, and what no server has.
    Never,
}

/// Metadata services outside the link-local ranges: Azure's and Oracle's, Alibaba's.
const METADATA: [Ipv4Addr; 3] = [
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(100, 100, 100, 200),
];
/// Amazon's metadata service, fd00:ec2::254.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

fn class(address: IpAddr) -> Class {
    match address {
        IpAddr::V4(address) => class_v4(address),
        IpAddr::V6(address) => embedded(address).map_or_else(|| class_v6(address), class_v4),
    }
}

/// Spec: IANA's registry of special-purpose IPv4 addresses (RFC 6890).
fn class_v4(address: Ipv4Addr) -> Class {
    if METADATA.contains(&address) {
        return Class::Never;
    }
    match address.octets() {
        [169, 254, ..] | [0, ..] | [224..=255, ..] => Class::Never,
        [10 | 127, ..] | [100, 64..=127, ..] | [172, 16..=31, ..] | [192, 168, ..] => {
            Class::Private
        }
        [192, 0, 0 | 2, _] | [198, 18..=19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => {
            Class::Private
        }
        _ => Class::Public,
    }
}

/// Only 2000::/3 is public; within it Teredo and documentation are not.
///
/// Spec: IANA's registry of special-purpose IPv6 addresses (RFC 6890).
fn class_v6(address: Ipv6Addr) -> Class {
    if address == METADATA_V6 {
        return Class::Never;
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] | [0xfe80..=0xfebf | 0xff00..=0xffff, ..] => Class::Never,
        [0x2001, 0 | 0xdb8, ..] => Class::Private,
        [0x2000..=0x3fff, ..] => Class::Public,
        _ => Class::Private,
    }
}

/// The IPv4 address that a connection to `address` may end at: mapped (::ffff:0:0/96), compatible
/// (::/96), NAT64 (64:ff9b::/96), 6to4 (2002::/16).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [high, low] = match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => return None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => [high, low],
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => [high, low],
        [0x2002, high, low, ..] => [high, low],
        _ => return None,
    };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

/// Resolves names to the addresses within reach.
#[derive(Clone, Copy, Debug)]
pub struct Resolver(pub Reach);

/// Why a name has no address for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// It has none at all.
    #[error("its name does not resolve")]
    NoAddress,
    /// None of its addresses is within reach.
    #[error("its address {0} is not one that may be asked here")]
    OutOfReach(IpAddr),
}

impl Resolver {
    /// The addresses of `name` that are within reach.
    ///
    /// # Errors
    /// Every [`ResolveError`].
    pub async fn resolve(
        self,
        name: impl AsRef<str>,
    ) -> Result<std::vec::IntoIter<SocketAddr>, ResolveError> {
        let found = tokio::net::lookup_host((name.as_ref(), 0)).await;
        let found: Vec<_> = found.map_err(|_| ResolveError::NoAddress)?.collect();
        let first = found.first().ok_or(ResolveError::NoAddress)?.ip();
        let within: Vec<_> =
            found.into_iter().filter(|address| self.0.allows(address.ip())).collect();
        match within.is_empty() {
            true => Err(ResolveError::OutOfReach(first)),
            false => Ok(within.into_iter()),
        }
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = ResolveError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ResolveError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ResolveError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolver = *self;
        Box::pin(async move { resolver.resolve(name.as_str()).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expected: Class, addresses: &[&str]) {
        for address in addresses {
            assert_eq!(class(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn metadata_and_link_local_are_never_reached() {
        check(
            Class::Never,
            &["169.254.169.254", "169.254.0.1", "fe80::1", "febf::1", "::ffff:169.254.169.254"],
        );
        check(Class::Never, &["::169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1"]);
        check(Class::Never, &["168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254"]);
        check(
            Class::Never,
            &["0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "255.255.255.255", "ff02::1"],
        );
        assert!(!Reach::Private.allows("169.254.169.254".parse().unwrap()));
    }

    #[test]
    fn private_networks_are_for_issuers_that_are_named() {
        check(Class::Private, &["127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1"]);
        check(Class::Private, &["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"]);
        check(Class::Private, &["100.64.0.1", "100.127.255.255", "198.18.0.1", "192.0.2.1"]);
        check(
            Class::Private,
            &["fc00::1", "fdff::1", "2001:db8::1", "2001:0:1::1", "64:ff9b::a00:1"],
        );
        assert!(Reach::Private.allows("10.0.0.1".parse().unwrap()));
        assert!(!Reach::Public.allows("10.0.0.1".parse().unwrap()));
        assert!(!Reach::Public.allows("::1".parse().unwrap()));
    }

    #[test]
    fn everything_else_is_public() {
        check(
            Class::Public,
            &["8.8.8.8", "172.32.0.1", "100.128.0.1", "169.253.0.1", "192.169.0.1"],
        );
        check(
            Class::Public,
            &["2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "2002:808:808::1"],
        );
        assert!(Reach::Public.allows("8.8.8.8".parse().unwrap()));
    }
}
