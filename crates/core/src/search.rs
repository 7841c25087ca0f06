//! Searching a [`Region`]: the `memchr` crate over pinned memory.
//!
//! ```text
//!   find(), from the front in slices, each one piece of work for a thread
//!   |<------ slice ------->|
//!   |                   |<-+----- slice ------->|          they overlap by what a needle across their border takes
//!
//!   last_index_of(), from the back in blocks
//!                                   |<-+-- block -->|
//! ```
//!
//! # Memory that others write
//! Another process, or another thread of this one, may write to the memory while it is searched, as to any mapped file. What is
//! found is then one of the bytes' states, or a mix of them. It is nothing worse: the searches compare bytes and count, and
//! never use a byte as an index or a length. A position that they return is only ever compared, or looked up with a check.

use std::ops::Range;
use std::sync::Arc;

use memchr::arch::all::packedpair::Pair;
use memchr::{memchr, memchr_iter, memmem, memrchr};

use crate::error::{Error, Result};
use crate::region::{address, Region};
use crate::registry::Pin;

/// Bytes that one piece of an asynchronous search goes through: a few milliseconds of work, if they are in memory.
const SLICE: usize = if cfg!(test) { 1024 * 1024 } else { 32 * 1024 * 1024 };

/// Bytes that a search within a slice looks at at a time.
const BLOCK: usize = 64 * 1024;

/// A pair of rare bytes is chosen among so many at the start of a needle.
const LONGEST_PAIR: usize = 255;

/// Bytes that are looked through for lines at a time, unless there is a longer line.
const LINES_SLICE: usize = 256 * 1024;

/// Bytes to search for, kept while a search runs elsewhere.
#[derive(Debug)]
pub struct Needle(Vec<u8>);

impl Needle {
    /// A copy of `bytes`, which may change.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn new(bytes: &[u8]) -> Result<Self> {
        let mut copy = Vec::new();
        copy.try_reserve_exact(bytes.len()).map_err(|_| Error::system("malloc", libc::ENOMEM))?;
        copy.extend_from_slice(bytes);
        Ok(Self(copy))
    }
}

/// How a search stands after one slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The needle is here.
    Found(u64),
    /// It does not start before this offset; the search goes on from there.
    Next(u64),
    /// It is not there.
    Nowhere,
}

/// A line, in bytes from the start of the region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where what ends it starts: `\n`, `\r\n`, or the end of the range.
    pub end: u64,
    /// Where the next line starts.
    pub next: u64,
}

impl Region {
    /// The first place of `needle` that is not before `from`.
    ///
    /// # Errors
    /// As [`read`](Region::read), for the bytes that were looked at.
    pub fn index_of(&self, needle: &[u8], from: u64) -> Result<Option<u64>> {
        let at = self.search(from, self.size(), |bytes| {
            let at = Forward::new(needle).find(bytes);
            (at, 0..end_of(at, needle).unwrap_or(bytes.len()))
        })?;
        Ok(at.map(|at| from.saturating_add(wide(at))))
    }

    /// The last place of `needle` that is not behind `from`.
    ///
    /// # Errors
    /// As [`index_of`](Region::index_of).
    pub fn last_index_of(&self, needle: &[u8], from: u64) -> Result<Option<u64>> {
        // A needle at `from` ends so many bytes behind it.
        let to = from.saturating_add(wide(needle.len())).min(self.size());
        let at = self.search(0, to, |bytes| {
            let at = find_last(bytes, needle);
            (at, at.unwrap_or(0)..bytes.len())
        })?;
        Ok(at.map(wide))
    }

    /// How often `needle` is between `from` and `to`, not counting those that overlap the one counted before. An empty needle is at
    /// every offset, `to` included.
    ///
    /// # Errors
    /// As [`read`](Region::read).
    pub fn count(&self, needle: &[u8], from: u64, to: u64) -> Result<u64> {
        let count = self.search(from, to, |bytes| (count(bytes, needle), 0..bytes.len()))?;
        Ok(wide(count))
    }

