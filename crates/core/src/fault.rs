//! Accesses that the kernel answers with SIGBUS or SIGSEGV: patched, recorded, told.
//!
//! ```text
//!   access --> kernel --> signal.rs --> resolve()            any thread, any instruction: no lock, no allocation
//!                                          |  patches the page, notes a record, writes to the pipe
//!                                          v
//!   registry change --> records() --> FaultLog of the mapping --> errors of its methods, `faults`
//!                                          |
//!   watcher thread <-- pipe                `--> take_events() --> onFault or a warning
//! ```
//!
//! # Why this is right while other threads map and unmap
//! [`resolve`] runs inside the [`gate`](crate::gate): no change of the registry runs meanwhile, so what the
//! [`table`](crate::table) says of an address is what is mapped there, and the page that is replaced is ours. If a
//! change is under way, `resolve` does nothing and the access faults again. Two handlers for one segment exclude each
//! other in the same way. Before it replaces anything a handler asks the kernel whether the access would now succeed:
//! another thread may have patched the page, or the file may have grown back.
//!
//! Only system calls touch the mapped memory here, and they report `EFAULT` instead of faulting: there is no fault
//! within a fault.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicU8, AtomicUsize, Ordering};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::range::{round_down, round_up, Span};
use crate::registry::{Tag, GATE, TABLE};
use crate::room;
use crate::sys;
use crate::table::Entry;

/// What an access met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// The file has become shorter: these bytes are not in it any more. They read as zeros, and writes to them are lost.
    Truncated = 1,
    /// The file system had no room, or no working device, for a page that was written. The page is kept in memory.
    NotStored = 2,
    /// A page that may only be read was written. The write stays in a private copy of the page.
    ReadOnly = 3,
    /// The mapping was unmapped. The addresses read as zeros, and writes to them are lost.
    Closed = 4,
    /// The device could not deliver a page. It reads as zeros.
    IoError = 5,
    /// A page that may not be accessed at all was. It was made readable; a private one, for a write, writable.
    Protected = 6,
    /// The file system had no room to show a page that was read, as a full tmpfs has none for the page of a hole. It
    /// reads as what the file has there; a write to it is a fault of its own.
    NotLoaded = 7,
}

impl Kind {
    /// The name that users see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::NotStored | Self::NotLoaded => "not-stored",
            Self::ReadOnly => "read-only",
            Self::Closed => "closed",
            Self::IoError => "io-error",
            Self::Protected => "protected",
        }
    }

    fn from_u8(value: u8) -> Option<Self> {
        use Kind::{Closed, IoError, NotLoaded, NotStored, Protected, ReadOnly, Truncated};
        [Truncated, NotStored, ReadOnly, Closed, IoError, Protected, NotLoaded]
            .into_iter()
            .find(|kind| *kind as u8 == value)
    }
}

/// A fault within a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The first byte that is concerned, from the start of the mapping.
    pub offset: u64,
    /// Bytes that are concerned.
    pub length: u64,
    /// What happened.
    pub kind: Kind,
}

/// A range whose pages are not the file's, since a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Whole pages.
    pub span: Span,
    /// Why.
    pub kind: Kind,
}

/// All faults of one mapping.
#[derive(Debug)]
pub struct FaultLog {
    /// Whom to tell: the binding's name for a runtime environment.
    owner: AtomicUsize,
    /// The file's name, for messages.
    pub label: Option<PathBuf>,
    /// Faults so far.
    count: AtomicU64,
    /// Faults so far, and those of our own making, of which nobody is told.
    noted: AtomicU64,
    /// Work in other threads that reads the memory now.
    readers: AtomicUsize,
    details: Mutex<Details>,
}

#[derive(Debug, Default)]
struct Details {
    /// The mapping's bytes; `None` as long as it has none.
    data: Option<Span>,
    /// Where they start in the file.
    start: u64,
    /// The most bytes that there ever were: what lies behind them was never handed out.
    most: usize,
    /// The first faults, up to [`LONGEST_LIST`].
    list: Vec<Fault>,
    patches: Vec<Patch>,
}

/// A list of faults ends here; the count goes on.
const LONGEST_LIST: usize = 1024;

