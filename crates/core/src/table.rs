//! The registry's segments once more, for fault handlers: a table that is read without lock or allocation.
//!
//! The registry writes it, and only with the [`gate`](crate::gate) closed; handlers read it inside the gate. So no
//! entry changes while it is read. Entries never move and their memory is never freed.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::range::Span;

/// The first chunk has this many entries; each further one twice as many as the one before.
const FIRST_CHUNK: usize = 256;
const CHUNKS: usize = 32;

/// A file as a handler knows it again: its descriptor may have been closed, and its number given to another file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileIdentity {
    /// The descriptor.
    pub fd: i32,
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
}

/// What a handler has to know of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The segment's addresses.
    pub span: Span,
    /// Its file and memory are gone.
    pub retired: bool,
    /// Bytes in one of its pages: more than the system's are in a huge one.
    pub unit: usize,
    /// `PROT_*`.
    pub prot: i32,
    /// `MAP_*`.
    pub flags: i32,
    /// The mapped file, where the mapping keeps it open.
    pub file: Option<FileIdentity>,
    /// Where the segment starts in that file, in bytes.
    pub offset: u64,
}

const TAKEN: u32 = 1;
const RETIRED: u32 = 2;

#[derive(Debug, Default)]
struct Slot {
    state: AtomicU32,
    start: AtomicUsize,
    end: AtomicUsize,
    unit: AtomicUsize,
    prot: AtomicI32,
    flags: AtomicI32,
    fd: AtomicI32,
    device: AtomicU64,
    inode: AtomicU64,
    offset: AtomicU64,
}

impl Slot {
    fn set(&self, entry: &Entry) {
        let file = entry.file.unwrap_or(FileIdentity { fd: -1, device: 0, inode: 0 });
        self.start.store(entry.span.start(), Ordering::Relaxed);
        self.end.store(entry.span.end(), Ordering::Relaxed);
        self.unit.store(entry.unit, Ordering::Relaxed);
        self.prot.store(entry.prot, Ordering::Relaxed);
        self.flags.store(entry.flags, Ordering::Relaxed);
        self.fd.store(file.fd, Ordering::Relaxed);
        self.device.store(file.device, Ordering::Relaxed);
        self.inode.store(file.inode, Ordering::Relaxed);
        self.offset.store(entry.offset, Ordering::Relaxed);
        self.state.store(if entry.retired { TAKEN | RETIRED } else { TAKEN }, Ordering::Relaxed);
    }

    fn get(&self, address: usize) -> Option<Entry> {
        let state = self.state.load(Ordering::Relaxed);
        let span = Span::between(self.start.load(Ordering::Relaxed), self.end.load(Ordering::Relaxed))?;
        if state & TAKEN == 0 || address < span.start() || address >= span.end() {
            return None;
        }
        let fd = self.fd.load(Ordering::Relaxed);
        let device = self.device.load(Ordering::Relaxed);
        let inode = self.inode.load(Ordering::Relaxed);
        Some(Entry {
            span,
            retired: state & RETIRED != 0,
            unit: self.unit.load(Ordering::Relaxed),
            prot: self.prot.load(Ordering::Relaxed),
            flags: self.flags.load(Ordering::Relaxed),
            file: (fd >= 0).then_some(FileIdentity { fd, device, inode }),
            offset: self.offset.load(Ordering::Relaxed),
        })
    }
}

/// The table. Written by one thread at a time, with no reader meanwhile; read by any number.
#[derive(Debug)]
pub struct Table {
    chunks: [AtomicPtr<Slot>; CHUNKS],
    /// Entries below this index were used at least once.
    used: AtomicUsize,
}

/// Where an entry lies: its chunk and its place in the chunk.
fn place(index: usize) -> Option<(usize, usize)> {
    let shifted = index.checked_add(FIRST_CHUNK)?;
    let chunk = shifted.checked_ilog2()?.checked_sub(FIRST_CHUNK.ilog2())?;
    let first = FIRST_CHUNK.checked_shl(chunk)?;
    Some((usize::try_from(chunk).ok()?, shifted.checked_sub(first)?))
}

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

