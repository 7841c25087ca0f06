//! Work on a range in slices of a few milliseconds, so that it can be stopped and nobody waits for long.

use std::time::{Duration, Instant};

use crate::range::Span;

/// A slice ends with the first step after this time.
const SLICE: Duration = Duration::from_millis(4);

/// The pieces of `pages` that there is time for, each of at most `step` bytes: one at least.
pub fn steps(pages: Span, step: usize) -> impl Iterator<Item = Span> {
    let started = Instant::now();
    let mut is_first = true;
    pages.pieces(step).take_while(move |_| std::mem::take(&mut is_first) || started.elapsed() < SLICE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_has_one_step_at_least_and_ends_when_its_time_is_over() {
        let pages = Span::new(4096, 100 * 4096).unwrap();
        let mut all = steps(pages, 4096);
        assert_eq!(all.next(), Span::new(4096, 4096));
        std::thread::sleep(SLICE);
        assert_eq!(all.next(), None);
        let mut late = steps(pages, pages.len());
        std::thread::sleep(SLICE);
        assert_eq!(late.next(), Some(pages));
        assert_eq!(late.next(), None);
    }
}
