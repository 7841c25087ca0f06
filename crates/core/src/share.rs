//! One region for several threads of the process: its holders, and the tokens by which a thread comes to be one.
//!
//! ```text
//!   Mapping (thread A) --> Holder --.                      share() --> Token --(any channel)--> attach()
//!                                    +--> Arc<Region>                    |                        |
//!   Mapping (thread B) --> Holder --'                                    `--> table: Weak<Region> -' a new Holder
//! ```
//!
//! The region is unmapped when the last holder lets go of it: `unmap()` in one thread never takes memory away from another.
//! A token holds nothing. It is a number and a secret: what is forged, or comes from another process or another copy of
//! this library, is found out and never dereferenced.
//!
//! The runtime of a thread that has ended may leave its objects behind, so holders go by the environment that they are of.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::region::Region;

/// Regions for which there is a token, by its number.
static TABLE: Mutex<BTreeMap<u64, Weak<Region>>> = Mutex::new(BTreeMap::new());

/// What names a region of this process to other threads of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its number: never used again.
    pub id: u64,
    /// The secret of the process and that of the token, in hexadecimal.
    pub key: String,
}

/// Who holds a region; a part of it.
#[derive(Debug, Default)]
pub(crate) struct Sharing {
    holders: Mutex<Holders>,
    entry: OnceLock<Entry>,
}

#[derive(Debug, Default)]
struct Holders {
    /// The number of each, and the environment that it is of.
    list: Vec<(u64, usize)>,
    /// The last one is gone: there will be no other.
    over: bool,
}

/// The place of a region in the table.
#[derive(Debug)]
struct Entry {
    id: u64,
    secret: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        TABLE.lock().remove(&self.id);
    }
}

/// A number that nobody guesses and that no other process has.
fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

/// The secret of this process, and of this copy of the library in it.
fn process_secret() -> (u64, u64) {
    static SECRET: OnceLock<(u64, u64)> = OnceLock::new();
    *SECRET.get_or_init(|| (random(), random()))
}

fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Entry {
    fn token(&self) -> Token {
        let (first, second) = process_secret();
        Token { id: self.id, key: format!("{first:016x}{second:016x}{:016x}", self.secret) }
    }
}

/// One object's hold on a region. Dropped without [`unmap`](Holder::unmap), it lets go, too; the memory then stays for its views.
#[derive(Debug)]
pub struct Holder {
    region: Arc<Region>,
    number: u64,
    open: AtomicBool,
}

impl Deref for Holder {
    type Target = Arc<Region>;

    fn deref(&self) -> &Arc<Region> {
        &self.region
    }
}

impl Holder {
    /// The first holder of a new region, in the environment `owner`.
    pub fn new(region: Region, owner: usize) -> Self {
        let number = next_number();
        region.sharing.holders.lock().list.push((number, owner));
        Self { region: Arc::new(region), number, open: AtomicBool::new(true) }
    }

    /// Whether it was let go.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire) && !self.region.is_closed()
    }

    /// Lets go of the region; the last holder unmaps it. A second call does nothing.
    ///
    /// # Errors
    /// As [`Region::unmap`]; everything is then as before.
    pub fn unmap(&self) -> Result<()> {
        let mut holders = self.region.sharing.holders.lock();
        if !self.open.load(Ordering::Acquire) {
            return Ok(());
        }
        if holders.list.iter().all(|(number, _)| *number == self.number) {
            self.region.unmap()?;
        }
        self.open.store(false, Ordering::Release);
        holders.remove(&self.region, |number, _| number == self.number);
        Ok(())
    }

    /// A token of the region. It holds nothing: keep this holder until another thread has one.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn share(&self) -> Result<Token> {
        if !self.is_open() {
            return Err(Error::Closed);
        }
        let entry = self.region.sharing.entry.get_or_init(|| {
            let id = next_number();
            TABLE.lock().insert(id, Arc::downgrade(&self.region));
            Entry { id, secret: random() }
        });
        Ok(entry.token())
    }

    /// Another holder of the region that a token names, in the environment `owner`; `None` if [`share`](Holder::share) of this
    /// process never made that token.
    ///
    /// # Errors
    /// [`Error::Closed`] if the region was unmapped or freed.
    pub fn attach(token: &Token, owner: usize) -> Result<Option<Self>> {
        let (first, second) = process_secret();
        let is_ours =
            token.key.strip_prefix(&format!("{first:016x}{second:016x}")).is_some_and(|rest| rest.len() == 16);
        if !is_ours {
            return Ok(None);
        }
        // Out of the table before it is looked at: what is dropped here may be the last of it.
        let region = TABLE.lock().get(&token.id).and_then(Weak::upgrade).ok_or(Error::Closed)?;
        if region.sharing.entry.get().map(Entry::token).as_ref() != Some(token) {
            return Ok(None);
        }
        let number = next_number();
        {
            let mut holders = region.sharing.holders.lock();
            if holders.over || region.is_closed() {
                return Err(Error::Closed);
            }
            holders.list.push((number, owner));
        }
        Ok(Some(Self { region, number, open: AtomicBool::new(true) }))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        if *self.open.get_mut() {
            let mut holders = self.region.sharing.holders.lock();
            holders.remove(&self.region, |number, _| number == self.number);
        }
    }
}

