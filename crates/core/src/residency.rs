//! Which pages of a [`Region`] are in memory.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::region::Region;
use crate::registry;
use crate::slice;
use crate::sys;

/// Bytes whose pages are asked about at once. So many pages are a multiple of eight.
const STEP: usize = 64 * 1024 * 1024;

/// A slice has at most so many bytes.
const LONGEST_SLICE: usize = 1024 * 1024 * 1024;

impl Region {
    /// Which pages of a range are in memory, from its start on, for a few milliseconds (`mincore(2)`).
    ///
    /// Pins the region now and returns the work, which may run on another thread. It returns a bit a page, the lowest bit of a byte first:
    /// for all pages that hold a part of the range, or for the first of them, eight to a byte, as many as there was time for.
    ///
    /// # Errors
    /// As [`pin`](Region::pin); the work's own: `EAGAIN`, `ENOMEM`, [`Error::Closed`].
    pub fn residency(
        self: &Arc<Self>,
        offset: u64,
        length: u64,
    ) -> Result<impl FnOnce() -> Result<Vec<u8>> + Send + 'static> {
        self.pin(offset, length)?;
        let region = self.clone();
        Ok(move || {
            region.steadily(offset, length, 0, |pin| {
                let mut bits = Vec::new();
                let Some(pin) = pin else { return Ok(bits) };
                let pages = pin.span().widened(sys::page_size()).ok_or(Error::system("mincore", libc::EINVAL))?;
                let longest = pages.slice(0, LONGEST_SLICE).unwrap_or(pages);
                for step in slice::steps(longest, STEP) {
                    let bytes = sys::mincore(step);
                    if !registry::lock().is_live(step, Some(region.id())) {
                        return Err(Error::Closed);
                    }
                    pack(&bytes?, &mut bits);
                }
                Ok(bits)
            })
        })
    }
}

/// The lowest bits of `pages`, eight to a byte.
fn pack(pages: &[u8], bits: &mut Vec<u8>) {
    bits.extend(pages.chunks(8).map(|eight| {
        let bits = eight.iter().enumerate();
        bits.fold(0, |byte, (index, page)| byte | ((page & 1) << index))
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::MapOptions;

    #[test]
    fn bits_are_packed_from_the_lowest_on() {
        let mut bits = Vec::new();
        pack(&[1, 0, 0, 0xff, 0, 0, 0, 1, 1, 0, 0xfe], &mut bits);
        assert_eq!(bits, [0b1000_1001, 0b1]);
    }

    #[test]
    fn touched_pages_are_resident() {
        let page = sys::page_size() as u64;
        let region = Arc::new(Region::anonymous(20 * page, MapOptions::default(), 0).unwrap());
        for touched in [0, 9, 10, 19] {
            region.write(touched * page, &[1]).unwrap();
        }
        let residency = |offset, length| region.residency(offset, length).unwrap()().unwrap();
        assert_eq!(residency(0, 20 * page), [0b1, 0b110, 0b1000]);
        assert_eq!(residency(9 * page + 5, page), [0b11]);
        assert_eq!(residency(20 * page, 0), []);
        let later = region.residency(0, page).unwrap();
        region.unmap().unwrap();
        assert_eq!(later(), Err(Error::Closed));
    }
}
