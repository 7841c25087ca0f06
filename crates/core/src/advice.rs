//! Advice to the kernel about the pages of a [`Region`], by name (`madvise(2)`).
//!
//! ```text
//!   pages    |---------|---------|---------|---------|
//!   range         |---------------------------|
//!   widened  |===================================>===|   advice that loses nothing: all pages with a byte of the range
//!   within             |=========|=========|             advice that loses what pages hold: no byte but those of the range
//! ```

use std::sync::OnceLock;

use crate::error::{Error, Result};
use crate::range::Span;
use crate::region::Region;
use crate::registry::{self, Pin, Tag};
use crate::room;
use crate::sys;

/// What may be lost by following an advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// Nothing.
    None,
    /// What was written to private pages. Shared ones stay in the file, or in the shared memory, that they belong to.
    Private,
    /// What the pages hold, for this process or for a child that it forks.
    Pages,
    /// What the file holds.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    File,
}

/// One kind of advice.
#[derive(Debug)]
pub struct Advice {
    /// As `MADV_*`, in lower case and with hyphens.
    pub name: &'static str,
    value: i32,
    loss: Loss,
    /// Whether this kernel knows it.
    known: OnceLock<bool>,
}

const fn advice(name: &'static str, value: i32, loss: Loss) -> Advice {
    Advice { name, value, loss, known: OnceLock::new() }
}

/// What every Unix has. `MADV_DONTNEED` takes nothing away on macOS, but the caller need not know.
static COMMON: [Advice; 6] = [
    advice("normal", libc::MADV_NORMAL, Loss::None),
    advice("random", libc::MADV_RANDOM, Loss::None),
    advice("sequential", libc::MADV_SEQUENTIAL, Loss::None),
    advice("willneed", libc::MADV_WILLNEED, Loss::None),
    advice("dontneed", libc::MADV_DONTNEED, Loss::Private),
    advice("free", libc::MADV_FREE, Loss::Pages),
];

/// All of Linux but what takes memory away from the machine (`MADV_HWPOISON`, `MADV_SOFT_OFFLINE`: tests of the kernel) or access
/// away from pages (`MADV_GUARD_INSTALL`).
#[cfg(target_os = "linux")]
static PLATFORM: [Advice; 17] = [
    advice("remove", libc::MADV_REMOVE, Loss::File),
    advice("dontfork", libc::MADV_DONTFORK, Loss::Pages),
    advice("dofork", libc::MADV_DOFORK, Loss::None),
    advice("mergeable", libc::MADV_MERGEABLE, Loss::None),
    advice("unmergeable", libc::MADV_UNMERGEABLE, Loss::None),
    advice("hugepage", libc::MADV_HUGEPAGE, Loss::None),
    advice("nohugepage", libc::MADV_NOHUGEPAGE, Loss::None),
    // include/uapi/asm-generic/mman-common.h (Linux 6.1; libc has it for glibc only)
    advice("collapse", 25, Loss::None),
    advice("dontdump", libc::MADV_DONTDUMP, Loss::None),
    advice("dodump", libc::MADV_DODUMP, Loss::None),
    advice("wipeonfork", libc::MADV_WIPEONFORK, Loss::Pages),
    advice("keeponfork", libc::MADV_KEEPONFORK, Loss::None),
    advice("cold", libc::MADV_COLD, Loss::None),
    advice("pageout", libc::MADV_PAGEOUT, Loss::None),
    advice("populate-read", libc::MADV_POPULATE_READ, Loss::None),
    advice("populate-write", libc::MADV_POPULATE_WRITE, Loss::None),
    advice("dontneed-locked", libc::MADV_DONTNEED_LOCKED, Loss::Private),
];

/// What macOS has beyond [`COMMON`].
#[cfg(target_os = "macos")]
static PLATFORM: [Advice; 4] = [
    advice("zero-wired-pages", libc::MADV_ZERO_WIRED_PAGES, Loss::Pages),
    advice("free-reusable", libc::MADV_FREE_REUSABLE, Loss::Pages),
    advice("free-reuse", libc::MADV_FREE_REUSE, Loss::None),
    advice("can-reuse", libc::MADV_CAN_REUSE, Loss::None),
];

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
static PLATFORM: [Advice; 0] = [];

