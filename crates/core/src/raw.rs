//! The POSIX calls by their own names, for addresses that this package mapped and no others.
//!
//! Each call first answers what the kernel would answer for arguments that are wrong in themselves, then asks the
//! [`registry`](crate::registry) whether the range is ours: somebody else's pages are `EPERM`, pages that nobody has
//! mapped are what POSIX says of them.

use std::sync::Arc;

use crate::advice;
use crate::error::{Error, Result};
use crate::fault::FaultLog;
use crate::flags::{MapFlags, Prot};
use crate::protect::protect;
use crate::range::{self, is_page_aligned, Span};
use crate::registry::{change, flush_files, lock, retire, MappedFile, Pin, Registry, Tag};
use crate::room;
use crate::sys::{self, RawFd};

const FOREIGN: &str = "the range holds pages that this package did not map";

/// `mmap(2)`: maps `length` bytes of the file open as `fd`, from `offset`, or memory. Returns the address.
///
/// `addr` 0 lets the kernel choose; otherwise it is a hint, and with `MAP_FIXED` an order, which is refused unless
/// every page mapped there is ours. Mapped pages are whole: `length` counts up to the end of the last one.
///
/// # Errors
/// `EINVAL` for a length of 0 or an offset that is no multiple of the page size; `EPERM` for `MAP_FIXED` over pages of
/// others or at address 0; `EBUSY` for huge pages in the place of smaller ones of which a view holds some; otherwise as the call.
/// `owner` is whom to tell of faults.
pub fn mmap(addr: usize, length: usize, prot: i32, flags: i32, fd: RawFd, offset: u64, owner: usize) -> Result<usize> {
    let invalid = |why: &'static str| Error::refused("mmap", libc::EINVAL, why);
    if length == 0 {
        return Err(invalid("length is 0"));
    }
    // An offset may be larger than every address.
    if u64::try_from(sys::page_size()).ok().and_then(|page| offset.checked_rem(page)) != Some(0) {
        return Err(invalid("offset is not a multiple of the page size"));
    }
    let offset = i64::try_from(offset).map_err(|_| Error::system("mmap", libc::EOVERFLOW))?;
    if cfg!(windows) && flags & libc::MAP_FIXED != 0 {
        return Err(Error::unavailable("MAP_FIXED", "Windows cannot replace a part of what is mapped"));
    }
    let request = Request { prot, flags: MapFlags::from_bits_retain(flags), fd, offset, owner };
    sys::ensure_guard()?;
    // A length that only fits the address space unrounded is more than there is.
    let too_long = || Error::system("mmap", libc::ENOMEM);
    let in_units = |start, unit| Span::new(start, length).and_then(|span| span.widened(unit)).ok_or_else(too_long);
    if addr == 0 && request.is_exact() {
        return Err(Error::refused("mmap", libc::EPERM, "nothing may be mapped at address 0"));
    }
    if request.is_fixed() {
        let unit = request.page_size();
        // A huge page around the address would start before it, perhaps at 0.
        if !is_page_aligned(addr) || range::round_down(addr, unit) != addr {
            return Err(invalid("addr is not a multiple of the page size"));
        }
        return request.map_fixed(in_units(addr, unit)?, unit);
    }
    let length = in_units(0, sys::page_size())?.len();
    lock().check_room("mmap")?;
    // SAFETY: MAP_FIXED is not among the flags.
    let at = unsafe { sys::mmap(addr, length, prot, flags, fd, offset) }?;
    // Huge pages are aligned to their size: most mappings show that they have none without another call.
    let unit = if range::round_down(at, LEAST_HUGE_PAGE) == at { request.page_size() } else { sys::page_size() };
    let span = Span::new(at, length).and_then(|span| span.widened(unit)).ok_or_else(too_long)?;
    let file = request.file().inspect_err(|_| {
        // SAFETY: just mapped, seen by nobody.
        let _ = unsafe { sys::munmap(span) };
    })?;
    change().adopt(span, request.tag(span, unit, file));
    Ok(at)
}

/// No platform has smaller huge pages, in bytes.
const LEAST_HUGE_PAGE: usize = 16 * 1024;

struct Request {
    prot: i32,
    flags: MapFlags,
    fd: RawFd,
    offset: i64,
    owner: usize,
}

