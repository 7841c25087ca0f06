//! Taking rights away from pages of a [`Region`], and giving them back.

use crate::error::{Error, Result};
use crate::range::{is_page_aligned, round_down, Span};
use crate::region::{Access, Region};
use crate::registry::{self, Registry};
use crate::room;
use crate::sys;

/// What pages allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Nothing: an access is a fault.
    None,
    /// Reading.
    Read,
    /// Reading and writing.
    Write,
}

impl Rights {
    fn prot(self) -> i32 {
        match self {
            Self::None => libc::PROT_NONE,
            Self::Read => libc::PROT_READ,
            Self::Write => libc::PROT_READ | libc::PROT_WRITE,
        }
    }
}

impl Region {
    /// Sets what the pages of a range allow (`mprotect(2)`). The range starts and ends where a page of the file does, or where the
    /// region does: the page there counts as all its own. `None` is all from `offset` on.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::OutOfRange`], also for a part of a page; `EACCES` for writing to a region with access 'read';
    /// [`Error::Fault`] for bytes that the file cannot take; `ENOMEM`.
    pub fn protect(&self, rights: Rights, offset: u64, length: Option<u64>) -> Result<()> {
        // No method is at work on the pages meanwhile.
        let extent = self.extent.write();
        if self.is_closed() {
            return Err(Error::Closed);
        }
        let span = extent.slice(offset, extent.length_from(offset, length))?;
        if rights == Rights::Write && self.access == Access::Read {
            return Err(Error::refused("mprotect", libc::EACCES, "the mapping has access 'read'"));
        }
        let (Some(span), Some(data)) = (span, extent.data()) else { return Ok(()) };
        let is_border = |address| is_page_aligned(address) || address == data.start() || address == data.end();
        // As it was when the caller looked, perhaps.
        let border = |name, address: usize| {
            let max = u64::try_from(round_down(address, sys::page_size()).saturating_sub(span.start())).unwrap_or(0);
            let limit = "the range starts and ends where a page or the mapping does";
            if is_border(address) {
                Ok(())
            } else {
                Err(Error::OutOfRange { name, max, limit })
            }
        };
        border("offset", span.start())?;
        border("length", span.end())?;
        let pages = span.widened(sys::page_size()).ok_or(Error::system("mprotect", libc::EINVAL))?;
        if rights != Rights::Write {
            // A stray write would replace pages that are the only copy of what the file could not take.
            self.store_again(pages)?;
        }
        room::spend("mprotect")?;
        let mut registry = registry::change();
        if !registry.is_live(pages, Some(self.id())) {
            return Err(Error::refused("mprotect", libc::ENOMEM, "a part of the range was unmapped by a raw call"));
        }
        protect(&mut registry, pages, rights.prot())
    }

    /// The failure of a method that needs `prot` of the pages of `part`, and is refused before it touches them.
    pub(crate) fn protected(&self, part: Span, prot: i32) -> Error {
        let (call, what) = if prot & libc::PROT_WRITE == 0 { ("read", "read") } else { ("write", "written") };
        let at = self.tag.log.within(part, crate::fault::Kind::Protected).offset;
        Error::refused(call, libc::EACCES, format!("protect() lets no byte be {what} from {at} on"))
    }
}

/// Changes the protection of pages that are all ours.
///
/// # Errors
/// As `mprotect(2)`.
pub(crate) fn protect(registry: &mut Registry, span: Span, prot: i32) -> Result<()> {
    // SAFETY: all pages are ours, say both callers, under the lock.
    unsafe { sys::mprotect(span, prot) }?;
    registry.set_prot(span, prot);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::MapOptions;

    #[test]
    fn range_to_the_end_is_that_of_the_moment() {
        let region = Region::anonymous(5000, MapOptions::default(), 0).unwrap();
        let page = u64::try_from(sys::page_size()).unwrap();
        // Who asked for the length before another thread resized.
        region.resize(Some(3 * page + 1)).unwrap();
        let outdated = region.protect(Rights::Read, 0, Some(page + 904));
        assert!(matches!(outdated, Err(Error::OutOfRange { name: "length", max, .. }) if max == page));
        region.protect(Rights::Read, page, None).unwrap();
        assert_eq!(region.write(3 * page, b"x").unwrap_err().errno(), Some(libc::EACCES));
        region.resize(Some(page)).unwrap();
        region.unlock(0, None).unwrap();
        assert!(matches!(region.unlock(0, Some(3 * page + 1)), Err(Error::OutOfRange { max, .. }) if max == page));
    }
}