impl FaultLog {
    /// An empty log for the bytes `data`.
    pub fn new(data: Span, owner: usize, label: Option<PathBuf>) -> Arc<Self> {
        Self::of_file(Some(data), 0, owner, label)
    }

    /// An empty log for the bytes `data`, which start at `start` in a file.
    pub fn of_file(data: Option<Span>, start: u64, owner: usize, label: Option<PathBuf>) -> Arc<Self> {
        Arc::new(Self {
            owner: AtomicUsize::new(owner),
            label,
            count: AtomicU64::new(0),
            noted: AtomicU64::new(0),
            readers: AtomicUsize::new(0),
            details: Mutex::new(Details { data, start, most: data.map_or(0, Span::len), ..Details::default() }),
        })
    }

    /// The mapping's bytes are others now. What was noted of pages that it has not any more is forgotten, but not the faults.
    pub fn set_data(&self, data: Option<Span>) {
        let mut details = self.details.lock();
        details.data = data;
        details.most = details.most.max(data.map_or(0, Span::len));
        for patch in std::mem::take(&mut details.patches) {
            let kept =
                data.and_then(|data| data.widened(sys::page_size())).and_then(|pages| pages.intersect(patch.span));
            details.patches.extend(kept.map(|span| Patch { span, kind: patch.kind }));
        }
    }

    /// The pages of `from`, with what has replaced some of them, lie at `to` now.
    pub(crate) fn move_patches(&self, from: Span, to: usize) {
        for patch in &mut self.details.lock().patches {
            if let Some(span) = patch.span.moved(from.start(), to) {
                patch.span = span;
            }
        }
    }

    /// Whom to tell: the binding's name for a runtime environment.
    pub fn owner(&self) -> usize {
        self.owner.load(Ordering::Acquire)
    }

    /// Has another environment told from now on.
    pub(crate) fn set_owner(&self, owner: usize) {
        self.owner.store(owner, Ordering::Release);
    }

    /// How many faults there were.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// How often a handler replaced anything at all.
    pub(crate) fn noted(&self) -> u64 {
        self.noted.load(Ordering::Acquire)
    }

    /// The faults, oldest first; not more than 1024 of them.
    pub fn list(&self) -> Vec<Fault> {
        self.details.lock().list.clone()
    }

    /// The ranges that are not the file's.
    pub fn patches(&self) -> Vec<Patch> {
        if self.count() == 0 {
            return Vec::new();
        }
        self.details.lock().patches.clone()
    }

    /// The first range in `span` that is not the file's, as a fault.
    pub fn patched(&self, span: Span) -> Option<Fault> {
        if self.count() == 0 {
            return None;
        }
        let details = self.details.lock();
        let hit = details.patches.iter().find_map(|patch| Some((patch.span.intersect(span)?, patch.kind)));
        hit.map(|(part, kind)| details.within(part, None, kind))
    }

    /// Notes that the pages of `span` are the file's again, as to patches of this kind.
    pub fn heal(&self, span: Span, kind: Kind) {
        heal(&mut self.details.lock().patches, span, kind);
    }

    /// A range of addresses as offsets in the mapping, without what its pages have before and behind its bytes.
    pub fn within(&self, span: Span, kind: Kind) -> Fault {
        self.details.lock().within(span, None, kind)
    }

    /// Says that work of our own in another thread reads the memory. If the mapping is unmapped meanwhile, it is this work that
    /// meets what is retired: its caller is told that the mapping is closed, and nobody of a fault.
    pub fn read_elsewhere(&self) -> Reader<'_> {
        self.readers.fetch_add(1, Ordering::AcqRel);
        Reader(self)
    }

    /// Notes a fault, unless it is of our own making. `at` is where the span is, or was, in the file. Private pages that are
    /// written against their protection are what they were, and are not replaced.
    fn add(&self, span: Span, at: u64, kind: Kind, is_private: bool) -> Option<Fault> {
        self.noted.fetch_add(1, Ordering::AcqRel);
        if kind == Kind::Closed && self.readers.load(Ordering::Acquire) > 0 {
            return None;
        }
        let mut details = self.details.lock();
        let fault = details.within(span, Some(at), kind);
        if details.list.len() < LONGEST_LIST {
            details.list.push(fault);
        }
        let is_replaced = match kind {
            Kind::Closed | Kind::Protected => false,
            Kind::ReadOnly => !is_private,
            _ => true,
        };
        if is_replaced {
            // A neighbour or the same range again: one patch.
            let patches = &mut details.patches;
            if kind == Kind::NotStored {
                // Read before, written now: from now on there is something to store.
                heal(patches, span, Kind::NotLoaded);
            }
            match patches.iter_mut().rev().find(|patch| patch.kind == kind && patch.span.touches(span)) {
                Some(patch) => patch.span = patch.span.union(span),
                None => patches.push(Patch { span, kind }),
            }
        }
        self.count.fetch_add(1, Ordering::AcqRel);
        Some(fault)
    }
}