    /// Looks for the first place of `needle` from `from` on, in one slice.
    ///
    /// Checks the slice now and returns the work, which may run on another thread.
    ///
    /// # Errors
    /// As [`pin`](Region::pin), now and when it runs; the work's own are those of [`index_of`](Region::index_of).
    pub fn find(
        self: &Arc<Self>,
        needle: &Arc<Needle>,
        from: u64,
    ) -> Result<impl FnOnce() -> Result<Progress> + Send + 'static> {
        let (slice, _) = self.slice_to_search(needle, from);
        self.pin(from, slice)?;
        let (region, needle) = (self.clone(), needle.clone());
        Ok(move || {
            // What is told as closed was cut off or moved meanwhile: then the slice is searched again.
            let _reader = region.read_elsewhere();
            let (slice, next) = region.slice_to_search(&needle, from);
            region.steadily(from, slice, libc::PROT_READ, |pin| {
                let at = Forward::new(&needle.0).find(bytes_of(pin));
                let seen = at.map_or(u64::MAX, wide).saturating_add(wide(needle.0.len()));
                region.verify_part(pin, 0..usize::try_from(seen).unwrap_or(usize::MAX))?;
                Ok(match (at, next) {
                    (Some(at), _) => Progress::Found(from.saturating_add(wide(at))),
                    (None, Some(next)) => Progress::Next(next),
                    (None, None) => Progress::Nowhere,
                })
            })
        })
    }

    /// How many bytes from `from` on one slice has, and where the next one starts.
    fn slice_to_search(&self, needle: &Needle, from: u64) -> (u64, Option<u64>) {
        let length = needle.0.len();
        let overlap = length.saturating_sub(1);
        // Not shorter than the needle: however long that is, each byte is looked at in two slices at most.
        let slice = wide(SLICE.max(length).saturating_add(overlap));
        let size = self.size();
        let to = from.saturating_add(slice).min(size);
        (to.saturating_sub(from), (to < size).then_some(to.saturating_sub(wide(overlap))))
    }

    /// Calls `take` with the lines from `start` on, in order: not more than `most`, and not many bytes at a time, but at least one
    /// if `start` is before `end`.
    ///
    /// # Errors
    /// As [`read`](Region::read), for the bytes that were looked at; what was taken is then not to be used.
    pub fn lines(&self, start: u64, end: u64, most: usize, mut take: impl FnMut(Line)) -> Result<()> {
        self.search(start, end, |bytes| {
            let seen = lines(bytes, most, |end, next| {
                take(Line { end: start.saturating_add(wide(end)), next: start.saturating_add(wide(next)) });
            });
            ((), 0..seen)
        })
    }

    /// Does `search` with the bytes from `from` to `to`. It returns its result and which of the bytes it looked at.
    fn search<T>(&self, from: u64, to: u64, search: impl FnOnce(&[u8]) -> (T, Range<usize>)) -> Result<T> {
        let extent = self.extent.read();
        let pin = self.pin_in(&extent, from, to.saturating_sub(from), libc::PROT_READ)?;
        let (result, seen) = search(bytes_of(pin.as_ref()));
        self.verify_part(pin.as_ref(), seen)?;
        Ok(result)
    }

    /// Fails if a part of a pinned range is not the file's.
    fn verify_part(&self, pin: Option<&Pin>, part: Range<usize>) -> Result<()> {
        let Some(pin) = pin else { return Ok(()) };
        let end = part.end.min(pin.span().len());
        match pin.span().slice(part.start, end.saturating_sub(part.start)) {
            Some(span) => self.verify(span),
            None => Ok(()),
        }
    }

    fn size(&self) -> u64 {
        wide(self.len())
    }
}

/// The bytes of a pinned range, as they are; none without a pin.
fn bytes_of(pin: Option<&Pin>) -> &[u8] {
    let Some(pin) = pin else { return &[] };
    // SAFETY: the pin holds these bytes mapped, or readable as zeros, as long as the slice is borrowed from it. Others may write
    // to them meanwhile: see the top of this file for why that does no harm here.
    unsafe { std::slice::from_raw_parts(address(pin), pin.span().len()) }
}

/// Where a needle that was found ends.
fn end_of(at: Option<usize>, needle: &[u8]) -> Option<usize> {
    at.map(|at| at.saturating_add(needle.len()))
}

fn wide(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// A search from the front.
///
/// To look for one byte is as fast as memory, to look for several at once is not quite: the rarest byte of the needle, as far as one can
/// guess it, is looked for first. From where it is, one block is searched in earnest. A byte that is not so rare costs
/// next to nothing in this way.
struct Forward<'n> {
    finder: memmem::Finder<'n>,
    /// Of the start of the needle and of its end, the rarest byte and where it is.
    rare: [Option<(usize, u8)>; 2],
    block: usize,
}

