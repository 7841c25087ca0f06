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
use crate::room;
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
    /// It is there for an object of its environment, and not until somebody unmaps it.
    pub(crate) owned: bool,
}

impl Tag {
    /// A tag with an id of its own.
    pub fn new(prot: i32, flags: i32, file: Option<Arc<MappedFile>>, offset: u64, log: Arc<FaultLog>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), prot, flags, huge: false, file, offset, log, owned: false }
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
    /// How many pins hold it, all of it: a pin on a part of a mapping makes that part a segment of its own.
    pins: u32,
    /// Its place in the handlers' table; set when it enters the registry.
    slot: usize,
}

impl Segment {
    fn new(span: Span, tag: Tag, pins: u32) -> Self {
        Self { span, state: State::Kept, tag, pins, slot: 0 }
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

    /// Whether nobody needs it: not its owner, and no view and no running call.
    fn is_free(&self) -> bool {
        self.state != State::Kept && self.pins == 0
    }

    /// Whether this segment and the one that follows could be one. Not while they are pinned: a pin holds whole segments.
    fn continues_as(&self, next: &Self) -> bool {
        self.span.end() == next.span.start()
            && (self.pins, next.pins) == (0, 0)
            && (self.state, self.tag.id) == (next.state, next.tag.id)
            && (self.tag.prot, self.tag.huge) == (next.tag.prot, next.tag.huge)
    }

    /// The part of this segment that is `span`, with the file offset that belongs to it.
    fn part(&self, span: Span) -> Self {
        let skipped = u64::try_from(span.start().saturating_sub(self.span.start())).unwrap_or(0);
        let tag = Tag { offset: self.tag.offset.saturating_add(skipped), ..self.tag.clone() };
        Self { span, tag, ..*self }
    }
}

/// The table behind the lock.
#[derive(Debug)]
pub struct Registry {
    /// By start address; they do not overlap.
    segments: BTreeMap<usize, Segment>,
    /// Files of segments that are gone, to be closed after the change.
    files: Vec<Arc<MappedFile>>,
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
pub struct Change {
    registry: MutexGuard<'static, Registry>,
    /// Closed when the lock has been given back, for that may take its time.
    _files: Vec<Arc<MappedFile>>,
}

/// Takes the lock on the process's registry, to change it and what is mapped.
pub fn change() -> Change {
    Change::of(REGISTRY.lock())
}

impl Change {
    fn of(registry: MutexGuard<'static, Registry>) -> Self {
        GATE.close();
        registry.settle();
        Self { registry, _files: Vec::new() }
    }
}

impl Deref for Change {
    type Target = Registry;

    fn deref(&self) -> &Registry {
        &self.registry
    }
}

impl DerefMut for Change {
    fn deref_mut(&mut self) -> &mut Registry {
        &mut self.registry
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        self._files = std::mem::take(&mut self.registry.files);
        GATE.open();
        // The fields follow in their order: first the lock, then the files.
    }
}

impl Registry {
    const fn new() -> Self {
        Self {
            segments: BTreeMap::new(),
            files: Vec::new(),
            garbage: Vec::new(),
            sweep_at: LEAST_GARBAGE,
            live: 0,
            free_slots: Vec::new(),
            next_slot: 0,
        }
    }

