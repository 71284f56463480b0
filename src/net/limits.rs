//! How many connections one server holds, in all and from one address, and how many large messages
//! are in memory.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Messages up to so many octets take no room: how many of them there are is bounded by connections.
const SMALL: u64 = 1 << 20;
/// Octets are counted in thousands, roughly.
const UNIT: u64 = 1 << 10;

/// Room in memory for large messages, so that many at once wait for each other.
#[derive(Debug)]
pub struct Memory {
    units: Semaphore,
    total: u32,
}

impl Memory {
    /// Room for so many octets.
    #[must_use]
    pub fn new(octets: u64) -> Self {
        let total = u32::try_from(octets / UNIT).unwrap_or(u32::MAX).clamp(1, u32::MAX >> 4);
        Self { units: Semaphore::new(total as usize), total }
    }

    /// Waits until there is room for a message of so many octets, `times` over, and takes it until
    /// the answer is dropped. The largest get all of the room; small ones take none and wait for nobody.
    pub async fn room(&self, octets: u64, times: u64) -> Option<SemaphorePermit<'_>> {
        if octets <= SMALL {
            return None;
        }
        let units = u32::try_from(octets.saturating_mul(times) / UNIT).unwrap_or(u32::MAX).min(self.total);
        // Nobody closes it.
        self.units.acquire_many(units).await.ok()
    }
}

/// Gives back all of some room but for that of so many octets.
pub fn keep(room: &mut Option<SemaphorePermit<'_>>, octets: u64) {
    if let Some(room) = room {
        let units = usize::try_from(octets / UNIT).unwrap_or(usize::MAX);
        drop(room.split(room.num_permits().saturating_sub(units)));
    }
}

/// Counts connections. Clones count together.
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    total: usize,
    per_address: usize,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    total: usize,
    /// Only addresses with a connection, so never more than `total`.
    by_address: HashMap<IpAddr, usize>,
}

/// Why a connection is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    #[error("too many connections; try again later")]
    Total,
    #[error("too many connections from your address")]
    Address,
}

/// The place of one connection; dropping it makes room.
#[derive(Debug)]
pub struct Place {
    limits: ConnectionLimits,
    address: IpAddr,
}

impl ConnectionLimits {
    /// At most `total` connections, of which `per_address` from one IPv4 address or one IPv6 /64,
    /// which is what one customer of a network commonly has.
    #[must_use]
    pub fn new(total: usize, per_address: usize) -> Self {
        Self { total, per_address, held: Arc::default() }
    }

    /// Takes a place for a connection from `client`.
    ///
    /// # Errors
    /// [`Full`] when there is none.
    pub fn admit(&self, client: IpAddr) -> Result<Place, Full> {
        let address = network(client);
        let mut held = self.lock();
        if held.total >= self.total {
            return Err(Full::Total);
        }
        let count = held.by_address.get(&address).copied().unwrap_or(0);
        if count >= self.per_address {
            return Err(Full::Address);
        }
        held.by_address.insert(address, count + 1);
        held.total += 1;
        Ok(Place { limits: self.clone(), address })
    }

    /// Connections now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.lock().total
    }

    /// Two numbers can't be left half changed, so a poisoned lock is as good as a sound one.
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 500 connections, 100 of them from one address: a desk's mail often comes through one forwarder.
impl Default for ConnectionLimits {
    fn default() -> Self {
        Self::new(500, 100)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.limits.lock();
        held.total = held.total.saturating_sub(1);
        if let Some(count) = held.by_address.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                held.by_address.remove(&self.address);
            }
        }
    }
}

/// The address that is counted: IPv4 whole, also when mapped into IPv6; of IPv6 the first 64 bits.
#[must_use]
pub fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn large_messages_wait_for_each_other_and_small_ones_for_nobody() {
        let memory = Memory::new(100 << 20);
        let first = memory.room(30 << 20, 2).await;
        assert!(first.is_some());
        let waits = memory.room(1 << 40, 2);
        tokio::pin!(waits);
        assert!(timeout(Duration::ZERO, &mut waits).await.is_err());
        assert!(memory.room(1 << 20, 2).await.is_none());
        drop(first);
        assert!(waits.await.is_some());

        // Once it is made a message is there once.
        let mut first = memory.room(30 << 20, 3).await;
        keep(&mut first, 30 << 20);
        assert!(timeout(Duration::ZERO, memory.room(35 << 20, 2)).await.is_ok());
        assert!(timeout(Duration::ZERO, memory.room(36 << 20, 2)).await.is_err());
    }

    #[test]
    fn places_are_counted_in_all_and_by_network_and_given_back() {
        let limits = ConnectionLimits::new(4, 2);
        let first = limits.admit(ip("192.0.2.1")).unwrap();
        let _second = limits.admit(ip("::ffff:192.0.2.1")).unwrap();
        assert_eq!(limits.admit(ip("192.0.2.1")).unwrap_err(), Full::Address);
        let _third = limits.admit(ip("2001:db8::1")).unwrap();
        let _fourth = limits.admit(ip("2001:db8::2:1")).unwrap();
        assert_eq!(limits.admit(ip("192.0.2.9")).unwrap_err(), Full::Total);
        drop(first);
        assert_eq!(limits.admit(ip("2001:db8::ffff:0:0:1")).unwrap_err(), Full::Address);
        let last = limits.admit(ip("2001:db8:0:1::1")).unwrap();
        assert_eq!(limits.held(), 4);
        drop(last);
        assert_eq!(limits.lock().by_address.len(), 2);
    }
}
