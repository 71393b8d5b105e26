//! How many connections each peer has, so that none has them all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The connections by peer.
pub struct Peers {
    open: Mutex<HashMap<IpAddr, usize>>,
    most: usize,
}

impl Peers {
    /// Nobody yet. A peer may have a quarter of `connections`; one with a private address, where
    /// balancers and proxies stand, half; loopback, where a proxy of our own does, all.
    pub fn new(connections: usize) -> Self {
        Self { open: Mutex::default(), most: connections }
    }

    /// A connection of the peer at `address`, unless it has as many as it may.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Admitted> {
        let address = address.to_canonical();
        let most = if address.is_loopback() {
            self.most
        } else if is_private(address) {
            self.most.div_ceil(2)
        } else {
            self.most.div_ceil(4)
        };
        let peer = peer(address);
        let mut open = self.open();
        let count = open.entry(peer).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Admitted { peers: Arc::clone(self), peer })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who is behind an address: one subscriber has a whole /64 of IPv6.
fn peer(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || address.is_link_local(),
        IpAddr::V6(address) => address.is_unique_local() || address.is_unicast_link_local(),
    }
}

/// A connection that counts until it is dropped.
pub struct Admitted {
    peers: Arc<Peers>,
    peer: IpAddr,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.peers.open();
        if let Some(count) = open.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, expected: usize) -> Vec<Admitted> {
        let peers = Arc::new(Peers::new(100));
        let address = address.parse().unwrap();
        let admitted: Vec<_> = (0..200).map_while(|_| peers.admit(address)).collect();
        assert_eq!(admitted.len(), expected, "{address}");
        admitted
    }

    #[test]
    fn no_peer_has_them_all_but_a_proxy_of_our_own() {
        check("203.0.113.1", 25);
        check("::ffff:203.0.113.1", 25);
        check("2001:db8::1", 25);
        check("10.0.0.1", 50);
        check("fd00::1", 50);
        check("127.0.0.1", 100);
        check("::1", 100);
    }

    #[test]
    fn others_have_theirs_and_who_leaves_makes_room() {
        let mut admitted = check("2001:db8::1", 25);
        let peers = Arc::clone(&admitted[0].peers);
        assert!(peers.admit("2001:db8::2".parse().unwrap()).is_none());
        assert!(peers.admit("2001:db8:0:1::1".parse().unwrap()).is_some());
        admitted.pop();
        assert!(peers.admit("2001:db8::2".parse().unwrap()).is_some());
        admitted.clear();
        assert!(peers.open().is_empty());
    }
}
