//! Growing and shrinking a [`Region`], and how its bytes lie in its pages at the moment: its [`Extent`].
//!
//! ```text
//!                  room is held                               no room
//!   grow     file, then pages: they are added           file, then pages elsewhere: those of a file are mapped once more,
//!            behind the others                           others move; the old addresses are retired, as by unmap()
//!   shrink   pages, then file: their addresses are held, and a regrowth puts the file's pages there again
//! ```
//!
//! A file is longer than its mapping at every moment between, so that no access faults for a resize of our own.
//!
//! Who works on bytes holds the extent for reading, and a resize waits for it; what runs in the thread pool, and may take long,
//! does not, and looks afterwards whether its range is still what it was (see [`Region::steadily`]).

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::huge;
use crate::range::{round_down, round_up, Layout, Span};
use crate::region::{grow, size_of, Access, MapOptions, Region};
use crate::registry::{self, MappedFile, Owned, Pin, Registry, Tag, Unpinnable, Withheld};
use crate::sys;
use crate::waiters;

/// Grows with every resize of any region: who keeps a length looks here whether it may be another one.
pub static RESIZES: AtomicU32 = AtomicU32::new(0);

/// The bytes of a region.
#[derive(Debug)]
pub struct Extent {
    /// `None` as long as no address was taken.
    owned: Option<Owned>,
    /// Bytes between the start of the first page and the first byte.
    lead: usize,
    length: usize,
    /// How often bytes were cut off or moved, and how often moved alone.
    breaks: u64,
    moves: u64,
}

impl Extent {
    /// Bytes.
    pub fn length(&self) -> usize {
        self.length
    }

    /// How often the bytes were given other addresses.
    pub fn moves(&self) -> u64 {
        self.moves
    }

    /// The bytes; `None` if there are none.
    pub fn data(&self) -> Option<Span> {
        self.owned.as_ref()?.pages()?.slice(self.lead, self.length)
    }

    /// Lets go of the pages.
    pub(crate) fn release(&self) -> Result<()> {
        self.owned.as_ref().map_or(Ok(()), Owned::release)
    }

    /// `length` bytes from `offset`; `None` when that is 0.
    pub(crate) fn slice(&self, offset: u64, length: u64) -> Result<Option<Span>> {
        let size = u64::try_from(self.length).unwrap_or(u64::MAX);
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
        Ok(self.data().and_then(|data| data.slice(offset, length)))
    }

    /// `length` bytes from `offset`, or all that there are, as of now.
    pub(crate) fn length_from(&self, offset: u64, length: Option<u64>) -> u64 {
        length.unwrap_or(u64::try_from(self.length).unwrap_or(u64::MAX).saturating_sub(offset))
    }

    /// Pins a part of the bytes, to do what needs the protection `prot`.
    pub(crate) fn pin(&self, part: Span, prot: i32) -> std::result::Result<Pin, Unpinnable> {
        self.owned.as_ref().ok_or(Unpinnable::Gone)?.pin(part, prot)
    }

    /// The address behind the last page that so many bytes need, if it lies in `held`.
    fn end_in(&self, held: Span, length: usize) -> Option<usize> {
        held.start().checked_add(pages_for(self.lead, length)?).filter(|end| *end <= held.end())
    }

    fn discard(&self, withheld: &Withheld) {
        if let Some(owned) = &self.owned {
            owned.discard(withheld);
        }
    }

    fn held(&self) -> Option<Span> {
        self.owned.as_ref().map(Owned::held)
    }

    fn pages(&self) -> Option<Span> {
        self.owned.as_ref().and_then(Owned::pages)
    }
}

/// Bytes of whole pages that hold `length` bytes behind `lead` others; none need no page.
fn pages_for(lead: usize, length: usize) -> Option<usize> {
    if length == 0 {
        return Some(0);
    }
    round_up(lead.checked_add(length)?, sys::page_size())
}

/// What a resize has to know of how a region was made.
#[derive(Debug)]
pub struct Growth {
    /// The first byte in the file.
    offset: u64,
    options: MapOptions,
    preallocate: bool,
    /// One resize at a time.
    turn: Mutex<()>,
}

impl Growth {
    /// Of a region that was asked for with these options.
    pub(crate) fn new(layout: Layout, options: MapOptions, preallocate: bool) -> Self {
        let lead = u64::try_from(layout.lead).unwrap_or(0);
        Self { offset: layout.page_offset.saturating_add(lead), options, preallocate, turn: Mutex::default() }
    }

