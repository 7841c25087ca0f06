//! [`Region`]: one range of bytes of a file, or of memory, behind a `Mapping`.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::os::fd::RawFd;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::fault::{self, Fault, FaultLog, Kind, Patch};
use crate::prefetch::touch_page;
use crate::range::{Layout, Span};
use crate::registry::{self, MappedFile, Owned, Pin, Tag};
use crate::sys;

pub use crate::sys::{Access, MapOptions};

/// Which file to map.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// The file of this name.
    Path(&'a Path),
    /// The file open under this descriptor, which is duplicated.
    Descriptor(RawFd),
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
    /// `None` for a region without bytes: there is nothing to map.
    pages: Option<Owned>,
    /// The bytes asked for, within the pages.
    data: Option<Span>,
    access: Access,
    closed: AtomicBool,
    /// Its name among the mappings of the process, and its faults; none without bytes.
    tag: Option<(u64, Arc<FaultLog>)>,
    /// Pages of calls of `flush` that failed.
    unsynced: Mutex<Vec<Span>>,
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

    fn map(file: File, label: Option<PathBuf>, request: &OpenRequest) -> Result<Self> {
        let metadata = file.metadata().map_err(|error| Error::from_io("fstat", &error))?;
        let size = prepare(&file, &metadata, request)?;
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
        if length == 0 {
            return Ok(Self::empty(request.access));
        }
        let unit = page_size_of(&file, &metadata);
        let span = sys::map_file(&file, layout, request.access, request.options)?;
        let span = span.widened(unit).ok_or(Error::system("mmap", libc::EOVERFLOW))?;
        let (prot, flags) = match request.access {
            Access::Read => (libc::PROT_READ, libc::MAP_SHARED),
            Access::Write => (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED),
            Access::Copy => (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE),
        };
        let data = span
            .slice(layout.lead, layout.map_length.saturating_sub(layout.lead))
            .ok_or(Error::system("mmap", libc::EOVERFLOW))?;
        let file = MappedFile::new(file, &metadata);
        let log = FaultLog::new(data, request.owner, label);
        let tag = Tag::new(prot, flags, Some(file), layout.page_offset, log).with_huge(unit > sys::page_size());
        Ok(Self::new(span, data, request.access, tag))
    }

    /// Maps zeroed memory of this process.
    ///
    /// # Errors
    /// `mmap(2)`'s, `ENOMEM` above all.
    pub fn anonymous(length: u64, options: MapOptions, owner: usize) -> Result<Self> {
        let layout =
            Layout::new(0, length).ok_or(Error::refused("mmap", libc::ENOMEM, "larger than the address space"))?;
        if layout.map_length == 0 {
            return Ok(Self::empty(Access::Write));
        }
        sys::ensure_guard()?;
        registry::lock().check_room("mmap")?;
        let span = sys::map_anonymous(layout.map_length, options)?;
        let data = span.slice(0, layout.map_length).ok_or(Error::system("mmap", libc::EOVERFLOW))?;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let tag = Tag::new(libc::PROT_READ | libc::PROT_WRITE, flags, None, 0, FaultLog::new(data, owner, None));
        Ok(Self::new(span, data, Access::Write, tag))
    }

    fn new(span: Span, data: Span, access: Access, tag: Tag) -> Self {
        let names = (tag.id, tag.log.clone());
        Self {
            pages: Some(Owned::adopt(span, tag)),
            data: Some(data),
            access,
            closed: AtomicBool::new(false),
            tag: Some(names),
            unsynced: Mutex::default(),
        }
    }

    fn empty(access: Access) -> Self {
        Self { pages: None, data: None, access, closed: AtomicBool::new(false), tag: None, unsynced: Mutex::default() }
    }

    /// Its number among the mappings of the process, never reused; 0 for a region without bytes.
    pub fn id(&self) -> u64 {
        self.tag.as_ref().map_or(0, |(id, _)| *id)
    }

    /// How many faults there were, and the first of them in order.
    pub fn faults(&self) -> (u64, Vec<Fault>) {
        fault::settle();
        self.tag.as_ref().map_or((0, Vec::new()), |(_, log)| (log.count(), log.list()))
    }

    /// Bytes.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.data.map_or(0, Span::len)
    }

    /// The address of the first byte; 0 for a region without bytes.
    pub fn address(&self) -> usize {
        self.data.map_or(0, Span::start)
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
        if let Some(pages) = &self.pages {
            pages.release()?;
        }
        self.closed.store(true, Ordering::Release);
        Ok(())
    }

    /// Pins `length` bytes from `offset` for a view or a call. `None` when `length` is 0.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::OutOfRange`].
    pub fn pin(&self, offset: u64, length: u64) -> Result<Option<Pin>> {
        if self.is_closed() {
            return Err(Error::Closed);
        }
        let size = u64::try_from(self.len()).unwrap_or(u64::MAX);
        let room = size.checked_sub(offset).ok_or(Error::OutOfRange {
            name: "offset",
            max: size,
            limit: "the length of the mapping",
        })?;
        if length > room {
            let limit = "what the mapping has from offset on";
            return Err(Error::OutOfRange { name: "length", max: room, limit });
        }
        let (Ok(offset), Ok(length)) = (usize::try_from(offset), usize::try_from(length)) else {
            return Ok(None);
        };
        let Some(span) = self.data.and_then(|data| data.slice(offset, length)) else {
            return Ok(None);
        };
        let pin = self.pages.as_ref().and_then(|pages| pages.pin(span)).ok_or(Error::Closed)?;
        Ok(Some(pin))
    }

    fn pin_for_writing(&self, offset: u64, length: u64) -> Result<Option<Pin>> {
        let pin = self.pin(offset, length)?;
        if self.access == Access::Read {
            return Err(Error::refused("write", libc::EACCES, "the mapping has access 'read'"));
        }
        Ok(pin)
    }

    /// Copies bytes from `offset` into `target`.
    ///
    /// # Errors
    /// As [`pin`](Region::pin).
    pub fn read(&self, offset: u64, target: &mut [u8]) -> Result<()> {
        let Some(pin) = self.pin(offset, target.len().try_into().unwrap_or(u64::MAX))? else { return Ok(()) };
        // SAFETY: the pin holds the mapped source for the whole call; `copy` allows for a target that lies in it.
        unsafe { std::ptr::copy(address(&pin), target.as_mut_ptr(), target.len()) };
        self.verify(pin.span())
    }

    /// Copies `data` to `offset`.
    ///
    /// # Errors
    /// As [`pin`](Region::pin); `EACCES` for a region with access 'read'.
    pub fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        let Some(pin) = self.pin_for_writing(offset, data.len().try_into().unwrap_or(u64::MAX))? else {
            return Ok(());
        };
        // SAFETY: the pin holds the mapped, writable target for the whole call; `copy` allows for overlap.
        unsafe { std::ptr::copy(data.as_ptr(), address_mut(&pin), data.len()) };
        self.verify(pin.span())
    }

    /// Repeats `pattern` over `length` bytes from `offset`; an empty pattern stands for zeros.
    ///
    /// # Errors
    /// As [`write`](Region::write).
    pub fn fill(&self, pattern: &[u8], offset: u64, length: u64) -> Result<()> {
        let Some(pin) = self.pin_for_writing(offset, length)? else { return Ok(()) };
        let (start, length) = (address_mut(&pin), pin.span().len());
        let byte = match pattern {
            [] => Some(0),
            [byte] => Some(*byte),
            _ => None,
        };
        if let Some(byte) = byte {
            // SAFETY: the pin holds `length` mapped, writable bytes.
            unsafe { std::ptr::write_bytes(start, byte, length) };
            return self.verify(pin.span());
        }
        let mut filled = pattern.len().min(length);
        // SAFETY: not more than `length` bytes; `copy` allows for a pattern that lies in the mapping.
        unsafe { std::ptr::copy(pattern.as_ptr(), start, filled) };
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
        let from = self.pin(start, length)?;
        let to = self.pin_for_writing(target, length)?;
        let (Some(from), Some(to)) = (from, to) else { return Ok(()) };
        // SAFETY: both pins hold `length` mapped bytes, the target's writable.
        unsafe { std::ptr::copy(address(&from), address_mut(&to), from.span().len()) };
        self.verify(from.span())?;
        self.verify(to.span())
    }

    /// Writes changed pages of a range to the file and waits until they are there (`msync(2)`, `MS_SYNC`).
    ///
    /// Pins the range now and returns the work, which may run on another thread.
    ///
    /// # Errors
    /// As [`pin`](Region::pin); the work's own errors are `msync(2)`'s, and [`Error::Closed`] when the region was
    /// unmapped meanwhile.
    pub fn flush(self: &Arc<Self>, offset: u64, length: u64) -> Result<impl FnOnce() -> Result<()> + Send + 'static> {
        let pin = self.pin(offset, length)?;
        let region = self.clone();
        Ok(move || {
            let Some(pin) = pin else { return Ok(()) };
            let pages = pin.span().widened(sys::page_size()).ok_or(Error::system("msync", libc::EINVAL))?;
            if region.access == Access::Write {
                region.store_again(pages)?;
                region.sync(pages)?;
            }
            region.verify(pages)
        })
    }

    /// `msync(2)`. The kernel takes pages for clean that it failed to write, and would not try them again: those of a
    /// failed call are made dirty before the next.
    fn sync(&self, pages: Span) -> Result<()> {
        let (again, others) = self.unsynced.lock().drain(..).partition(|span| pages.intersect(*span).is_some());
        *self.unsynced.lock() = others;
        let again: Vec<Span> = again;
        for page in again.iter().flat_map(|span| span.pieces(sys::page_size())) {
            touch_page(page, true);
        }
        sys::msync(pages, libc::MS_SYNC).inspect_err(|_| {
            let mut unsynced = self.unsynced.lock();
            unsynced.extend(again.into_iter().filter(|span| !pages.contains(*span)));
            unsynced.push(pages);
        })
    }

    /// A range of addresses as a fault of this region.
    pub(crate) fn fault_at(&self, span: Span, kind: Kind) -> Error {
        self.tag.as_ref().map_or(Error::Closed, |(_, log)| Error::Fault(log.within(span, kind)))
    }

    /// As [`FaultLog::read_elsewhere`].
    pub(crate) fn read_elsewhere(&self) -> Option<fault::Reader<'_>> {
        self.tag.as_ref().map(|(_, log)| log.read_elsewhere())
    }

    /// Fails if a part of `span` is not the file's.
    pub(crate) fn verify(&self, span: Span) -> Result<()> {
        if self.is_closed() {
            return Err(Error::Closed);
        }
        fault::settle();
        match self.tag.as_ref().and_then(|(_, log)| log.patched(span)) {
            Some(fault) => Err(Error::Fault(fault)),
            None => Ok(()),
        }
    }

    /// Tries to bring pages into the file that it could not take when they were written.
    fn store_again(&self, pages: Span) -> Result<()> {
        fault::settle();
        let Some((_, log)) = &self.tag else { return Ok(()) };
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
        let Some((id, log)) = &self.tag else { return Ok(()) };
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

/// Opens the source. Returns whether the file was made by this call.
fn open_file(source: Source<'_>, request: &OpenRequest) -> Result<(File, bool)> {
    let path = match source {
        Source::Path(path) => path,
        Source::Descriptor(fd) => return sys::duplicate(fd).map(|file| (file, false)),
    };
    let writable = request.access == Access::Write || request.grow || request.create.is_some();
    let mut options = OpenOptions::new();
    // O_NONBLOCK: opening a FIFO must not wait for its other end; it means nothing for a file.
    options.read(true).write(writable).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    if let Some(mode) = request.create {
        let made = options.clone().create_new(true).mode(mode).open(path);
        match made {
            Ok(file) => return Ok((file, true)),
            Err(error) if !request.exclusive && error.raw_os_error() == Some(libc::EEXIST) => {}
            Err(error) => return Err(Error::from_io("open", &error)),
        }
    }
    let opened = match (options.open(path), request.create) {
        // A symbolic link that leads nowhere, or a file removed in between: as O_CREAT alone has it.
        (Err(error), Some(mode)) if error.raw_os_error() == Some(libc::ENOENT) => {
            options.create(true).mode(mode).open(path)
        }
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

fn size_of(mut file: &File, metadata: &Metadata) -> Result<u64> {
    let kind = metadata.file_type();
    if kind.is_file() {
        Ok(metadata.len())
    } else if kind.is_block_device() {
        file.seek(SeekFrom::End(0)).map_err(|error| Error::from_io("lseek", &error))
    } else if kind.is_dir() {
        Err(Error::system("open", libc::EISDIR))
    } else {
        Err(Error::refused("mmap", libc::ENODEV, "not a regular file or a block device"))
    }
}

/// Lets a file grow from `size` to `end` bytes; after a failure it has its old length again.
fn grow(file: &File, size: u64, end: u64, preallocate: bool) -> Result<()> {
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
        file.write_all_at(chunk, start).map_err(|error| Error::from_io("write", &error))?;
        start = start.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
    }
    Ok(())
}
