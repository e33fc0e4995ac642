//! Partitions: the parts into which the work of a subscription is split, so that several nodes can share it.

use std::fmt;
use std::sync::Arc;

use crate::stream::StreamId;

/// A part of a subscription's work that is done in one order: all of it, or the events of some of its streams.
///
/// Every stream belongs to exactly one partition, whatever happens to the nodes, so its events keep their order. How
/// many partitions a subscription has is decided before its first event, and stays.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    subscription: Arc<str>,
    index: u32,
    of: u32,
}

impl Partition {
    /// All the work of the subscription.
    pub fn whole(subscription: &str) -> Self {
        Self { subscription: subscription.into(), index: 0, of: 1 }
    }

    /// The partitions of the subscription, of which there are `of`; at least one.
    pub fn all(subscription: &str, of: u32) -> impl Iterator<Item = Self> + use<> {
        let (subscription, of) = (Arc::<str>::from(subscription), of.max(1));
        (0..of).map(move |index| Self { subscription: Arc::clone(&subscription), index, of })
    }

    /// The partition number `index` of `of`.
    ///
    /// # Panics
    ///
    /// Unless `index` is less than `of`.
    pub fn new(subscription: &str, index: u32, of: u32) -> Self {
        assert!(index < of, "partition {index} of {of}");
        Self { subscription: subscription.into(), index, of }
    }

    /// The same of another subscription.
    pub(crate) fn of_subscription(&self, subscription: &str) -> Self {
        Self { subscription: subscription.into(), ..*self }
    }

    /// Of which subscription.
    pub fn subscription(&self) -> &str {
        &self.subscription
    }

    /// Which one, from 0 on.
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// Of how many.
    pub const fn of(&self) -> u32 {
        self.of
    }

    /// Whether the events of `stream` belong to it.
    pub fn has(&self, stream: &StreamId) -> bool {
        Self::index_for(stream.as_str(), self.of) == self.index
    }

    /// Which of so many partitions has what goes by this text: the name of a stream, or a key.
    pub(crate) fn index_for(text: &str, of: u32) -> u32 {
        if of <= 1 {
            return 0;
        }
        u32::try_from(hash([text]) % u64::from(of)).expect("less than a number of 32 bits")
    }
}

/// All the work of the subscription with this name.
impl From<&str> for Partition {
    fn from(subscription: &str) -> Self {
        Self::whole(subscription)
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.subscription)?;
        if self.of > 1 { write!(f, ", partition {} of {}", self.index, self.of) } else { Ok(()) }
    }
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Partition({self})")
    }
}

/// FNV-1a with 64 bits (<http://www.isthe.com/chongo/tech/comp/fnv/>). Never changes: it is in stores as the checksum of
/// snapshots, and decides on partitions. Each step is one-to-one, so no change of a single byte goes unnoticed.
pub(crate) fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Never changes: which partition a stream belongs to is decided by it for ever. FNV-1a, whose low bits alone are uneven, so
/// they are mixed as in `SplitMix64` (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
/// A text may be given in parts.
pub(crate) fn hash<const N: usize>(text: [&str; N]) -> u64 {
    let mut hash = fnv1a(text.iter().flat_map(|part| part.bytes()));
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_belongs_to_one_partition_and_they_are_even() {
        for of in [1, 2, 3, 7, 8, 64] {
            let partitions: Vec<_> = Partition::all("s", of).collect();
            let mut streams = vec![0_u32; partitions.len()];
            for id in 0..64_000 {
                let stream = StreamId::new("order", &id.to_string()).expect("a name");
                let owners: Vec<_> = partitions.iter().filter(|partition| partition.has(&stream)).collect();
                let [owner] = owners[..] else { panic!("{stream} has {owners:?}") };
                streams[owner.index() as usize] += 1;
            }
            let fair = 64_000 / of;
            assert!(streams.iter().all(|&has| has > fair * 8 / 10 && has < fair * 12 / 10), "{streams:?}");
        }
    }

    #[test]
    fn a_stream_stays_where_it_is() {
        // Written down: a program that computes something else would take streams from where their checkpoints are.
        let partition_of = |id: &str| {
            let stream = id.parse().expect("a name");
            Partition::all("s", 8).find(|partition| partition.has(&stream)).map(|found| found.index())
        };
        let found = ["order/1", "order/2", "order/3", "customer/ada"].map(partition_of);
        assert_eq!(found, [3, 2, 4, 7].map(Some));
    }
}
