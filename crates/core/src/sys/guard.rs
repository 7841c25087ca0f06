//! Whether faults are to be caught.

use std::sync::atomic::{AtomicU8, Ordering};

/// What a process wants: not asked yet, on, off.
static WANTED: AtomicU8 = AtomicU8::new(UNASKED);
const UNASKED: u8 = 0;
const ON: u8 = 1;
const OFF: u8 = 2;

/// Whether faults are to be caught: yes, unless `MMAP_NATIVE_FAULTS=off` or [`set_guard`] says no.
pub fn is_guarded() -> bool {
    if WANTED.load(Ordering::Acquire) == UNASKED {
        let off = std::env::var_os("MMAP_NATIVE_FAULTS").is_some_and(|value| value == "off");
        let answer = if off { OFF } else { ON };
        let _ = WANTED.compare_exchange(UNASKED, answer, Ordering::AcqRel, Ordering::Acquire);
    }
    is_on()
}

/// The answer of [`is_guarded`] for a handler: no, if nobody has asked yet.
pub(super) fn is_on() -> bool {
    WANTED.load(Ordering::Acquire) == ON
}

/// Turns the catching of faults on or off for the process.
pub fn set_guard(on: bool) {
    WANTED.store(if on { ON } else { OFF }, Ordering::Release);
}
