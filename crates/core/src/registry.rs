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
//! * **reserved**: no memory and no file, but taken: room into which a mapping grows, or from which it has shrunk (see
//!   [`extent`]). Retired when its owner lets go of it.
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
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::error::{Error, Result};
use crate::fault::{self, FaultLog};
use crate::gate::Gate;
use crate::range::{round_down, Span};
use crate::room;
use crate::sys;
use crate::table::{Entry, FileIdentity, Table};

mod extent;

pub use extent::{Owned, Unpinnable, Withheld};

/// Between changes of the registry and fault handlers.
pub(crate) static GATE: Gate = Gate { closed: AtomicBool::new(false), inside: AtomicUsize::new(0) };

/// The segments, for fault handlers.
pub(crate) static TABLE: Table = Table::new();

/// A file that is mapped, and kept open for it.
#[derive(Debug)]
pub struct MappedFile {
    /// The open file; a section's handle where it [is none](Self::is_file).
    pub file: File,
    /// As a handler knows it again.
    pub identity: FileIdentity,
}

impl MappedFile {
    /// Takes over an open file with these metadata.
    pub fn new(file: File, metadata: &std::fs::Metadata) -> Arc<Self> {
        let identity = sys::identify(&file, metadata);
        Arc::new(Self { file, identity })
    }

    /// Takes over a section that is open.
    #[cfg(windows)]
    pub(crate) fn of_section(section: File) -> Arc<Self> {
        let identity = sys::identify_section(&section);
        Arc::new(Self { file: section, identity })
    }

    /// Whether it is a file, which has a size and can be given another. Shared memory of Windows is none.
    pub(crate) fn is_file(&self) -> bool {
        sys::is_file(self.identity)
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
    /// Bytes in a page of the mapping.
    pub unit: usize,
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
        let (id, unit) = (NEXT.fetch_add(1, Ordering::Relaxed), sys::page_size());
        Self { id, prot, flags, huge: false, unit, file, offset, log, owned: false }
    }

    /// The same with pages of so many bytes.
    #[must_use]
    pub fn with_unit(self, unit: usize) -> Self {
        Self { huge: unit > sys::page_size(), unit, ..self }
    }

    /// Whether what is written stays in this process. `MAP_SHARED` and `MAP_PRIVATE` are a number and no bits:
    /// `MAP_SHARED_VALIDATE` is 3.
    pub fn is_private(&self) -> bool {
        const MAP_TYPE: i32 = 3;
        self.flags & MAP_TYPE == libc::MAP_PRIVATE
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Kept,
    Loose,
    Retired,
    Reserved,
    /// Reserved, and never seen by a view: no pin holds it.
    Spare,
}

/// Who holds a segment. A pin holds whole segments, so that a pin on a part of a mapping makes that part a segment of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Holds {
    /// How many pins hold it.
    pins: u32,
    /// How many of them start where it starts, and end where it ends: it cannot be one with its neighbour there.
    starts: u32,
    ends: u32,
}

impl Holds {
    /// One pin more.
    fn add(&mut self, starts: bool, ends: bool) {
        self.pins = self.pins.saturating_add(1);
        self.starts = self.starts.saturating_add(u32::from(starts));
        self.ends = self.ends.saturating_add(u32::from(ends));
    }

    /// One pin less.
    fn remove(&mut self, starts: bool, ends: bool) {
        self.pins = self.pins.saturating_sub(1);
        self.starts = self.starts.saturating_sub(u32::from(starts));
        self.ends = self.ends.saturating_sub(u32::from(ends));
    }
}

#[derive(Clone, Debug)]
struct Segment {
    span: Span,
    state: State,
    tag: Tag,
    holds: Holds,
    /// Its place in the handlers' table; set when it enters the registry.
    slot: usize,
}

impl Segment {
    fn new(span: Span, tag: Tag) -> Self {
        Self { span, state: State::Kept, tag, holds: Holds::default(), slot: 0 }
    }

