//! [`Region`]: one range of bytes of a file, or of memory, behind a `Mapping`.

use std::cell::Cell;
use std::ffi::CString;
use std::fs::{File, Metadata};
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::error::{Error, Result};
use crate::fault::{self, Fault, FaultLog, Kind, Patch};
use crate::huge;
use crate::prefetch::touch_page;
use crate::range::{Layout, Span};
use crate::registry::{self, MappedFile, Pin, Tag, Unpinnable};
use crate::resize::{Extent, Growth};
use crate::share::Sharing;
use crate::sys::{self, RawFd};

pub use crate::sys::{Access, MapOptions};

/// Which file to map.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// The file of this name.
    Path(&'a Path),
    /// The file open under this descriptor, which is duplicated.
    Descriptor(RawFd),
}

/// What storing a range waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushMode {
    /// The device has it (`MS_SYNC`).
    Sync,
    /// It is on its way to the device (`MS_ASYNC`).
    Async,
    /// The device has it, and other mappings of the file show what the file has (`MS_INVALIDATE`).
    Invalidate,
}

/// How to open and map a file.
#[derive(Clone, Copy, Debug)]
pub struct OpenRequest {
    /// What the mapping allows.
    pub access: Access,
    /// The first byte, any.
    pub offset: u64,
    /// Bytes; `None` for all from `offset` to the end of the file.
    pub length: Option<u64>,
    /// Make the file if there is none, with these permission bits.
    pub create: Option<u32>,
    /// Fail with `EEXIST` if there is a file already.
    pub exclusive: bool,
    /// Let the file grow to `offset + length` bytes.
    pub grow: bool,
    /// Give blocks to what grows, so that a full disk is `ENOSPC` now and not a fault later.
    pub preallocate: bool,
    /// What is asked of the kernel beyond the range.
    pub options: MapOptions,
    /// Whom to tell of faults.
    pub owner: usize,
}

/// A mapped range of bytes. Dropped without [`unmap`](Region::unmap), the memory stays until its last pin is gone.
#[derive(Debug)]
pub struct Region {
    /// The bytes of the moment, in their pages. Held for reading by calls that are at work on them, so that they are neither cut
    /// off nor moved meanwhile.
    pub(crate) extent: RwLock<Extent>,
    pub(crate) access: Access,
    closed: AtomicBool,
    /// What its pages are tagged with: its name among the mappings of the process, its faults. Without the file.
    pub(crate) tag: Tag,
    /// Until it is unmapped.
    pub(crate) file: Mutex<Option<Arc<MappedFile>>>,
    pub(crate) growth: Growth,
    /// What `/proc/self/maps` calls its memory.
    name: Mutex<Option<CString>>,
    /// Pages of calls of `flush` that failed.
    pub(crate) unsynced: Mutex<Vec<Span>>,
    /// Whose it is.
    pub(crate) sharing: Sharing,
}

impl Region {
    /// Opens and maps a file.
    ///
    /// # Errors
    /// `open(2)`'s and `mmap(2)`'s; `EISDIR` and `ENODEV` for what cannot be mapped; [`Error::OutOfRange`] for a range
    /// that is not in the file; `ENOSPC`, `EFBIG` when it cannot grow, its length being then as before.
    pub fn open(source: Source<'_>, request: &OpenRequest) -> Result<Self> {
        sys::ensure_guard()?;
        registry::lock().check_room("mmap")?;
        let (file, created) = open_file(source, request)?;
        let label = match source {
            Source::Path(path) => Some(path.to_owned()),
            Source::Descriptor(_) => None,
        };
        Self::map(file, label, request).inspect_err(|_| {
            if let (true, Source::Path(path)) = (created, source) {
                // A file that this call made is not left behind. Its own failure would hide the first one.
                let _ = std::fs::remove_file(path);
            }
        })
    }

