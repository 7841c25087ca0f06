//! All addresses that this package holds in the process, and who still looks at them.
//!
//! ```text
//!   adopt          release (still pinned)            last pin dropped
//!   ----->  kept  ------------------------> retired -----------------> free
//!             |  \__________________________________________________/
//!             |            release (not pinned)
//!             |  loosen (its owner is gone)              last pin dropped
//!             `------------------------------->  loose ---------------> free
//! ```
//!
//! * **kept**: mapped, until somebody releases it.
//! * **loose**: mapped, for the sake of its pins only: a view outlived the object that it came from.
//! * **retired**: the file and its memory are gone, the addresses are still taken, because a view of them exists.
//!   A stray read finds zeros and never somebody else's memory.
//! * **free**: unmapped, and unknown here.
//!
//! A [`Pin`] is one reason why addresses must not be reused: a view in JavaScript, or a native call that is
//! running. Pins do not keep memory mapped against a release; they keep its *addresses* ours.
//!
//! One lock guards it all. No call into a runtime and no access to mapped memory is made under it, so it can be taken
//! from a finalizer on any thread. A change also closes the [`gate`](crate::gate) to fault handlers.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::{Deref, DerefMut};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::error::{Error, Result};
use crate::fault::{self, FaultLog};
use crate::gate::Gate;
use crate::range::Span;
use crate::sys;
use crate::table::{Entry, FileIdentity, Table};

/// Between changes of the registry and fault handlers.
pub(crate) static GATE: Gate = Gate { closed: AtomicBool::new(false), inside: AtomicUsize::new(0) };

/// The segments, for fault handlers.
pub(crate) static TABLE: Table = Table::new();

/// A file that is mapped, and kept open for it.
#[derive(Debug)]
pub struct MappedFile {
    /// The open file.
    pub file: File,
    /// As a handler knows it again.
    pub identity: FileIdentity,
}

impl MappedFile {
    /// Takes over an open file with these metadata.
    pub fn new(file: File, metadata: &std::fs::Metadata) -> Arc<Self> {
        let identity = FileIdentity { fd: file.as_raw_fd(), device: metadata.dev(), inode: metadata.ino() };
        Arc::new(Self { file, identity })
    }
}

/// What is mapped in a segment: enough to explain an access to it.
#[derive(Clone, Debug)]
pub struct Tag {
    /// Which call of `mmap` or `Mapping` made it: unique in the process, never reused.
    pub id: u64,
    /// `PROT_*`.
    pub prot: i32,
    /// `MAP_*`.
    pub flags: i32,
    /// The pages are huge ones: a part of one cannot be unmapped.
    pub huge: bool,
    /// The mapped file, where the mapping keeps it open.
    pub file: Option<Arc<MappedFile>>,
    /// The offset of the segment's first byte in that file.
    pub offset: u64,
    /// Where its faults are noted.
    pub log: Arc<FaultLog>,
}

impl Tag {
    /// A tag with an id of its own.
    pub fn new(prot: i32, flags: i32, file: Option<Arc<MappedFile>>, offset: u64, log: Arc<FaultLog>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), prot, flags, huge: false, file, offset, log }
    }

    /// The same with whether the pages are huge ones.
    #[must_use]
    pub fn with_huge(self, huge: bool) -> Self {
        Self { huge, ..self }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Kept,
    Loose,
    Retired,
}

#[derive(Clone, Debug)]
struct Segment {
    span: Span,
    state: State,
    tag: Tag,
    /// Its place in the handlers' table; set when it enters the registry.
    slot: usize,
}

impl Segment {
    fn new(span: Span, state: State, tag: Tag) -> Self {
        Self { span, state, tag, slot: 0 }
    }

    fn entry(&self) -> Entry {
        Entry {
            span: self.span,
            retired: !self.is_live(),
            huge: self.tag.huge,
            prot: self.tag.prot,
            flags: self.tag.flags,
            file: self.tag.file.as_ref().map(|file| file.identity),
            offset: self.tag.offset,
        }
    }

    fn is_live(&self) -> bool {
        self.state != State::Retired
    }

    fn belongs_to(&self, owner: Option<u64>) -> bool {
        owner.is_none_or(|id| self.tag.id == id)
    }