    fn entry(&self) -> Entry {
        Entry {
            span: self.span,
            retired: !self.is_live(),
            unit: self.tag.unit,
            prot: self.tag.prot,
            flags: self.tag.flags,
            file: self.tag.file.as_ref().map(|file| file.identity),
            offset: self.tag.offset,
        }
    }

    fn is_live(&self) -> bool {
        matches!(self.state, State::Kept | State::Loose)
    }

    fn is_reserved(&self) -> bool {
        matches!(self.state, State::Reserved | State::Spare)
    }

    fn belongs_to(&self, owner: Option<u64>) -> bool {
        owner.is_none_or(|id| self.tag.id == id)
    }

    /// Whether nobody needs it: not its owner, and no view and no running call.
    fn is_free(&self) -> bool {
        matches!(self.state, State::Loose | State::Retired) && self.holds.pins == 0
    }

    /// Whether this segment and the one that follows could be one. Not where a pin begins or ends: it holds whole segments.
    fn continues_as(&self, next: &Self) -> bool {
        self.span.end() == next.span.start()
            && (self.holds.pins, self.holds.ends, next.holds.starts) == (next.holds.pins, 0, 0)
            && (self.state, self.tag.id) == (next.state, next.tag.id)
            && (self.tag.prot, self.tag.huge) == (next.tag.prot, next.tag.huge)
            && self.offset_at(next.span.start()) == next.tag.offset
    }

    /// The offset in the file that belongs to an address of the segment, or to the one behind it.
    fn offset_at(&self, address: usize) -> u64 {
        let skipped = u64::try_from(address.saturating_sub(self.span.start())).unwrap_or(0);
        self.tag.offset.saturating_add(skipped)
    }

    /// The part of this segment that is `span`, with the file offset that belongs to it.
    fn part(&self, span: Span) -> Self {
        let tag = Tag { offset: self.offset_at(span.start()), ..self.tag.clone() };
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
                    let at = segment.offset_at(part.start());
                    fault::enter(&segment.tag, part, at, kind);
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
        let (mut left, mut right) = (segment.part(left), segment.part(right));
        (left.holds.ends, right.holds.starts) = (0, 0);
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
        let holds = Holds { ends: right.holds.ends, ..left.holds };
        let joined = Segment { span: left.span.union(right.span), holds, ..left.clone() };
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
        let whole = Segment::new(span, tag);
        let mut reached = span.start();
        for start in self.carve(span) {
            // Nobody cares where a segment ended that nobody holds, and a huge page must not lie in two.
            let Some(old) = self.remove(start).filter(|old| old.holds.pins > 0) else { continue };
            self.insert_part(&whole, reached, start, Holds::default());
            self.insert_part(&whole, start, old.span.end(), old.holds);
            reached = old.span.end();
        }
        self.insert_part(&whole, reached, span.end(), Holds::default());
    }

