//! Waiting for a cell of a mapping, and telling the runtimes of waits that have ended.
//!
//! Each environment registers a function once. When a wait of its own has ended it is called, and takes the outcomes. Those of
//! an environment that is gone go with it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mmap_native_core::futex::Outcome;
use mmap_native_core::{sys, waiters, Result};
use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, Status};
use napi_derive::napi;

use crate::error::{exact, exact_flags, to_js};
use crate::faults::owner_of;
use crate::mapping::Handle;

/// A function of an environment that does not keep it alive.
type Listener = ThreadsafeFunction<(), (), (), Status, false, true>;

struct Told {
    listeners: Vec<(usize, Listener)>,
    /// Waits that have ended, with their environments.
    ended: Vec<(usize, u64, Result<Outcome>)>,
}

static TOLD: Mutex<Told> = Mutex::new(Told { listeners: Vec::new(), ended: Vec::new() });

fn lock() -> MutexGuard<'static, Told> {
    TOLD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether this system can wait for memory across processes.
#[napi]
pub fn has_waiting() -> bool {
    sys::has_waiting()
}

/// Milliseconds as a time; none for what has no end.
fn duration(milliseconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(milliseconds.max(0.0) / 1000.0).ok()
}

/// Waits on this thread, for so many milliseconds at most.
#[napi(ts_return_type = "'ok' | 'not-equal' | 'timed-out'")]
pub fn mapping_wait(region: &Handle, offset: f64, expected: f64, timeout: f64) -> napi::Result<&'static str> {
    let outcome = region.wait(exact("offset", offset)?, exact_flags("expected", expected)?, duration(timeout));
    outcome.map(Outcome::name).map_err(to_js)
}

/// Wakes up to `count` waits.
#[napi]
pub fn mapping_notify(region: &Handle, offset: f64, count: f64) -> napi::Result<u32> {
    let count = u32::try_from(exact("count", count)?).unwrap_or(u32::MAX);
    region.notify(exact("offset", offset)?, count).map_err(to_js)
}

/// Starts a wait that ends by itself. Returns its number; none if the cell has another value.
#[napi]
pub fn mapping_wait_async(env: &Env, region: &Handle, offset: f64, expected: f64) -> napi::Result<Option<f64>> {
    let owner = owner_of(env);
    let expected = exact_flags("expected", expected)?;
    let done = move |id, outcome| tell(owner, id, outcome);
    let id = waiters::start(region, exact("offset", offset)?, expected, owner, done).map_err(to_js)?;
    Ok(id.map(|id| id as f64))
}

/// Ends a wait, unless it has ended.
#[napi]
pub fn cancel_wait(id: f64) -> napi::Result<()> {
    waiters::cancel(exact("id", id)?);
    Ok(())
}

fn tell(owner: usize, id: u64, outcome: Result<Outcome>) {
    let mut told = lock();
    let Told { listeners, ended } = &mut *told;
    if let Some((_, listener)) = listeners.iter().find(|(known, _)| *known == owner) {
        ended.push((owner, id, outcome));
        // One that is closing does not hear of it.
        let _ = listener.call((), ThreadsafeFunctionCallMode::NonBlocking);
    }
}

/// Registers the function to call when waits of this environment have ended.
#[napi]
pub fn watch_waits(env: Env, listener: Function<'_, (), ()>) -> napi::Result<()> {
    let owner = owner_of(&env);
    let listener = listener.build_threadsafe_function::<()>().weak::<true>().build()?;
    lock().listeners.push((owner, listener));
    env.add_env_cleanup_hook(owner, |owner| {
        {
            let mut told = lock();
            told.listeners.retain(|(known, _)| *known != owner);
            told.ended.retain(|(known, ..)| *known != owner);
        }
        waiters::abandon(owner);
    })?;
    Ok(())
}

/// A wait that has ended.
#[napi(object)]
pub struct EndedWait {
    /// Its number.
    pub id: f64,
    /// How it ended: `ok`, `not-equal` or `cancelled`.
    pub outcome: Option<String>,
    /// Why it failed, as errors of native code say it.
    pub error: Option<String>,
}

/// Takes the waits of this environment that have ended.
#[napi]
pub fn take_waits(env: &Env) -> Vec<EndedWait> {
    let me = owner_of(env);
    let mut told = lock();
    let (mine, others) = told.ended.drain(..).partition(|(owner, ..)| *owner == me);
    told.ended = others;
    drop(told);
    let mine: Vec<(usize, u64, Result<Outcome>)> = mine;
    mine.into_iter().map(|(_, id, result)| ended(id, result)).collect()
}

fn ended(id: u64, result: Result<Outcome>) -> EndedWait {
    let id = id as f64;
    match result {
        Ok(outcome) => EndedWait { id, outcome: Some(outcome.name().to_owned()), error: None },
        Err(error) => EndedWait { id, outcome: None, error: Some(to_js(error).reason.to_string()) },
    }
}