    /// Maps a file that is open. `label` is its name, for messages.
    pub(crate) fn map(file: File, label: Option<PathBuf>, request: &OpenRequest) -> Result<Self> {
        let metadata = file.metadata().map_err(|error| Error::from_io("fstat", &error))?;
        Growth::check(request.options, request.length.unwrap_or(0))?;
        if request.options.sync {
            // Before the file grows.
            sys::try_sync(&file)?;
        }
        let size = prepare(&file, &metadata, request)?;
        if size == 0 {
            check_emptiness(&file)?;
        }
        let room = size.checked_sub(request.offset).ok_or(Error::OutOfRange {
            name: "offset",
            max: size,
            limit: "the size of the file",
        })?;
        let length = request.length.unwrap_or(room);
        if length > room {
            return Err(Error::OutOfRange {
                name: "length",
                max: room,
                limit: "what the file has from offset on; with grow: true it grows",
            });
        }
        let layout = Layout::new(request.offset, length).ok_or(Error::refused(
            "mmap",
            libc::EFBIG,
            "beyond what can be mapped",
        ))?;
        let unit = page_size_of(&file, &metadata);
        let file = MappedFile::new(file, &metadata);
        let is_descriptor = label.is_none();
        let explain = |error: Error| match error.errno() {
            Some(libc::EACCES) if is_descriptor => {
                let detail = "the descriptor has to be open for reading, and with access 'write' for writing, too";
                Error::refused("mmap", libc::EACCES, detail)
            }
            _ => error,
        };
        let map = |file: &MappedFile| huge::map_file(&file.file, layout, request.access, request.options);
        Self::map_layout(file, label, layout, unit, request, map).map_err(explain)
    }

    /// Maps a range of a file, which it has, with `map` where no room is to be held behind it. `unit` is the size of its pages.
    pub(crate) fn map_layout(
        file: Arc<MappedFile>,
        label: Option<PathBuf>,
        layout: Layout,
        unit: usize,
        request: &OpenRequest,
        map: impl Fn(&MappedFile) -> Result<Span>,
    ) -> Result<Self> {
        let prot = match request.access {
            Access::Read => libc::PROT_READ,
            Access::Write | Access::Copy => libc::PROT_READ | libc::PROT_WRITE,
        };
        let flags = request.options.flags(request.access);
        let log = FaultLog::of_file(None, request.offset, request.owner, label);
        let tag = Tag::new(prot, flags, None, layout.page_offset, log).with_unit(unit);
        let growth = Growth::new(layout, request.options, request.preallocate);
        let extent = growth.map(layout, &Tag { file: Some(file.clone()), ..tag.clone() }, unit, || {
            registry::reclaiming(|| map(&file))
        })?;
        Ok(Self::new(extent, request.access, tag, Some(file), growth))
    }

    /// Maps zeroed memory of this process.
    ///
    /// # Errors
    /// `mmap(2)`'s, `ENOMEM` above all.
    pub fn anonymous(length: u64, options: MapOptions, owner: usize) -> Result<Self> {
        let layout =
            Layout::new(0, length).ok_or(Error::refused("mmap", libc::ENOMEM, "larger than the address space"))?;
        sys::ensure_guard()?;
        registry::lock().check_room("mmap")?;
        let flags = options.flags(Access::Copy) | libc::MAP_ANONYMOUS;
        let growth = Growth::new(layout, options, false);
        let mapped = if layout.map_length == 0 || growth.holds_room() {
            None
        } else {
            Some(registry::reclaiming(|| huge::map_anonymous(layout.map_length, options))?)
        };
        let unit = mapped.map_or(sys::page_size(), |(_, unit)| unit);
        let log = FaultLog::of_file(None, 0, owner, None);
        let tag = Tag::new(libc::PROT_READ | libc::PROT_WRITE, flags, None, 0, log).with_unit(unit);
        let none = || Error::system("mmap", libc::EINVAL);
        let extent = growth.map(layout, &tag, unit, || mapped.map(|(span, _)| span).ok_or_else(none))?;
        Ok(Self::new(extent, Access::Write, tag, None, growth))
    }