impl Details {
    /// A range of addresses as offsets in the mapping. What it has not any more is told by where it was in the file, if that
    /// is known.
    fn within(&self, span: Span, at: Option<u64>, kind: Kind) -> Fault {
        let wide = |value| u64::try_from(value).unwrap_or(u64::MAX);
        let part = self.data.and_then(|data| Some((data, span.intersect(data)?)));
        let (offset, length) = match (part, at, self.data) {
            (Some((data, part)), ..) => (wide(part.start().saturating_sub(data.start())), part.len()),
            (None, Some(at), _) => (at.saturating_sub(self.start), span.len()),
            (None, None, data) => (0, data.map_or(0, Span::len)),
        };
        Fault { offset, length: wide(length).min(wide(self.most).saturating_sub(offset)), kind }
    }
}

/// Work of our own reads the memory of a mapping, until this is dropped.
#[derive(Debug)]
pub struct Reader<'a>(&'a FaultLog);

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        // What it met is entered while it still counts.
        settle();
        self.0.readers.fetch_sub(1, Ordering::AcqRel);
    }
}

fn heal(patches: &mut Vec<Patch>, span: Span, kind: Kind) {
    for patch in std::mem::take(patches) {
        if patch.kind != kind {
            patches.push(patch);
            continue;
        }
        let rest = [patch.span.before(span.start()), patch.span.from(span.end())];
        patches.extend(rest.into_iter().flatten().map(|span| Patch { span, kind }));
    }
}

/// A fault that somebody is to hear of.
#[derive(Clone, Debug)]
pub struct Event {
    /// The mapping's log.
    pub log: Arc<FaultLog>,
    /// The mapping's id.
    pub id: u64,
    /// The fault.
    pub fault: Fault,
}

static EVENTS: Mutex<Vec<Event>> = Mutex::new(Vec::new());

/// Events that nobody takes are counted in their logs, and not kept beyond this many.
const MOST_EVENTS: usize = 65_536;

/// Takes the events that `is_mine` chooses by their owner.
pub fn take_events(is_mine: impl Fn(usize) -> bool) -> Vec<Event> {
    settle();
    let mut events = EVENTS.lock();
    let (mine, others) = events.drain(..).partition(|event| is_mine(event.log.owner()));
    *events = others;
    mine
}

/// Turns the catching of faults on or off for the process. Off, a stray access ends the process as it would without
/// us, but for ranges that were unmapped under a view: those read as zeros.
pub fn set_guard(on: bool) {
    sys::set_guard(on);
    if !on {
        crate::registry::change().open_retired();
    }
}

/// Brings records that handlers made into the logs.
pub fn settle() {
    if RECORDED.load(Ordering::Acquire) != 0 {
        drop(crate::registry::change());
    }
}

/// Who has the runtimes told of new events. Called on the watcher thread.
static LISTENER: Mutex<Option<fn()>> = Mutex::new(None);

/// Sets whom the watcher thread calls when there may be events to take.
pub fn set_listener(listener: fn()) {
    *LISTENER.lock() = Some(listener);
}

/// Empties the table of records and has the runtimes told.
pub(crate) fn notify() {
    settle();
    let listener = *LISTENER.lock();
    if let Some(listener) = listener {
        listener();
    }
}

