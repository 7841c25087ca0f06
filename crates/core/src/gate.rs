//! The gate between fault handlers, which may run on any thread at any instruction, and changes of the registry.
//!
//! A handler must not wait: the thread that it interrupted may be the one it would wait for. So it only asks to come
//! in. While a change is under way it is told no, returns, and the access that faulted simply faults again. A change
//! waits for the handlers that are inside, which is short: a handler makes a few system calls and never faults itself.
//!
//! ```text
//!   handler                         change (one at a time: the registry's lock)
//!   closed?  yes: no                closed = true
//!   inside += 1                     inside == 0?  no: look again
//!   closed?  yes: inside -= 1, no   change what is mapped
//!            no:  come in           closed = false
//!   inside -= 1
//! ```
//!
//! Both sides write before they read, in one order for all threads (`SeqCst`): at least one of them sees the other.
//! The first look keeps handlers that come again and again from being counted, and so the change from waiting forever.

use crate::atomics::{yield_now, AtomicBool, AtomicUsize, Ordering};

/// Keeps handlers and changes apart. All changes have to exclude each other by other means.
#[derive(Debug)]
pub struct Gate {
    /// A change is under way, or about to be.
    pub closed: AtomicBool,
    /// Handlers that are in, or about to find the gate closed.
    pub inside: AtomicUsize,
}

impl Gate {
    /// Shuts handlers out and waits for those that are in.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        while self.inside.load(Ordering::SeqCst) != 0 {
            yield_now();
        }
    }

    /// Lets handlers in again.
    pub fn open(&self) {
        self.closed.store(false, Ordering::SeqCst);
    }

    /// Lets a handler in, unless a change is under way.
    pub fn try_enter(&self) -> Option<Inside<'_>> {
        if self.closed.load(Ordering::SeqCst) {
            return None;
        }
        self.inside.fetch_add(1, Ordering::SeqCst);
        let inside = Inside(self);
        (!self.closed.load(Ordering::SeqCst)).then_some(inside)
    }
}

/// A handler is in, until this is dropped.
#[derive(Debug)]
pub struct Inside<'a>(&'a Gate);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
    }
}