impl Table {
    /// An empty table.
    pub const fn new() -> Self {
        Self { chunks: [const { AtomicPtr::new(std::ptr::null_mut()) }; CHUNKS], used: AtomicUsize::new(0) }
    }

    fn chunk(&self, index: usize) -> Option<&'static [Slot]> {
        let start = NonNull::new(self.chunks.get(index)?.load(Ordering::Acquire))?;
        let length = FIRST_CHUNK.checked_shl(u32::try_from(index).ok()?)?;
        // SAFETY: `set` stored the start of a leaked slice of this length, and it is never freed.
        Some(unsafe { std::slice::from_raw_parts(start.as_ptr(), length) })
    }

    fn slot(&self, index: usize) -> Option<&'static Slot> {
        let (chunk, at) = place(index)?;
        self.chunk(chunk)?.get(at)
    }

    /// Writes the entry with this index.
    pub fn set(&self, index: usize, entry: &Entry) {
        let Some((chunk, _)) = place(index) else { return };
        if self.chunk(chunk).is_none() {
            let Some(length) = u32::try_from(chunk).ok().and_then(|chunk| FIRST_CHUNK.checked_shl(chunk)) else {
                return;
            };
            let slots: Box<[Slot]> = std::iter::repeat_with(Slot::default).take(length).collect();
            let Some(pointer) = self.chunks.get(chunk) else { return };
            pointer.store(Box::leak(slots).as_mut_ptr(), Ordering::Release);
        }
        if let Some(slot) = self.slot(index) {
            slot.set(entry);
        }
        self.used.fetch_max(index.saturating_add(1), Ordering::Release);
    }

    /// Empties the entry with this index.
    pub fn clear(&self, index: usize) {
        if let Some(slot) = self.slot(index) {
            slot.state.store(0, Ordering::Relaxed);
        }
    }

    /// The entry that has `address`. Safe in a signal handler: neither locks nor allocates.
    pub fn find(&self, address: usize) -> Option<Entry> {
        let mut left = self.used.load(Ordering::Acquire);
        for index in 0..CHUNKS {
            let chunk = self.chunk(index)?;
            if let Some(entry) = chunk.iter().take(left).find_map(|slot| slot.get(address)) {
                return Some(entry);
            }
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                return None;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(start: usize) -> Entry {
        let span = Span::new(start, 100).unwrap();
        Entry { span, retired: false, unit: 4096, prot: 1, flags: 2, file: None, offset: 3 }
    }

    #[test]
    fn entries_are_found_by_any_of_their_addresses() {
        let table = Table::new();
        for index in 0..2000 {
            table.set(index, &entry(index * 100 + 100));
        }
        assert_eq!(table.find(99), None);
        assert_eq!(table.find(100), Some(entry(100)));
        assert_eq!(table.find(199), Some(entry(100)));
        assert_eq!(table.find(150_050), Some(entry(150_000)));
        assert_eq!(table.find(200_100), None);
        table.clear(0);
        assert_eq!(table.find(100), None);
    }

    #[test]
    fn a_file_is_kept_with_its_identity() {
        let table = Table::new();
        let file = Some(FileIdentity { fd: 0, device: 7, inode: 8 });
        let with_file = Entry { file, retired: true, unit: 1 << 21, ..entry(100) };
        table.set(0, &with_file);
        assert_eq!(table.find(100), Some(with_file));
    }

    #[test]
    fn places_follow_each_other() {
        assert_eq!(place(0), Some((0, 0)));
        assert_eq!(place(255), Some((0, 255)));
        assert_eq!(place(256), Some((1, 0)));
        assert_eq!(place(767), Some((1, 511)));
        assert_eq!(place(768), Some((2, 0)));
    }
}
