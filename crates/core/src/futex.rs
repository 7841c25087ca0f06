//! Waiting for a 32-bit cell of a region, across processes, and waking who waits.
//!
//! Whoever has a cell of the same file, or of the same memory, waits for the same cell. Who changes its value and then notifies
//! loses nobody: a wait that comes later finds the value changed. The kernel does the comparison and the waiting
//! (`sys/futex.rs`); a page that it cannot find is explained here as [`Region::prefetch`] explains it.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::range::Span;
use crate::region::{Access, Region};
use crate::registry::Pin;
use crate::sys::{self, Wake};

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Somebody woke it, or the value changed while it waited.
    Woken,
    /// The cell had another value from the start.
    NotEqual,
    /// The time was over.
    TimedOut,
    /// It was cancelled.
    Cancelled,
}

impl Outcome {
    /// The name that users see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Woken => "ok",
            Self::NotEqual => "not-equal",
            Self::TimedOut => "timed-out",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Bytes of a cell.
const CELL: u64 = 4;

/// A page that the kernel does not find, though it is there, is looked for so often.
const LOOKS: u32 = 4;

impl Region {
    /// Pins the cell at `offset`.
    pub(crate) fn cell(&self, offset: u64) -> Result<Pin> {
        let pin = self.pin(offset, CELL).map_err(|error| match error {
            Error::OutOfRange { .. } => {
                let max = u64::try_from(self.len()).unwrap_or(u64::MAX).saturating_sub(CELL);
                Error::OutOfRange { name: "offset", max, limit: "where the mapping has four bytes" }
            }
            other => other,
        })?;
        let Some(pin) = pin else { return Err(Error::Closed) };
        if pin.span().start() & 3 != 0 {
            return Err(Error::refused("futex", libc::EINVAL, "a cell is at a multiple of 4"));
        }
        Ok(pin)
    }

    /// Waits until somebody notifies the cell at `offset`, as long as it has the value `expected` (`futex(2)`). Blocks.
    ///
    /// # Errors
    /// As [`pin`](Region::pin); `EINVAL` for an offset that is no multiple of 4; [`Error::Fault`] for a cell that is not the
    /// file's any more.
    pub fn wait(&self, offset: u64, expected: i32, timeout: Option<Duration>) -> Result<Outcome> {
        let deadline = timeout.and_then(|timeout| sys::monotonic().checked_add(timeout));
        self.anew(|| self.wait_until(offset, expected, deadline))
    }

    fn wait_until(&self, offset: u64, expected: i32, deadline: Option<Duration>) -> Result<Outcome> {
        let pin = self.cell(offset)?;
        self.verify(pin.span())?;
        let mut is_first = true;
        loop {
            let address = pin.span().start();
            let wake = self.explained(pin.span(), || sys::futex_wait(address, expected.cast_unsigned(), deadline))?;
            match wake {
                Wake::Woken => return Ok(Outcome::Woken),
                Wake::TimedOut => return Ok(Outcome::TimedOut),
                Wake::NotEqual if is_first => return Ok(Outcome::NotEqual),
                // Changed while the signal was handled.
                Wake::NotEqual => return Ok(Outcome::Woken),
                Wake::Signal => is_first = false,
            }
        }
    }

    /// Wakes up to `count` waits for the cell at `offset`, of all threads and processes, and returns how many (`futex(2)`).
    ///
    /// # Errors
    /// As [`wait`](Region::wait); `EACCES` for a region with access 'read', whose memory the kernel does not take for this.
    pub fn notify(&self, offset: u64, count: u32) -> Result<u32> {
        self.anew(|| self.notify_once(offset, count))
    }

    fn notify_once(&self, offset: u64, count: u32) -> Result<u32> {
        let pin = self.cell(offset)?;
        if self.access() == Access::Read {
            return Err(Error::refused("futex", libc::EACCES, "the mapping has access 'read'"));
        }
        self.verify(pin.span())?;
        // The kernel would wake one.
        if count == 0 {
            return Ok(0);
        }
        self.explained(pin.span(), || sys::futex_wake(pin.span().start(), count))
    }

