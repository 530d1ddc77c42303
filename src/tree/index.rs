//! An index from a path to the number of its owner (such as a node), without a second copy of the path.
//!
//! Many small hash tables instead of one: when a table of a million entries doubles, every request waits for
//! tens of milliseconds, while one of two thousand shards moves some hundred entries in a few microseconds.
//! An entry keeps 32 bits of its hash, so that growing reads no node.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    number: u32,
}

/// A path's hash: it chooses the shard and the place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathHash(u64);

impl PathHash {
    /// The half that entries keep.
    fn kept(self) -> u32 {
        let [.., a, b, c, d] = self.0.to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }
}

/// The table uses the highest and the lowest bits of a 64-bit hash.
fn spread(kept: u32) -> u64 {
    u64::from(kept).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Numbers by path. The caller compares the paths.
#[derive(Debug)]
pub struct PathIndex {
    /// The tables, as many as a power of two.
    shards: Box<[HashTable<Entry>]>,
    /// Hashes with the seed of this index.
    hasher: FixedState,
}

impl PathIndex {
    /// An empty index of `2^shards_log2` tables. The seed keeps clients from choosing collisions.
    pub fn new(seed: u64, shards_log2: u32) -> PathIndex {
        assert!(shards_log2 <= 16, "a shard is chosen by 16 bits of the hash");
        PathIndex {
            shards: (0..1 << shards_log2).map(|_| HashTable::new()).collect(),
            hasher: FixedState::with_seed(seed),
        }
    }

    /// The hash of a path, to be used with the other methods.
    #[inline]
    pub fn hash(&self, path: &str) -> PathHash {
        self.hash_bytes(path.as_bytes())
    }

    /// The hash of any key.
    #[inline]
    pub fn hash_bytes(&self, key: &[u8]) -> PathHash {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        #[cfg(test)]
        count_hashed(key.len());
        PathHash(hasher.finish())
    }

    /// The prefixes of a path that end with one of its parts, shortest first, up to the whole path, with
    /// their hashes, in one pass. These hashes differ from those of [`PathIndex::hash`]. A path may have a
    /// hundred thousand parts.
    pub fn hash_beginnings<'a>(
        &self,
        path: &'a str,
    ) -> impl Iterator<Item = (&'a str, PathHash)> + use<'a> {
        let mut hasher = self.hasher.build_hasher();
        let mut done = 0;
        let slashes = path.bytes().enumerate().skip(1).filter(|(_, byte)| *byte == b'/');
        slashes.map(|(at, _)| at).chain([path.len()]).map(move |end| {
            hasher.write(&path.as_bytes()[done..end]);
            #[cfg(test)]
            count_hashed(end - done);
            done = end;
            (&path[..end], PathHash(hasher.clone().finish()))
        })
    }

    #[inline]
    fn shard(&self, hash: PathHash) -> usize {
        let high = usize::try_from(hash.0 >> 48).expect("16 bits");
        high & (self.shards.len() - 1)
    }

    /// The number for which `is_it` holds.
    #[inline]
    pub fn find(&self, hash: PathHash, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let kept = hash.kept();
        self.shards[self.shard(hash)]
            .find(spread(kept), |entry| entry.hash == kept && is_it(entry.number))
            .map(|entry| entry.number)
    }

    /// Adds a number. The caller has checked that the path is not there.
    pub fn insert(&mut self, hash: PathHash, number: u32) {
        assert!(number != u32::MAX, "this number means none");
        let kept = hash.kept();
        let shard = self.shard(hash);
        self.shards[shard]
            .insert_unique(spread(kept), Entry { hash: kept, number }, |entry| spread(entry.hash));
    }

    /// Removes a number that was inserted with this hash.
    pub fn remove(&mut self, hash: PathHash, number: u32) {
        let shard = self.shard(hash);
        let entry = self.shards[shard]
            .find_entry(spread(hash.kept()), |entry| entry.number == number)
            .expect("what is removed was inserted with the same hash");
        assert!(entry.get().hash == hash.kept(), "an entry is removed with its own hash");
        entry.remove();
        // A shard that was large once releases its memory: a tree may shrink for good.
        let (len, capacity) = (self.shards[shard].len(), self.shards[shard].capacity());
        if capacity > 64 && len < capacity / 8 {
            self.shards[shard].shrink_to(len * 2, |entry| spread(entry.hash));
        }
    }

    /// Bytes that the tables take.
    pub fn bytes(&self) -> usize {
        let tables: usize = self.shards.iter().map(HashTable::allocation_size).sum();
        tables + size_of_val(&*self.shards)
    }
}

#[cfg(test)]
thread_local! {
    /// Bytes that were hashed: work that the results do not show.
    pub(crate) static HASHED_BYTES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
fn count_hashed(bytes: usize) {
    HASHED_BYTES.set(HASHED_BYTES.get() + bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginnings_of_a_path_have_the_hashes_that_they_have_alone() {
        let index = PathIndex::new(7, 3);
        let all: Vec<_> = index.hash_beginnings("/a/bc//d").collect();
        let paths: Vec<_> = all.iter().map(|(path, _)| *path).collect();
        assert_eq!(paths, ["/a", "/a/bc", "/a/bc/", "/a/bc//d"]);
        for (path, hash) in all {
            assert_eq!(index.hash_beginnings(path).last(), Some((path, hash)));
        }
        for whole in ["/", "", "a"] {
            assert_eq!(
                index.hash_beginnings(whole).map(|(path, _)| path).collect::<Vec<_>>(),
                [whole]
            );
        }
    }

    #[test]
    fn what_was_inserted_is_found_until_removed() {
        let names: Vec<String> = (0..5000).map(|n| format!("/n{n}")).collect();
        let mut index = PathIndex::new(7, 3);
        let find = |index: &PathIndex, path: &str| {
            index.find(index.hash(path), |number| names[number as usize] == path)
        };
        for (number, name) in (0u32..).zip(&names) {
            assert_eq!(find(&index, name), None);
            index.insert(index.hash(name), number);
        }
        for (number, name) in (0u32..).zip(&names) {
            assert_eq!(find(&index, name), Some(number));
        }
        let full = index.bytes();
        for (number, name) in (0u32..).zip(&names).filter(|(number, _)| number % 100 != 0) {
            index.remove(index.hash(name), number);
        }
        for (number, name) in (0u32..).zip(&names) {
            let wanted = (number % 100 == 0).then_some(number);
            assert_eq!(find(&index, name), wanted);
        }
        assert!(index.bytes() < full / 4, "a shrunken index gives memory back");
    }
}
