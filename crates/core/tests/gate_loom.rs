//! The gate between fault handlers and changes, in every order that its atomics allow (up to a bound of preemptions):
//! the source file itself, with the atomics of a model checker in the place of the real ones.
#![allow(clippy::expect_used, missing_docs, unreachable_pub)]

/// Loom takes an access with `SeqCst` for one with `AcqRel`, and would find orders that cannot happen. A `SeqCst` fence
/// before each access makes up for it: that is how compilers implement such accesses where the CPU has none.
mod atomics {
    use loom::sync::atomic::fence;
    pub use loom::sync::atomic::Ordering;
    pub use loom::thread::yield_now;

    #[derive(Debug)]
    pub struct AtomicBool(loom::sync::atomic::AtomicBool);

    impl AtomicBool {
        pub fn new(value: bool) -> Self {
            Self(loom::sync::atomic::AtomicBool::new(value))
        }

        pub fn load(&self, order: Ordering) -> bool {
            fence(Ordering::SeqCst);
            self.0.load(order)
        }

        pub fn store(&self, value: bool, order: Ordering) {
            fence(Ordering::SeqCst);
            self.0.store(value, order);
        }
    }

    #[derive(Debug)]
    pub struct AtomicUsize(loom::sync::atomic::AtomicUsize);

    impl AtomicUsize {
        pub fn new(value: usize) -> Self {
            Self(loom::sync::atomic::AtomicUsize::new(value))
        }

        pub fn load(&self, order: Ordering) -> usize {
            fence(Ordering::SeqCst);
            self.0.load(order)
        }

        pub fn fetch_add(&self, value: usize, order: Ordering) -> usize {
            fence(Ordering::SeqCst);
            self.0.fetch_add(value, order)
        }

        pub fn fetch_sub(&self, value: usize, order: Ordering) -> usize {
            fence(Ordering::SeqCst);
            self.0.fetch_sub(value, order)
        }
    }
}

#[path = "../src/gate.rs"]
mod gate;

use gate::Gate;
use loom::cell::UnsafeCell;
use loom::sync::{Arc, Mutex};
use loom::thread;

/// What changes change and handlers look at: loom fails the test if anybody does one while another does the other.
#[derive(Debug)]
struct Process {
    gate: Gate,
    mapped: UnsafeCell<u32>,
    /// The registry's lock, which changes take first.
    lock: Mutex<()>,
}

impl Process {
    fn new() -> Arc<Self> {
        let gate = Gate { closed: atomics::AtomicBool::new(false), inside: atomics::AtomicUsize::new(0) };
        Arc::new(Self { gate, mapped: UnsafeCell::new(0), lock: Mutex::new(()) })
    }

    fn change(&self) {
        let _lock = self.lock.lock().expect("no thread panics");
        self.gate.close();
        self.mapped.with_mut(|mapped| {
            // SAFETY: the gate is closed and the lock taken: nobody else looks. That is what loom checks.
            unsafe { *mapped += 1 };
        });
        // A handler that interrupts this thread here is turned away, and does not wait for it.
        assert!(self.gate.try_enter().is_none());
        self.gate.open();
    }

    /// An access that faults once.
    fn try_fault(&self) -> Option<u32> {
        let _inside = self.gate.try_enter()?;
        // SAFETY: inside the gate nobody changes it. That is what loom checks.
        Some(self.mapped.with(|mapped| unsafe { *mapped }))
    }

    /// An access that faults until a handler has come in.
    fn fault(&self) -> u32 {
        loop {
            if let Some(seen) = self.try_fault() {
                return seen;
            }
            thread::yield_now();
        }
    }
}

fn check(model: fn()) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.max_branches = 10_000;
    builder.check(model);
}

#[test]
fn a_handler_is_never_inside_during_a_change() {
    check(|| {
        let process = Process::new();
        let handler = thread::spawn({
            let process = process.clone();
            move || process.fault()
        });
        process.change();
        process.change();
        assert!(handler.join().expect("the handler returns") <= 2);
        assert_eq!(process.fault(), 2);
    });
}

#[test]
fn two_handlers_are_kept_out_alike() {
    check(|| {
        let process = Process::new();
        let handlers = [(); 2].map(|()| {
            let process = process.clone();
            thread::spawn(move || process.try_fault())
        });
        process.change();
        for handler in handlers {
            let seen = handler.join().expect("the handler returns");
            assert!(seen.is_none_or(|seen| seen <= 1));
        }
    });
}

#[test]
fn two_changes_and_a_handler_all_come_to_an_end() {
    check(|| {
        let process = Process::new();
        let change = thread::spawn({
            let process = process.clone();
            move || process.change()
        });
        let handler = thread::spawn({
            let process = process.clone();
            move || process.fault()
        });
        process.change();
        change.join().expect("the change ends");
        assert!(handler.join().expect("the handler returns") <= 2);
        assert_eq!(process.fault(), 2);
    });
}