impl Request {
    /// The file, where the mapping keeps it.
    fn file(&self) -> Result<Option<Arc<MappedFile>>> {
        if self.flags.contains(MapFlags::ANONYMOUS) {
            return Ok(None);
        }
        let Some(file) = sys::file_to_keep(self.fd).map_err(|error| error.in_call("mmap"))? else { return Ok(None) };
        let metadata = file.metadata().map_err(|error| Error::from_io("mmap", &error))?;
        Ok(Some(MappedFile::new(file, &metadata)))
    }

    fn tag(&self, span: Span, unit: usize, file: Option<Arc<MappedFile>>) -> Tag {
        let offset = u64::try_from(self.offset).unwrap_or(0);
        let log = FaultLog::new(span, self.owner, None);
        Tag::new(self.prot, self.flags.bits(), file, offset, log).with_unit(unit)
    }

    /// Whether the address is an order that may replace what is there.
    fn is_fixed(&self) -> bool {
        #[cfg(target_os = "linux")]
        if self.flags.contains(MapFlags::FIXED_NOREPLACE) {
            return false;
        }
        self.flags.contains(MapFlags::FIXED)
    }

    /// Whether the address is an order, be it one that replaces nothing.
    fn is_exact(&self) -> bool {
        #[cfg(target_os = "linux")]
        if self.flags.contains(MapFlags::FIXED_NOREPLACE) {
            return true;
        }
        self.flags.contains(MapFlags::FIXED)
    }

    /// The size of the pages that the mapping will have: the kernel rounds lengths up to it.
    #[cfg(target_os = "linux")]
    fn page_size(&self) -> usize {
        let huge = if self.flags.contains(MapFlags::HUGETLB) {
            self.flags.huge_page_size().or_else(sys::default_huge_page_size)
        } else if !self.flags.contains(MapFlags::ANONYMOUS) {
            sys::hugetlbfs_page_size(self.fd)
        } else {
            None
        };
        huge.unwrap_or(sys::page_size())
    }

    /// The size of the pages that the mapping will have.
    #[cfg(not(target_os = "linux"))]
    fn page_size(&self) -> usize {
        sys::page_size()
    }

    fn map_fixed(&self, span: Span, unit: usize) -> Result<usize> {
        self.rehearse(span)?;
        let mut registry = change();
        registry.check_room("mmap")?;
        if registry.is_pinned_within(span, unit) {
            return Err(Error::refused("mmap", libc::EBUSY, "a view holds a part of what is to be a huge page"));
        }
        let taken = take_gaps(&registry, span).map_err(|error| error.in_call("mmap"))?;
        // SAFETY: every page of the range is in our registry or was just taken, all under the lock.
        let mapped = unsafe { sys::mmap(span.start(), span.len(), self.prot, self.flags.bits(), self.fd, self.offset) };
        match mapped {
            Ok(at) => {
                registry.adopt(span, self.tag(span, unit, None));
                Ok(at)
            }
            Err(error) => {
                after_failure(&mut registry, span, &taken);
                Err(error)
            }
        }
    }

    /// Maps the same elsewhere and unmaps it: whatever is wrong with the request shows before anything is replaced.
    fn rehearse(&self, span: Span) -> Result<()> {
        let mut flags = self.flags.difference(MapFlags::FIXED);
        #[cfg(target_os = "linux")]
        flags.remove(MapFlags::from_bits_retain(libc::MAP_POPULATE | libc::MAP_LOCKED));
        flags.insert(MapFlags::NORESERVE);
        // SAFETY: MAP_FIXED is not among the flags.
        let at = unsafe { sys::mmap(0, span.len(), self.prot, flags.bits(), self.fd, self.offset) }?;
        let rehearsal = Span::new(at, span.len()).ok_or(Error::system("mmap", libc::ENOMEM))?;
        // SAFETY: just mapped, seen by nobody.
        unsafe { sys::munmap(rehearsal) }
    }
}

/// Takes the addresses of `span` that are not ours, all or none.
fn take_gaps(registry: &Registry, span: Span) -> Result<Vec<Span>> {
    let mut taken = Vec::new();
    for gap in registry.gaps(span) {
        if let Err(error) = sys::reserve(gap) {
            give_back(&taken);
            return Err(match error.errno() {
                Some(libc::EEXIST) => Error::refused("mmap", libc::EPERM, FOREIGN),
                _ => error,
            });
        }
        taken.push(gap);
    }
    Ok(taken)
}