/// A record of a fault in the making: written by one handler, read with the gate closed.
struct Record {
    start: AtomicUsize,
    end: AtomicUsize,
    kind: AtomicU8,
}

const MOST_RECORDS: usize = 4096;

static RECORDS: [Record; MOST_RECORDS] =
    [const { Record { start: AtomicUsize::new(0), end: AtomicUsize::new(0), kind: AtomicU8::new(0) } }; MOST_RECORDS];

/// Records in the table, and beyond its end those for which there was no room.
static RECORDED: AtomicUsize = AtomicUsize::new(0);

/// Takes a place in the table for a fault that is about to be patched; `None` if it is full.
fn reserve_record() -> Option<&'static Record> {
    let index = RECORDED.fetch_add(1, Ordering::AcqRel);
    let record = RECORDS.get(index);
    match record {
        // Nothing is recorded until `fill`.
        Some(record) => record.kind.store(0, Ordering::Release),
        None => drop(RECORDED.fetch_sub(1, Ordering::AcqRel)),
    }
    record
}

impl Record {
    fn fill(&self, span: Span, kind: Kind) {
        self.start.store(span.start(), Ordering::Release);
        self.end.store(span.end(), Ordering::Release);
        self.kind.store(kind as u8, Ordering::Release);
    }
}

/// All records, oldest first. Only with the gate closed.
pub(crate) fn records() -> Vec<(Span, Kind)> {
    let count = RECORDED.load(Ordering::Acquire).min(MOST_RECORDS);
    RECORDS
        .iter()
        .take(count)
        .filter_map(|record| {
            let span = Span::between(record.start.load(Ordering::Acquire), record.end.load(Ordering::Acquire))?;
            Some((span, Kind::from_u8(record.kind.load(Ordering::Acquire))?))
        })
        .collect()
}

/// Forgets all records, with the gate still closed. Not before they are in their logs: who finds no records takes the
/// logs for complete.
pub(crate) fn forget_records() {
    RECORDED.store(0, Ordering::Release);
}

/// Enters a record in its mapping's log and among the events. Called by the registry, which knows the mapping.
pub(crate) fn enter(tag: &Tag, span: Span, at: u64, kind: Kind) {
    let Tag { id, log, .. } = tag;
    let is_private = tag.flags & MAP_TYPE == libc::MAP_PRIVATE;
    let Some(fault) = log.add(span, at, kind, is_private) else { return };
    let mut events = EVENTS.lock();
    if events.len() < MOST_EVENTS {
        events.push(Event { log: log.clone(), id: *id, fault });
    }
}

/// An access that faulted, as the signal tells it.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// The address.
    pub address: usize,
    /// It was a write, or may have been one.
    pub write: bool,
    /// The memory itself is broken (`BUS_MCEERR_AR`).
    pub hardware: bool,
}

/// What a handler made of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The access will succeed now.
    Resolved,
    /// Another thread is busy with it: the access is to fault again.
    Retry,
    /// Not our address, or nothing could be done.
    Foreign,
}

/// One handler at a time for each of these shares of the segments.
static CLAIMS: [AtomicBool; 64] = [const { AtomicBool::new(false) }; 64];

