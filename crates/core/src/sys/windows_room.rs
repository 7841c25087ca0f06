//! Views of a file side by side in one range of addresses, which a mapping with `maxLength` has from the start.
//!
//! ```text
//!   |<-- view -->|<-- view -->|<------------ placeholder ------------>|      grow: a part of the placeholder is split off, and
//!   | of open()  | of a growth |                                       |      more of the file is mapped into it
//!   |<------------------- placeholder ------------------------------->|      shrink: nothing of the file may be mapped, so all of it
//!   |<-- view -->|<---------------- placeholder --------------------->|      is unmapped for a moment, and then mapped again
//! ```
//!
//! In the place of a placeholder the 64 KiB by which views are aligned elsewhere do not count.

use windows_sys::Win32::System::Memory::{VirtualFree, MEM_COMMIT, MEM_MAPPED, MEM_PRESERVE_PLACEHOLDER, MEM_RELEASE};

use super::windows::{
    allocation, allocations, at, check, map_zeros, own_pages, pieces, protect_as, protection, put_back, unmap_but_keep,
    OwnPages, UNMAPPED,
};
use super::windows_section::{Backing, Section};
use super::windows_std::RawFd;
use crate::error::Result;
use crate::range::Span;

/// `<winnt.h>`.
const MEM_COALESCE_PLACEHOLDERS: u32 = 1;

/// Pages that were unmapped, with what the process had written to them.
pub struct TakenPages(OwnPages);

/// Makes the first so many bytes of a placeholder one of their own; or an allocation of memory, all of it, a placeholder again.
unsafe fn free_to_placeholder(span: Span) -> Result<()> {
    // SAFETY: the caller's contract.
    check("mmap", unsafe { VirtualFree(at(span.start()), span.len(), MEM_RELEASE | MEM_PRESERVE_PLACEHOLDER) })
}

/// Makes one placeholder of several.
unsafe fn coalesce(span: Span) -> Result<()> {
    // SAFETY: the caller's contract.
    check("mmap", unsafe { VirtualFree(at(span.start()), span.len(), MEM_RELEASE | MEM_COALESCE_PLACEHOLDERS) })
}

/// Maps a part of a file, or memory, into addresses that are reserved, from the first of them on.
///
/// # Safety
/// The caller owns the addresses, and nobody maps anything there meanwhile.
///
/// # Errors
/// As [`map_file`](super::map_file).
pub unsafe fn map_more(span: Span, prot: i32, flags: i32, fd: RawFd, offset: u64) -> Result<()> {
    if flags & libc::MAP_ANONYMOUS != 0 {
        // SAFETY: the caller's contract.
        return unsafe { map_zeros(span) };
    }
    let protection = protection(prot, flags & libc::MAP_PRIVATE != 0);
    let section = Section::of(Backing::of(fd), protection)?;
    let is_room = |room: Span| room.start() == span.start() && room.contains(span);
    let (room, _) = allocation(span.start()).filter(|(room, _)| is_room(*room)).ok_or(UNMAPPED)?;
    let map = || {
        let is_part = room.len() > span.len();
        if is_part {
            // SAFETY: the caller's contract.
            unsafe { free_to_placeholder(span) }?;
        }
        // SAFETY: the placeholder of this size.
        unsafe { section.map_into(span, offset, span.len(), protection) }.inspect_err(|_| {
            if is_part {
                // SAFETY: what was split.
                let _ = unsafe { coalesce(room) };
            }
        })
    };
    map().or_else(|error| {
        // A view of before has found zeros there, and made the placeholder memory.
        // SAFETY: the caller's contract.
        unsafe { free_to_placeholder(room) }.map_err(|_| error)?;
        map()
    })
}

/// Unmaps `pages`, with which `room` begins, and makes one placeholder of all of it. With `own`, what was written to copy-on-write
/// pages is kept, for [`put_pages`]. Accesses of other threads fault meanwhile, and come back.
///
/// # Safety
/// The caller owns all of the addresses.
///
/// # Errors
/// `ENOMEM` if there is no memory for a copy of written pages, `EINVAL` for addresses that are not all its own; all is as before then.
pub unsafe fn take_pages(room: Span, pages: Span, own: bool) -> Result<TakenPages> {
    let whole = allocations(room)?;
    let before: Vec<_> = pieces(pages).collect();
    // SAFETY: the caller's contract.
    let own = if own { unsafe { own_pages(&before) } } else { Ok(Vec::new()) };
    let own = own.inspect_err(|_| {
        // SAFETY: as above: nothing was unmapped.
        unsafe { protect_as(&before, pages) };
    })?;
    for (one, found) in &whole {
        if found.kind == MEM_MAPPED {
            // SAFETY: the caller's contract.
            unsafe { unmap_but_keep(*one) }?;
        } else if pieces(*one).any(|(_, piece)| piece.state == MEM_COMMIT) {
            // SAFETY: as above: zeros, or what a device had failed to deliver.
            unsafe { free_to_placeholder(*one) }?;
        }
    }
    if whole.len() > 1 {
        // SAFETY: nothing but placeholders.
        unsafe { coalesce(room) }?;
    }
    Ok(TakenPages(own))
}

/// Writes to pages that were mapped again what they had. Those that are not there are left out.
pub fn put_pages(taken: &TakenPages) {
    put_back(&taken.0);
}
