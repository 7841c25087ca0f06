//! Prefetching: pages are brought into memory and into the page tables before they are used.
//!
//! ```text
//!   |<-- done -->|<-- STEP -->|                                     end of the range      end of what may be read ahead
//!   start         populated next                                             |                 |
//!                |<------------ READ_AHEAD: asked of the device ------------>|
//! ```
//!
//! The work goes in slices of a few milliseconds, each in one turn of a thread of the pool, and a slice in steps. While a step
//! populates, the kernel holds the lock on the process's mappings, for which the thread of the event loop waits when its
//! heap grows: so a step is short. Steps whose pages are on the device wait for it without that lock. What lies ahead of
//! a step is asked of the device first, which so has work between steps and between slices.
//!
//! `MADV_POPULATE_READ` populates and reports `EFAULT` where an access would raise SIGBUS, so nothing is patched for bytes
//! that the file has lost. Pages of a file are never populated for writing: that marks them changed, and the kernel would
//! write all of them back. Memory of the process, which has no file, is: only then it is there.
//!
//! Where the kernel lacks that advice, one byte of each page is read, as far as the file goes by its size.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fault::Kind;
use crate::range::Span;
use crate::region::Region;
use crate::registry::{self, Tag};
use crate::slice;
use crate::sys;

/// Bytes that are populated at once.
const STEP: usize = 1024 * 1024;

/// Bytes that are asked of the device before they are populated.
const READ_AHEAD: usize = 16 * 1024 * 1024;

impl Region {
    /// Brings pages of a range into memory, from its start on, for a few milliseconds (`madvise(2)`,
    /// `MADV_WILLNEED` and `MADV_POPULATE_READ`; for memory without a file `MADV_POPULATE_WRITE`).
    ///
    /// Checks the range now and returns the work, which may run on another thread and returns how many bytes are done:
    /// all of `length`, or as many as there was time for, at least one unless `length` is 0. Up to `ahead` bytes behind the
    /// range may be asked of the device; nobody waits for them.
    ///
    /// # Errors
    /// As [`pin`](Region::pin), now and when it runs. The work's own: [`Error::Fault`] for bytes that are not in the file any more, that
    /// the device cannot deliver, or that a fault had replaced; `EACCES` for pages that may not be read; `ENOMEM`;
    /// [`Error::Closed`] when the region was unmapped meanwhile.
    pub fn prefetch(
        self: &Arc<Self>,
        offset: u64,
        length: u64,
        ahead: u64,
    ) -> Result<impl FnOnce() -> Result<u64> + Send + 'static> {
        self.pin(offset, length)?;
        let region = self.clone();
        Ok(move || {
            region.steadily(offset, length, 0, |pin| {
                let Some(pin) = pin else { return Ok(0) };
                let end = pin.span().end().saturating_add(usize::try_from(ahead).unwrap_or(usize::MAX));
                let done = region.prefetch_slice(pin.span(), end)?;
                Ok(u64::try_from(done).unwrap_or(u64::MAX))
            })
        })
    }

    fn prefetch_slice(&self, range: Span, read_ahead_to: usize) -> Result<usize> {
        let page = sys::page_size();
        let invalid = || Error::system("madvise", libc::EINVAL);
        let pages = range.widened(page).ok_or_else(invalid)?;
        let ahead = Span::between(range.start(), read_ahead_to.min(self.end()).max(range.end()))
            .and_then(|ahead| ahead.widened(page))
            .ok_or_else(invalid)?;
        let mut asked = pages.start();
        let mut done = 0;
        for step in slice::steps(pages, STEP) {
            let until = step.end().saturating_add(READ_AHEAD);
            if let Some(next) = ahead.from(asked).and_then(|rest| rest.before(until)) {
                self.read_ahead(next);
                asked = next.end();
            }
            self.bring_in(step, sys::can_populate())?;
            done = range.before(step.end()).map_or(0, Span::len);
        }
        Ok(done)
    }

    /// The address behind the last byte.
    fn end(&self) -> usize {
        self.extent.read_recursive().data().map_or(0, Span::end)
    }

    /// Asks the device for what is not in memory. Pages without a file are on no device.
    fn read_ahead(&self, span: Span) {
        for (part, tag) in registry::lock().tags(span) {
            if tag.file.is_some() && tag.id == self.id() {
                sys::will_need(part);
            }
        }
    }

    /// Makes all pages of `step` present, or says which are not to be had.
    pub(crate) fn bring_in(&self, step: Span, can_populate: bool) -> Result<()> {
        let parts = {
            let registry = registry::lock();
            // Retired or unmapped: by `unmap()`, or by a raw call.
            if !registry.is_live(step, None) {
                return Err(Error::Closed);
            }
            registry.tags(step)
        };
        for (part, tag) in &parts {
            if tag.prot & libc::PROT_READ == 0 {
                return Err(Error::refused("madvise", libc::EACCES, "a part of the mapping may not be read"));
            }
            if can_populate {
                self.populate(*part, tag)?;
            } else {
                self.touch(*part, tag)?;
            }
        }
        // Of what a fault has replaced, all is told, and not only its part in this step.
        let rest = Span::between(step.start(), self.end()).unwrap_or(step);
        self.verify(step).or_else(|_| self.verify(rest))
    }

    fn populate(&self, part: Span, tag: &Tag) -> Result<()> {
        let write = is_memory(tag);
        let Err(error) = sys::populate(part, write) else { return Ok(()) };
        if !registry::lock().is_live(part, None) {
            return Err(Error::Closed);
        }
        if !matches!(error.errno(), Some(libc::EFAULT | EHWPOISON)) {
            return Err(error);
        }
        for page in part.pieces(sys::page_size()) {
            // Not one failure but two: the file may have grown back after the first, before its size is asked for.
            if sys::populate(page, write).is_err()
                && self.is_in_file(page, part, tag)?
                && sys::populate(page, write).is_err()
            {
                return Err(self.fault_at(page, why_not(page, part, tag)));
            }
        }
        Ok(())
    }

    /// Whether the file has a page of `part`, or there is no file. If it has not, all that follows is gone, too.
    fn is_in_file(&self, page: Span, part: Span, tag: &Tag) -> Result<bool> {
        if !registry::lock().is_live(page, None) {
            return Err(Error::Closed);
        }
        let there = part.slice(0, length_in_file(part, tag));
        if there.is_some_and(|there| page.intersect(there).is_some()) {
            return Ok(true);
        }
        Err(self.fault_at(Span::between(page.start(), self.end()).unwrap_or(page), Kind::Truncated))
    }

    /// Reads one byte of each page that the file has. The fault guard is there for a file that shrinks meanwhile.
    fn touch(&self, part: Span, tag: &Tag) -> Result<()> {
        let there = part.slice(0, length_in_file(part, tag)).and_then(|there| there.widened(sys::page_size()));
        for page in there.into_iter().flat_map(|there| there.pieces(sys::page_size())) {
            touch_page(page, is_memory(tag));
        }
        let reached = there.map_or(part.start(), Span::end);
        let gone = part.from(reached).and_then(|rest| Span::between(rest.start(), self.end()));
        gone.map_or(Ok(()), |gone| Err(self.fault_at(gone, Kind::Truncated)))
    }
}