    fn insert_part(&mut self, whole: &Segment, start: usize, end: usize, holds: Holds) {
        if let Some(part) = Span::between(start, end) {
            self.insert(Segment { holds, ..whole.part(part) });
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
        if sys::WHOLE_MAPPINGS {
            // What has become several segments, by `mprotect` for one, is still one mapping to the system.
            start = self.mapping_around(start).map_or(start, |whole| whole.start().min(start));
            end = self.mapping_around(end.saturating_sub(1)).map_or(end, |whole| whole.end().max(end));
        }
        Span::between(start, end)?.widened(sys::page_size())
    }

    /// All segments around an address that one call has made, without a gap: with the addresses that it is to grow into.
    fn mapping_around(&self, address: usize) -> Option<Span> {
        let (_, segment) = self.segments.range(..=address).next_back()?;
        let is_next = |whole: Span, next: &Segment| {
            let is_retired = |one: &Segment| one.state == State::Retired;
            next.tag.id == segment.tag.id && is_retired(next) == is_retired(segment) && whole.touches(next.span)
        };
        let mut whole = segment.span;
        for (_, next) in self.segments.range(..segment.span.start()).rev() {
            if !is_next(whole, next) {
                break;
            }
            whole = whole.union(next.span);
        }
        for (_, next) in self.segments.range(segment.span.end()..) {
            if !is_next(whole, next) {
                break;
            }
            whole = whole.union(next.span);
        }
        Some(whole)
    }

    /// Whether a view or a running call holds any address of `span`.
    pub fn is_pinned(&self, span: Span) -> bool {
        self.overlapping(span).any(|segment| segment.holds.pins > 0)
    }

    /// Whether a view or a running call holds a part of any of the pages of `unit` bytes in `span`, and not all of it.
    pub fn is_pinned_within(&self, span: Span, unit: usize) -> bool {
        let mut pinned = self.overlapping(span).filter(|segment| segment.holds.pins > 0);
        pinned.any(|segment| segment.span.intersect(span).is_some_and(|part| !is_whole_pages(part, unit)))
    }

    /// Whether `span` has a part of a huge page, and not all of it. The kernel may let that pass as long as it has nothing to change.
    pub fn cuts_huge_page(&self, span: Span) -> bool {
        let mut huge = self.overlapping(span).filter(|segment| segment.tag.huge);
        huge.any(|segment| segment.span.intersect(span).is_some_and(|part| !is_whole_pages(part, segment.tag.unit)))
    }

    /// Notes that pages of ours have a new protection.
    pub fn set_prot(&mut self, span: Span, prot: i32) {
        let starts = self.carve(span);
        for start in &starts {
            if let Some(segment) = self.segments.get_mut(start).filter(|segment| segment.is_live()) {
                segment.tag.prot = prot;
                TABLE.set(segment.slot, &segment.entry());
            }
        }
        self.join_all(starts, span);
    }

    /// Makes one segment of neighbours in `span`, which was carved into segments that start at `starts`, and at its borders.
    fn join_all(&mut self, starts: Vec<usize>, span: Span) {
        for border in starts.into_iter().chain([span.end()]) {
            self.join(border);
        }
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
            .filter(|segment| segment.is_live() || (segment.is_reserved() && owner.is_some()))
            .filter(|segment| segment.belongs_to(owner))
            .filter_map(|segment| Some((segment.span.intersect(span)?, segment.holds.pins > 0)))
            .collect();
        if sys::WHOLE_MAPPINGS {
            return self.release_whole(&parts);
        }
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

    /// As [`release`](Registry::release), where the system unmaps what it has mapped and no part of it.
    fn release_whole(&mut self, parts: &[(Span, bool)]) -> Result<()> {
        for run in runs(parts.iter().map(|(part, _)| *part).collect()) {
            let mut rest = Some(run);
            while let Some(whole) = rest.and_then(|rest| self.mapping_around(rest.start())) {
                if !run.contains(whole) {
                    return Err(Error::refused("munmap", libc::EINVAL, "only a whole mapping can be unmapped here"));
                }
                let inside: Vec<(Span, bool)> =
                    parts.iter().filter(|(part, _)| whole.contains(*part)).copied().collect();
                if inside.iter().any(|(_, is_pinned)| *is_pinned) {
                    retire(whole)?;
                    inside.iter().for_each(|(part, _)| self.note_retired(*part));
                } else {
                    // SAFETY: in our registry, under the lock, and no view and no running call holds it.
                    unsafe { sys::munmap(whole) }?;
                    self.forget(whole);
                }
                rest = run.from(whole.end());
            }
        }
        Ok(())
    }

    fn note_retired(&mut self, span: Span) {
        self.split(span.start());
        self.split(span.end());
        self.set_state(span.start(), State::Retired);
    }

    /// Changes the state of the segment that starts at `start`.
    fn set_state(&mut self, start: usize, state: State) {
        let Some(segment) = self.segments.get_mut(&start) else { return };
        let was_live = segment.is_live();
        segment.state = state;
        match (was_live, segment.is_live()) {
            (true, false) => {
                // What is not live has no file: its descriptor is let go with the last live segment.
                self.files.extend(segment.tag.file.take());
                self.live = self.live.saturating_sub(1);
            }
            (false, true) => self.live = self.live.saturating_add(1),
            _ => {}
        }
        TABLE.set(segment.slot, &segment.entry());
    }

    /// The owner of `span` is gone without a release: its pages stay as long as they are pinned.
    fn loosen(&mut self, span: Span, owner: u64) {
        // A mapping that has got these addresses since is not cut.
        if !self.overlapping(span).any(|segment| segment.tag.id == owner) {
            return;
        }
        for start in self.carve(span) {
            if self.segments.get(&start).is_some_and(|segment| segment.tag.id == owner) {
                self.disown(start);
            }
        }
        self.free_unused(span);
    }

    /// The segment that starts at `start` stays for its pins only.
    fn disown(&mut self, start: usize) {
        match self.segments.get(&start).map(|segment| segment.state) {
            Some(State::Kept) => self.set_state(start, State::Loose),
            Some(State::Reserved | State::Spare) => self.set_state(start, State::Retired),
            _ => {}
        }
    }

    /// Holds a range. Where it is a part of a segment, that becomes a segment of its own: only with the gate closed.
    fn pin(&mut self, pages: Span) {
        for start in self.carve(pages) {
            if let Some(segment) = self.segments.get_mut(&start) {
                let span = segment.span;
                segment.holds.add(span.start() == pages.start(), span.end() == pages.end());
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
            let span = segment.span;
            segment.holds.remove(span.start() == pages.start(), span.end() == pages.end());
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

/// Makes a mapping with `map`. If there are no addresses left, those that only wait to be unmapped are, and `map` is tried again.
///
/// # Errors
/// Those of `map`.
pub fn reclaiming<T>(map: impl Fn() -> Result<T>) -> Result<T> {
    match map() {
        Err(error) if error.errno() == Some(libc::ENOMEM) => {
            change().sweep();
            map()
        }
        result => result,
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

/// Has the device store what `msync` has handed over of these pages, where that is a call of its own.
///
/// # Errors
/// As that call.
pub(crate) fn flush_files(span: Span) -> Result<()> {
    #[cfg(windows)]
    {
        let mut files: Vec<_> =
            lock().tags(span).into_iter().filter_map(|(_, tag)| tag.file).filter(|file| file.is_file()).collect();
        files.dedup_by_key(|file| file.identity);
        files.iter().try_for_each(|file| sys::flush_file(&file.file))?;
    }
    #[cfg(not(windows))]
    let _ = span;
    Ok(())
}

fn is_whole_pages(span: Span, unit: usize) -> bool {
    round_down(span.start(), unit) == span.start() && round_down(span.end(), unit) == span.end()
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
    } else if sys::WHOLE_MAPPINGS {
        // SAFETY: as above.
        unsafe { sys::retire(span) }?;
        // SAFETY: as above. Where there is no memory for them, the addresses stay without.
        let _ = unsafe { sys::map_zeros(span) };
        Ok(())
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

/// An environment has ended: its objects are gone, whether or not its runtime says so of each. Their pages stay as long
/// as they are pinned: a view may have gone to another environment.
pub fn abandon(owner: usize) {
    let mut registry = change();
    let is_its = |segment: &&Segment| segment.tag.owned && segment.tag.log.owner() == owner;
    let its: Vec<usize> = registry.segments.values().filter(is_its).map(|segment| segment.span.start()).collect();
    for start in its {
        registry.disown(start);
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
#[cfg(unix)]
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
        assert!(is_free(map.held()));
        map.release().unwrap();
    }

    #[test]
    fn release_retires_what_a_pin_holds() {
        let map = owned(3);
        let middle = Pin::new(page(map.held(), 1)).unwrap();
        map.release().unwrap();
        assert!(is_free(page(map.held(), 0)));
        assert!(!is_free(page(map.held(), 1)));
        assert!(is_free(page(map.held(), 2)));
        assert!(map.pin(middle.span(), 0).is_err());
        drop(middle);
        census();
        assert!(is_free(page(map.held(), 1)));
    }

    #[test]
    fn addresses_that_wait_to_be_unmapped_make_room() {
        let map = owned(1);
        let pin = Pin::new(map.held()).unwrap();
        map.release().unwrap();
        drop(pin);
        let calls = std::cell::Cell::new(0);
        let result = reclaiming(|| {
            calls.set(calls.get() + 1);
            if calls.get() == 1 {
                Err(Error::system("mmap", libc::ENOMEM))
            } else {
                Ok(is_free(map.held()))
            }
        });
        assert_eq!((result, calls.get()), (Ok(true), 2));
        // Any other failure is final, and so is a second one.
        let denied: Result<()> = reclaiming(|| Err(Error::system("mmap", libc::EACCES)));
        assert_eq!(denied.unwrap_err().errno(), Some(libc::EACCES));
        let full: Result<()> = reclaiming(|| Err(Error::system("mmap", libc::ENOMEM)));
        assert_eq!(full.unwrap_err().errno(), Some(libc::ENOMEM));
    }

    #[test]
    fn a_dropped_owner_leaves_pinned_pages_mapped() {
        let map = owned(2);
        let span = map.held();
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
    fn an_owner_that_is_gone_does_not_cut_its_successor() {
        let wide = map_anonymous(3 * page_size(), MapOptions::default()).unwrap();
        let page = page(wide, 1);
        let first = Owned::adopt(page, tag(page));
        first.release().unwrap();
        sys::reserve(page).unwrap();
        let second = Owned::adopt(wide, tag(wide));
        let before = census();
        drop(first);
        assert_eq!(census(), before);
        second.release().unwrap();
    }

    #[test]
    fn an_owner_never_touches_its_successor() {
        let first = owned(1);
        let span = first.held();
        first.release().unwrap();
        sys::reserve(span).unwrap();
        let second = Owned::adopt(span, tag(span));
        assert!(first.pin(span, 0).is_err());
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
        let pins = [0, 1, 1, 3].map(|index| Pin::new(page(map.held(), index)).unwrap());
        assert!(census().live > before.live);
        drop(pins);
        assert_eq!(census(), before);
        assert!(!lock().is_pinned(map.held()));
    }

    #[test]
    fn neighbouring_pins_are_dropped_one_by_one() {
        let map = owned(2);
        let [first, second] = [0, 1].map(|index| Pin::new(page(map.held(), index)).unwrap());
        let whole = map.pin(map.held(), 0).unwrap();
        drop(first);
        map.release().unwrap();
        drop(whole);
        census();
        assert!(is_free(page(map.held(), 0)));
        assert!(!is_free(page(map.held(), 1)));
        drop(second);
        census();
        assert!(is_free(page(map.held(), 1)));
    }

    #[test]
    fn a_mapping_that_replaces_another_is_held_by_its_pins() {
        let first = owned(3);
        let pin = Pin::new(page(first.held(), 1)).unwrap();
        change().adopt(first.held(), tag(first.held()));
        assert!(first.pin(page(first.held(), 1), 0).is_err());
        assert!(lock().is_pinned(page(first.held(), 1)));
        assert!(!lock().is_pinned(page(first.held(), 0)));
        change().release(first.held(), None).unwrap();
        assert!(!is_free(page(first.held(), 1)));
        drop(pin);
        census();
        assert!(is_free(first.held()));
    }

    #[test]
    fn gaps_are_what_is_not_ours() {
        let map = owned(3);
        change().release(page(map.held(), 1), None).unwrap();
        assert_eq!(lock().gaps(map.held()), [page(map.held(), 1)]);
        assert!(!lock().is_live(map.held(), None));
    }
}