    /// Maps the first pages of a region, with `anywhere` if no room is to be held behind them.
    pub(crate) fn map(
        &self,
        layout: Layout,
        tag: &Tag,
        unit: usize,
        anywhere: impl FnOnce() -> Result<Span>,
    ) -> Result<Extent> {
        let length = layout.map_length.saturating_sub(layout.lead);
        let mut extent = Extent { owned: None, lead: layout.lead, length, breaks: 0, moves: 0 };
        let overflow = || Error::system("mmap", libc::EOVERFLOW);
        if let Some(room) = self.room(layout.lead, length)? {
            if unit > sys::page_size() || huge::needs_reserved(self.options) {
                return Err(is_huge());
            }
            let none = "there are not so many free addresses as maxLength asks for";
            let held = registry::reclaiming(|| Owned::take_room(room)).map_err(|error| match error.errno() {
                Some(libc::ENOMEM) => Error::refused("mmap", libc::ENOMEM, none),
                _ => error,
            })?;
            let mut owned = Owned::reserve(held, tag.clone());
            let end = extent.end_in(held, length).ok_or_else(overflow)?;
            owned.occupy(end, tag, |_, span, offset| self.map_pages(span, offset, tag))?;
            extent.owned = Some(owned);
        } else if length > 0 {
            let span = anywhere()?.widened(unit).ok_or_else(overflow)?;
            extent.owned = Some(Owned::adopt(span, tag.clone()));
        }
        tag.log.set_data(extent.data());
        Ok(extent)
    }

    /// The first byte in the file.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Whether addresses are held beyond those of the first pages.
    pub(crate) fn holds_room(&self) -> bool {
        self.options.max_length.is_some_and(|max| max > 0)
    }

    /// Fails if a length is more than the option `maxLength` allows.
    pub(crate) fn check(options: MapOptions, length: u64) -> Result<()> {
        match options.max_length {
            Some(max) if length > max => Err(Error::OutOfRange { name: "length", max, limit: "maxLength" }),
            _ => Ok(()),
        }
    }

    /// Bytes of addresses to be held for `maxLength`; `None` without that option, or if they are none.
    fn room(&self, lead: usize, length: usize) -> Result<Option<usize>> {
        Self::check(self.options, u64::try_from(length).unwrap_or(u64::MAX))?;
        let Some(max) = self.options.max_length else { return Ok(None) };
        let too_large = || Error::refused("mmap", libc::ENOMEM, "maxLength is larger than the address space");
        let max = isize::try_from(max).ok().and_then(|max| usize::try_from(max).ok()).ok_or_else(too_large)?;
        Ok(Some(pages_for(lead, max).ok_or_else(too_large)?).filter(|room| *room > 0))
    }

    /// Maps pages of the file, or memory, over reserved addresses.
    fn map_pages(&self, span: Span, offset: u64, tag: &Tag) -> Result<Vec<(Span, i32)>> {
        let (fd, offset) = tag.file.as_ref().map_or((-1, 0), |file| (file.identity.fd, offset));
        // SAFETY: the addresses are reserved for this region, and its registry entry is being changed.
        unsafe { sys::map_more(span, tag.prot, tag.flags | self.options.flags_once(), fd, offset) }?;
        if sys::WHOLE_MAPPINGS && self.options.populate {
            sys::will_need(span);
        }
        huge::prefer(span, self.options)?;
        Ok(Vec::new())
    }
}

/// What has the length that it was made with.
pub(crate) fn fixed(feature: &'static str) -> Error {
    Error::unavailable(feature, "on Windows shared memory keeps the length that it was made with")
}

fn is_huge() -> Error {
    Error::refused("mmap", libc::ENOTSUP, "a mapping of huge pages cannot be resized")
}