fn give_back(taken: &[Span]) {
    for &gap in taken {
        // SAFETY: taken by `take_gaps`, seen by nobody. A failure leaves addresses without memory behind.
        let _ = unsafe { sys::munmap(gap) };
    }
}

/// A call that was to replace `target` failed. The kernel may have unmapped all of it before it ran out of memory: then
/// the views of what was there get zeros, and nothing is left in the registry that is no longer mapped.
fn after_failure(registry: &mut Registry, target: Span, taken: &[Span]) {
    if sys::reserve(target).is_ok() {
        // Reserved just now: nobody's but ours. A failure of either leaves addresses without memory behind.
        let _ = retire(target);
        let _ = registry.release(target, None);
    }
    give_back(taken);
}

/// Whether anybody but us has pages in `span`.
fn has_foreign_pages(registry: &Registry, span: Span) -> bool {
    registry.gaps(span).into_iter().any(|gap| match sys::reserve(gap) {
        Ok(()) => {
            give_back(&[gap]);
            false
        }
        // A range that reaches below the lowest or above the highest address that a process may use cannot be taken,
        // whatever else is in it.
        Err(error) if matches!(error.errno(), Some(libc::EPERM | libc::EACCES | libc::ENOMEM)) => {
            sys::has_mappings(gap)
        }
        Err(_) => true,
    })
}

/// Fails unless all of `span` is mapped by us: `EPERM` if others have pages there, else `ENOMEM` as POSIX says.
fn check_ours(registry: &Registry, span: Span, syscall: &'static str) -> Result<()> {
    if registry.is_live(span, None) {
        Ok(())
    } else if has_foreign_pages(registry, span) {
        Err(Error::refused(syscall, libc::EPERM, FOREIGN))
    } else {
        Err(Error::refused(syscall, libc::ENOMEM, "a part of the range is not mapped"))
    }
}

/// The pages of a range that has to start at one.
fn aligned_pages(syscall: &'static str, addr: usize, length: usize) -> Result<Span> {
    if !is_page_aligned(addr) {
        return Err(Error::refused(syscall, libc::EINVAL, "addr is not a multiple of the page size"));
    }
    Span::pages(addr, length).ok_or(Error::system(syscall, libc::EINVAL))
}

/// Pins whole pages for a call that runs without the lock.
fn pin_pages(syscall: &'static str, span: Span) -> Result<Pin> {
    check_ours(&lock(), span, syscall)?;
    Pin::new(span).ok_or(Error::refused(syscall, libc::ENOMEM, "unmapped by another thread"))
}

/// `munmap(2)`: unmaps every page that holds a part of the range. Pages without a mapping are no error.
///
/// # Errors
/// `EINVAL` for an address that is no multiple of the page size or a length of 0; `EPERM` for pages of others.
pub fn munmap(addr: usize, length: usize) -> Result<()> {
    if length == 0 {
        return Err(Error::refused("munmap", libc::EINVAL, "length is 0"));
    }
    let span = aligned_pages("munmap", addr, length)?;
    let mut registry = change();
    if !registry.is_whole(span) {
        room::spend("munmap")?;
    }
    if has_foreign_pages(&registry, span) {
        return Err(Error::refused("munmap", libc::EPERM, FOREIGN));
    }
    registry.release(span, None).map_err(|error| error.in_call("munmap"))
}

/// `mprotect(2)`: sets what may be done with the pages of the range.
///
/// # Errors
/// `EACCES`, `EINVAL`, `ENOMEM`, `EPERM` for pages of others.
pub fn mprotect(addr: usize, length: usize, prot: i32) -> Result<()> {
    if length == 0 && is_page_aligned(addr) {
        return Ok(());
    }
    let span = aligned_pages("mprotect", addr, length)?;
    #[cfg(target_os = "linux")]
    if prot & (libc::PROT_GROWSDOWN | libc::PROT_GROWSUP) != 0 {
        return Err(Error::refused("mprotect", libc::EINVAL, "PROT_GROWSDOWN and PROT_GROWSUP reach beyond the range"));
    }
    room::spend("mprotect")?;
    let mut registry = change();
    check_ours(&registry, span, "mprotect")?;
    if registry.cuts_huge_page(span) {
        return Err(Error::refused("mprotect", libc::EINVAL, "the range has a part of a huge page"));
    }
    protect(&mut registry, span, prot)
}