/// Whether pages are memory of this process, without a file.
fn is_memory(tag: &Tag) -> bool {
    tag.flags & libc::MAP_ANONYMOUS != 0 && tag.prot & libc::PROT_WRITE != 0
}

/// How many bytes of `part` are in the file: all of them where there is no file.
fn length_in_file(part: Span, tag: &Tag) -> usize {
    let Some(file) = &tag.file else { return part.len() };
    let size = sys::size_if_same(file.identity).unwrap_or(0);
    usize::try_from(size.saturating_sub(tag.offset)).unwrap_or(usize::MAX).min(part.len())
}

/// Why a page that is in the file cannot be had. What is only without room as a page, as a hole in a full tmpfs is, can be
/// read from the file all the same; what the device cannot deliver cannot.
fn why_not(page: Span, part: Span, tag: &Tag) -> Kind {
    let skipped = u64::try_from(page.start().saturating_sub(part.start())).unwrap_or(u64::MAX);
    let offset = tag.offset.saturating_add(skipped);
    let read = tag.file.as_ref().map(|file| sys::read_at(&file.file, &mut [0], offset));
    if matches!(read, Some(Ok(1))) {
        Kind::NotLoaded
    } else {
        Kind::IoError
    }
}

/// Reads the first byte of a page; if asked, writes it, too, without changing it: the page is dirty then.
pub(crate) fn touch_page(page: Span, write: bool) {
    let pointer = std::ptr::with_exposed_provenance_mut::<u8>(page.start());
    // SAFETY: the page is mapped or, after an unmap() meanwhile, reserved: the region is pinned. What the kernel refuses then, the
    // fault guard makes good. Other threads use the byte as they like: it is only accessed atomically here.
    let byte = unsafe { AtomicU8::from_ptr(pointer) };
    let value = byte.load(Ordering::Relaxed);
    if write {
        // Fails only if somebody else has just written the byte.
        let _ = byte.compare_exchange(value, value, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// `EHWPOISON`: the memory itself is broken.
#[cfg(target_os = "linux")]
const EHWPOISON: i32 = libc::EHWPOISON;
#[cfg(not(target_os = "linux"))]
const EHWPOISON: i32 = -1;

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};
    use std::path::PathBuf;

    use super::*;
    use crate::region::{Access, MapOptions, OpenRequest, Source};

    const PAGES: u64 = 600;

    /// A file of so many pages, removed when dropped.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str, pages: u64) -> Self {
            let path = std::env::temp_dir().join(format!("mmap-native-{}-{name}", std::process::id()));
            File::create(&path).unwrap().set_len(pages * page()).unwrap();
            Self(path)
        }

        fn resize(&self, pages: u64) {
            OpenOptions::new().write(true).open(&self.0).unwrap().set_len(pages * page()).unwrap();
        }

        fn map(&self, access: Access) -> Arc<Region> {
            let request = OpenRequest {
                access,
                offset: 0,
                length: None,
                create: None,
                exclusive: false,
                grow: false,
                preallocate: false,
                options: MapOptions::default(),
                owner: 0,
            };
            Arc::new(Region::open(Source::Path(&self.0), &request).unwrap())
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn page() -> u64 {
        sys::page_size() as u64
    }

    fn all_of(region: &Region) -> Span {
        Span::new(region.address(), region.len()).unwrap()
    }

    /// Prefetches all, slice by slice.
    fn prefetch(region: &Arc<Region>, offset: u64, length: u64) -> Result<()> {
        let mut done = 0;
        while done < length {
            let slice = region.prefetch(offset + done, length - done, 0)?()?;
            assert!(slice > 0 && slice <= length - done);
            done += slice;
        }
        Ok(())
    }

    fn truncated_from(page_number: u64) -> Error {
        let (offset, length) = (page_number * page(), (PAGES - page_number) * page());
        Error::Fault(crate::fault::Fault { offset, length, kind: Kind::Truncated })
    }

    #[test]
    fn prefetch_whole_and_parts() {
        let file = Scratch::new("whole", PAGES);
        for access in [Access::Read, Access::Write, Access::Copy] {
            let region = file.map(access);
            let length = PAGES * page();
            for (offset, length) in
                [(0, length), (1, 1), (page() - 1, 2), (length - 1, 1), (length, 0), (3, length - 5)]
            {
                prefetch(&region, offset, length).unwrap();
            }
            assert_eq!(region.faults().0, 0);
            assert!(matches!(region.prefetch(1, length, 0).err(), Some(Error::OutOfRange { .. })));
        }
    }

    #[test]
    fn prefetch_of_memory_gives_memory() {
        let region = Arc::new(Region::anonymous(64 * page(), MapOptions::default(), 0).unwrap());
        prefetch(&region, 0, 64 * page()).unwrap();
        assert!(sys::mincore(all_of(&region)).unwrap().iter().all(|residency| residency & 1 == 1));
    }

    #[test]
    fn touching_of_memory_gives_memory() {
        let region = Arc::new(Region::anonymous(64 * page(), MapOptions::default(), 0).unwrap());
        region.bring_in(all_of(&region), false).unwrap();
        assert!(sys::mincore(all_of(&region)).unwrap().iter().all(|residency| residency & 1 == 1));
        let mut bytes = vec![1; 64 * sys::page_size()];
        region.read(0, &mut bytes).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn truncated_file_is_a_fault_and_nothing_is_patched() {
        let file = Scratch::new("truncated", PAGES);
        let region = file.map(Access::Read);
        file.resize(300);
        let fault = truncated_from(300);
        assert_eq!(prefetch(&region, 0, PAGES * page()), Err(fault.clone()));
        assert_eq!(region.bring_in(all_of(&region), false), Err(fault));
        assert_eq!(prefetch(&region, 400 * page(), page()), Err(truncated_from(400)));
        prefetch(&region, 0, 300 * page()).unwrap();
        assert_eq!(region.faults().0, 0);
        // The file grows back: no refresh is needed.
        file.resize(PAGES);
        prefetch(&region, 0, PAGES * page()).unwrap();
        region.bring_in(all_of(&region), false).unwrap();
    }

    #[test]
    fn patched_page_is_a_fault() {
        let file = Scratch::new("patched", PAGES);
        let region = file.map(Access::Read);
        file.resize(300);
        region.read(500 * page(), &mut [0]).unwrap_err();
        file.resize(PAGES);
        prefetch(&region, 0, 300 * page()).unwrap();
        assert_eq!(prefetch(&region, 0, PAGES * page()), Err(truncated_from(300)));
        region.refresh().unwrap();
        prefetch(&region, 0, PAGES * page()).unwrap();
    }

    #[test]
    fn unmapped_region_is_closed() {
        let file = Scratch::new("unmapped", PAGES);
        let region = file.map(Access::Read);
        let slice = region.prefetch(0, PAGES * page(), 0).unwrap();
        region.unmap().unwrap();
        assert_eq!(slice(), Err(Error::Closed));
        assert_eq!(region.prefetch(0, 1, 0).err(), Some(Error::Closed));
    }

    #[test]
    fn page_without_access_is_refused_and_stays_so() {
        let file = Scratch::new("protected", 3);
        let region = file.map(Access::Read);
        let middle = region.address() + sys::page_size();
        crate::raw::mprotect(middle, sys::page_size(), libc::PROT_NONE).unwrap();
        assert_eq!(prefetch(&region, 0, 3 * page()).unwrap_err().errno(), Some(libc::EACCES));
        assert_eq!(region.bring_in(all_of(&region), false).unwrap_err().errno(), Some(libc::EACCES));
        prefetch(&region, 0, page()).unwrap();
        assert_eq!(region.faults().0, 0);
    }
}