    /// Why the cell at `offset` was not found at the addresses that it had; no error if it has others now.
    pub(crate) fn why_lost(&self, offset: u64, error: Error) -> Result<()> {
        match error {
            Error::Closed => self.cell(offset).map(|_| ()),
            other => Err(other),
        }
    }

    /// Why a cell of pages that may not be written cannot be waited for.
    fn unwritable(&self, cell: Span) -> Option<Error> {
        let parts = self.parts(cell).ok()?;
        parts.iter().all(|(_, tag)| tag.prot & libc::PROT_WRITE == 0).then(|| self.protected(cell, libc::PROT_WRITE))
    }

    /// A call on a cell; `EFAULT` is explained.
    pub(crate) fn explained<T>(&self, cell: Span, call: impl Fn() -> Result<T>) -> Result<T> {
        let mut looks = 0_u32;
        loop {
            match call() {
                Err(error) if error.errno() == Some(libc::EFAULT) => {
                    let page = cell.widened(sys::page_size()).ok_or(Error::Closed)?;
                    self.bring_in(page, sys::can_populate()).map_err(|error| match error.errno() {
                        Some(libc::EACCES) => self.protected(cell, libc::PROT_READ),
                        _ => error.in_call("futex"),
                    })?;
                    looks = looks.saturating_add(1);
                    if looks == LOOKS {
                        // The kernel takes private memory that may only be read for none at all.
                        return Err(self.unwritable(cell).unwrap_or(error));
                    }
                }
                result => return result,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protect::Rights;
    use crate::region::MapOptions;
    use std::sync::Arc;

    fn region() -> Arc<Region> {
        Arc::new(Region::anonymous(8192, MapOptions::default(), 0).unwrap())
    }

    const SHORT: Option<Duration> = Some(Duration::from_millis(1));

    #[test]
    fn wait_ends_by_value_and_by_time() {
        let region = region();
        region.write(8, &7_i32.to_ne_bytes()).unwrap();
        assert_eq!(region.wait(8, 7, SHORT), Ok(Outcome::TimedOut));
        assert_eq!(region.wait(8, 7, Some(Duration::ZERO)), Ok(Outcome::TimedOut));
        assert_eq!(region.wait(8, 8, None), Ok(Outcome::NotEqual));
        region.write(8, &(-1_i32).to_ne_bytes()).unwrap();
        assert_eq!(region.wait(8, -1, SHORT), Ok(Outcome::TimedOut));
    }

    #[test]
    fn notify_wakes_so_many() {
        let region = region();
        assert_eq!((region.notify(0, 1), region.notify(0, 0)), (Ok(0), Ok(0)));
        let waits: Vec<_> = (0..3)
            .map(|_| {
                let region = region.clone();
                std::thread::spawn(move || region.wait(0, 0, None))
            })
            .collect();
        let mut woken = 0;
        while woken < 3 {
            woken += region.notify(0, 1).unwrap();
            std::thread::yield_now();
        }
        for wait in waits {
            assert_eq!(wait.join().unwrap(), Ok(Outcome::Woken));
        }
    }

    #[test]
    fn cells_that_are_none() {
        let region = region();
        region.protect(Rights::None, 0, None).unwrap();
        for error in [region.wait(0, 0, SHORT).map(|_| ()), region.notify(0, 1).map(|_| ())] {
            assert!(matches!(error, Err(Error::System { errno: libc::EACCES, syscall: "read", .. })), "{error:?}");
        }
        region.protect(Rights::Read, 0, None).unwrap();
        assert_eq!(region.wait(0, 0, SHORT).unwrap_err().errno(), Some(libc::EACCES));
        assert_eq!(region.notify(0, 1).unwrap_err().errno(), Some(libc::EACCES));
        region.protect(Rights::Write, 0, None).unwrap();
        assert_eq!(region.wait(2, 0, SHORT).unwrap_err().errno(), Some(libc::EINVAL));
        assert!(matches!(region.wait(8189, 0, SHORT), Err(Error::OutOfRange { .. })));
        assert!(matches!(region.notify(u64::MAX, 1), Err(Error::OutOfRange { .. })));
        region.unmap().unwrap();
        assert_eq!(region.wait(0, 0, SHORT), Err(Error::Closed));
        assert_eq!(region.notify(0, 1), Err(Error::Closed));
    }
}
