//! Dropping pages of files that can be read again: from the process, and from the page cache.
//!
//! Nothing is lost: pages of shared mappings belong to their file, and those that were written stay in the page cache until they are
//! stored. Pages that a fault put in the place of the file's are left alone.

use std::fs::File;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::range::Span;
use crate::region::Region;
use crate::registry::{self, Tag};
use crate::room;
use crate::slice;
use crate::sys;

/// Bytes that are dropped under one lock of the registry.
const STEP: usize = 8 * 1024 * 1024;

/// What one slice has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Eviction {
    /// Bytes of the range that are done, from its start on.
    pub done: u64,
    /// Bytes of pages that the process had in its page tables; `None` where the system does not tell.
    pub from_process: Option<u64>,
    /// Bytes of pages that have gone from the page cache.
    pub from_page_cache: u64,
}

impl Region {
    /// Drops pages of a range from the process (`madvise(2)`, `MADV_DONTNEED`), from its start on, for a few milliseconds, and, if asked, those
    /// that are stored and that nobody else has mapped from the page cache (`posix_fadvise(2)`, `POSIX_FADV_DONTNEED`).
    ///
    /// Pins the region now and returns the work, which may run on another thread. So many bytes `behind` the start were dropped by
    /// the slice before: the page cache keeps pages in units of its own, which may lie on the border.
    ///
    /// # Errors
    /// As [`pin`](Region::pin). The work's own: `EINVAL` for private pages, which may hold what was written, and for locked ones; `ENOSYS` for
    /// the page cache where there is no such call; [`Error::Closed`] when the region was unmapped meanwhile.
    pub fn evict(
        self: &Arc<Self>,
        offset: u64,
        length: u64,
        behind: u64,
        page_cache: bool,
    ) -> Result<impl FnOnce() -> Result<Eviction> + Send + 'static> {
        self.pin(offset, length)?;
        let region = self.clone();
        Ok(move || {
            region.steadily(offset, length, 0, |pin| {
                let mut eviction = Eviction { from_process: Some(0), ..Eviction::default() };
                let Some(pin) = pin else { return Ok(eviction) };
                let pages = pin.span().widened(sys::page_size()).ok_or(Error::system("madvise", libc::EINVAL))?;
                let behind = usize::try_from(behind).unwrap_or(usize::MAX);
                for step in slice::steps(pages, STEP) {
                    let present = present_bytes(step);
                    let parts = region.drop_pages(step)?;
                    eviction.from_process =
                        eviction.from_process.zip(present).map(|(sum, more)| sum.saturating_add(more));
                    if page_cache {
                        let before = cached_bytes(step)?;
                        parts.iter().try_for_each(|(part, tag)| uncache(*part, tag, behind))?;
                        let gone = before.saturating_sub(cached_bytes(step)?);
                        eviction.from_page_cache = eviction.from_page_cache.saturating_add(gone);
                    }
                    eviction.done = wide(pin.span().before(step.end()).map_or(0, Span::len));
                }
                // What was counted may have been others' by then.
                region.parts(pin.span())?;
                Ok(eviction)
            })
        })
    }

    /// Drops the pages of `step` but those that are not the file's. Returns what is mapped there.
    fn drop_pages(&self, step: Span) -> Result<Vec<(Span, Tag)>> {
        room::spend("madvise")?;
        // With the gate closed: no fault replaces a page between the look and the call.
        let registry = registry::change();
        if !registry.is_live(step, Some(self.id())) {
            return Err(Error::Closed);
        }
        let parts = registry.tags(step);
        if parts.iter().any(|(_, tag)| tag.is_private()) {
            let why = "pages of this process may hold what was written: evict() is for access 'read' and 'write'";
            return Err(Error::refused("madvise", libc::EINVAL, why));
        }
        for span in self.without_patches(step) {
            // SAFETY: this region's own pages, under the lock; they are shared, so that their contents stay where they belong.
            unsafe { sys::madvise(span, libc::MADV_DONTNEED) }.map_err(|error| match error.errno() {
                Some(libc::EINVAL) => {
                    Error::refused("madvise", libc::EINVAL, "a part of the range is locked in memory")
                }
                _ => error,
            })?;
        }
        Ok(parts)
    }

    /// The parts of `span` that are the file's.
    fn without_patches(&self, span: Span) -> Vec<Span> {
        let mut patches = self.patches();
        patches.sort_unstable_by_key(|patch| patch.start());
        let mut parts = Vec::new();
        let mut reached = span.start();
        for patch in patches.into_iter().filter_map(|patch| patch.intersect(span)) {
            parts.extend(Span::between(reached, patch.start()));
            reached = reached.max(patch.end());
        }
        parts.extend(Span::between(reached, span.end()));
        parts
    }
}

/// Bytes of the pages of `span` that the process has in its page tables: proc_pid_pagemap(5), bit 63.
fn present_bytes(span: Span) -> Option<u64> {
    const ENTRY: usize = 8;
    let page = sys::page_size();
    let mut entries = vec![0_u8; span.len().checked_div(page)?.checked_mul(ENTRY)?];
    let at = span.start().checked_div(page)?.checked_mul(ENTRY)?;
    let file = File::open("/proc/self/pagemap").ok()?;
    (sys::read_at(&file, &mut entries, wide(at)).ok()? == entries.len()).then_some(())?;
    // In the byte order of the machine: each entry is a number.
    let is_present = |entry: &&[u8]| (*entry).try_into().is_ok_and(|entry| u64::from_ne_bytes(entry) >> 63 == 1);
    let present = entries.chunks_exact(ENTRY).filter(is_present).count();
    Some(wide(present.saturating_mul(page)))
}

/// Bytes of the pages of `span` that are in memory.
fn cached_bytes(span: Span) -> Result<u64> {
    let pages = sys::mincore(span)?.iter().filter(|page| *page & 1 == 1).count();
    Ok(wide(pages.saturating_mul(sys::page_size())))
}

/// Drops a part of a file from the page cache.
fn uncache(part: Span, tag: &Tag, behind: usize) -> Result<()> {
    let Some(file) = &tag.file else { return Ok(()) };
    let before = wide(behind).min(tag.offset);
    let length = wide(part.len()).saturating_add(before);
    sys::drop_from_page_cache(&file.file, tag.offset.saturating_sub(before), length)
}

fn wide(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