/// `msync(2)`: writes changed pages of the range to their file.
///
/// # Errors
/// `EBUSY`, `EINVAL`, `EIO`, `ENOMEM`, `EPERM` for pages of others.
pub fn msync(addr: usize, length: usize, flags: i32) -> Result<()> {
    if length == 0 && is_page_aligned(addr) {
        return Ok(());
    }
    let span = aligned_pages("msync", addr, length)?;
    let pin = pin_pages("msync", span)?;
    sys::msync(pin.span(), flags)?;
    // On FreeBSD MS_SYNC is 0.
    if flags & (libc::MS_SYNC | libc::MS_ASYNC) == libc::MS_SYNC {
        flush_files(pin.span())?;
    }
    Ok(())
}

/// `madvise(2)`: tells the kernel how the pages of the range will be used, or what to do with them.
///
/// # Errors
/// As the call; `EPERM` for pages of others.
pub fn madvise(addr: usize, length: usize, advice: i32) -> Result<()> {
    if length == 0 && is_page_aligned(addr) {
        return Ok(());
    }
    let span = aligned_pages("madvise", addr, length)?;
    advice::give(&pin_pages("madvise", span)?, span, advice)
}

/// `mlock(2)`: brings the pages of the range into memory and keeps them there.
///
/// # Errors
/// `EAGAIN`, `ENOMEM` past the limit, `EPERM` without the right to lock and for pages of others.
pub fn mlock(addr: usize, length: usize) -> Result<()> {
    let Some(span) = lockable("mlock", addr, length)? else { return Ok(()) };
    room::spend("mlock")?;
    let pin = pin_pages("mlock", span)?;
    sys::mlock(pin.span())
}

/// `munlock(2)`: undoes [`mlock`].
///
/// # Errors
/// `ENOMEM`, `EPERM` for pages of others.
pub fn munlock(addr: usize, length: usize) -> Result<()> {
    let Some(span) = lockable("munlock", addr, length)? else { return Ok(()) };
    room::spend("munlock")?;
    let pin = pin_pages("munlock", span)?;
    sys::munlock(pin.span())
}

/// The locking calls take any address, as Linux does, and an empty range.
fn lockable(syscall: &'static str, addr: usize, length: usize) -> Result<Option<Span>> {
    if length == 0 {
        return Ok(None);
    }
    Span::pages(addr, length).map(Some).ok_or(Error::system(syscall, libc::EINVAL))
}

/// `mincore(2)`: one byte a page, whose lowest bit says that the page is in memory.
///
/// # Errors
/// `EINVAL`, `ENOMEM`, `EPERM` for pages of others.
pub fn mincore(addr: usize, length: usize) -> Result<Vec<u8>> {
    if length == 0 && is_page_aligned(addr) {
        return Ok(Vec::new());
    }
    let span = aligned_pages("mincore", addr, length)?;
    let pin = pin_pages("mincore", span)?;
    sys::mincore(pin.span())
}

/// Pins a range for a view.
///
/// # Errors
/// `EACCES` for pages that may not be read, `ENOMEM`, `EPERM` for pages of others.
pub fn pin_for_view(addr: usize, length: usize) -> Result<Pin> {
    const CALL: &str = "bufferFromPointer";
    let span = Span::new(addr, length).ok_or(Error::system(CALL, libc::EINVAL))?;
    let registry = lock();
    check_ours(&registry, span, CALL)?;
    if registry.tags(span).iter().any(|(_, tag)| !Prot::from_bits_retain(tag.prot).contains(Prot::READ)) {
        return Err(Error::refused(CALL, libc::EACCES, "a part of the range has no PROT_READ"));
    }
    drop(registry);
    Pin::new(span).ok_or(Error::refused(CALL, libc::ENOMEM, "unmapped by another thread"))
}

