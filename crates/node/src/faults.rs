//! Telling the runtimes of faults.
//!
//! Each environment (the main thread, each worker) registers a function once; the watcher thread of the core has all of
//! them called when there is something to tell, and each takes the events of its own mappings. Events of an
//! environment that is gone are taken by whichever comes first.

use mmap_native_core::fault::{self, Event, Fault};
use mmap_native_core::{registry, share, sys};
use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Status};
use napi_derive::napi;
use std::sync::{Mutex, PoisonError};

/// A function of an environment that does not keep it alive.
type Listener = ThreadsafeFunction<(), (), (), Status, false, true>;

static LISTENERS: Mutex<Vec<(usize, Listener)>> = Mutex::new(Vec::new());

/// The core's name for an environment.
pub fn owner_of(env: &Env) -> usize {
    env.raw().addr()
}

/// A fault of a mapping, in bytes from its start.
#[napi(object)]
pub struct FaultInfo {
    /// The first byte concerned.
    pub offset: f64,
    /// Bytes concerned.
    pub length: f64,
    /// What happened.
    pub kind: String,
}

impl From<Fault> for FaultInfo {
    fn from(fault: Fault) -> Self {
        Self { offset: fault.offset as f64, length: fault.length as f64, kind: fault.kind.name().to_owned() }
    }
}

/// All faults of a mapping.
#[napi(object)]
pub struct FaultReport {
    /// How many there were.
    pub count: f64,
    /// The first of them, in order.
    pub list: Vec<FaultInfo>,
}

/// A fault that somebody is to hear of.
#[napi(object)]
pub struct FaultEvent {
    /// The mapping's number.
    pub id: f64,
    /// The fault.
    pub fault: FaultInfo,
    /// The mapped file, if it was named.
    pub path: Option<String>,
}

/// Registers the function to call when there may be events to take.
#[napi]
pub fn watch_faults(env: Env, listener: Function<'_, (), ()>) -> napi::Result<()> {
    let owner = owner_of(&env);
    let listener = listener.build_threadsafe_function::<()>().weak::<true>().build()?;
    lock().push((owner, listener));
    fault::set_listener(call_all);
    env.add_env_cleanup_hook(owner, |owner| {
        lock().retain(|(known, _)| *known != owner);
        share::abandon(owner);
        registry::abandon(owner);
    })?;
    Ok(())
}

fn lock() -> std::sync::MutexGuard<'static, Vec<(usize, Listener)>> {
    LISTENERS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn call_all() {
    for (_, listener) in lock().iter() {
        // An environment that is closing does not hear of it; its events are left for the others.
        let _ = listener.call((), ThreadsafeFunctionCallMode::NonBlocking);
    }
}

/// Takes the events of this environment's mappings.
#[napi]
pub fn take_faults(env: &Env) -> Vec<FaultEvent> {
    let me = owner_of(env);
    // Asked with the events at hand: an environment registers before it maps, so whoever has events is found unless gone.
    let is_gone = |owner| !lock().iter().any(|(known, _)| *known == owner);
    let events = fault::take_events(|owner| owner == me || is_gone(owner));
    events.into_iter().map(told).collect()
}

fn told(event: Event) -> FaultEvent {
    let path = event.log.label.as_ref().map(|path| path.to_string_lossy().into_owned());
    FaultEvent { id: event.id as f64, fault: event.fault.into(), path }
}

/// Puts the handler on top again if another one was installed above it.
#[napi]
pub fn ensure_fault_guard() -> napi::Result<()> {
    sys::ensure_guard().map_err(crate::error::to_js)
}

/// Whether faults are caught in this process.
#[napi]
pub fn is_fault_guarded() -> bool {
    sys::is_guarded()
}

/// Turns the catching of faults on or off for the process.
#[napi]
pub fn set_fault_guard(on: bool) -> napi::Result<()> {
    fault::set_guard(on);
    ensure_fault_guard()
}