    /// Brings the records of fault handlers into the logs of their mappings.
    fn settle(&self) {
        for (span, kind) in fault::records() {
            for segment in self.overlapping(span) {
                if let Some(part) = segment.span.intersect(span) {
                    fault::enter(segment.tag.id, &segment.tag.log, part, kind);
                }
            }
        }
        fault::forget_records();
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
        let mut segment = self.segments.remove(&start)?;
        self.files.extend(segment.tag.file.take());
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

    /// The segment that ends at `address` and the one that starts there, if the two could be one.
    fn joint(&self, address: usize) -> Option<(&Segment, &Segment)> {
        let right = self.segments.get(&address)?;
        let (_, left) = self.segments.range(..address).next_back()?;
        left.continues_as(right).then_some((left, right))
    }

    /// Makes one segment of the two that meet at `address`, if they could be one.
    fn join(&mut self, address: usize) {
        let Some((left, right)) = self.joint(address) else { return };
        let joined = Segment { span: left.span.union(right.span), ..left.clone() };
        self.remove(address);
        self.remove(joined.span.start());
        self.insert(joined);
    }

    /// Splits segments so that each is either in `span` or outside it, and returns where those inside start.
    fn carve(&mut self, span: Span) -> Vec<usize> {
        self.split(span.start());
        self.split(span.end());
        self.segments.range(span.start()..span.end()).map(|(&start, _)| start).collect()
    }

    /// Takes over a fresh mapping, which may have replaced others: what held those addresses holds them still.
    pub fn adopt(&mut self, span: Span, tag: Tag) {
        if self.segments.is_empty() {
            sys::rouse_watcher();
        }
        let whole = Segment::new(span, tag, 0);
        let mut reached = span.start();
        for start in self.carve(span) {
            let Some(old) = self.remove(start) else { continue };
            self.insert_part(&whole, reached, start, 0);
            self.insert_part(&whole, start, old.span.end(), old.pins);
            reached = old.span.end();
        }
        self.insert_part(&whole, reached, span.end(), 0);
    }

    fn insert_part(&mut self, whole: &Segment, start: usize, end: usize, pins: u32) {
        if let Some(part) = Span::between(start, end) {
            self.insert(Segment { pins, ..whole.part(part) });
        }
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
        self.overlapping(span).any(|segment| segment.pins > 0)
    }

    /// Notes that pages of ours have a new protection.
    pub fn set_prot(&mut self, span: Span, prot: i32) {
        for start in self.carve(span) {
            if let Some(segment) = self.segments.get_mut(&start).filter(|segment| segment.is_live()) {
                segment.tag.prot = prot;
                TABLE.set(segment.slot, &segment.entry());
            }
        }
        self.join(span.start());
        self.join(span.end());
    }

    /// Forgets what was in `span`: the kernel has just unmapped or moved it.
    pub fn forget(&mut self, span: Span) {
        for start in self.carve(span) {
            self.remove(start);
        }
    }

    /// Lets go of everything of ours in `span`: pages that are pinned are retired, all others unmapped.
    /// Given an `owner`, of what the call with that id mapped there: the addresses may have passed to another.
    ///
    /// # Errors
    /// The kernel's, from the first page on that it refused; the pages before it are released.
    pub fn release(&mut self, span: Span, owner: Option<u64>) -> Result<()> {
        // Nothing is cut before the kernel has agreed to it: it refuses to unmap a part of a huge page.
        let parts: Vec<(Span, bool)> = self
            .overlapping(span)
            .filter(|segment| segment.is_live() && segment.belongs_to(owner))
            .filter_map(|segment| Some((segment.span.intersect(span)?, segment.pins > 0)))
            .collect();
        for (part, is_pinned) in parts {
            if is_pinned {
                retire(part)?;
                self.note_retired(part);
            } else {
                // SAFETY: in our registry, under the lock, and no view and no running call holds it.
                unsafe { sys::munmap(part) }?;
                self.forget(part);
            }
        }
        Ok(())
    }

    fn note_retired(&mut self, span: Span) {
        self.split(span.start());
        self.split(span.end());
        if let Some(segment) = self.segments.get_mut(&span.start()) {
            segment.state = State::Retired;
            // A retired range has no file: its descriptor is let go with the last live segment.
            self.files.extend(segment.tag.file.take());
            TABLE.set(segment.slot, &segment.entry());
            self.live = self.live.saturating_sub(1);
        }
    }

    /// The owner of `span` is gone without a release: its pages stay as long as they are pinned.
    fn loosen(&mut self, span: Span, owner: u64) {
        for start in self.carve(span) {
            let segment = self.segments.get_mut(&start);
            if let Some(segment) = segment.filter(|one| one.state == State::Kept && one.tag.id == owner) {
                segment.state = State::Loose;
            }
        }
        self.free_unused(span);
    }

    /// Holds a range. Where it is a part of a segment, that becomes a segment of its own: only with the gate closed.
    fn pin(&mut self, pages: Span) {
        for start in self.carve(pages) {
            if let Some(segment) = self.segments.get_mut(&start) {
                segment.pins = segment.pins.saturating_add(1);
            }
        }
    }

    /// Whether a range consists of whole segments.
    pub fn is_whole(&self, pages: Span) -> bool {
        let mut inside = self.overlapping(pages);
        inside.all(|segment| pages.contains(segment.span))
    }

    /// Lets go of a range that was pinned. Returns what is left to do, with the gate closed.
    fn unpin(&mut self, pages: Span) -> Chore {
        let mut chore = Chore::None;
        for (_, segment) in self.segments.range_mut(pages.start()..pages.end()) {
            segment.pins = segment.pins.saturating_sub(1);
            if segment.is_free() {
                chore = chore.max(if segment.is_live() { Chore::Free } else { Chore::Sweep });
            }
        }
        if chore == Chore::Sweep {
            self.garbage.push(pages);
        }
        let may_join = self.joint(pages.start()).or_else(|| self.joint(pages.end())).is_some();
        chore.max(if may_join { Chore::Join } else { Chore::None })
    }

    /// Unmaps what nobody needs any more in `span`, neighbours together.
    fn free_unused(&mut self, span: Span) {
        let unused = self.overlapping(span).filter(|segment| segment.is_free()).map(|segment| segment.span);
        for run in runs(unused.collect()) {
            // SAFETY: ours, under the lock; nobody owns it and no view and no running call holds it.
            match unsafe { sys::munmap(run) } {
                Ok(()) => self.forget(run),
                // Too many mappings to cut a hole: the addresses stay ours, and this is tried again.
                Err(_) => self.garbage.push(run),
            }
        }
    }

    /// Unmaps retired ranges that lost their last pin. Views die many at a time, when memory is collected, and often on
    /// another thread: to unmap them one by one would hold up every thread that maps or unmaps meanwhile.
    fn sweep(&mut self) {
        let mut garbage = std::mem::take(&mut self.garbage);
        garbage.sort_unstable_by_key(|span| span.start());
        for run in runs(garbage) {
            self.free_unused(run);
        }
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
            return room::spend(syscall);
        }
        let detail =
            format!("{} mappings are open; the system allows a process about {limit} beside its own", self.live);
        Err(Error::refused(syscall, libc::ENOMEM, detail))
    }
}

/// What unpinning leaves to be done; each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Chore {
    None,
    /// Addresses can be unmapped, in time.
    Sweep,
    /// Segments that were parts of one can be one again.
    Join,
    /// A file and its memory wait to be unmapped.
    Free,
}

/// Joins spans, sorted by their starts, that touch each other.
fn runs(spans: Vec<Span>) -> Vec<Span> {
    let mut runs: Vec<Span> = Vec::with_capacity(1);
    for span in spans {
        match runs.last_mut() {
            Some(last) if last.touches(span) => *last = last.union(span),
            _ => runs.push(span),
        }
    }
    runs
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
        let registry = REGISTRY.lock();
        if !registry.is_live(span, owner) {
            return None;
        }
        let pages = registry.unit_around(span)?;
        Self::hold(registry, span, pages)
    }