/// `mremap(2)`, Linux: resizes or moves a mapping. Returns its address.
///
/// Views of the old range stay valid in memory: where their pages moved away they read zeros.
///
/// # Errors
/// `EFAULT` for a range of more than one mapping; `EINVAL`, `ENOMEM`; `EPERM` for pages of others at either end.
#[cfg(target_os = "linux")]
pub fn mremap(addr: usize, old_length: usize, new_length: usize, flags: i32, new_addr: usize) -> Result<usize> {
    const CALL: &str = "mremap";
    let invalid = |why: &'static str| Error::refused(CALL, libc::EINVAL, why);
    let known = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED | libc::MREMAP_DONTUNMAP;
    if flags & !known != 0 {
        return Err(invalid("unknown flags"));
    }
    let new_length = Span::pages(0, new_length).ok_or(invalid("newLength is 0 or too large"))?.len();
    let may_move = flags & libc::MREMAP_MAYMOVE != 0;
    if flags & (libc::MREMAP_FIXED | libc::MREMAP_DONTUNMAP) != 0 && !may_move {
        return Err(invalid("MREMAP_FIXED and MREMAP_DONTUNMAP go with MREMAP_MAYMOVE"));
    }
    let target = if flags & libc::MREMAP_FIXED != 0 { Some(aligned_pages(CALL, new_addr, new_length)?) } else { None };
    if target.is_some_and(|target| target.start() == 0) {
        return Err(Error::refused(CALL, libc::EPERM, "nothing may be mapped at address 0"));
    }
    // An old length of 0 asks for a second mapping of the same shared pages: the first of them stands for all.
    let old = aligned_pages(CALL, addr, old_length.max(1))?;
    let mut registry = change();
    check_ours(&registry, old, CALL)?;
    let tags = registry.tags(old);
    let [(_, tag), others @ ..] = tags.as_slice() else { return Err(Error::system(CALL, libc::EFAULT)) };
    // A mapping that grew or whose protection was changed may be several segments here and one to the kernel.
    if others.iter().any(|(_, other)| other.id != tag.id || other.prot != tag.prot) {
        return Err(Error::refused(CALL, libc::EFAULT, "the range spans more than one mapping"));
    }
    if tag.huge {
        return Err(invalid("huge pages cannot be remapped"));
    }
    let change = Remap { old, copies: old_length == 0, new_length, target, tag: tag.clone() };
    change.run(&mut registry, flags)
}

#[cfg(target_os = "linux")]
struct Remap {
    old: Span,
    /// The old range stays as it is and its pages are mapped a second time.
    copies: bool,
    new_length: usize,
    target: Option<Span>,
    tag: Tag,
}

#[cfg(target_os = "linux")]
impl Remap {
    fn run(mut self, registry: &mut Registry, flags: i32) -> Result<usize> {
        let stays = flags & libc::MREMAP_DONTUNMAP != 0;
        if stays && self.new_length != self.old.len() {
            return Err(Error::refused("mremap", libc::EINVAL, "MREMAP_DONTUNMAP keeps the length"));
        }
        if self.target.is_some_and(|target| target.intersect(self.old).is_some()) {
            return Err(Error::refused("mremap", libc::EINVAL, "the old and the new range overlap"));
        }
        if self.target.is_none() && !self.copies && !stays {
            self.cut_tail(registry)?;
            if self.new_length == self.old.len() {
                return Ok(self.old.start());
            }
            match self.grow_in_place(registry) {
                Err(error) if flags & libc::MREMAP_MAYMOVE != 0 && error.errno() == Some(libc::ENOMEM) => {}
                result => return result,
            }
        }
        registry.check_room("mremap")?;
        let Some(target) = self.target else { return self.relocate(registry, flags) };
        let taken = take_gaps(registry, target).map_err(|error| error.in_call("mremap"))?;
        let moved = self.cut_tail(registry).and_then(|()| self.relocate(registry, flags));
        if moved.is_err() {
            after_failure(registry, target, &taken);
        }
        moved
    }

    /// Lets go of the pages behind the new length.
    fn cut_tail(&mut self, registry: &mut Registry) -> Result<()> {
        if self.copies || self.new_length >= self.old.len() {
            return Ok(());
        }
        let kept = self.old.slice(0, self.new_length).ok_or(Error::system("mremap", libc::EINVAL))?;
        if let Some(tail) = self.old.from(kept.end()) {
            registry.release(tail, None).map_err(|error| error.in_call("mremap"))?;
        }
        self.old = kept;
        Ok(())
    }