impl<'n> Forward<'n> {
    fn new(needle: &'n [u8]) -> Self {
        let tail = needle.len().saturating_sub(LONGEST_PAIR);
        let rare = [0, tail].map(|from| {
            let part = needle.get(from..)?;
            let at = usize::from(Pair::new(part)?.index1());
            Some((from.saturating_add(at), *part.get(at)?))
        });
        Self { finder: memmem::Finder::new(needle), rare, block: BLOCK.max(needle.len()) }
    }

    /// The first place of the needle.
    fn find(&self, bytes: &[u8]) -> Option<usize> {
        let mut start = 0_usize;
        loop {
            for (at, byte) in self.rare.into_iter().flatten() {
                start = start.saturating_add(memchr(byte, bytes.get(start.saturating_add(at)..)?)?);
            }
            let length = if self.rare == [None; 2] { bytes.len() } else { self.block };
            let next = start.saturating_add(length);
            let end = next.saturating_add(self.finder.needle().len()).min(bytes.len());
            if let Some(at) = self.finder.find(bytes.get(start..end)?) {
                return Some(start.saturating_add(at));
            }
            if end == bytes.len() {
                return None;
            }
            // The needle does not start before.
            start = next;
        }
    }
}

/// The last place of `needle`.
///
/// There is a fast search from the front only, and a slow one from the back: the fast one finds the block that has the needle.
fn find_last(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    match needle {
        [] => return Some(bytes.len()),
        [byte] => return memrchr(*byte, bytes),
        _ => {}
    }
    let forward = Forward::new(needle);
    let overlap = needle.len().saturating_sub(1);
    let block = BLOCK.max(needle.len()).saturating_add(overlap);
    let mut end = bytes.len();
    loop {
        let start = end.saturating_sub(block);
        let part = bytes.get(start..end)?;
        if forward.find(part).is_some() {
            // Bytes that have changed since may hide it.
            if let Some(at) = memmem::rfind(part, needle) {
                return Some(start.saturating_add(at));
            }
        }
        if start == 0 {
            return None;
        }
        end = start.saturating_add(overlap);
    }
}

fn count(bytes: &[u8], needle: &[u8]) -> usize {
    match needle {
        [byte] => memchr_iter(*byte, bytes).count(),
        _ => memmem::find_iter(bytes, needle).count(),
    }
}

/// Calls `take` with the end of each line and the start of the next. Returns how many bytes these lines have.
fn lines(bytes: &[u8], most: usize, mut take: impl FnMut(usize, usize)) -> usize {
    let mut start = 0;
    for _ in 0..most {
        // The first line may be of any length.
        let limit = if start == 0 { bytes.len() } else { LINES_SLICE.min(bytes.len()) };
        let rest = bytes.get(start..limit).unwrap_or_default();
        let (end, next) = match memchr(b'\n', rest) {
            Some(at) => {
                let newline = start.saturating_add(at);
                (before_return(bytes, start, newline), newline.saturating_add(1))
            }
            None if limit == bytes.len() && !rest.is_empty() => (limit, limit),
            None => break,
        };
        take(end, next);
        start = next;
    }
    start
}

