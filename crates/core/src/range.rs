//! Ranges of addresses and file offsets. All arithmetic on them lives here, and all of it is checked.
//!
//! ```text
//!   file     0 ............... page ....... offset ............ offset + length .... page
//!                               |            |                       |                 |
//!   memory                     base         base + lead      base + lead + length    base + map_length
//!                               |<-- lead -->|<----- length -------->|                 |
//!                               |<------------- map_length (whole pages) ------------->|
//! ```

use crate::sys;

/// A half-open, non-empty range of addresses `[start, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    start: usize,
    end: usize,
}

impl Span {
    /// `length` bytes from `start`; `None` if that is empty or wraps around the address space.
    pub fn new(start: usize, length: usize) -> Option<Self> {
        Self::between(start, start.checked_add(length)?)
    }

    /// From `start` up to `end`; `None` if that is empty.
    pub fn between(start: usize, end: usize) -> Option<Self> {
        (start < end).then_some(Self { start, end })
    }

    /// The whole pages that hold any part of `length` bytes from `start`.
    pub fn pages(start: usize, length: usize) -> Option<Self> {
        Self::new(start, length)?.widened(sys::page_size())
    }

    /// This span grown at both ends to multiples of `unit`, a power of two.
    pub fn widened(self, unit: usize) -> Option<Self> {
        Self::between(round_down(self.start, unit), round_up(self.end, unit)?)
    }

    /// This span cut at both ends to multiples of `unit`, a power of two; `None` if nothing is left.
    pub fn narrowed(self, unit: usize) -> Option<Self> {
        Self::between(round_up(self.start, unit)?, round_down(self.end, unit))
    }

    /// The units, of a power of two of bytes, that lie within this part of `whole`, whose ends count as ends of units: what they
    /// share a unit with is nobody's.
    pub fn units_within(self, whole: Self, unit: usize) -> Option<Self> {
        let wide = self.widened(unit)?;
        let start = if self.start <= whole.start { wide.start } else { round_up(self.start, unit)? };
        let end = if self.end >= whole.end { wide.end } else { round_down(self.end, unit) };
        Self::between(start, end)
    }

    /// The first address.
    pub fn start(self) -> usize {
        self.start
    }

    /// The address behind the last one.
    pub fn end(self) -> usize {
        self.end
    }

    /// Bytes. Never 0.
    #[allow(clippy::len_without_is_empty, clippy::arithmetic_side_effects)] // start < end
    pub fn len(self) -> usize {
        self.end - self.start
    }

    /// What both spans have.
    pub fn intersect(self, other: Self) -> Option<Self> {
        Self::between(self.start.max(other.start), self.end.min(other.end))
    }

    /// Whether the two overlap or one follows the other.
    pub fn touches(self, other: Self) -> bool {
        self.start <= other.end && other.start <= self.end
    }

    /// The smallest span that holds both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// This span when what lay at `from` lies at `to`.
    pub fn moved(self, from: usize, to: usize) -> Option<Self> {
        Self::new(self.start.checked_sub(from)?.checked_add(to)?, self.len())
    }

    /// Whether every address of `other` is in this span.
    pub fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// The part before `address`.
    pub fn before(self, address: usize) -> Option<Self> {
        Self::between(self.start, self.end.min(address))
    }

    /// The part from `address` on.
    pub fn from(self, address: usize) -> Option<Self> {
        Self::between(self.start.max(address), self.end)
    }

    /// This span in consecutive pieces of at most `length` bytes.
    pub fn pieces(self, length: usize) -> impl Iterator<Item = Self> {
        let mut start = self.start;
        std::iter::from_fn(move || {
            let piece = Self::between(start, start.saturating_add(length).min(self.end))?;
            start = piece.end;
            Some(piece)
        })
    }

    /// `length` bytes from `offset` within this span; `None` if they are not all in it.
    pub fn slice(self, offset: usize, length: usize) -> Option<Self> {
        let part = Self::new(self.start.checked_add(offset)?, length)?;
        self.contains(part).then_some(part)
    }
}

