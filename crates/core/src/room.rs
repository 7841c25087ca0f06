//! How many mappings a process may still have, as far as fault handlers may spend them.
//!
//! A page that is replaced in the middle of a mapping makes three of one, and a process has only so many
//! (`vm.max_map_count`, 65530 unless set, on Linux). Beyond that the kernel refuses every `mmap`, the handlers' and the
//! runtime's. So handlers replace more pages at once, the less room there is, and end with whole segments.
//!
//! Handlers only count down. The watcher thread counts what there really is, now and then.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};
use crate::range::{round_down, Span};
use crate::sys;

/// Mappings that handlers may still make.
static LEFT: AtomicUsize = AtomicUsize::new(16_384);
/// What was left when it was last counted.
static COUNTED: AtomicUsize = AtomicUsize::new(16_384);

/// Pages that are replaced at once when half of the room is spent.
const PIECE: usize = 64;
/// The watcher counts anew when so many were spent since it did.
const WORTH_COUNTING: usize = 1024;
/// For mappings that are made between two counts.
const SPARE: usize = 2048;

/// Counts the mappings of the process, unless few were made since the last time. Not in a signal handler.
pub fn count() {
    let (left, counted) = (LEFT.load(Ordering::Acquire), COUNTED.load(Ordering::Acquire));
    static FIRST: std::sync::Once = std::sync::Once::new();
    let is_first = !FIRST.is_completed();
    FIRST.call_once(|| {});
    if is_first || counted.saturating_sub(left) >= WORTH_COUNTING {
        recount();
    }
}

fn recount() {
    let now = sys::mapping_limit().saturating_sub(SPARE).saturating_sub(sys::count_mappings());
    LEFT.store(now, Ordering::Release);
    COUNTED.store(now, Ordering::Release);
}

/// Fails when a call that may split a mapping in three would leave the runtime too few.
///
/// # Errors
/// `ENOMEM`.
pub fn spend(syscall: &'static str) -> Result<()> {
    let left = LEFT.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| Some(left.saturating_sub(2)));
    if left.unwrap_or(0) > COUNTED.load(Ordering::Acquire) / 2 {
        return Ok(());
    }
    count();
    if LEFT.load(Ordering::Acquire) >= 2 {
        return Ok(());
    }
    // Down to the last: whether that is true is worth a look each time.
    recount();
    if LEFT.load(Ordering::Acquire) >= 2 {
        return Ok(());
    }
    Err(Error::refused(syscall, libc::ENOMEM, "the process has nearly as many mappings as the system allows"))
}

/// What to replace for the sake of `page`, in order of preference: the page, a piece around it, all of the segment.
/// Async-signal-safe.
pub fn extents(segment: Span, page: Span) -> impl Iterator<Item = Span> {
    let (left, counted) = (LEFT.load(Ordering::Acquire), COUNTED.load(Ordering::Acquire));
    // A page in the middle makes two mappings more. Never below nothing, whoever counts at the same time.
    let _ = LEFT.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| Some(left.saturating_sub(2)));
    let length = sys::page_size().saturating_mul(PIECE);
    let start = round_down(page.start(), length);
    let piece = Span::new(start, length).and_then(|piece| piece.intersect(segment));
    let first = if left > counted / 2 {
        Some(page)
    } else if left > 2 {
        piece
    } else {
        None
    };
    // Huge pages are replaced as a whole in any case.
    first.filter(|first| first.contains(page)).into_iter().chain([segment])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_less_room_there_is_the_more_is_replaced_at_once() {
        let unit = sys::page_size();
        let segment = Span::new(unit * 1000, unit * 1000).unwrap();
        let page = Span::new(unit * 1500, unit).unwrap();
        let first = || extents(segment, page).next().unwrap();
        COUNTED.store(100, Ordering::Release);
        LEFT.store(100, Ordering::Release);
        assert_eq!(first(), page);
        LEFT.store(50, Ordering::Release);
        let piece = first();
        assert!(piece.contains(page) && piece.len() == unit * PIECE);
        LEFT.store(1, Ordering::Release);
        assert_eq!(first(), segment);
        assert_eq!(LEFT.load(Ordering::Acquire), 0);
        assert_eq!(extents(segment, page).last(), Some(segment));
        LEFT.store(16_384, Ordering::Release);
        COUNTED.store(16_384, Ordering::Release);
    }
}