    /// Gives memory without a file a name that `/proc/self/maps` shows, where the kernel can do it: also to what it grows by.
    pub fn set_name(&self, name: CString) {
        *self.name.lock() = Some(name);
        self.show_name();
    }

    /// Has the kernel show the name for the pages that there are.
    pub(crate) fn show_name(&self) {
        let name = self.name.lock();
        let pages = self.extent.read().data().and_then(|data| data.widened(sys::page_size()));
        if let (Some(name), Some(pages)) = (name.as_ref(), pages) {
            sys::name_memory(pages, name);
        }
    }

    fn new(extent: Extent, access: Access, tag: Tag, file: Option<Arc<MappedFile>>, growth: Growth) -> Self {
        Self {
            extent: RwLock::new(extent),
            access,
            closed: AtomicBool::new(false),
            tag,
            file: Mutex::new(file),
            growth,
            name: Mutex::default(),
            unsynced: Mutex::default(),
            sharing: Sharing::default(),
        }
    }

    /// Its number among the mappings of the process, never reused.
    pub fn id(&self) -> u64 {
        self.tag.id
    }

    /// How many faults there were, and the first of them in order.
    pub fn faults(&self) -> (u64, Vec<Fault>) {
        fault::settle();
        (self.tag.log.count(), self.tag.log.list())
    }

    /// Has `owner` told of faults, if `is_gone` says so of who is told now.
    pub(crate) fn hand_over(&self, owner: usize, is_gone: impl Fn(usize) -> bool) {
        if is_gone(self.tag.log.owner()) {
            self.tag.log.set_owner(owner);
        }
    }

