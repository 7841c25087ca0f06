//! The handler of exceptions, and the thread that tells of what it found: for Windows what `signal.rs` is for Unix.
//!
//! It is a vectored handler: the system asks it before any other, and on any thread. What is not ours goes on to the others, those
//! of the runtime among them.

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use windows_sys::Win32::Foundation::{GetLastError, SetLastError, EXCEPTION_ACCESS_VIOLATION, EXCEPTION_IN_PAGE_ERROR};
use windows_sys::Win32::System::Diagnostics::Debug::{
    AddVectoredExceptionHandler, EXCEPTION_POINTERS, EXCEPTION_RECORD,
};
use windows_sys::Win32::System::Threading::{CreateEventW, SetEvent, SwitchToThread, WaitForSingleObject, INFINITE};

use crate::error::{Error, Result};
use crate::fault::{self, Access, Outcome};
use crate::registry;
use crate::room;
use crate::sys::guard::{is_guarded, is_on};

/// What a handler answers (`EXCEPTION_CONTINUE_EXECUTION`, `EXCEPTION_CONTINUE_SEARCH`; `<excpt.h>`).
const GO_ON: i32 = -1;
const NOT_OURS: i32 = 0;

/// Installs the handler and starts the thread, unless they are there or faults are not to be caught.
///
/// # Errors
/// [`Error::Unavailable`] where the system is too old; as `CreateEvent` and the start of a thread.
pub fn ensure_guard() -> Result<()> {
    super::windows::require_placeholders()?;
    if !is_guarded() || !WAKE.load(Ordering::Acquire).is_null() {
        return Ok(());
    }
    // Two threads must not both start one.
    static STARTING: Mutex<()> = Mutex::new(());
    let _starting = STARTING.lock();
    if WAKE.load(Ordering::Acquire).is_null() {
        start_watcher()?;
        // SAFETY: the handler stays valid: this library is never unloaded.
        let handler = unsafe { AddVectoredExceptionHandler(1, Some(handle)) };
        if handler.is_null() {
            return Err(Error::last("AddVectoredExceptionHandler"));
        }
    }
    Ok(())
}

/// The handler. It runs on the stack of the thread that made the access, takes no lock and allocates nothing.
unsafe extern "system" fn handle(pointers: *mut EXCEPTION_POINTERS) -> i32 {
    // SAFETY: the system gives a handler valid pointers while it runs.
    let record = unsafe { pointers.as_ref() }.map(|pointers| pointers.ExceptionRecord);
    // SAFETY: as above.
    let access = record.and_then(|record| unsafe { record.as_ref() }).and_then(access_of);
    let Some(access) = access.filter(|_| is_on()) else { return NOT_OURS };
    // SAFETY: the thread's own value.
    let last_error = unsafe { GetLastError() };
    let answer = match fault::resolve(access) {
        Outcome::Resolved => GO_ON,
        Outcome::Retry => {
            // SAFETY: only gives up the processor.
            unsafe { SwitchToThread() };
            GO_ON
        }
        Outcome::Foreign => NOT_OURS,
    };
    // SAFETY: the thread's own value.
    unsafe { SetLastError(last_error) };
    answer
}

/// The access that raised the exception; `None` if it was no read or write.
fn access_of(record: &EXCEPTION_RECORD) -> Option<Access> {
    // The first says how the memory was accessed: 0 read, 1 written, 8 executed; the second where (EXCEPTION_RECORD).
    let [how, address, ..] = record.ExceptionInformation;
    let hardware = match record.ExceptionCode {
        EXCEPTION_ACCESS_VIOLATION => false,
        EXCEPTION_IN_PAGE_ERROR => true,
        _ => return None,
    };
    (record.NumberParameters >= 2 && how <= 1).then_some(Access { address, write: how == 1, hardware })
}

/// The event that wakes the watcher; null while there is none.
static WAKE: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());
/// The event is set, and the watcher has not seen it.
static AWAKE: AtomicBool = AtomicBool::new(false);

/// Tells the watcher thread that there is work. Returns whether there is such a thread. A handler may call it.
pub fn wake_watcher() -> bool {
    let event = WAKE.load(Ordering::Acquire);
    if !event.is_null() && !AWAKE.swap(true, Ordering::AcqRel) {
        // SAFETY: an event of ours, which is never closed.
        unsafe { SetEvent(event) };
    }
    !event.is_null()
}

/// Nothing is looked after here while there are mappings: no handler replaces another.
pub fn rouse_watcher() {}

/// How long ranges that can be unmapped are gathered.
const GATHERING: Duration = Duration::from_millis(10);

/// Starts the thread that brings records into the logs, has the runtimes told, and unmaps what views have left behind.
fn start_watcher() -> Result<()> {
    // SAFETY: a new event without a name, reset by the wait that it ends.
    let event = unsafe { CreateEventW(std::ptr::null(), 0, 0, std::ptr::null()) };
    if event.is_null() {
        return Err(Error::last("CreateEvent"));
    }
    let address = event.expose_provenance();
    let watch = move || {
        let event: *mut c_void = std::ptr::with_exposed_provenance_mut(address);
        room::count();
        loop {
            // SAFETY: an event of ours, which is never closed once this thread runs.
            if unsafe { WaitForSingleObject(event, INFINITE) } != 0 {
                return;
            }
            // Not a store: whoever found the flag set, and set no event, has recorded before what is looked for now.
            AWAKE.swap(false, Ordering::AcqRel);
            fault::notify();
            room::count();
            if registry::has_garbage() {
                // More will come: views die many at a time.
                std::thread::sleep(GATHERING);
                registry::sweep();
            }
        }
    };
    let builder = std::thread::Builder::new().name("mmap-faults".to_owned()).stack_size(256 * 1024);
    builder.spawn(watch).map_err(|error| Error::from_io("CreateThread", &error))?;
    WAKE.store(event, Ordering::Release);
    Ok(())
}