impl Region {
    /// Gives the region, and the file behind it, another length; `None` is what the file has, which it keeps.
    ///
    /// With access 'write' a file that is shorter grows, and one that ends where the region ended shrinks with it; what a file
    /// has behind the region stays. With other accesses the file is left alone, and the region grows as far as it goes.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::OutOfRange`] beyond `maxLength`, or beyond a file that cannot grow; `ENOSPC`, `EFBIG`, `EPERM` and
    /// the like from the file, `ENOMEM` from the kernel, `ENOTSUP` for huge pages. File and region are then as before.
    pub fn resize(&self, length: Option<u64>) -> Result<()> {
        let turn = self.growth.turn.lock();
        let moves = self.moves();
        if self.is_closed() {
            return Err(Error::Closed);
        }
        if self.tag.huge {
            return Err(is_huge());
        }
        let file = self.file.lock().clone();
        if file.as_ref().is_some_and(|file| !file.is_file()) {
            return Err(fixed("resize()"));
        }
        let size = file.as_deref().map(file_size).transpose()?;
        let length = self.target(length, size)?;
        let too_large = || Error::refused("mmap", libc::EFBIG, "beyond what can be mapped");
        let layout = Layout::new(self.growth.offset, length).ok_or_else(too_large)?;
        let bytes = layout.map_length.saturating_sub(layout.lead);
        let end = self.growth.offset.saturating_add(length);
        registry::lock().check_room("mmap")?;
        let grows =
            file.as_ref().zip(size).filter(|(_, size)| self.access == Access::Write && length > 0 && *size < end);
        let as_a_whole = file.as_ref().filter(|_| sys::WHOLE_MAPPINGS);
        let elsewhere = if as_a_whole.is_some() { None } else { self.make_room(bytes)? };
        if let Some((file, size)) = &grows {
            grow(&file.file, *size, end, self.growth.preallocate)?;
        }
        let changed = if let Some(file) = as_a_whole.filter(|_| !self.growth.holds_room()) {
            self.map_anew(layout, file)
        } else if let Some(file) = as_a_whole.filter(|_| bytes < self.len()) {
            self.recede(bytes, file)
        } else if bytes >= self.len() {
            self.extend(bytes, file.as_ref(), elsewhere)
        } else {
            self.cut(bytes, file.as_ref())
        };
        if let (Err(_), Some((file, size))) = (&changed, &grows) {
            // The first failure is the one to report.
            let _ = file.file.set_len(*size);
        }
        RESIZES.fetch_add(1, Ordering::Release);
        self.show_name();
        let has_moved = self.moves() != moves;
        drop(turn);
        if has_moved {
            waiters::moved(self);
        }
        changed
    }

    /// The length to be, within what file and options allow.
    fn target(&self, length: Option<u64>, size: Option<u64>) -> Result<u64> {
        let in_file = size.map(|size| size.saturating_sub(self.growth.offset));
        let length = match (length, in_file) {
            (Some(length), Some(in_file)) if self.access != Access::Write && length > in_file => {
                let limit = "what the file has from offset on; with access 'write' it grows";
                return Err(Error::OutOfRange { name: "length", max: in_file, limit });
            }
            (Some(length), _) => length,
            (None, Some(in_file)) => in_file,
            (None, None) => return Err(Error::refused("mmap", libc::EINVAL, "memory has no file to tell its length")),
        };
        Growth::check(self.growth.options, length)?;
        Ok(length)
    }

    /// Sees to it that addresses are held for so many bytes. Returns others, if those behind the region are taken.
    fn make_room(&self, bytes: usize) -> Result<Option<Owned>> {
        let too_large = || Error::system("mmap", libc::ENOMEM);
        let needed = pages_for(self.extent.read().lead, bytes).ok_or_else(too_large)?;
        // Twice as much: a mapping that grows step by step moves seldom. Addresses cost nothing.
        let lengths = [needed.saturating_mul(2), needed];
        let mut extent = self.extent.write();
        let held = extent.held().map_or(0, Span::len);
        if needed <= held || self.is_closed() {
            return Ok(None);
        }
        if let Some(owned) = &mut extent.owned {
            if lengths.into_iter().any(|length| owned.widen(length, self.tag.clone()).is_ok()) {
                return Ok(None);
            }
        }
        drop(extent);
        let [generous, exact] = lengths;
        let held = sys::reserve_anywhere(generous).or_else(|_| sys::reserve_anywhere(exact))?;
        Ok(Some(Owned::reserve(held, self.tag.clone())))
    }