    /// Bytes.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        // Recursive: it may be asked for by a call that holds the lock.
        self.extent.read_recursive().length()
    }

    /// The address of the first byte; 0 for a region without bytes.
    pub fn address(&self) -> usize {
        self.extent.read_recursive().data().map_or(0, Span::start)
    }

    /// How often its bytes were given other addresses.
    pub fn moves(&self) -> u64 {
        self.extent.read_recursive().moves()
    }

    /// What it allows.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Whether the region was unmapped.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Lets go of the file and its memory. Addresses that a view or a running call still holds stay taken.
    ///
    /// # Errors
    /// The kernel's refusal; the region is then as before.
    pub fn unmap(&self) -> Result<()> {
        let extent = self.extent.read();
        extent.release()?;
        self.closed.store(true, Ordering::Release);
        drop(extent);
        // Closed without a lock: that may take its time.
        let file = self.file.lock().take();
        drop(file);
        Ok(())
    }

    /// Pins `length` bytes from `offset` for a view or a call. `None` when `length` is 0.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::OutOfRange`].
    pub fn pin(&self, offset: u64, length: u64) -> Result<Option<Pin>> {
        self.pin_in(&self.extent.read(), offset, length, 0)
    }

    /// As [`pin`](Region::pin), to do what needs the protection `prot` (`PROT_*`), for a caller that holds the extent.
    ///
    /// # Errors
    /// As [`pin`](Region::pin), and `EACCES` for pages that [`protect`](Region::protect) took rights from.
    pub(crate) fn pin_in(&self, extent: &Extent, offset: u64, length: u64, prot: i32) -> Result<Option<Pin>> {
        if self.is_closed() {
            return Err(Error::Closed);
        }
        let Some(span) = extent.slice(offset, length)? else { return Ok(None) };
        extent.pin(span, prot).map(Some).map_err(|why| match why {
            Unpinnable::Gone => Error::Closed,
            Unpinnable::Protected(part) => self.protected(part, prot),
        })
    }

    fn pin_for_writing(&self, extent: &Extent, offset: u64, length: u64) -> Result<Option<Pin>> {
        if self.access == Access::Read {
            self.pin_in(extent, offset, length, 0)?;
            return Err(Error::refused("write", libc::EACCES, "the mapping has access 'read'"));
        }
        self.pin_in(extent, offset, length, libc::PROT_WRITE)
    }

    /// Copies bytes from `offset` into `target`.
    ///
    /// # Errors
    /// As [`pin`](Region::pin).
    pub fn read(&self, offset: u64, target: &mut [u8]) -> Result<()> {
        self.read_to(offset, Cell::from_mut(target).as_slice_of_cells())
    }

    /// As [`read`](Region::read), into bytes that may lie in the region itself, as `memmove(3)`. They are no slice of `u8`: the
    /// compiler takes that for memory of its own, and would copy as if nothing overlapped.
    ///
    /// # Errors
    /// As [`pin`](Region::pin).
    pub fn read_to(&self, offset: u64, target: &[Cell<u8>]) -> Result<()> {
        let extent = self.extent.read();
        let length = target.len().try_into().unwrap_or(u64::MAX);
        let Some(pin) = self.pin_in(&extent, offset, length, libc::PROT_READ)? else { return Ok(()) };
        let start = target.as_ptr().cast::<u8>().cast_mut();
        // SAFETY: the pin holds the mapped source for the whole call; `copy` allows for a target that lies in it.
        unsafe { std::ptr::copy(address(&pin), start, target.len()) };
        self.verify(pin.span())
    }

    /// Copies `data` to `offset`.
    ///
    /// # Errors
    /// As [`pin`](Region::pin); `EACCES` for a region with access 'read'.
    pub fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        // SAFETY: a slice is readable.
        unsafe { self.copy_in(offset, data) }
    }

    /// As [`write`](Region::write), of bytes that may lie in the region itself, as `memmove(3)`.
    ///
    /// # Errors
    /// As [`write`](Region::write).
    pub fn write_from(&self, offset: u64, data: &[Cell<u8>]) -> Result<()> {
        // SAFETY: cells are readable.
        unsafe { self.copy_in(offset, bytes_of(data)) }
    }

    /// # Safety
    /// `data` is readable. It may lie in the region.
    unsafe fn copy_in(&self, offset: u64, data: *const [u8]) -> Result<()> {
        let extent = self.extent.read();
        let length = data.len().try_into().unwrap_or(u64::MAX);
        let Some(pin) = self.pin_for_writing(&extent, offset, length)? else { return Ok(()) };
        // SAFETY: the pin holds the mapped, writable target for the whole call; `copy` allows for overlap.
        unsafe { std::ptr::copy(data.cast::<u8>(), address_mut(&pin), data.len()) };
        self.verify(pin.span())
    }

    /// Repeats `pattern` over `length` bytes from `offset`; an empty pattern stands for zeros.
    ///
    /// # Errors
    /// As [`write`](Region::write).
    pub fn fill(&self, pattern: &[u8], offset: u64, length: u64) -> Result<()> {
        // SAFETY: a slice is readable.
        unsafe { self.repeat(pattern, offset, length) }
    }

    /// As [`fill`](Region::fill), with a pattern that may lie in the region itself.
    ///
    /// # Errors
    /// As [`write`](Region::write).
    pub fn fill_from(&self, pattern: &[Cell<u8>], offset: u64, length: u64) -> Result<()> {
        // SAFETY: cells are readable.
        unsafe { self.repeat(bytes_of(pattern), offset, length) }
    }

    /// # Safety
    /// `pattern` is readable. It may lie in the region.
    unsafe fn repeat(&self, pattern: *const [u8], offset: u64, length: u64) -> Result<()> {
        let extent = self.extent.read();
        let Some(pin) = self.pin_for_writing(&extent, offset, length)? else { return Ok(()) };
        let (start, length) = (address_mut(&pin), pin.span().len());
        if pattern.len() <= 1 {
            // SAFETY: the caller's contract, for the one byte that there is.
            let byte = if pattern.len() == 1 { unsafe { pattern.cast::<u8>().read() } } else { 0 };
            // SAFETY: the pin holds `length` mapped, writable bytes.
            unsafe { std::ptr::write_bytes(start, byte, length) };
            return self.verify(pin.span());
        }
        let mut filled = pattern.len().min(length);
        // SAFETY: not more than `length` bytes; `copy` allows for a pattern that lies in the mapping.
        unsafe { std::ptr::copy(pattern.cast::<u8>(), start, filled) };
        // What is filled is copied behind itself, twice as much each time.
        while filled < length {
            let step = filled.min(length.saturating_sub(filled));
            // SAFETY: `filled` is less than `length`.
            let target = unsafe { start.add(filled) };
            // SAFETY: `step` bytes are filled at the start, and fit behind them.
            unsafe { std::ptr::copy_nonoverlapping(start, target, step) };
            filled = filled.saturating_add(step);
        }
        self.verify(pin.span())
    }

    /// Copies `length` bytes from `start` to `target`, both within the region, as `memmove(3)`.
    ///
    /// # Errors
    /// As [`write`](Region::write).
    pub fn copy_within(&self, target: u64, start: u64, length: u64) -> Result<()> {
        let extent = self.extent.read();
        let from = self.pin_in(&extent, start, length, libc::PROT_READ)?;
        let to = self.pin_for_writing(&extent, target, length)?;
        let (Some(from), Some(to)) = (from, to) else { return Ok(()) };
        // SAFETY: both pins hold `length` mapped bytes, the target's writable.
        unsafe { std::ptr::copy(address(&from), address_mut(&to), from.span().len()) };
        self.verify(from.span())?;
        self.verify(to.span())
    }

    /// Writes changed pages of a range to the file (`msync(2)`).
    ///
    /// Checks the range now and returns the work, which may run on another thread.
    ///
    /// # Errors
    /// As [`pin`](Region::pin); the work's own errors are those and `msync(2)`'s, as of when it runs.
    pub fn flush(
        self: &Arc<Self>,
        offset: u64,
        length: u64,
        mode: FlushMode,
    ) -> Result<impl FnOnce() -> Result<()> + Send + 'static> {
        self.pin(offset, length)?;
        let region = self.clone();
        Ok(move || {
            region.steadily(offset, length, 0, |pin| {
                let Some(pin) = pin else { return Ok(()) };
                let pages = pin.span().widened(sys::page_size()).ok_or(Error::system("msync", libc::EINVAL))?;
                region.store(pages, mode)?;
                region.verify(pages)
            })
        })
    }

    /// `msync(2)`, `MS_ASYNC`. On Linux it does nothing, as the kernel knows which pages were written, and writes them back in its own
    /// time; so it is asked to begin. Whether that succeeds, the next `MS_SYNC` tells.
    fn start_writing(&self, pages: Span) -> Result<()> {
        sys::msync(pages, libc::MS_ASYNC)?;
        for (part, tag) in self.parts(pages)? {
            if let Some(file) = &tag.file {
                sys::start_writing(&file.file, tag.offset, part.len());
            }
        }
        Ok(())
    }

    fn store(&self, pages: Span, mode: FlushMode) -> Result<()> {
        if self.access == Access::Write {
            self.store_again(pages)?;
            match mode {
                FlushMode::Async => self.start_writing(pages)?,
                FlushMode::Sync | FlushMode::Invalidate => self.sync(pages)?,
            }
        }
        if mode != FlushMode::Invalidate || self.access == Access::Copy {
            return Ok(());
        }
        sys::msync(pages, libc::MS_INVALIDATE).map_err(|error| match error.errno() {
            Some(errno @ libc::EBUSY) => Error::refused("msync", errno, "a part of the range is locked in memory"),
            _ => error,
        })
    }

    /// `msync(2)`. The kernel takes pages for clean that it failed to write, and would not try them again: those of a
    /// failed call are made dirty before the next.
    fn sync(&self, pages: Span) -> Result<()> {
        let (again, others) = self.unsynced.lock().drain(..).partition(|span| pages.intersect(*span).is_some());
        *self.unsynced.lock() = others;
        let again: Vec<Span> = again;
        if !self.may_be_written(&again) {
            self.unsynced.lock().extend(again);
            let why = "pages that the file could not take before may not be written since protect()";
            return Err(Error::refused("msync", libc::EACCES, why));
        }
        for page in again.iter().flat_map(|span| span.pieces(sys::page_size())) {
            touch_page(page, true);
        }
        sys::msync(pages, libc::MS_SYNC).and_then(|()| registry::flush_files(pages)).inspect_err(|_| {
            let mut unsynced = self.unsynced.lock();
            unsynced.extend(again.into_iter().filter(|span| !pages.contains(*span)));
            unsynced.push(pages);
        })
    }

    fn may_be_written(&self, spans: &[Span]) -> bool {
        let registry = registry::lock();
        spans.iter().all(|span| registry.tags(*span).iter().all(|(_, tag)| tag.prot & libc::PROT_WRITE != 0))
    }

    /// The ranges whose pages are not the file's, since a fault.
    pub(crate) fn patches(&self) -> Vec<Span> {
        let patches = self.tag.log.patches();
        patches.into_iter().map(|patch| patch.span).collect()
    }

    /// A range of addresses as a fault of this region.
    pub(crate) fn fault_at(&self, span: Span, kind: Kind) -> Error {
        Error::Fault(self.tag.log.within(span, kind))
    }

    /// As [`FaultLog::read_elsewhere`].
    pub(crate) fn read_elsewhere(&self) -> fault::Reader<'_> {
        self.tag.log.read_elsewhere()
    }

    /// Fails if a part of `span` is not the file's.
    pub(crate) fn verify(&self, span: Span) -> Result<()> {
        if self.is_closed() {
            return Err(Error::Closed);
        }
        fault::settle();
        self.verify_settled(span)
    }

    /// The same when all faults are known, as they are in a [change](registry::change).
    pub(crate) fn verify_settled(&self, span: Span) -> Result<()> {
        match self.tag.log.patched(span) {
            Some(fault) => Err(Error::Fault(fault)),
            None => Ok(()),
        }
    }

    /// Tries to bring pages into the file that it could not take when they were written.
    pub(crate) fn store_again(&self, pages: Span) -> Result<()> {
        fault::settle();
        let log = &self.tag.log;
        let no_room = |kind| matches!(kind, Kind::NotStored | Kind::NotLoaded);
        let waits = |patch: &Patch| no_room(patch.kind) && patch.span.intersect(pages).is_some();
        if !log.patches().iter().any(waits) {
            return Ok(());
        }
        let registry = registry::change();
        for patch in log.patches().iter().filter(|patch| waits(patch)) {
            for (part, tag) in registry.tags(patch.span) {
                self.store_part(log, patch, part, &tag)?;
            }
        }
        Ok(())
    }

    /// Stores a part of a patch piece by piece, and maps each piece that is stored as the file's again.
    fn store_part(&self, log: &FaultLog, patch: &Patch, part: Span, tag: &Tag) -> Result<()> {
        let Some(file) = &tag.file else { return Ok(()) };
        let size = sys::size_if_same(file.identity).unwrap_or(0);
        let mut offset = tag.offset;
        for piece in part.pieces(STORE_PIECE) {
            let wide = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            let in_file = size.saturating_sub(offset).min(wide);
            let not_stored = || Error::Fault(log.within(piece, Kind::NotStored));
            // Who writes now faults, and comes back when the pages are the file's.
            // What was only read has nothing to store.
            let written = patch.kind == Kind::NotStored;
            if written && (in_file == 0 || !sys::make_readable(piece)) {
                return Err(not_stored());
            }
            let write = || match written {
                true => sys::write_from_memory(file.identity.fd, piece, in_file, offset),
                false => Ok(()),
            };
            let stored = write().and_then(|()| {
                // SAFETY: a part of this region's own pages, with the gate closed.
                unsafe { sys::map_again(piece, tag.prot, tag.flags, file.identity.fd, offset) }
            });
            if stored.is_err() {
                if written {
                    // SAFETY: as above; they were writable.
                    let _ = unsafe { sys::mprotect(piece, libc::PROT_READ | libc::PROT_WRITE) };
                }
                return Err(not_stored());
            }
            log.heal(piece, patch.kind);
            offset = offset.saturating_add(wide);
        }
        Ok(())
    }

    /// Makes all pages the file's again that a fault had replaced: after a file that was truncated has grown back. What was
    /// written to them meanwhile and not stored is lost.
    ///
    /// # Errors
    /// [`Error::Closed`]; as `mmap(2)`.
    pub fn refresh(&self) -> Result<()> {
        if self.is_closed() {
            return Err(Error::Closed);
        }
        fault::settle();
        let Tag { id, log, .. } = &self.tag;
        if log.patches().is_empty() {
            return Ok(());
        }
        let registry = registry::change();
        for patch in log.patches() {
            for (part, tag) in registry.tags(patch.span) {
                let Some(file) = tag.file.as_ref().filter(|_| tag.id == *id) else { continue };
                // SAFETY: a part of this region's own pages, with the gate closed.
                unsafe { sys::map_again(part, tag.prot, tag.flags, file.identity.fd, tag.offset) }?;
                log.heal(part, patch.kind);
            }
        }
        Ok(())
    }
}