    fn grow_in_place(&self, registry: &mut Registry) -> Result<usize> {
        // SAFETY: the old range is ours, under the lock; without MREMAP_MAYMOVE the call only adds pages behind it.
        let at = unsafe { sys::mremap(self.old.start(), self.old.len(), self.new_length, 0, 0) }?;
        if let Some(added) = Span::new(at, self.new_length).and_then(|span| span.from(self.old.end())) {
            let skipped = u64::try_from(self.old.len()).unwrap_or(0);
            let tag = Tag { offset: self.tag.offset.saturating_add(skipped), ..self.tag.clone() };
            registry.adopt(added, tag);
        }
        Ok(at)
    }

    /// Moves (or maps again) the pages to the target or to a place of the kernel's choice.
    fn relocate(&self, registry: &mut Registry, flags: i32) -> Result<usize> {
        let stays = flags & libc::MREMAP_DONTUNMAP != 0;
        let at = if self.copies || stays || !registry.is_pinned(self.old) {
            let length = if self.copies { 0 } else { self.old.len() };
            self.call(self.old.start(), length, flags)?
        } else {
            self.leave_pinned(flags)?
        };
        let new = Span::new(at, self.new_length).ok_or(Error::system("mremap", libc::ENOMEM))?;
        if !self.copies && !stays {
            if registry.is_pinned(self.old) {
                // The kernel left the old range mapped and empty: release retires it.
                registry.release(self.old, None)?;
            } else {
                registry.forget(self.old);
            }
        }
        let log = FaultLog::new(new, self.tag.log.owner(), self.tag.log.label.clone());
        let Tag { prot, flags, offset, .. } = self.tag;
        registry.adopt(new, Tag::new(prot, flags, self.tag.file.clone(), offset, log));
        Ok(at)
    }

    /// Moves the pages away but leaves the old addresses taken, for the views that look at them.
    fn leave_pinned(&self, flags: i32) -> Result<usize> {
        let aside = libc::MREMAP_MAYMOVE | libc::MREMAP_DONTUNMAP;
        let (start, length) = (self.old.start(), self.old.len());
        // SAFETY: the old range is ours and stays mapped.
        let at = unsafe { sys::mremap(start, length, length, aside, 0) }.map_err(|error| match error.errno() {
            Some(libc::EINVAL) => {
                let why = "a view holds the old range, and this kernel cannot move pages away from under it";
                Error::refused("mremap", libc::EBUSY, why)
            }
            _ => error,
        })?;
        self.call(at, length, flags).inspect_err(|_| {
            let back = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
            // SAFETY: the pages return to the range that they came from, which is still ours.
            let _ = unsafe { sys::mremap(at, length, length, back, start) };
        })
    }

    fn call(&self, from: usize, length: usize, flags: i32) -> Result<usize> {
        // SAFETY: `from` is ours, under the lock, and so is every page of the target.
        let mremap = |from, length, flags, to| unsafe { sys::mremap(from, length, self.new_length, flags, to) };
        let Some(target) = self.target else { return mremap(from, length, flags, 0) };
        if length == self.new_length {
            return mremap(from, length, flags, target.start());
        }
        // The kernel unmaps the target before it finds that it has no memory to add. So pages are added elsewhere first.
        let aside = mremap(from, length, flags & !libc::MREMAP_FIXED, 0)?;
        mremap(aside, self.new_length, flags, target.start()).inspect_err(|_| self.undo(aside, from, length))
    }

    /// Takes back what was added for a move that failed. What fails here leaves addresses without memory behind.
    fn undo(&self, aside: usize, from: usize, length: usize) {
        let added = Span::new(aside, self.new_length).and_then(|span| span.from(aside.saturating_add(length)));
        if let Some(added) = added {
            // SAFETY: added by `call`, seen by nobody.
            let _ = unsafe { sys::munmap(added) };
        }
        if length > 0 && aside != from {
            // SAFETY: the pages return to the addresses that they left.
            let _ = unsafe { sys::mremap(aside, length, length, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, from) };
        }
    }
}