    /// Adds pages behind those that there are, or maps all of them `elsewhere`.
    fn extend(&self, bytes: usize, file: Option<&Arc<MappedFile>>, elsewhere: Option<Owned>) -> Result<()> {
        let mut extent = self.extent.write();
        if self.is_closed() {
            return Err(Error::Closed);
        }
        let tag = Tag { file: file.cloned(), ..self.tag.clone() };
        if let Some(elsewhere) = elsewhere {
            self.relocate(&mut extent, bytes, &tag, elsewhere)?;
        } else if let Some(held) = extent.held() {
            let end = extent.end_in(held, bytes).ok_or(Error::system("mmap", libc::EOVERFLOW))?;
            if let Some(owned) = &mut extent.owned {
                owned.occupy(end, &tag, |_, span, offset| self.growth.map_pages(span, offset, &tag))?;
            }
        }
        extent.length = bytes;
        self.tag.log.set_data(extent.data());
        Ok(())
    }

    /// Lets go of the pages behind so many bytes, and of that part of the file.
    fn cut(&self, bytes: usize, file: Option<&Arc<MappedFile>>) -> Result<()> {
        let before = self.len();
        let in_file = |bytes| self.growth.offset.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        let shrinks = match file.filter(|_| self.access == Access::Write) {
            // What others have appended behind the region is not its to cut off.
            Some(file) => Some(file).zip(Some(file_size(file)?)).filter(|(_, size)| *size <= in_file(before)),
            None => None,
        };
        let Some((file, _)) = shrinks.filter(|(_, size)| *size > in_file(bytes)) else {
            return self.vacate(bytes, |owned, end| owned.vacate(end, &self.tag)).and_then(|()| {
                if file.is_none() {
                    self.clear_rest()
                } else {
                    Ok(())
                }
            });
        };
        let mut withheld = None;
        self.vacate(bytes, |owned, end| owned.withhold(end, &self.tag).map(|pages| withheld = pages))?;
        let truncated = file.file.set_len(in_file(bytes)).map_err(|error| Error::from_io("ftruncate", &error));
        match (&truncated, &withheld) {
            (Ok(()), Some(withheld)) => self.extent.read().discard(withheld),
            (Ok(()), None) => {}
            // The first failure is the one to report. Pages that cannot be put back stay cut off.
            (Err(_), Some(withheld)) => drop(self.restore(before, withheld)),
            (Err(_), None) => drop(self.extend(before, Some(file), None)),
        }
        truncated
    }

    fn restore(&self, before: usize, withheld: &Withheld) -> Result<()> {
        let mut extent = self.extent.write();
        if let Some(owned) = &mut extent.owned {
            owned.restore(withheld)?;
            extent.length = before;
            self.tag.log.set_data(extent.data());
        }
        Ok(())
    }

    /// Has `vacate` take the pages away from an address on.
    fn vacate(&self, bytes: usize, vacate: impl FnOnce(&mut Owned, usize) -> Result<()>) -> Result<()> {
        let mut extent = self.extent.write();
        if self.is_closed() {
            return Err(Error::Closed);
        }
        let Some(held) = extent.held() else { return Ok(()) };
        let end = extent.end_in(held, bytes).ok_or(Error::system("mmap", libc::EOVERFLOW))?;
        if let Some(owned) = &mut extent.owned {
            vacate(owned, end)?;
        }
        extent.length = bytes;
        extent.breaks = extent.breaks.saturating_add(1);
        self.tag.log.set_data(extent.data());
        let mut unsynced = self.unsynced.lock();
        *unsynced = unsynced.drain(..).filter_map(|span| span.before(end)).collect();
        Ok(())
    }

    /// Makes the rest of a last page of memory zeros, as the kernel does for that of a file.
    fn clear_rest(&self) -> Result<()> {
        let extent = self.extent.write();
        let Some(rest) = extent.data().and_then(|data| extent.pages()?.from(data.end())) else { return Ok(()) };
        let registry = registry::change();
        let page = rest.widened(sys::page_size()).ok_or(Error::system("mprotect", libc::EINVAL))?;
        if !registry.is_live(page, Some(self.tag.id)) {
            return Ok(());
        }
        for (part, tag) in registry.tags(page) {
            // SAFETY: a page of this region, with the gate closed.
            unsafe { sys::mprotect(part, libc::PROT_READ | libc::PROT_WRITE) }?;
            // A page that the kernel gives to nobody has no bytes: raw MADV_GUARD_INSTALL makes such ones. No handler could come to
            // say so while the gate is closed, and the write would fault for ever.
            let is_given =
                sys::populate(part, true).map_or_else(|error| error.errno() != Some(libc::EFAULT), |()| true);
            if is_given {
                // SAFETY: as above: private memory, and just made writable.
                unsafe { sys::clear(rest) };
            }
            // SAFETY: as above.
            unsafe { sys::mprotect(part, tag.prot) }?;
        }
        Ok(())
    }