/// The end of a line from `start` to `newline`, without a carriage return.
fn before_return(bytes: &[u8], start: usize, newline: usize) -> usize {
    match newline.checked_sub(1) {
        Some(last) if last >= start && bytes.get(last) == Some(&b'\r') => last,
        _ => newline,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::{MapOptions, OpenRequest, Source};
    use crate::sys::Access;

    fn region(content: &[u8]) -> Region {
        let region = Region::anonymous(wide(content.len()), MapOptions::default(), 0).unwrap();
        region.write(0, content).unwrap();
        region
    }

    /// Numbers that look random (xorshift).
    fn random(state: &mut u64) -> usize {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        usize::try_from(*state >> 33).unwrap()
    }

    fn places<'a>(bytes: &'a [u8], needle: &'a [u8]) -> impl DoubleEndedIterator<Item = usize> + 'a {
        (0..=bytes.len()).filter(move |&at| bytes[at..].starts_with(needle))
    }

    fn naive_count(bytes: &[u8], needle: &[u8]) -> usize {
        let mut free = 0;
        places(bytes, needle)
            .filter(|&at| {
                let counts = at >= free;
                if counts {
                    free = at + needle.len().max(1);
                }
                counts
            })
            .count()
    }

    /// All steps of `find`.
    fn find(region: &Arc<Region>, needle: &[u8], from: u64) -> Option<u64> {
        let needle = Arc::new(Needle::new(needle).unwrap());
        let mut from = from;
        loop {
            match region.find(&needle, from).unwrap()().unwrap() {
                Progress::Found(at) => return Some(at),
                Progress::Next(next) => {
                    assert!(next > from);
                    from = next;
                }
                Progress::Nowhere => return None,
            }
        }
    }

    fn lines_of(region: &Region, end: u64, most: usize) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        let mut start = 0;
        while start < end {
            let before = found.len();
            let mut reached = start;
            region
                .lines(start, end, most, |line| {
                    let mut bytes = vec![0; usize::try_from(line.end - reached).unwrap()];
                    region.read(reached, &mut bytes).unwrap();
                    found.push(bytes);
                    reached = line.next;
                })
                .unwrap();
            assert!((before + 1..=before + most).contains(&found.len()));
            start = reached;
        }
        found
    }

    #[test]
    fn searches_agree_with_naive_ones() {
        let mut seed = 1;
        for _ in 0..300 {
            let letters = 1 + random(&mut seed) % 3;
            let mut word = |most: usize| -> Vec<u8> {
                let length = random(&mut seed) % (most + 1);
                (0..length).map(|_| b"ab\n"[random(&mut seed) % letters]).collect()
            };
            let (content, needle) = (word(400), word(40));
            let region = Arc::new(region(&content));
            for from in [0, content.len() / 3, content.len()] {
                let first = places(&content, &needle).find(|&at| at >= from).map(wide);
                assert_eq!(region.index_of(&needle, wide(from)), Ok(first));
                assert_eq!(find(&region, &needle, wide(from)), first);
                let last = places(&content, &needle).rfind(|&at| at <= from).map(wide);
                assert_eq!(region.last_index_of(&needle, wide(from)), Ok(last));
                let count = naive_count(&content[from..], &needle);
                assert_eq!(region.count(&needle, wide(from), wide(content.len())), Ok(wide(count)));
            }
        }
    }

    #[test]
    fn the_last_place_is_found_across_blocks() {
        for length in [2, 3, 100, BLOCK, 3 * BLOCK] {
            let needle = [vec![b'a'; length - 1], vec![b'b']].concat();
            for at in [0, 1, BLOCK - 1, BLOCK, 5 * BLOCK - length + 1, 7 * BLOCK - length] {
                let mut content = vec![b'a'; 7 * BLOCK];
                content[at..at + length].copy_from_slice(&needle);
                assert_eq!(find_last(&content, &needle), Some(at), "{length} bytes at {at}");
                assert_eq!(find_last(&content[..at + length - 1], &needle), None);
            }
        }
    }

    #[test]
    fn a_needle_across_slices_is_found() {
        let size = 2 * SLICE + 10;
        let region = Arc::new(Region::anonymous(wide(size), MapOptions::default(), 0).unwrap());
        for length in [1, 2, 5] {
            for at in [SLICE - 5, SLICE - 1, SLICE, 2 * SLICE - 3, size - length] {
                region.fill(b"x", wide(at), wide(length)).unwrap();
                assert_eq!(find(&region, &vec![b'x'; length], 0), Some(wide(at)), "{length} bytes at {at}");
                assert_eq!(find(&region, &vec![b'x'; length], wide(at) + 1), None);
                region.fill(&[], wide(at), wide(length)).unwrap();
            }
        }
        assert_eq!(find(&region, b"x", 0), None);
    }

    #[test]
    fn a_long_needle_is_found_in_few_slices() {
        let size = 2 * SLICE + 2;
        let region = Arc::new(Region::anonymous(wide(size), MapOptions::default(), 0).unwrap());
        region.fill(b"x", wide(size - 1), 1).unwrap();
        let mut bytes = vec![0; SLICE + 1];
        bytes[SLICE] = b'x';
        assert_eq!(find(&region, &bytes, 0), Some(wide(SLICE + 1)));
        bytes.resize(size + 1, 0);
        assert_eq!(find(&region, &bytes, 0), None);
    }

    #[test]
    fn lines_end_with_newlines_and_returns_before_them() {
        let cases: [(&[u8], &[&str]); 8] = [
            (b"", &[]),
            (b"\n", &[""]),
            (b"a", &["a"]),
            (b"a\n", &["a"]),
            (b"a\r\nb\r", &["a", "b\r"]),
            (b"\r\n\n\r\r\n", &["", "", "\r"]),
            (b"a\n\rb\n", &["a", "\rb"]),
            (b"\n\n a", &["", "", " a"]),
        ];
        for (content, expected) in cases {
            for most in [1, 2, 100] {
                assert_eq!(lines_of(&region(content), wide(content.len()), most), expected.map_bytes());
            }
        }
        assert_eq!(lines_of(&region(b"a\r\nb"), 2, 9), [b"a\r"]);
    }

    trait MapBytes {
        fn map_bytes(&self) -> Vec<Vec<u8>>;
    }

    impl MapBytes for &[&str] {
        fn map_bytes(&self) -> Vec<Vec<u8>> {
            self.iter().map(|text| text.as_bytes().to_vec()).collect()
        }
    }

    #[test]
    fn lines_may_be_longer_than_a_slice() {
        for length in [LINES_SLICE - 2, LINES_SLICE - 1, LINES_SLICE, LINES_SLICE + 1, 3 * LINES_SLICE] {
            for ending in ["", "\n", "\r\n"] {
                let long = vec![b'x'; length];
                let content = [b"a\n\n", &long[..], b"\r\n", &long, ending.as_bytes()].concat();
                let expected = [b"a".to_vec(), vec![], long.clone(), long];
                assert_eq!(lines_of(&region(&content), wide(content.len()), 100), expected, "{length} {ending:?}");
            }
        }
    }

    #[test]
    fn searches_reject_what_is_not_there() {
        let region = Arc::new(region(b"content"));
        let needle = Arc::new(Needle::new(b"t").unwrap());
        assert!(matches!(region.index_of(b"t", 8), Err(Error::OutOfRange { .. })));
        assert!(matches!(region.count(b"t", 0, 8), Err(Error::OutOfRange { .. })));
        assert!(matches!(region.lines(0, 8, 1, |_| {}), Err(Error::OutOfRange { .. })));
        assert!(region.find(&needle, 8).is_err());
        assert_eq!(region.last_index_of(b"t", u64::MAX), Ok(Some(6)));
        let work = region.find(&needle, 0).unwrap();
        region.unmap().unwrap();
        assert_eq!(work(), Err(Error::Closed));
        assert_eq!(region.faults().0, 0, "nobody is told of what the search met");
        assert_eq!(region.index_of(b"", 0), Err(Error::Closed));
        assert_eq!(region.last_index_of(b"", 0), Err(Error::Closed));
        assert!(region.find(&needle, 0).is_err());
    }

    #[test]
    fn a_search_fails_for_lost_bytes_that_it_met() {
        let path = std::env::temp_dir().join(format!("mmap-native-search-{}", std::process::id()));
        let page = crate::sys::page_size();
        let mut content = vec![b'.'; 4 * page];
        content[page] = b'x';
        std::fs::write(&path, &content).unwrap();
        let request = OpenRequest {
            access: Access::Read,
            offset: 0,
            length: None,
            create: None,
            exclusive: false,
            grow: false,
            preallocate: false,
            options: MapOptions::default(),
            owner: 0,
        };
        let region = Arc::new(Region::open(Source::Path(&path), &request).unwrap());
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(wide(2 * page)).unwrap();
        std::fs::remove_file(&path).unwrap();
        let is_fault =
            |result: Result<Option<u64>>| matches!(result, Err(Error::Fault(fault)) if fault.offset == wide(2 * page));
        let needle = Arc::new(Needle::new(b"y").unwrap());
        assert_eq!(region.index_of(b"x", 0), Ok(Some(wide(page))));
        assert!(is_fault(region.index_of(b"y", 0)));
        assert_eq!(region.index_of(b"x", 0), Ok(Some(wide(page))));
        assert!(is_fault(region.last_index_of(b"x", u64::MAX)));
        assert_eq!(region.last_index_of(b".", wide(page)), Ok(Some(wide(page - 1))));
        assert!(is_fault(region.count(b"x", 0, wide(4 * page)).map(Some)));
        assert_eq!(region.count(b"x", 0, wide(2 * page)), Ok(1));
        assert!(matches!(region.find(&needle, 0).unwrap()(), Err(Error::Fault(_))));
        assert!(region.lines(0, wide(4 * page), 9, |_| {}).is_err());
    }
}