/// Pages that could not be stored are tried again in pieces of so many bytes.
const STORE_PIECE: usize = 256 * 1024;

/// The first address of a pinned range, to read from.
pub fn address(pin: &Pin) -> *const u8 {
    std::ptr::with_exposed_provenance(pin.span().start())
}

/// The first address of a pinned range, to write to.
pub fn address_mut(pin: &Pin) -> *mut u8 {
    std::ptr::with_exposed_provenance_mut(pin.span().start())
}

/// What is in the cells. A pointer: others may change it, so it is no slice.
fn bytes_of(cells: &[Cell<u8>]) -> *const [u8] {
    std::ptr::slice_from_raw_parts(cells.as_ptr().cast(), cells.len())
}

/// Opens the source. Returns whether the file was made by this call.
fn open_file(source: Source<'_>, request: &OpenRequest) -> Result<(File, bool)> {
    let path = match source {
        Source::Path(path) => path,
        Source::Descriptor(fd) => return sys::duplicate(fd).map(|file| (file, false)),
    };
    let writable = request.access == Access::Write || request.grow || request.create.is_some();
    let mut options = sys::open_options(writable, request.create);
    if request.create.is_some() {
        let made = options.clone().create_new(true).open(path);
        match made {
            Ok(file) => return Ok((file, true)),
            Err(error) if !request.exclusive && sys::errno_of(&error) == Some(libc::EEXIST) => {}
            Err(error) => return Err(Error::from_io("open", &error)),
        }
    }
    let opened = match (options.open(path), request.create) {
        // A symbolic link that leads nowhere, or a file removed in between: as O_CREAT alone has it.
        (Err(error), Some(_)) if sys::errno_of(&error) == Some(libc::ENOENT) => options.create(true).open(path),
        (opened, _) => opened,
    };
    let file = opened.map_err(|error| Error::from_io("open", &error))?;
    Ok((file, false))
}