    /// Holds `pages` for the sake of `span`.
    fn hold(mut registry: MutexGuard<'static, Registry>, span: Span, pages: Span) -> Option<Self> {
        if registry.is_whole(pages) {
            registry.pin(pages);
        } else {
            // Still under the lock: nothing has changed when the gate is closed.
            Change::of(registry).pin(pages);
        }
        Some(Self { span, pages })
    }

    /// The pinned range.
    pub fn span(&self) -> Span {
        self.span
    }
}

impl Clone for Pin {
    fn clone(&self) -> Self {
        // What a pin holds consists of whole segments: no gate to close.
        REGISTRY.lock().pin(self.pages);
        Self { ..*self }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut registry = REGISTRY.lock();
        let chore = registry.unpin(self.pages);
        let is_full = registry.garbage.len() >= registry.sweep_at;
        if chore == Chore::None || (chore == Chore::Sweep && sys::wake_watcher() && !is_full) {
            return;
        }
        let mut registry = Change::of(registry);
        if chore == Chore::Free {
            registry.free_unused(self.pages);
        }
        registry.join(self.pages.start());
        registry.join(self.pages.end());
        if !registry.garbage.is_empty() && (is_full || !sys::wake_watcher()) {
            registry.sweep();
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
        change().adopt(span, Tag { owned: true, ..tag });
        Self { span, id }
    }

    /// The whole pages.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Pins the mapping for the sake of a part of it; `None` if any of that part was unmapped.
    pub fn pin(&self, part: Span) -> Option<Pin> {
        let registry = REGISTRY.lock();
        // All of it, and not the part: calls that read here and there leave it one segment.
        if registry.is_live(self.span, Some(self.id)) {
            return Pin::hold(registry, part, self.span);
        }
        drop(registry);
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

/// An environment has ended: its objects are gone, whether or not its runtime says so of each. Their pages stay as long
/// as they are pinned: a view may have gone to another environment.
pub fn abandon(owner: usize) {
    let mut registry = change();
    let is_its = |segment: &&mut Segment| segment.tag.owned && segment.tag.log.owner == owner;
    for segment in registry.segments.values_mut().filter(is_its) {
        if segment.state == State::Kept {
            segment.state = State::Loose;
        }
    }
    let unused: Vec<Span> = registry.segments.values().filter(|one| one.is_free()).map(|one| one.span).collect();
    for span in unused {
        registry.free_unused(span);
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

/// Whether nothing is mapped or held.
pub(crate) fn is_empty() -> bool {
    REGISTRY.lock().segments.is_empty()
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
    fn release_unmaps_what_nobody_holds() {
        let map = owned(3);
        map.release().unwrap();
        assert!(is_free(map.span()));
        map.release().unwrap();
    }

    #[test]
    fn release_retires_what_a_pin_holds() {
        let map = owned(3);
        let middle = Pin::new(page(map.span(), 1)).unwrap();
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
    fn pins_on_parts_leave_one_segment_behind() {
        let map = owned(4);
        let before = census();
        let pins = [0, 1, 1, 3].map(|index| Pin::new(page(map.span(), index)).unwrap());
        assert!(census().live > before.live);
        drop(pins);
        assert_eq!(census(), before);
        assert!(!lock().is_pinned(map.span()));
    }

    #[test]
    fn neighbouring_pins_are_dropped_one_by_one() {
        let map = owned(2);
        let [first, second] = [0, 1].map(|index| Pin::new(page(map.span(), index)).unwrap());
        let whole = map.pin(map.span()).unwrap();
        drop(first);
        map.release().unwrap();
        drop(whole);
        census();
        assert!(is_free(page(map.span(), 0)));
        assert!(!is_free(page(map.span(), 1)));
        drop(second);
        census();
        assert!(is_free(page(map.span(), 1)));
    }

    #[test]
    fn a_mapping_that_replaces_another_is_held_by_its_pins() {
        let first = owned(3);
        let pin = Pin::new(page(first.span(), 1)).unwrap();
        change().adopt(first.span(), tag(first.span()));
        assert!(first.pin(page(first.span(), 1)).is_none());
        assert!(lock().is_pinned(page(first.span(), 1)));
        assert!(!lock().is_pinned(page(first.span(), 0)));
        change().release(first.span(), None).unwrap();
        assert!(!is_free(page(first.span(), 1)));
        drop(pin);
        census();
        assert!(is_free(first.span()));
    }

    #[test]
    fn gaps_are_what_is_not_ours() {
        let map = owned(3);
        change().release(page(map.span(), 1), None).unwrap();
        assert_eq!(lock().gaps(map.span()), [page(map.span(), 1)]);
        assert!(!lock().is_live(map.span(), None));
    }
}