    /// The part of this segment that is `span`, with the file offset that belongs to it.
    fn part(&self, span: Span) -> Self {
        let skipped = u64::try_from(span.start().saturating_sub(self.span.start())).unwrap_or(0);
        let tag = Tag { offset: self.tag.offset.saturating_add(skipped), ..self.tag.clone() };
        Self { span, tag, ..*self }
    }
}

/// How many pins hold each address: a step function, kept as the addresses where it changes.
#[derive(Debug, Default)]
struct Pins(BTreeMap<usize, u32>);

impl Pins {
    const fn new() -> Self {
        Self(BTreeMap::new())
    }

    fn count_at(&self, address: usize) -> u32 {
        self.0.range(..=address).next_back().map_or(0, |(_, &count)| count)
    }

    fn change(&mut self, span: Span, by: impl Fn(u32) -> u32) {
        for edge in [span.start(), span.end()] {
            let count = self.count_at(edge);
            self.0.entry(edge).or_insert(count);
        }
        for (_, count) in self.0.range_mut(span.start()..span.end()) {
            *count = by(*count);
        }
        for edge in [span.start(), span.end()] {
            let before = self.0.range(..edge).next_back().map_or(0, |(_, &count)| count);
            if self.0.get(&edge) == Some(&before) {
                self.0.remove(&edge);
            }
        }
    }

    fn add(&mut self, span: Span) {
        self.change(span, |count| count.saturating_add(1));
    }

    fn remove(&mut self, span: Span) {
        self.change(span, |count| count.saturating_sub(1));
    }

    /// Whether any pin holds `span`, if that is the same for all of it.
    fn uniform(&self, span: Span) -> Option<bool> {
        let inner = span.start().saturating_add(1)..span.end();
        self.0.range(inner).next().is_none().then(|| self.count_at(span.start()) > 0)
    }

    /// The parts of `span` in order, each with whether any pin holds it.
    fn parts(&self, span: Span) -> Vec<(Span, bool)> {
        let mut parts = Vec::with_capacity(1);
        let mut start = span.start();
        let mut count = self.count_at(start);
        let edges = self.0.range(span.start()..span.end()).map(|(&edge, &count)| (edge, count));
        for (edge, next) in edges.chain([(span.end(), 0)]) {
            parts.extend(Span::between(start, edge).map(|part| (part, count > 0)));
            (start, count) = (edge, next);
        }
        parts
    }
}

/// The table behind the lock.
#[derive(Debug)]
pub struct Registry {
    /// By start address; they do not overlap.
    segments: BTreeMap<usize, Segment>,
    pins: Pins,
    /// Retired ranges that lost a pin. Neighbours are unmapped together: see [`Registry::sweep`].
    garbage: Vec<Span>,
    /// So many are swept together.
    sweep_at: usize,
    /// Segments that are not retired: retired neighbours are one mapping to the kernel.
    live: usize,
    /// Places in the handlers' table that are free again, and the first that was never used.
    free_slots: Vec<usize>,
    next_slot: usize,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry::new());

/// Takes the lock on the process's registry, to look at it.
pub fn lock() -> impl Deref<Target = Registry> {
    REGISTRY.lock()
}

