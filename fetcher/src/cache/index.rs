//! What the cache holds, and what has to go when more comes. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// What an entry is found by. Users never share one: what one of them fetched says nothing to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Key {
    pub uid: u32,
    pub uri: String,
}

/// What a server said of a file, to ask whether it is still the same. Of a file of this host, its inode,
/// length and time are an etag.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Validators {
    pub etag: Option<String>,
    pub last_modified: Option<String>,
}

impl Validators {
    pub fn are_none(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Entry {
    /// The digest of the content, which is the name of its file.
    pub content: String,
    pub length: u64,
    pub validators: Validators,
    /// Grows with each use of any entry.
    used: u64,
}

impl Entry {
    pub fn new(content: String, length: u64, validators: Validators) -> Self {
        Self {
            content,
            length,
            validators,
            used: 0,
        }
    }
}

/// One file of the cache.
pub type Content = (u32, String);

#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Index {
    #[serde(with = "pairs")]
    entries: BTreeMap<Key, Entry>,
    uses: u64,
}

/// Keys of maps are texts in JSON.
mod pairs {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::{BTreeMap, Entry, Key};

    pub fn serialize<S: Serializer>(map: &BTreeMap<Key, Entry>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(map)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<Key, Entry>, D::Error> {
        let pairs = Vec::<(Key, Entry)>::deserialize(from)?;
        Ok(pairs.into_iter().collect())
    }
}

impl Index {
    /// The entry, which counts as used by this.
    pub fn find(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.entries.get_mut(key)?;
        self.uses += 1;
        entry.used = self.uses;
        Some(entry.clone())
    }

    /// Puts an entry in, in place of an older one. What is left after it takes at most `limit` bytes, unless
    /// more than that is `held` by those who use it. Gives the files that nothing refers to any more, and how
    /// many entries had to go for want of room.
    pub fn put(
        &mut self,
        key: Key,
        mut entry: Entry,
        limit: u64,
        held: impl Fn(&Content) -> bool,
    ) -> (Vec<Content>, u64) {
        let before = self.contents();
        self.uses += 1;
        entry.used = self.uses;
        let added = (key.uid, entry.content.clone());
        self.entries.insert(key, entry);
        let mut evicted = 0;
        while self.bytes() > limit {
            let free = |(key, entry): &(&Key, &Entry)| !held(&(key.uid, entry.content.clone()));
            let oldest = self.entries.iter().filter(free);
            let oldest = oldest.min_by_key(|(_, entry)| entry.used);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                break;
            };
            self.entries.remove(&oldest);
            evicted += 1;
        }
        let after = self.contents();
        let known = before.into_iter().chain([added]);
        let gone: BTreeSet<Content> = known.filter(|content| !after.contains(content)).collect();
        (gone.into_iter().collect(), evicted)
    }

    pub fn contains(&self, key: &Key) -> bool {
        self.entries.contains_key(key)
    }

    /// Without entries whose file `is_there` does not know, or knows with another length.
    pub fn retain(&mut self, is_there: impl Fn(&Content, u64) -> bool) {
        self.entries
            .retain(|key, entry| is_there(&(key.uid, entry.content.clone()), entry.length));
    }

    pub fn contents(&self) -> BTreeSet<Content> {
        let content = |(key, entry): (&Key, &Entry)| (key.uid, entry.content.clone());
        self.entries.iter().map(content).collect()
    }

    /// Of all files: what two entries refer to is there once.
    pub fn bytes(&self) -> u64 {
        let length =
            |(key, entry): (&Key, &Entry)| ((key.uid, entry.content.clone()), entry.length);
        let files: BTreeMap<Content, u64> = self.entries.iter().map(length).collect();
        files.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(uri: &str) -> Key {
        Key {
            uid: 1,
            uri: uri.to_owned(),
        }
    }

    fn entry(content: &str, length: u64) -> Entry {
        Entry::new(content.to_owned(), length, Validators::default())
    }

    fn nobody(_: &Content) -> bool {
        false
    }

    fn content(name: &str) -> Content {
        (1, name.to_owned())
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let mut index = Index::default();
        index.put(key("a"), entry("A", 40), 100, nobody);
        index.put(key("b"), entry("B", 40), 100, nobody);
        index.find(&key("a")).unwrap();
        let gone = index.put(key("c"), entry("C", 40), 100, nobody);
        assert_eq!(gone, (vec![content("B")], 1));
        assert!(index.find(&key("b")).is_none());
        assert_eq!(index.bytes(), 80);
    }

    #[test]
    fn what_is_in_use_stays_even_when_that_is_too_much() {
        let mut index = Index::default();
        index.put(key("a"), entry("A", 80), 100, nobody);
        let gone = index.put(key("b"), entry("B", 80), 100, |it| it.1 == "A");
        assert_eq!(gone, (vec![content("B")], 1));
        assert!(index.find(&key("a")).is_some());
    }

    #[test]
    fn what_is_larger_than_the_cache_is_not_kept() {
        let mut index = Index::default();
        let gone = index.put(key("a"), entry("A", 101), 100, nobody);
        assert_eq!(gone, (vec![content("A")], 1));
        assert_eq!(index.bytes(), 0);
    }

    #[test]
    fn a_file_goes_with_the_last_that_refers_to_it() {
        let mut index = Index::default();
        index.put(key("a"), entry("A", 60), 100, nobody);
        index.put(key("b"), entry("A", 60), 100, nobody);
        assert_eq!(index.bytes(), 60);
        let gone = index.put(key("a"), entry("C", 10), 100, nobody);
        assert_eq!(gone, (vec![], 0));
        let gone = index.put(key("b"), entry("C", 10), 100, nobody);
        assert_eq!(gone, (vec![content("A")], 0));
    }

    #[test]
    fn users_have_entries_of_their_own() {
        let mut index = Index::default();
        index.put(key("a"), entry("A", 10), 100, nobody);
        let other = Key {
            uid: 2,
            uri: "a".to_owned(),
        };
        assert!(index.find(&other).is_none());
        index.put(other, entry("A", 10), 100, nobody);
        assert_eq!(index.bytes(), 20);
    }

    #[test]
    fn an_index_is_the_same_after_it_was_written_down() {
        let mut index = Index::default();
        index.put(key("a"), entry("A", 10), 100, nobody);
        let text = serde_json::to_string(&index).unwrap();
        assert_eq!(serde_json::from_str::<Index>(&text).unwrap(), index);
    }
}