impl Holders {
    /// Leaves out those that `is_gone` says. If nobody is left in the environment that is told of faults, another one is.
    fn remove(&mut self, region: &Region, is_gone: impl Fn(u64, usize) -> bool) {
        let before = self.list.len();
        self.list.retain(|(number, owner)| !is_gone(*number, *owner));
        if self.list.len() == before {
            return;
        }
        match self.list.first() {
            Some((_, first)) => region.hand_over(*first, |owner| self.list.iter().all(|(_, other)| *other != owner)),
            None => self.over = true,
        }
    }
}

impl Region {
    /// Where the region starts in its file, in bytes; 0 for memory.
    pub fn offset(&self) -> u64 {
        self.growth.offset()
    }
}

/// An environment has ended: what its holders held goes to those of other environments, if there are any. To be called before
/// [`registry::abandon`](crate::registry::abandon).
pub fn abandon(owner: usize) {
    let regions: Vec<Arc<Region>> = TABLE.lock().values().filter_map(Weak::upgrade).collect();
    for region in regions {
        region.sharing.holders.lock().remove(&region, |_, other| other == owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::MapOptions;
    use crate::registry;

    const MAIN: usize = 101;
    const WORKER: usize = 102;

    fn holder() -> Holder {
        Holder::new(Region::anonymous(100, MapOptions::default(), MAIN).unwrap(), MAIN)
    }

    fn attach(token: &Token) -> Holder {
        Holder::attach(token, WORKER).unwrap().unwrap()
    }

    fn can_read(holder: &Holder) -> bool {
        holder.read(0, &mut [0; 100]).is_ok()
    }

    #[test]
    fn last_holder_unmaps() {
        let one = holder();
        let two = attach(&one.share().unwrap());
        assert_eq!(one.address(), two.address());
        one.unmap().unwrap();
        one.unmap().unwrap();
        assert!(!one.is_open() && two.is_open() && can_read(&two));
        two.unmap().unwrap();
        assert!(two.region.is_closed());
    }

    #[test]
    fn dropped_holder_is_none() {
        let one = holder();
        let two = attach(&one.share().unwrap());
        drop(two);
        one.unmap().unwrap();
        assert!(one.region.is_closed());
    }

    #[test]
    fn token_of_a_region_that_is_gone() {
        let one = holder();
        let token = one.share().unwrap();
        assert_eq!(one.share().unwrap(), token);
        one.unmap().unwrap();
        assert_eq!(Holder::attach(&token, WORKER).err(), Some(Error::Closed));
        assert_eq!(one.share(), Err(Error::Closed));
        drop(one);
        assert_eq!(Holder::attach(&token, WORKER).err(), Some(Error::Closed));
        assert!(!TABLE.lock().contains_key(&token.id));
        let dropped = holder().share().unwrap();
        assert_eq!(Holder::attach(&dropped, WORKER).err(), Some(Error::Closed));
    }

    #[test]
    fn token_of_a_region_that_is_only_still_at_work() {
        let one = holder();
        let token = one.share().unwrap();
        let work = one.region.clone();
        drop(one);
        assert_eq!(Holder::attach(&token, WORKER).err(), Some(Error::Closed));
        drop(work);
    }

    #[test]
    fn forged_tokens() {
        let (one, two) = (holder(), holder());
        let (token, other) = (one.share().unwrap(), two.share().unwrap());
        let mixed = Token { id: token.id, key: other.key };
        let long = Token { key: format!("{}0", token.key), ..token.clone() };
        let elsewhere = Token { key: "0".repeat(48), ..token.clone() };
        let empty = Token { key: String::new(), ..token.clone() };
        for forged in [mixed, long, elsewhere, empty] {
            assert!(Holder::attach(&forged, WORKER).unwrap().is_none(), "{forged:?}");
        }
        let unknown = Token { id: u64::MAX, ..token };
        assert_eq!(Holder::attach(&unknown, WORKER).err(), Some(Error::Closed));
    }

    #[test]
    fn environment_that_ends_leaves_its_region_to_the_others() {
        let one = holder();
        let two = attach(&one.share().unwrap());
        abandon(MAIN);
        registry::abandon(MAIN);
        assert!(can_read(&two));
        // The object of the environment that has ended is dropped late, or never.
        drop(one);
        assert!(can_read(&two));
        let token = two.share().unwrap();
        abandon(WORKER);
        registry::abandon(WORKER);
        assert!(!can_read(&two));
        assert_eq!(Holder::attach(&token, 103).err(), Some(Error::Closed));
    }

    #[test]
    fn holders_come_and_go_in_many_threads() {
        let one = holder();
        let token = one.share().unwrap();
        std::thread::scope(|scope| {
            for owner in 0..4 {
                let token = &token;
                scope.spawn(move || {
                    for round in 0..500 {
                        let holder = Holder::attach(token, owner + 1).unwrap().unwrap();
                        assert!(can_read(&holder));
                        if round % 2 == 0 {
                            holder.unmap().unwrap();
                        }
                    }
                });
            }
        });
        assert_eq!(one.sharing.holders.lock().list.len(), 1);
        one.unmap().unwrap();
        assert!(one.region.is_closed());
    }
}