/// Checks that the file can be mapped and lets it grow if asked. Returns its size in bytes.
fn prepare(file: &File, metadata: &Metadata, request: &OpenRequest) -> Result<u64> {
    let size = size_of(file, metadata)?;
    let (true, Some(length)) = (request.grow, request.length) else { return Ok(size) };
    let end = request.offset.checked_add(length).ok_or(Error::system("ftruncate", libc::EFBIG))?;
    if end <= size {
        return Ok(size);
    }
    grow(file, size, end, request.preallocate)?;
    Ok(end)
}

/// Fails for a file that has bytes to read but tells no size, as those of `/proc`: an empty mapping of it would be a lie.
#[cfg(target_os = "linux")]
fn check_emptiness(file: &File) -> Result<()> {
    match sys::try_map(file) {
        Err(error) if matches!(error.errno(), Some(libc::EIO | libc::ENODEV)) => {
            let detail = "it has no size, as files of /proc, and cannot be mapped: read it with fs";
            Err(Error::refused("mmap", libc::ENODEV, detail))
        }
        // What else there is, is told of when it has bytes.
        _ => Ok(()),
    }
}

/// Fails for a file that has bytes to read but tells no size.
#[cfg(not(target_os = "linux"))]
fn check_emptiness(_file: &File) -> Result<()> {
    Ok(())
}