struct Claim(&'static AtomicBool);

impl Claim {
    fn try_take(entry: &Entry) -> Option<Self> {
        // Where a mapping is replaced as a whole its segments are not apart.
        let share = if sys::WHOLE_MAPPINGS { 0 } else { entry.span.start().checked_div(sys::page_size())? };
        let share = share.checked_rem(CLAIMS.len())?;
        let claim = CLAIMS.get(share)?;
        // Not `then_some`: a claim that is made and dropped frees the share, whoever has it.
        (!claim.swap(true, Ordering::AcqRel)).then(|| Self(claim))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// The address of the last fault that seemed to be over already, how often it came in a row, and since when: an access
/// that goes on faulting for a reason unknown here must not go on forever. Threads that meet at one address, again and
/// again but now and then, are no such thing.
static LAST_RETRIED: AtomicUsize = AtomicUsize::new(0);
static RETRIES: AtomicUsize = AtomicUsize::new(0);
static RETRIED_SINCE: AtomicU64 = AtomicU64::new(0);
const MOST_RETRIES: usize = 100_000;
const RETRY_SECONDS: u64 = 2;

/// Makes an access to one of our addresses succeed. Called from a signal handler.
pub fn resolve(access: Access) -> Outcome {
    let Some(_inside) = GATE.try_enter() else { return Outcome::Retry };
    let Some(entry) = TABLE.find(access.address) else { return Outcome::Foreign };
    let Some(_claim) = Claim::try_take(&entry) else { return Outcome::Retry };
    let Some(page) = page_of(&entry, access.address) else { return Outcome::Foreign };
    let mut size = None;
    if !access.hardware && !entry.retired && would_succeed(&entry, page, access.write, &mut size) {
        return retried(access.address);
    }
    let Some(record) = reserve_record() else {
        sys::wake_watcher();
        return Outcome::Retry;
    };
    // The file may become shorter while its page is copied: then the page is one of those that are gone.
    let now = || entry.file.and_then(sys::size_if_same);
    let patched = patch(&entry, page, access, size).or_else(|| truncated(&entry, page, now()));
    // What cannot be kept for want of mappings is lost, and told: better than the process.
    // The kernel replaces no part of a huge page: a segment that had one would take all of it.
    let whole = || {
        let widened = || entry.span.widened(entry.unit).filter(|_| is_huge(&entry));
        let spans = std::iter::once(entry.span).chain(widened());
        spans.into_iter().find(|span| zeros(*span)).map(|span| (span, Kind::IoError))
    };
    let Some((span, kind)) = patched.or_else(whole) else { return Outcome::Foreign };
    record.fill(span, kind);
    sys::wake_watcher();
    Outcome::Resolved
}

/// Whether the access would not fault any more: the page was patched by another thread, or is in the file again.
///
/// A file that others truncate and grow may change between two looks. An access is taken for more than that, an I/O
/// error or the like, if it fails again and again while the file is said to have the page.
fn would_succeed(entry: &Entry, page: Span, write: bool, size: &mut Option<u64>) -> bool {
    (0..LOOKS).any(|_| {
        let is_behind_end = size.is_some_and(|size| file_offset(entry, page) >= size);
        let succeeds = !is_behind_end && sys::would_succeed(page, write);
        if !is_behind_end && !succeeds {
            *size = entry.file.and_then(sys::size_if_same);
        }
        succeeds
    })
}

const LOOKS: usize = 3;

/// Where a page of a segment is in its file, in bytes.
fn file_offset(entry: &Entry, page: Span) -> u64 {
    let skipped = u64::try_from(page.start().saturating_sub(entry.span.start())).unwrap_or(u64::MAX);
    entry.offset.saturating_add(skipped)
}

fn retried(address: usize) -> Outcome {
    let now = sys::monotonic_seconds();
    let is_old = now.saturating_sub(RETRIED_SINCE.load(Ordering::Acquire)) >= RETRY_SECONDS;
    if LAST_RETRIED.swap(address, Ordering::AcqRel) != address || is_old {
        RETRIED_SINCE.store(now, Ordering::Release);
        RETRIES.store(0, Ordering::Release);
    }
    if RETRIES.fetch_add(1, Ordering::AcqRel) < MOST_RETRIES {
        Outcome::Resolved
    } else {
        Outcome::Foreign
    }
}

fn is_huge(entry: &Entry) -> bool {
    entry.unit > sys::page_size()
}

/// What is patched at once: a page, or all of a segment of huge ones.
fn page_of(entry: &Entry, address: usize) -> Option<Span> {
    if is_huge(entry) {
        return Some(entry.span);
    }
    Span::new(round_down(address, sys::page_size()), sys::page_size())
}

/// Makes `page` accessible. Returns what is now other than the file, and why; `None` if the kernel refuses.
/// `size` is what the file had when the access was last seen to fail: a later one may be another story.
fn patch(entry: &Entry, page: Span, access: Access, size: Option<u64>) -> Option<(Span, Kind)> {
    if entry.retired {
        let start = round_down(page.start(), sys::MOST_ZEROS);
        let lot = Span::between(start, start.saturating_add(sys::MOST_ZEROS)).and_then(|lot| lot.intersect(entry.span));
        return [lot, Some(page)].into_iter().flatten().find(|lot| zeros(*lot)).map(|lot| (lot, Kind::Closed));
    }
    if access.hardware {
        return broken(entry, page).map(|span| (span, Kind::IoError));
    }
    let readable = entry.prot & libc::PROT_READ != 0;
    let writable = entry.prot & libc::PROT_WRITE != 0;
    if !readable {
        let is_private = entry.flags & MAP_TYPE == libc::MAP_PRIVATE;
        // A write of what others would see stays here, and is told as such: its page was made readable by the fault before.
        if access.write && !is_private && sys::can_be_read(page) {
            return private(entry, page).map(|span| (span, Kind::ReadOnly));
        }
        if !sys::make_readable(page) {
            return None;
        }
        if !sys::can_be_read(page) {
            return zeros(page).then_some((page, Kind::Truncated));
        }
        // What is in the page is kept: it may be the only copy.
        let accessible = !access.write || !is_private || private(entry, page).is_some();
        return accessible.then_some((page, Kind::Protected));
    }
    let gone = truncated(entry, page, size);
    if gone.is_some() {
        return gone;
    }
    if access.write && !writable {
        if size.is_none() && !sys::can_be_read(page) {
            return zeros(page).then_some((page, Kind::Truncated));
        }
        return private(entry, page).map(|span| (span, Kind::ReadOnly));
    }
    if size.is_none() {
        // The file is not known: what can be read is there.
        return if access.write && sys::would_succeed(page, false) {
            private(entry, page).map(|span| (span, Kind::NotStored))
        } else {
            let lost = lost_from(entry, page);
            zeros(lost).then_some((lost, Kind::Truncated))
        };
    }
    if access.write && sys::would_succeed(page, false) {
        return private(entry, page).map(|span| (span, Kind::NotStored));
    }
    // What the kernel has no room for as a page can be read from the file all the same; what it cannot deliver cannot.
    if copy_of_file(entry, page, access.write) {
        return Some((page, if access.write { Kind::NotStored } else { Kind::NotLoaded }));
    }
    zeros(page).then_some((page, Kind::IoError))
}

/// Puts something in the place of a page that is lost. Returns what is replaced.
#[cfg(not(windows))]
fn broken(_entry: &Entry, page: Span) -> Option<Span> {
    zeros(page).then_some(page)
}

/// Puts something in the place of a page that the device cannot deliver. Returns what is replaced.
#[cfg(windows)]
fn broken(entry: &Entry, page: Span) -> Option<Span> {
    let file = entry.file?;
    // SAFETY: inside the gate and with the claim, these pages are ours and nobody else replaces them.
    unsafe { sys::replace_broken(page, file.fd, file_offset(entry, page)) }.ok()
}

/// The pages from `page` on that cannot be read, up to a limit: one mapping of zeros, and one fault, for all of them.
fn lost_from(entry: &Entry, page: Span) -> Span {
    let followers = entry.span.from(page.end()).into_iter().flat_map(|rest| rest.pieces(sys::page_size()));
    let lost = followers.take(MOST_LOST).take_while(|next| !sys::can_be_read(*next));
    lost.fold(page, Span::union)
}

const MOST_LOST: usize = 1024;

/// Makes a page accessible that a file of this size has not any more, with all others that it has not.
fn truncated(entry: &Entry, page: Span, size: Option<u64>) -> Option<(Span, Kind)> {
    let kept = usize::try_from(size?.saturating_sub(entry.offset)).unwrap_or(usize::MAX);
    let kept = round_up(kept, sys::page_size()).unwrap_or(usize::MAX);
    let lost = entry.span.from(entry.span.start().saturating_add(kept))?;
    (lost.contains(page) && zeros(lost)).then_some((lost, Kind::Truncated))
}

/// Replaces `page` by private memory with what the file has there. It can be written only if that was asked for.
fn copy_of_file(entry: &Entry, page: Span, write: bool) -> bool {
    let Some(file) = entry.file.filter(|_| !is_huge(entry)) else { return false };
    let prot = if write { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
    // SAFETY: inside the gate and with the claim, these pages are ours and nobody else replaces them.
    unsafe { sys::copy_from_file(page, prot, file.fd, file_offset(entry, page)) }.is_ok()
}

/// Where `MAP_SHARED` and `MAP_PRIVATE` are a number and no bits: `MAP_SHARED_VALIDATE` is 3.
const MAP_TYPE: i32 = 3;

fn zeros(span: Span) -> bool {
    // SAFETY: inside the gate and with the claim, these pages are ours and nobody else replaces them.
    unsafe { sys::map_zeros(span) }.is_ok()
}

/// Gives the process a copy of its own of a page, with the same contents. Where the process has too many mappings
/// for that, of all of the segment. Returns what is private now.
fn private(entry: &Entry, page: Span) -> Option<Span> {
    room::extents(entry.span, page).chain([page]).find(|span| make_private(entry, *span, page))
}

fn make_private(entry: &Entry, span: Span, page: Span) -> bool {
    let is_written = entry.prot & libc::PROT_WRITE != 0;
    let is_private = entry.flags & MAP_TYPE == libc::MAP_PRIVATE;
    if is_private && !is_written {
        // It is the process's own already, with what was written to it when it could be.
        // SAFETY: inside the gate and with the claim, these pages are ours.
        return unsafe { sys::mprotect(span, libc::PROT_READ | libc::PROT_WRITE) }.is_ok();
    }
    match entry.file.filter(|file| sys::size_if_same(*file).is_some()) {
        // A private mapping of the same file: pages that are not written go on to be the file's. More than a page may
        // hold what could not be stored of earlier writes, and is copied instead.
        Some(file) if span == page || !is_written => {
            let Ok(offset) = i64::try_from(file_offset(entry, span)) else { return false };
            // SAFETY: inside the gate and with the claim, these pages are ours and nobody else replaces them.
            let mapped = unsafe { sys::map_private(span, file.fd, offset) }.is_ok();
            // Where the kernel cannot show the page of the file, it cannot make the copy either.
            mapped && (sys::would_succeed(page, true) || copy_of_file(entry, page, true))
        }
        // SAFETY: as above; the pages are private already.
        None if is_private => unsafe { sys::mprotect(span, libc::PROT_READ | libc::PROT_WRITE) }.is_ok(),
        // SAFETY: as above.
        _ => span.len() <= LARGEST_COPY && unsafe { sys::copy_privately(span) }.is_ok(),
    }
}

/// More than this many bytes are not copied in a signal handler.
const LARGEST_COPY: usize = 1 << 28;

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 4096;

    fn pages(first: usize, count: usize) -> Span {
        Span::new((16 + first) * PAGE, count * PAGE).unwrap()
    }

    /// The log of a mapping of eight pages, whose first 100 and last 96 bytes are not asked for.
    fn log() -> Arc<FaultLog> {
        FaultLog::new(Span::new(16 * PAGE + 100, 8 * PAGE - 196).unwrap(), 0, None)
    }

    fn patch(first: usize, count: usize, kind: Kind) -> Patch {
        Patch { span: pages(first, count), kind }
    }

    #[test]
    fn faults_are_told_in_bytes_of_the_mapping() {
        let log = log();
        let fault = |offset, length, kind| Fault { offset, length, kind };
        assert_eq!(log.add(pages(0, 1), 0, Kind::ReadOnly, false), Some(fault(0, 3996, Kind::ReadOnly)));
        assert_eq!(log.add(pages(1, 1), 0, Kind::Truncated, false), Some(fault(3996, 4096, Kind::Truncated)));
        assert_eq!(log.add(pages(6, 2), 0, Kind::IoError, false), Some(fault(24_476, 8096, Kind::IoError)));
        assert_eq!(log.count(), 3);
        assert_eq!(log.list().first(), Some(&fault(0, 3996, Kind::ReadOnly)));
    }

    #[test]
    fn neighbours_of_one_kind_are_one_patch() {
        let log = log();
        for page in [1, 2, 2, 4, 3] {
            log.add(pages(page, 1), 0, Kind::NotStored, false);
        }
        log.add(pages(5, 1), 0, Kind::IoError, false);
        assert_eq!(log.count(), 6);
        let all: Vec<_> = (0..8).map(|page| log.patched(pages(page, 1)).map(|fault| fault.kind)).collect();
        let stored = Some(Kind::NotStored);
        assert_eq!(all, [None, stored, stored, stored, stored, Some(Kind::IoError), None, None]);
    }

    #[test]
    fn closed_and_protected_ranges_are_no_patches() {
        let log = log();
        log.add(pages(0, 8), 0, Kind::Closed, false);
        log.add(pages(0, 1), 0, Kind::Protected, false);
        assert_eq!((log.count(), log.patches()), (2, vec![]));
        assert_eq!(log.patched(pages(0, 8)), None);
    }

    #[test]
    fn healing_leaves_the_rest_and_other_kinds() {
        let log = log();
        log.add(pages(0, 8), 0, Kind::NotStored, false);
        log.add(pages(2, 4), 0, Kind::Truncated, false);
        log.heal(pages(3, 2), Kind::NotStored);
        let mut left = log.patches();
        left.sort_by_key(|patch| patch.span.start());
        assert_eq!(left, [patch(0, 3, Kind::NotStored), patch(2, 4, Kind::Truncated), patch(5, 3, Kind::NotStored)]);
        log.heal(pages(0, 8), Kind::Truncated);
        log.heal(pages(0, 8), Kind::NotStored);
        assert_eq!(log.patched(pages(0, 8)), None);
        assert_eq!(log.count(), 2);
    }

    #[test]
    fn a_page_that_is_written_after_it_was_read_is_to_be_stored() {
        let log = log();
        log.add(pages(1, 3), 0, Kind::NotLoaded, false);
        log.add(pages(2, 1), 0, Kind::NotStored, false);
        let mut left = log.patches();
        left.sort_by_key(|patch| patch.span.start());
        assert_eq!(left, [patch(1, 1, Kind::NotLoaded), patch(2, 1, Kind::NotStored), patch(3, 1, Kind::NotLoaded)]);
    }

    #[test]
    fn a_list_of_faults_ends_and_the_count_goes_on() {
        let log = log();
        for _ in 0..2000 {
            log.add(pages(1, 1), 0, Kind::ReadOnly, false);
        }
        assert_eq!((log.count(), log.list().len(), log.patches().len()), (2000, LONGEST_LIST, 1));
    }

    #[test]
    fn kinds_have_names_and_numbers_of_their_own() {
        for number in 1..=7 {
            assert_eq!(Kind::from_u8(number).map(|kind| kind as u8), Some(number));
        }
        assert_eq!((Kind::from_u8(0), Kind::from_u8(8)), (None, None));
    }

    #[test]
    fn a_share_is_claimed_by_one_handler_at_a_time() {
        let entry = Entry { span: pages(0, 1), retired: false, unit: PAGE, prot: 0, flags: 0, file: None, offset: 0 };
        let other = Entry { span: pages(1, 1), ..entry };
        let claim = Claim::try_take(&entry);
        assert!(claim.is_some());
        assert!(Claim::try_take(&entry).is_none());
        assert!(Claim::try_take(&entry).is_none());
        assert_eq!(Claim::try_take(&other).is_some(), !sys::WHOLE_MAPPINGS);
        drop(claim);
        assert!(Claim::try_take(&entry).is_some());
    }

    #[test]
    fn records_beyond_the_room_for_them_are_refused_until_they_are_taken() {
        // No handler runs meanwhile, and nobody takes what is made here.
        let _change = crate::registry::change();
        for index in 0..MOST_RECORDS {
            let record = reserve_record().unwrap();
            // Every other fault is not patched after all.
            if index % 2 == 0 {
                record.fill(pages(index, 1), Kind::ReadOnly);
            }
        }
        assert!(reserve_record().is_none());
        assert!(reserve_record().is_none());
        let found = records();
        assert_eq!(found.len(), MOST_RECORDS / 2);
        assert_eq!(found.get(1), Some(&(pages(2, 1), Kind::ReadOnly)));
        forget_records();
        assert!(records().is_empty());
        assert!(reserve_record().is_some());
        assert!(records().is_empty());
        forget_records();
    }
}
