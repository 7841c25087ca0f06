//! The thread that handlers call: whether it was called, and what it does then.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::{fault, registry, room};

/// Somebody has called, and the thread has not answered.
static CALLED: AtomicBool = AtomicBool::new(false);

/// How long ranges that can be unmapped are gathered.
const GATHERING: Duration = Duration::from_millis(10);

/// Whether the thread is to be woken: nobody else has called it meanwhile. Async-signal-safe.
pub(super) fn call() -> bool {
    !CALLED.swap(true, Ordering::AcqRel)
}

/// Brings records into the logs, has the runtimes told, and unmaps what views have left behind.
pub(super) fn answer() {
    // Not a store: whoever had called before, and woke nobody, has recorded before what is looked for now.
    CALLED.swap(false, Ordering::AcqRel);
    fault::notify();
    room::count();
    if registry::has_garbage() {
        // More will come: views die many at a time.
        std::thread::sleep(GATHERING);
        registry::sweep();
    }
}