impl Advice {
    /// The advice of this name, if the platform has it.
    pub fn named(name: &str) -> Option<&'static Self> {
        COMMON.iter().chain(&PLATFORM).find(|advice| advice.name == name)
    }

    /// Whether this kernel knows it. It may still refuse it for some pages.
    pub fn is_known(&self) -> bool {
        *self.known.get_or_init(|| sys::knows_advice(self.value))
    }

    fn loses(&self, parts: &[(Span, Tag)]) -> bool {
        match self.loss {
            Loss::None => false,
            Loss::Private => parts.iter().any(|(_, tag)| tag.is_private()),
            Loss::Pages | Loss::File => true,
        }
    }
}

/// Bytes whose pages are discarded under one lock of the registry: about a millisecond.
const DISCARD_STEP: usize = 8 * 1024 * 1024;

/// Gives advice about pages that are held. The mapping may be cut in three by it.
///
/// # Errors
/// `madvise(2)`'s; `ENOMEM` if the process has too many mappings.
pub(crate) fn give(_held: &Pin, pages: Span, advice: i32) -> Result<()> {
    room::spend("madvise")?;
    // SAFETY: the pin keeps the pages ours while the call runs.
    unsafe { sys::madvise(pages, advice) }
}

impl Region {
    /// Gives the kernel advice about a range (`madvise(2)`). Returns the bytes of the pages that it is about.
    ///
    /// Advice that loses something is refused without `destructive`, and is given for whole pages within the range only; all
    /// other for all pages that hold a part of it.
    ///
    /// # Errors
    /// As [`pin`](Region::pin); `EPERM` without `destructive`; [`Error::Fault`] if that would lose what a full disk could not take
    /// yet; `ENOSYS` if the kernel does not know the advice; otherwise `madvise(2)`'s.
    pub fn advise(&self, name: &str, offset: u64, length: u64, destructive: bool) -> Result<u64> {
        let unknown = || Error::refused("madvise", libc::ENOSYS, format!("the kernel has no advice '{name}'"));
        let advice = Advice::named(name).filter(|advice| advice.is_known()).ok_or_else(unknown)?;
        let Some(pin) = self.pin(offset, length)? else { return Ok(0) };
        let parts = self.parts(pin.span())?;
        let loses = advice.loses(&parts);
        if loses && !destructive {
            let why = format!("'{name}' loses what the pages hold: it needs destructive: true");
            return Err(Error::refused("madvise", libc::EPERM, why));
        }
        let unit = parts.iter().map(|(_, tag)| tag.unit).max().unwrap_or(sys::page_size());
        let span = pin.span();
        let pages = match (loses, advice.loss) {
            (false, _) => span.widened(unit),
            // The bytes around the mapping are the file's.
            (true, Loss::File) => span.narrowed(unit),
            (true, _) => Span::new(self.address(), self.len()).and_then(|whole| span.units_within(whole, unit)),
        };
        let Some(pages) = pages else { return Ok(0) };
        let given = match advice.loss {
            Loss::None | Loss::File => give(&pin, pages, advice.value),
            Loss::Private | Loss::Pages => self.discard(pages, advice.value),
        };
        if self.is_closed() {
            return Err(Error::Closed);
        }
        given.map_err(explain)?;
        Ok(u64::try_from(pages.len()).unwrap_or(u64::MAX))
    }

    /// What is mapped in a range, which has to be all of this region.
    pub(crate) fn parts(&self, span: Span) -> Result<Vec<(Span, Tag)>> {
        let registry = registry::lock();
        if registry.is_live(span, Some(self.id())) {
            Ok(registry.tags(span))
        } else {
            Err(Error::Closed)
        }
    }

    /// Gives advice that takes pages away. Not of those that a fault has put in the place of the file's: they may hold what is still to
    /// be stored. No fault comes in between the look and the call: the gate is closed.
    fn discard(&self, pages: Span, advice: i32) -> Result<()> {
        room::spend("madvise")?;
        for piece in pages.pieces(DISCARD_STEP) {
            let registry = registry::change();
            if !registry.is_live(piece, Some(self.id())) {
                return Err(Error::Closed);
            }
            self.verify_settled(piece)?;
            // SAFETY: this region's own pages, under the lock.
            unsafe { sys::madvise(piece, advice) }?;
        }
        Ok(())
    }
}

/// Says what the number alone does not.
fn explain(error: Error) -> Error {
    let why = match error.errno() {
        Some(libc::EINVAL) => "not for pages of this kind, or not while they are locked",
        Some(libc::EFAULT) => "a part of the range is not in the file any more, or the device cannot deliver it",
        Some(libc::EACCES) => "only for a mapping with access 'write'",
        _ => return error,
    };
    error.errno().map_or(error, |errno| Error::refused("madvise", errno, why))
}