    /// Maps all pages to other addresses, and retires those that they had.
    fn relocate(&self, extent: &mut Extent, bytes: usize, tag: &Tag, mut to: Owned) -> Result<()> {
        let overflow = || Error::system("mmap", libc::EOVERFLOW);
        let end = extent.end_in(to.held(), bytes).ok_or_else(overflow)?;
        let start = to.held().start();
        let Some((old, pages)) = extent.owned.as_ref().and_then(|old| Some((old, old.pages()?))) else {
            to.occupy(end, tag, |_, span, offset| self.growth.map_pages(span, offset, tag))?;
            extent.owned = Some(to);
            return Ok(());
        };
        let is_private = tag.flags & libc::MAP_PRIVATE != 0;
        if !is_private {
            // What is only in memory would be lost.
            self.store_again(pages)?;
        }
        let target = Span::new(start, pages.len()).ok_or_else(overflow)?;
        to.occupy(end, tag, |registry, span, offset| {
            if !old.is_intact(registry) {
                return Err(Error::refused("mremap", libc::EINVAL, "a part of the mapping was unmapped by a raw call"));
            }
            let rights = registry.tags(pages).into_iter().filter_map(|(part, tag)| {
                target.slice(part.start().saturating_sub(pages.start()), part.len()).map(|part| (part, tag.prot))
            });
            let rights: Vec<(Span, i32)> = rights.collect();
            if is_private {
                if let Some(added) = span.from(target.end()) {
                    let skipped = u64::try_from(target.len()).unwrap_or(u64::MAX);
                    self.growth.map_pages(added, offset.saturating_add(skipped), tag)?;
                }
                move_private(registry, pages, target)?;
            } else {
                self.growth.map_pages(span, offset, tag)?;
            }
            for (part, prot) in &rights {
                if is_private || *prot != tag.prot {
                    // SAFETY: just mapped for this region, with the gate closed.
                    unsafe { sys::mprotect(*part, *prot) }?;
                }
            }
            Ok(rights)
        })?;
        // What cannot be retired stays mapped as long as views hold it.
        let _ = old.release();
        if is_private {
            self.tag.log.move_patches(pages, start);
        }
        let mut unsynced = self.unsynced.lock();
        *unsynced = unsynced.drain(..).filter_map(|span| span.moved(pages.start(), start)).collect();
        extent.owned = Some(to);
        extent.breaks = extent.breaks.saturating_add(1);
        extent.moves = extent.moves.saturating_add(1);
        Ok(())
    }

    /// Does `call`, which may find its bytes gone; anew, if some were cut off or moved meanwhile: they are elsewhere, or out of range.
    ///
    /// # Errors
    /// Those of `call`.
    pub(crate) fn anew<T>(&self, call: impl Fn() -> Result<T>) -> Result<T> {
        loop {
            let breaks = self.extent.read().breaks;
            match call() {
                Err(Error::Closed) if self.extent.read().breaks != breaks => {}
                result => return result,
            }
        }
    }

    /// Maps another length of a file at other addresses, where a mapping is unmapped as a whole, and retires those that it had. A
    /// file that is to shrink is unmapped before: no part of it may be mapped then.
    fn map_anew(&self, layout: Layout, file: &Arc<MappedFile>) -> Result<()> {
        let mut extent = self.extent.write();
        if self.is_closed() {
            return Err(Error::Closed);
        }
        let bytes = layout.map_length.saturating_sub(layout.lead);
        let in_file = |bytes| self.growth.offset.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        let before = extent.length;
        let size = file_size(file)?;
        if self.access != Access::Write || bytes >= before || size > in_file(before) || size <= in_file(bytes) {
            return self.move_pages(&mut extent, layout, file);
        }
        let as_before = u64::try_from(before).ok().and_then(|length| Layout::new(self.growth.offset, length));
        let rights = self.rights(&extent);
        extent.release()?;
        let truncated = file.file.set_len(in_file(bytes)).map_err(|error| Error::from_io("ftruncate", &error));
        let length = if truncated.is_ok() { Some(layout) } else { as_before };
        let mapped =
            length.ok_or(Error::system("mmap", libc::EOVERFLOW)).and_then(|layout| self.map_whole(layout, file));
        let none = Layout { map_length: layout.lead, ..layout };
        // What cannot be mapped again has no bytes, and can be resized again.
        let (span, layout) = match (&mapped, length) {
            (Ok(span), Some(layout)) => (*span, layout),
            _ => (None, none),
        };
        self.settle_at(&mut extent, span, layout, file, &rights);
        truncated.and(mapped.map(|_| ()))
    }