/// The size of the pages that a mapping of a file has: huge ones on hugetlbfs.
#[cfg(target_os = "linux")]
fn page_size_of(file: &File, metadata: &Metadata) -> usize {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::MetadataExt;
    // hugetlbfs gives its page size as the block size: most files are told apart without another call.
    let may_be_huge = usize::try_from(metadata.blksize()).is_ok_and(|size| size > sys::page_size());
    may_be_huge.then(|| sys::hugetlbfs_page_size(file.as_raw_fd())).flatten().unwrap_or(sys::page_size())
}

/// The size of the pages that a mapping of a file has.
#[cfg(not(target_os = "linux"))]
fn page_size_of(_file: &File, _metadata: &Metadata) -> usize {
    sys::page_size()
}

pub(crate) fn size_of(mut file: &File, metadata: &Metadata) -> Result<u64> {
    let kind = metadata.file_type();
    if kind.is_file() || sys::is_shared_memory(metadata) {
        Ok(metadata.len())
    } else if sys::is_block_device(kind) {
        file.seek(SeekFrom::End(0)).map_err(|error| Error::from_io("lseek", &error))
    } else if kind.is_dir() {
        Err(Error::system("open", libc::EISDIR))
    } else {
        Err(Error::refused("mmap", libc::ENODEV, "not a regular file or a block device"))
    }
}