/// How a range of bytes of a file lies in whole pages: see the drawing at the top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The offset in the file, rounded down to where a mapping may start: a page.
    pub page_offset: u64,
    /// Bytes between the start of the first page and the first byte asked for.
    pub lead: usize,
    /// Bytes from the start of the first page to the last byte asked for.
    pub map_length: usize,
}

impl Layout {
    /// The layout of `length` bytes from `offset`; `None` if it exceeds the address space or the largest file.
    pub fn new(offset: u64, length: u64) -> Option<Self> {
        let page = u64::try_from(sys::offset_unit()).ok()?;
        let lead = offset.checked_rem(page)?;
        let page_offset = offset.checked_sub(lead)?;
        let map_length = length.checked_add(lead)?;
        i64::try_from(page_offset.checked_add(map_length)?).ok()?;
        let map_length = isize::try_from(map_length).ok()?;
        Some(Self { page_offset, lead: usize::try_from(lead).ok()?, map_length: usize::try_from(map_length).ok()? })
    }
}

/// Whether `address` is a multiple of the page size.
pub fn is_page_aligned(address: usize) -> bool {
    address & (sys::page_size().wrapping_sub(1)) == 0
}

/// The largest multiple of `unit`, a power of two, that is not above `value`.
pub fn round_down(value: usize, unit: usize) -> usize {
    value & !(unit.wrapping_sub(1))
}

/// The smallest multiple of `unit`, a power of two, that is not below `value`.
pub fn round_up(value: usize, unit: usize) -> Option<usize> {
    Some(round_down(value.checked_add(unit.wrapping_sub(1))?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn span_rejects_empty_and_wrapping_ranges() {
        assert_eq!(Span::new(4096, 0), None);
        assert_eq!(Span::new(usize::MAX, 2), None);
        assert_eq!(Span::between(5, 5), None);
        assert_eq!(Span::between(6, 5), None);
    }

    #[test]
    fn pages_hold_every_byte_asked_for() {
        let page = sys::page_size();
        let span = Span::pages(page + 1, 1).unwrap();
        assert_eq!((span.start(), span.len()), (page, page));
        let span = Span::pages(page - 1, 2).unwrap();
        assert_eq!((span.start(), span.len()), (0, 2 * page));
        assert_eq!(Span::pages(usize::MAX - 1, 1), None);
    }

    #[test]
    fn narrowed_spans_have_whole_units() {
        let page = sys::page_size();
        let span = |start, end| Span::between(start, end).unwrap();
        assert_eq!(span(1, 3 * page - 1).narrowed(page), Some(span(page, 2 * page)));
        assert_eq!(span(page, 2 * page).narrowed(page), Some(span(page, 2 * page)));
        assert_eq!(span(1, page).narrowed(page), None);
        assert_eq!(span(page - 1, page + 1).narrowed(page), None);
        let whole = span(page + 7, 4 * page + 9);
        assert_eq!(whole.units_within(whole, page), Some(span(page, 5 * page)));
        assert_eq!(span(page + 8, 4 * page + 8).units_within(whole, page), Some(span(2 * page, 4 * page)));
        assert_eq!(span(page + 7, page + 8).units_within(whole, page), None);
        assert_eq!(span(4 * page, 4 * page + 9).units_within(whole, page), Some(span(4 * page, 5 * page)));
    }

    #[test]
    fn slice_stays_inside() {
        let span = Span::new(100, 10).unwrap();
        assert_eq!(span.slice(0, 10), Some(span));
        assert_eq!(span.slice(1, 10), None);
        assert_eq!(span.slice(10, 1), None);
        assert_eq!(span.slice(usize::MAX, 1), None);
        assert_eq!(span.slice(9, 1), Span::new(109, 1));
    }

    #[test]
    fn layout_takes_any_offset() {
        let page = u64::try_from(sys::page_size()).unwrap();
        let layout = Layout::new(page + 3, 10).unwrap();
        assert_eq!(layout, Layout { page_offset: page, lead: 3, map_length: 13 });
        assert_eq!(Layout::new(u64::MAX, 1), None);
        assert_eq!(Layout::new(0, u64::MAX), None);
        assert_eq!(Layout::new(1 << 62, 1 << 62), None);
    }
}
