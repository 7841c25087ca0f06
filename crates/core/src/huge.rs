//! Huge pages for new mappings: reserved ones (`MAP_HUGETLB`), and those that the kernel makes of small ones (`MADV_HUGEPAGE`).

use std::fs::File;

use crate::error::{Error, Result};
use crate::range::{Layout, Span};
use crate::sys::{self, Access, MapOptions};

/// What pages a mapping is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HugePages {
    /// Which.
    pub size: Size,
    /// Take smaller ones where there are none: transparent ones, and then those of the system.
    pub fallback: bool,
}

/// A kind of huge pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// The kernel puts them in the place of small ones when it has some.
    Transparent,
    /// Reserved ones, of two to the power of so many bytes.
    Log2(u8),
}

/// Maps memory. Returns its whole pages and their size; they are the caller's to unmap.
///
/// # Errors
/// As `mmap(2)`; `ENOMEM` and `EINVAL` when there are no such huge pages, `EINVAL` when the kernel makes none.
pub fn map_anonymous(length: usize, options: MapOptions) -> Result<(Span, usize)> {
    let unit = sys::page_size();
    match options.huge_pages {
        None => sys::map_anonymous(length, options).map(|span| (span, unit)),
        Some(HugePages { size: Size::Log2(log2), fallback }) => match map_reserved(length, options, log2) {
            Err(_) if fallback => map_transparent(length, options).map(|span| (span, unit)),
            mapped => mapped,
        },
        Some(_) => map_transparent(length, options).map(|span| (span, unit)),
    }
}

/// Maps a range of a file, as [`sys::map_file`].
///
/// # Errors
/// As `mmap(2)`; `EINVAL` when the kernel makes no huge pages, or has none of fixed size for files.
pub fn map_file(file: &File, layout: Layout, access: Access, options: MapOptions) -> Result<Span> {
    let Some(HugePages { size, .. }) = options.huge_pages else {
        return sys::map_file(file, layout, access, options);
    };
    if size != Size::Transparent {
        return Err(Error::refused("mmap", libc::EINVAL, "huge pages of fixed size are for memory without a file"));
    }
    let span = sys::map_file(file, layout, access, MapOptions { populate: false, ..options })?;
    // Pages of a file are read, and those of a copy made when they are written.
    make_transparent(span, options, false)?;
    Ok(span)
}

/// Whether pages of a fixed size are asked for, and no others will do: such a mapping cannot be resized.
pub fn needs_reserved(options: MapOptions) -> bool {
    matches!(options.huge_pages, Some(HugePages { size: Size::Log2(_), fallback: false }))
}

/// Advises pages that a mapping has grown by.
///
/// # Errors
/// As `madvise(2)`, if the mapping was to have huge pages and no others.
pub fn prefer(span: Span, options: MapOptions) -> Result<()> {
    match options.huge_pages {
        Some(HugePages { fallback, .. }) => {
            sys::prefer_huge_pages(span).or_else(|error| if fallback { Ok(()) } else { Err(error) })
        }
        None => Ok(()),
    }
}

fn map_reserved(length: usize, options: MapOptions, log2: u8) -> Result<(Span, usize)> {
    let overflow = || Error::system("mmap", libc::EOVERFLOW);
    let unit = 1_usize.checked_shl(u32::from(log2)).ok_or_else(overflow)?;
    let span = sys::map_huge(length, options, log2).map_err(|error| match error.errno() {
        Some(libc::ENOMEM) => Error::refused(
            "mmap",
            libc::ENOMEM,
            "not enough huge pages of this size are free; see /proc/sys/vm/nr_hugepages",
        ),
        Some(errno @ libc::EINVAL) => Error::refused("mmap", errno, "the system has no huge pages of this size"),
        _ => error,
    })?;
    Ok((span.widened(unit).ok_or_else(overflow)?, unit))
}

fn map_transparent(length: usize, options: MapOptions) -> Result<Span> {
    // Pages that were there before the advice would be small ones.
    let span = sys::map_anonymous(length, MapOptions { populate: false, ..options })?;
    make_transparent(span, options, true)?;
    Ok(span)
}

/// Advises fresh pages, and unmaps them if that fails and is not to be ignored.
fn make_transparent(span: Span, options: MapOptions, write: bool) -> Result<()> {
    let fallback = options.huge_pages.is_some_and(|huge| huge.fallback);
    if let (Err(error), false) = (sys::prefer_huge_pages(span), fallback) {
        // SAFETY: just mapped, seen by nobody.
        unsafe { sys::munmap(span) }?;
        return Err(match error.errno() {
            Some(errno @ libc::EINVAL) => Error::refused("madvise", errno, "the kernel makes no huge pages"),
            _ => error,
        });
    }
    if options.populate {
        // As MAP_POPULATE: what cannot be brought in now comes in later, or is a fault then.
        let _ = sys::populate(span, write);
    }
    Ok(())
}