/// The registry, locked, with the gate closed to fault handlers.
pub struct Change(MutexGuard<'static, Registry>);

/// Takes the lock on the process's registry, to change it and what is mapped.
pub fn change() -> Change {
    let registry = REGISTRY.lock();
    GATE.close();
    registry.settle();
    Change(registry)
}

impl Deref for Change {
    type Target = Registry;

    fn deref(&self) -> &Registry {
        &self.0
    }
}

impl DerefMut for Change {
    fn deref_mut(&mut self) -> &mut Registry {
        &mut self.0
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        GATE.open();
    }
}

impl Registry {
    const fn new() -> Self {
        Self {
            segments: BTreeMap::new(),
            pins: Pins::new(),
            garbage: Vec::new(),
            sweep_at: LEAST_GARBAGE,
            live: 0,
            free_slots: Vec::new(),
            next_slot: 0,
        }
    }

    /// Brings the records of fault handlers into the logs of their mappings.
    fn settle(&self) {
        for (span, kind) in fault::take_records() {
            for segment in self.overlapping(span) {
                if let Some(part) = segment.span.intersect(span) {
                    fault::enter(segment.tag.id, &segment.tag.log, part, kind);
                }
            }
        }
    }

    /// The segments that have a part in `span`, in order.
    fn overlapping(&self, span: Span) -> impl Iterator<Item = &Segment> {
        let first = self
            .segments
            .range(..span.start())
            .next_back()
            .filter(|(_, segment)| segment.span.end() > span.start())
            .map(|(_, segment)| segment);
        let rest = self.segments.range(span.start()..span.end()).map(|(_, segment)| segment);
        first.into_iter().chain(rest)
    }

    fn insert(&mut self, mut segment: Segment) {
        if segment.is_live() {
            self.live = self.live.saturating_add(1);
        }
        segment.slot = self.free_slots.pop().unwrap_or(self.next_slot);
        self.next_slot = self.next_slot.max(segment.slot.saturating_add(1));
        TABLE.set(segment.slot, &segment.entry());
        self.segments.insert(segment.span.start(), segment);
    }

    fn remove(&mut self, start: usize) -> Option<Segment> {
        let segment = self.segments.remove(&start)?;
        TABLE.clear(segment.slot);
        self.free_slots.push(segment.slot);
        if segment.is_live() {
            self.live = self.live.saturating_sub(1);
        }
        Some(segment)
    }

    /// Splits the segment that has `address` in its middle, if there is one.
    fn split(&mut self, address: usize) {
        let Some((&start, segment)) = self.segments.range(..address).next_back() else { return };
        let (Some(left), Some(right)) = (segment.span.before(address), segment.span.from(address)) else { return };
        let (left, right) = (segment.part(left), segment.part(right));
        self.remove(start);
        self.insert(left);
        self.insert(right);
    }

    /// Splits segments so that each is either in `span` or outside it, and returns those inside.
    fn carve(&mut self, span: Span) -> Vec<Segment> {
        self.split(span.start());
        self.split(span.end());
        self.segments.range(span.start()..span.end()).map(|(_, segment)| segment.clone()).collect()
    }

    /// Takes over a fresh mapping.
    pub fn adopt(&mut self, span: Span, tag: Tag) {
        self.insert(Segment::new(span, State::Kept, tag));
    }

    /// Whether every address of `span` is mapped by us; given an `owner`, by the call with that id.
    pub fn is_live(&self, span: Span, owner: Option<u64>) -> bool {
        let mut reached = span.start();
        for segment in self.overlapping(span) {
            if !segment.is_live() || !segment.belongs_to(owner) || segment.span.start() > reached {
                return false;
            }
            reached = segment.span.end();
        }
        reached >= span.end()
    }

    /// The tags of what is mapped in `span`, in order, each with its part of `span`.
    pub fn tags(&self, span: Span) -> Vec<(Span, Tag)> {
        self.overlapping(span)
            .filter(|segment| segment.is_live())
            .filter_map(|segment| segment.span.intersect(span).map(|part| segment.part(part)))
            .map(|segment| (segment.span, segment.tag))
            .collect()
    }

    /// The parts of `span` that we do not hold.
    pub fn gaps(&self, span: Span) -> Vec<Span> {
        let mut gaps = Vec::new();
        let mut reached = span.start();
        for segment in self.overlapping(span) {
            gaps.extend(Span::between(reached, segment.span.start()));
            reached = segment.span.end();
        }
        gaps.extend(Span::between(reached, span.end()));
        gaps
    }

    /// The smallest range around `span` that the kernel can unmap by itself: whole pages, or whole segments of huge ones.
    fn unit_around(&self, span: Span) -> Option<Span> {
        let (mut start, mut end) = (span.start(), span.end());
        for segment in self.overlapping(span).filter(|segment| segment.tag.huge) {
            start = start.min(segment.span.start());
            end = end.max(segment.span.end());
        }
        Span::between(start, end)?.widened(sys::page_size())
    }

    /// Whether a view or a running call holds any address of `span`.
    pub fn is_pinned(&self, span: Span) -> bool {
        self.pins.parts(span).iter().any(|&(_, pinned)| pinned)
    }

    /// Whether any segment in `span` is in this state.
    fn has(&self, span: Span, state: State) -> bool {
        self.overlapping(span).any(|segment| segment.state == state)
    }

    /// Notes that pages of ours have a new protection.
    pub fn set_prot(&mut self, span: Span, prot: i32) {
        for mut segment in self.carve(span) {
            if segment.is_live() {
                segment.tag.prot = prot;
                TABLE.set(segment.slot, &segment.entry());
                self.segments.insert(segment.span.start(), segment);
            }
        }
    }

    /// Forgets what was in `span`: the kernel has just replaced or moved it.
    pub fn forget(&mut self, span: Span) {
        for segment in self.carve(span) {
            self.remove(segment.span.start());
        }
    }

    /// Lets go of everything of ours in `span`: pages that are pinned are retired, all others unmapped.
    /// Given an `owner`, of what the call with that id mapped there: the addresses may have passed to another.
    ///
    /// # Errors
    /// The kernel's, from the first page on that it refused; the pages before it are released.
    pub fn release(&mut self, span: Span, owner: Option<u64>) -> Result<()> {
        if let Some(pinned) = self.is_one_segment(span, owner) {
            return self.release_whole(span, pinned);
        }
        // Nothing is cut before the kernel has agreed to it: it refuses to unmap a part of a huge page.
        let segments: Vec<_> = self
            .overlapping(span)
            .filter(|segment| segment.is_live() && segment.belongs_to(owner))
            .filter_map(|segment| segment.span.intersect(span).map(|part| segment.part(part)))
            .collect();
        for segment in segments {
            for (part, pinned) in self.pins.parts(segment.span) {
                if pinned {
                    retire(part)?;
                } else {
                    // SAFETY: as above, and no view and no running call holds them.
                    unsafe { sys::munmap(part) }?;
                }
                self.split(part.start());
                self.split(part.end());
                self.remove(part.start());
                if pinned {
                    // A retired range has no file: its descriptor is let go with the last live segment.
                    let tag = Tag { file: None, ..segment.tag.clone() };
                    self.insert(Segment::new(part, State::Retired, tag));
                }
            }
        }
        Ok(())
    }

    /// Whether `span` is held, if it is one live segment of that owner and held or not held as a whole: nearly always.
    fn is_one_segment(&self, span: Span, owner: Option<u64>) -> Option<bool> {
        let segment = self.segments.get(&span.start())?;
        let is_whole = segment.span == span && segment.is_live() && segment.belongs_to(owner);
        is_whole.then(|| self.pins.uniform(span)).flatten()
    }

    fn release_whole(&mut self, span: Span, pinned: bool) -> Result<()> {
        if !pinned {
            // SAFETY: in our registry, under the lock, and no view and no running call holds it.
            unsafe { sys::munmap(span) }?;
            self.remove(span.start());
            return Ok(());
        }
        retire(span)?;
        if let Some(segment) = self.segments.get_mut(&span.start()) {
            segment.state = State::Retired;
            segment.tag.file = None;
            TABLE.set(segment.slot, &segment.entry());
            self.live = self.live.saturating_sub(1);
        }
        Ok(())
    }

    /// The owner of `span` is gone without a release: its pages stay as long as they are pinned.
    fn loosen(&mut self, span: Span, owner: u64) {
        for segment in self.carve(span) {
            if segment.state == State::Kept && segment.tag.id == owner {
                self.segments.insert(segment.span.start(), Segment { state: State::Loose, ..segment });
            }
        }
        self.free_unpinned(span);
    }

    /// Unmaps what nobody needs any more in `span`, neighbours together.
    fn free_unpinned(&mut self, span: Span) {
        for (part, pinned) in self.pins.parts(span) {
            if pinned {
                continue;
            }
            let mut run: Option<Span> = None;
            for segment in self.carve(part).into_iter().filter(|segment| segment.state != State::Kept) {
                match run {
                    Some(so_far) if so_far.end() == segment.span.start() => run = Some(so_far.union(segment.span)),
                    _ => run.replace(segment.span).into_iter().for_each(|run| self.free(run)),
                }
            }
            run.into_iter().for_each(|run| self.free(run));
        }
    }

    /// Unmaps a run of segments that nobody owns or holds.
    fn free(&mut self, run: Span) {
        // SAFETY: ours, under the lock; nobody owns it and no view and no running call holds it.
        match unsafe { sys::munmap(run) } {
            Ok(()) => self.forget(run),
            // Too many mappings to cut a hole: the addresses stay ours, and this is tried again.
            Err(_) => self.garbage.push(run),
        }
    }

    /// Unmaps retired ranges that lost their last pin. Views die many at a time, when memory is collected, and often on
    /// another thread: to unmap them one by one would hold up every thread that maps or unmaps meanwhile.
    fn sweep(&mut self) {
        let mut garbage = std::mem::take(&mut self.garbage);
        garbage.sort_unstable_by_key(|span| span.start());
        let mut run: Option<Span> = None;
        for span in garbage {
            match run {
                Some(so_far) if so_far.touches(span) => run = Some(so_far.union(span)),
                _ => run.replace(span).into_iter().for_each(|run| self.free_unpinned(run)),
            }
        }
        run.into_iter().for_each(|run| self.free_unpinned(run));
        // What the kernel refused is not tried again at every turn.
        self.sweep_at = self.garbage.len().saturating_mul(2).max(LEAST_GARBAGE);
    }

    /// Makes retired ranges readable, and those to come: faults will not be caught any more.
    pub fn open_retired(&self) {
        for segment in self.segments.values().filter(|segment| !segment.is_live()) {
            // SAFETY: ours, under the lock. A range that the kernel refuses stays inaccessible.
            let _ = unsafe { sys::map_zeros(segment.span) };
        }
    }

    /// Fails when the process has so many mappings of ours that the runtime may soon get none for itself.
    ///
    /// # Errors
    /// `ENOMEM` with the limit.
    pub fn check_room(&self, syscall: &'static str) -> Result<()> {
        let limit = sys::mapping_limit();
        if self.live < limit {
            return Ok(());
        }
        let detail =
            format!("{} mappings are open; the system allows a process about {limit} beside its own", self.live);
        Err(Error::refused(syscall, libc::ENOMEM, detail))
    }
}

/// Lets go of pages whose addresses stay taken. Without the fault guard a stray access has to find something there.
pub(crate) fn retire(span: Span) -> Result<()> {
    if sys::is_guarded() {
        // SAFETY: only called under the lock, for pages that are the registry's to give away.
        unsafe { sys::retire(span) }
    } else {
        // SAFETY: as above.
        unsafe { sys::map_zeros(span) }
    }
}

/// Ranges without memory wait for the watcher thread, or until there are so many, to be unmapped together.
const LEAST_GARBAGE: usize = 1024;

/// Keeps the addresses of a range from being reused until it is dropped, on whatever thread.
#[derive(Debug)]
pub struct Pin {
    span: Span,
    /// What is held: whole pages, the unit that the kernel unmaps.
    pages: Span,
}

impl Pin {
    /// Pins a range if all of it is mapped by us.
    pub fn new(span: Span) -> Option<Self> {
        Self::of(span, None)
    }

    fn of(span: Span, owner: Option<u64>) -> Option<Self> {
        let mut registry = REGISTRY.lock();
        if !registry.is_live(span, owner) {
            return None;
        }
        let pages = registry.unit_around(span)?;
        registry.pins.add(pages);
        Some(Self { span, pages })
    }

    /// The pinned range.
    pub fn span(&self) -> Span {
        self.span
    }
}

impl Clone for Pin {
    fn clone(&self) -> Self {
        REGISTRY.lock().pins.add(self.pages);
        Self { ..*self }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut registry = REGISTRY.lock();
        registry.pins.remove(self.pages);
        let is_loose = registry.has(self.pages, State::Loose);
        let mut is_full = false;
        if registry.has(self.pages, State::Retired) {
            registry.garbage.push(self.pages);
            is_full = registry.garbage.len() >= registry.sweep_at || !sys::wake_watcher();
        }
        drop(registry);
        if is_loose {
            // A file and its memory wait for this.
            change().free_unpinned(self.pages);
        }
        if is_full {
            change().sweep();
        }
    }
}

/// Owns a mapping in the registry. Dropped without a [`release`](Owned::release), its pages stay for their pins only.
#[derive(Debug)]
pub struct Owned {
    span: Span,
    id: u64,
}

impl Owned {
    /// Registers a fresh mapping.
    pub fn adopt(span: Span, tag: Tag) -> Self {
        let id = tag.id;
        change().adopt(span, tag);
        Self { span, id }
    }

    /// The whole pages.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Pins a part of the mapping; `None` if any of that part was unmapped.
    pub fn pin(&self, part: Span) -> Option<Pin> {
        Pin::of(part, Some(self.id))
    }

    /// Lets go of the pages now. A second call finds nothing to do.
    ///
    /// # Errors
    /// As [`Registry::release`].
    pub fn release(&self) -> Result<()> {
        change().release(self.span, Some(self.id))
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        change().loosen(self.span, self.id);
    }
}

/// A count of what the registry holds, for tests and diagnosis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Census {
    /// Segments with memory or a file behind them.
    pub live: usize,
    /// Segments whose addresses alone are held.
    pub retired: usize,
}