/// Lets a file grow from `size` to `end` bytes; after a failure it has its old length again.
pub(crate) fn grow(file: &File, size: u64, end: u64, preallocate: bool) -> Result<()> {
    // The kernel would not only refuse: it sends SIGXFSZ, which ends the process.
    if end > sys::file_size_limit() {
        return Err(Error::refused("ftruncate", libc::EFBIG, "more than the limit RLIMIT_FSIZE of the process"));
    }
    let truncate = |length| file.set_len(length).map_err(|error| Error::from_io("ftruncate", &error));
    let grown = if preallocate {
        match sys::allocate(file, size, end.saturating_sub(size)) {
            Err(error) if matches!(error.errno(), Some(libc::EOPNOTSUPP | libc::ENOSYS)) => {
                truncate(end).and_then(|()| write_zeros(file, size, end))
            }
            result => result,
        }
    } else {
        truncate(end)
    };
    grown.inspect_err(|_| {
        // The first failure is the one to report.
        let _ = truncate(size);
    })
}

/// Gives blocks to a range the slow way, for file systems that cannot allocate.
fn write_zeros(file: &File, mut start: u64, end: u64) -> Result<()> {
    let zeros = [0_u8; 64 * 1024];
    while start < end {
        let length = usize::try_from(end.saturating_sub(start)).unwrap_or(zeros.len()).min(zeros.len());
        let chunk = zeros.get(..length).unwrap_or_default();
        sys::write_all_at(file, chunk, start).map_err(|error| Error::from_io("write", &error))?;
        start = start.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
    }
    Ok(())
}