    /// Lets go of the pages behind so many bytes, and of that part of the file, of which no page may be mapped then: those that stay are
    /// mapped again at their addresses. What a fault has put in the place of some of them goes, but of a private mapping.
    fn recede(&self, bytes: usize, file: &Arc<MappedFile>) -> Result<()> {
        let mut extent = self.extent.write();
        if self.is_closed() {
            return Err(Error::Closed);
        }
        let (before, pages) = (extent.length, extent.pages());
        let in_file = |bytes| self.growth.offset.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        let size = file_size(file)?;
        let shrinks = self.access == Access::Write && size <= in_file(before) && size > in_file(bytes);
        let Some((held, pages)) = extent.held().zip(pages) else { return Ok(()) };
        let end = extent.end_in(held, bytes).ok_or(Error::system("mmap", libc::EOVERFLOW))?;
        let truncate = || file.file.set_len(in_file(bytes)).map_err(|error| Error::from_io("ftruncate", &error));
        let tag = Tag { file: Some(file.clone()), ..self.tag.clone() };
        let receded = match &mut extent.owned {
            Some(owned) if shrinks => owned.recede(end, &tag, truncate),
            Some(owned) if end < pages.end() => owned.recede(end, &tag, || Ok(())),
            _ => Ok(()),
        };
        let left = extent.pages().map_or(0, |pages| pages.len().saturating_sub(extent.lead));
        extent.length = left.min(if receded.is_ok() { bytes } else { before });
        extent.breaks = extent.breaks.saturating_add(1);
        self.tag.log.set_data(extent.data());
        let mut unsynced = self.unsynced.lock();
        *unsynced = unsynced.drain(..).filter_map(|span| span.before(end)).collect();
        receded
    }

    /// Maps a length of a file; `None` if it is 0.
    fn map_whole(&self, layout: Layout, file: &MappedFile) -> Result<Option<Span>> {
        if layout.map_length == layout.lead {
            return Ok(None);
        }
        let map = || huge::map_file(&file.file, layout, self.access, self.growth.options);
        registry::reclaiming(map).map(Some)
    }

    /// What pages allow, from the first one on, where that is not what was asked for.
    fn rights(&self, extent: &Extent) -> Vec<(usize, usize, i32)> {
        let Some(pages) = extent.pages() else { return Vec::new() };
        let tags = registry::lock().tags(pages).into_iter().filter(|(_, tag)| tag.prot != self.tag.prot);
        tags.map(|(part, tag)| (part.start().saturating_sub(pages.start()), part.len(), tag.prot)).collect()
    }

    fn move_pages(&self, extent: &mut Extent, layout: Layout, file: &Arc<MappedFile>) -> Result<()> {
        let rights = self.rights(extent);
        let span = self.map_whole(layout, file)?;
        let released = (|| {
            let Some((held, pages)) = extent.held().zip(extent.pages()) else { return Ok(()) };
            let mut registry = registry::change();
            let common = span.and_then(|to| {
                let length = pages.len().min(to.len());
                pages.slice(0, length).zip(to.slice(0, length))
            });
            if let Some((from, to)) = common.filter(|_| self.access == Access::Copy) {
                // SAFETY: pages of this region, with the gate closed, and pages that nobody has seen.
                unsafe { sys::carry_own_pages(from, to) }?;
            }
            registry.release(held, Some(self.tag.id))
        })();
        if let (Err(_), Some(span)) = (&released, span) {
            // SAFETY: just mapped, seen by nobody.
            let _ = unsafe { sys::munmap(span) };
        }
        released?;
        if let Some((from, to)) = extent.pages().zip(span).filter(|_| self.access == Access::Copy) {
            self.tag.log.move_patches(from, to.start());
        }
        self.settle_at(extent, span, layout, file, &rights);
        Ok(())
    }