/// Whether retired ranges wait to be unmapped.
pub(crate) fn has_garbage() -> bool {
    !REGISTRY.lock().garbage.is_empty()
}

/// Unmaps retired ranges that nobody holds any more.
pub(crate) fn sweep() {
    change().sweep();
}

/// Counts what the registry holds, after everything is unmapped that can be.
pub fn census() -> Census {
    let mut registry = change();
    registry.sweep();
    let retired = registry.segments.len().saturating_sub(registry.live);
    Census { live: registry.live, retired }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{map_anonymous, page_size, MapOptions};

    fn owned(pages: usize) -> Owned {
        let span = map_anonymous(pages * page_size(), MapOptions::default()).unwrap();
        Owned::adopt(span, tag(span))
    }

    fn tag(span: Span) -> Tag {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        Tag::new(libc::PROT_READ | libc::PROT_WRITE, flags, None, 0, FaultLog::new(span, 0, None))
    }

    fn page(span: Span, index: usize) -> Span {
        span.slice(index * page_size(), page_size()).unwrap()
    }

    fn is_free(span: Span) -> bool {
        let free = sys::reserve(span).is_ok();
        if free {
            // SAFETY: just reserved by this test.
            unsafe { sys::munmap(span) }.unwrap();
        }
        free
    }

    #[test]
    fn pins_count_each_address() {
        let mut pins = Pins::new();
        let (a, b) = (Span::new(10, 10).unwrap(), Span::new(15, 10).unwrap());
        pins.add(a);
        pins.add(b);
        let all = Span::new(5, 25).unwrap();
        let parts: Vec<_> = pins.parts(all).into_iter().map(|(s, p)| (s.start(), s.end(), p)).collect();
        assert_eq!(parts, [(5, 10, false), (10, 15, true), (15, 20, true), (20, 25, true), (25, 30, false)]);
        pins.remove(a);
        pins.remove(b);
        assert!(pins.0.is_empty());
    }

    #[test]
    fn release_unmaps_what_nobody_holds() {
        let map = owned(3);
        map.release().unwrap();
        assert!(is_free(map.span()));
        map.release().unwrap();
    }

    #[test]
    fn release_retires_what_a_pin_holds() {
        let map = owned(3);
        let middle = map.pin(page(map.span(), 1)).unwrap();
        map.release().unwrap();
        assert!(is_free(page(map.span(), 0)));
        assert!(!is_free(page(map.span(), 1)));
        assert!(is_free(page(map.span(), 2)));
        assert!(map.pin(middle.span()).is_none());
        drop(middle);
        census();
        assert!(is_free(page(map.span(), 1)));
    }

    #[test]
    fn a_dropped_owner_leaves_pinned_pages_mapped() {
        let map = owned(2);
        let span = map.span();
        let pin = Pin::new(page(span, 1)).unwrap();
        let twin = pin.clone();
        drop(map);
        assert!(is_free(page(span, 0)));
        assert!(lock().is_live(page(span, 1), None));
        drop(pin);
        assert!(lock().is_live(page(span, 1), None));
        drop(twin);
        assert!(is_free(page(span, 1)));
    }

    #[test]
    fn an_owner_never_touches_its_successor() {
        let first = owned(1);
        let span = first.span();
        first.release().unwrap();
        sys::reserve(span).unwrap();
        let second = Owned::adopt(span, tag(span));
        assert!(first.pin(span).is_none());
        first.release().unwrap();
        drop(first);
        assert!(lock().is_live(span, None));
        second.release().unwrap();
        assert!(is_free(span));
    }

    #[test]
    fn gaps_are_what_is_not_ours() {
        let map = owned(3);
        change().release(page(map.span(), 1), None).unwrap();
        assert_eq!(lock().gaps(map.span()), [page(map.span(), 1)]);
        assert!(!lock().is_live(map.span(), None));
    }
}
