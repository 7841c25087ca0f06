//! Locking: pages are brought into memory and kept there (`mlock(2)`).
//!
//! The kernel holds its lock on the process's mappings while it goes through the pages that are in memory, some 100 ms for each GiB, and
//! the runtime's heap waits for that lock when it grows. So the work goes in slices, each in one turn of a thread of the pool, and a
//! slice in short steps.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::range::Span;
use crate::region::Region;
use crate::registry;
use crate::room;
use crate::slice;
use crate::sys;

/// Bytes that are brought in and locked at once.
const STEP: usize = 1024 * 1024;

/// Bytes that are marked or let go at once.
const LONG_STEP: usize = 16 * 1024 * 1024;

impl Region {
    /// Locks pages of a range in memory, from its start on, for a few milliseconds (`mlock(2)`); with `on_fault` each when it is first
    /// used (`mlock2(2)`, `MLOCK_ONFAULT`).
    ///
    /// Pins the region now and returns the work, which may run on another thread and returns how many bytes are done, as
    /// [`prefetch`](Region::prefetch) does. Pages that were locked before a failure stay so.
    ///
    /// # Errors
    /// As [`pin`](Region::pin). The work's own: `ENOMEM`, `EPERM` and `EAGAIN` with the limit; [`Error::Fault`] for bytes that are not to be
    /// had; `ENOSYS` for `on_fault` where there is no such call; [`Error::Closed`] when the region was unmapped meanwhile.
    pub fn lock(
        self: &Arc<Self>,
        offset: u64,
        length: u64,
        on_fault: bool,
    ) -> Result<impl FnOnce() -> Result<u64> + Send + 'static> {
        self.pin(offset, length)?;
        let region = self.clone();
        Ok(move || {
            region.steadily(offset, length, 0, |pin| {
                let Some(pin) = pin else { return Ok(0) };
                let pages = pages_of(pin.span(), "mlock")?;
                let mut done = 0;
                for step in slice::steps(pages, if on_fault { LONG_STEP } else { STEP }) {
                    region.lock_step(step, on_fault)?;
                    done = pin.span().before(step.end()).map_or(0, Span::len);
                }
                Ok(u64::try_from(done).unwrap_or(u64::MAX))
            })
        })
    }

    fn lock_step(&self, step: Span, on_fault: bool) -> Result<()> {
        room::spend("mlock")?;
        self.parts(step)?;
        let lock = || if on_fault { sys::mlock_on_fault(step) } else { sys::mlock(step) };
        let mut locked = lock();
        let mut brought = Ok(());
        if !on_fault && locked.as_ref().is_err_and(|error| error.errno() == Some(libc::ENOMEM)) {
            // The same number for the limit and for a page that is not to be had: this tells which, if it is the latter.
            brought = self.bring_in(step, sys::can_populate());
            if brought.is_ok() {
                locked = lock();
            }
        }
        if !registry::lock().is_live(step, Some(self.id())) {
            // Addresses that were locked behind their file's back count against the limit, too; so do those of a call that failed.
            let _ = sys::munlock(step);
            return Err(Error::Closed);
        }
        brought?;
        locked.map_err(explain)
    }

    /// Undoes [`lock`](Region::lock) for all pages that hold a part of a range, however often they were locked (`munlock(2)`). `None` is all
    /// from `offset` on.
    ///
    /// # Errors
    /// As [`pin`](Region::pin); `ENOMEM`.
    pub fn unlock(&self, offset: u64, length: Option<u64>) -> Result<()> {
        self.steadily(offset, length, 0, |pin| {
            let Some(pin) = pin else { return Ok(()) };
            for step in pages_of(pin.span(), "munlock")?.pieces(LONG_STEP) {
                room::spend("munlock")?;
                let unlocked = sys::munlock(step);
                self.parts(step)?;
                unlocked?;
            }
            Ok(())
        })
    }
}

fn pages_of(span: Span, syscall: &'static str) -> Result<Span> {
    span.widened(sys::page_size()).ok_or(Error::system(syscall, libc::EINVAL))
}

/// Names the limit, which is the reason as a rule.
fn explain(error: Error) -> Error {
    let Error::System { errno, syscall, .. } = error else { return error };
    if !matches!(errno, libc::ENOMEM | libc::EPERM | libc::EAGAIN) {
        return error;
    }
    let limit = sys::lock_limit().map_or("any number of".to_owned(), |limit| limit.to_string());
    Error::refused(syscall, errno, format!("the process may lock {limit} bytes, {}", sys::LOCK_LIMIT))
}