    /// The bytes are at `span` now.
    fn settle_at(
        &self,
        extent: &mut Extent,
        span: Option<Span>,
        layout: Layout,
        file: &Arc<MappedFile>,
        rights: &[(usize, usize, i32)],
    ) {
        let was = extent.pages();
        let tag = Tag { file: Some(file.clone()), ..self.tag.clone() };
        let mut unsynced = self.unsynced.lock();
        *unsynced = std::mem::take(&mut *unsynced)
            .into_iter()
            .filter_map(|part| part.moved(was?.start(), span?.start())?.intersect(span?))
            .collect();
        drop(unsynced);
        // First, and not by the assignment: the new pages may have the addresses of the old ones.
        drop(extent.owned.take());
        extent.owned = span.map(|span| Owned::adopt(span, tag));
        if let Some(span) = span {
            let mut registry = registry::change();
            for (start, length, prot) in rights {
                let part = span.from(span.start().saturating_add(*start));
                let Some(part) = part.and_then(|rest| rest.slice(0, (*length).min(rest.len()))) else { continue };
                // SAFETY: pages of this region, with the gate closed.
                if unsafe { sys::mprotect(part, *prot) }.is_ok() {
                    registry.set_prot(part, *prot);
                }
            }
        }
        extent.length = layout.map_length.saturating_sub(layout.lead);
        extent.breaks = extent.breaks.saturating_add(1);
        extent.moves = extent.moves.saturating_add(1);
        self.tag.log.set_data(extent.data());
    }

    /// Does `work` with a pinned range, to the end without a `length`, which needs the protection `prot` (`PROT_*`); again, if bytes of the region were cut off or
    /// moved meanwhile: the range may not have been what it was.
    ///
    /// # Errors
    /// As [`pin`](Region::pin), and those of `work`.
    pub(crate) fn steadily<T>(
        &self,
        offset: u64,
        length: impl Into<Option<u64>>,
        prot: i32,
        work: impl Fn(Option<&Pin>) -> Result<T>,
    ) -> Result<T> {
        let length = length.into();
        for _ in 0..TRIES {
            let extent = self.extent.read();
            let pin = self.pin_in(&extent, offset, extent.length_from(offset, length), prot)?;
            let breaks = extent.breaks;
            drop(extent);
            let result = work(pin.as_ref());
            if self.extent.read().breaks == breaks {
                return result;
            }
        }
        // Somebody resizes without end: this time it has to wait.
        let extent = self.extent.read();
        let pin = self.pin_in(&extent, offset, extent.length_from(offset, length), prot)?;
        work(pin.as_ref())
    }
}

const TRIES: usize = 4;

fn file_size(file: &MappedFile) -> Result<u64> {
    let metadata = file.file.metadata().map_err(|error| Error::from_io("fstat", &error))?;
    size_of(&file.file, &metadata)
}

/// Moves private pages. Nobody reads or writes them meanwhile: an access faults until the registry is open again.
fn move_private(registry: &Registry, from: Span, to: Span) -> Result<()> {
    // SAFETY: pages of a region that is being moved, with the gate closed.
    unsafe { sys::mprotect(from, WHILE_MOVING) }?;
    move_pieces(from, to).inspect_err(|_| {
        for (part, tag) in registry.tags(from) {
            // SAFETY: as above: they stay where they were.
            let _ = unsafe { sys::mprotect(part, tag.prot) };
        }
    })
}

#[cfg(target_os = "linux")]
const WHILE_MOVING: i32 = libc::PROT_NONE;
/// They are copied.
#[cfg(not(target_os = "linux"))]
const WHILE_MOVING: i32 = libc::PROT_READ;

/// Moves pages, in pieces where the kernel moves no more than one mapping at once. All or nothing.
fn move_pieces(from: Span, to: Span) -> Result<()> {
    // SAFETY: both ranges are those of a region that is being moved, with the gate closed.
    let Err(error) = (unsafe { sys::move_away(from, to) }) else { return Ok(()) };
    let half = round_down(from.len() / 2, sys::page_size());
    let halves = |span: Span| Some((span.slice(0, half)?, span.slice(half, span.len().saturating_sub(half))?));
    match (error.errno(), halves(from), halves(to)) {
        (Some(libc::EFAULT), Some((from, rest)), Some((to, rest_to))) => {
            move_pieces(from, to)?;
            move_pieces(rest, rest_to).inspect_err(|_| {
                let _ = move_pieces(to, from);
            })
        }
        (Some(libc::EINVAL), ..) => {
            Err(Error::refused("mremap", libc::ENOTSUP, "this kernel cannot move the pages: open with maxLength"))
        }
        _ => Err(error),
    }
}
