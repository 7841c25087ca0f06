//! The handler of exceptions, and the thread that tells of what it found: for Windows what `signal.rs` is for Unix.
//!
//! It is a vectored handler: the system asks it before any other, and on any thread. What is not ours goes on to the others, those
//! of the runtime among them.

use std::ffi::c_void;
use std::sync::atomic::{AtomicPtr, Ordering};

use parking_lot::Mutex;
use windows_sys::Win32::Foundation::{GetLastError, SetLastError, EXCEPTION_ACCESS_VIOLATION, EXCEPTION_IN_PAGE_ERROR};
use windows_sys::Win32::System::Diagnostics::Debug::{
    AddVectoredExceptionHandler, EXCEPTION_POINTERS, EXCEPTION_RECORD,
};
use windows_sys::Win32::System::Threading::{CreateEventW, SetEvent, SwitchToThread, WaitForSingleObject, INFINITE};

use crate::error::{Error, Result};
use crate::fault::{self, Access, Outcome};
use crate::room;
use crate::sys::guard::{is_guarded, is_on};
use crate::sys::watcher;

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

/// Tells the watcher thread that there is work. Returns whether there is such a thread. A handler may call it.
pub fn wake_watcher() -> bool {
    let event = WAKE.load(Ordering::Acquire);
    if !event.is_null() && watcher::call() {
        // SAFETY: an event of ours, which is never closed.
        unsafe { SetEvent(event) };
    }
    !event.is_null()
}

/// Nothing is looked after here while there are mappings: no handler replaces another.
pub fn rouse_watcher() {}

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
            watcher::answer();
        }
    };
    let builder = std::thread::Builder::new().name("mmap-faults".to_owned()).stack_size(256 * 1024);
    builder.spawn(watch).map_err(|error| Error::from_io("CreateThread", &error))?;
    WAKE.store(event, Ordering::Release);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::windows::fs::FileExt;
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::fault::Kind;
    use crate::region::{MapOptions, OpenRequest, Region, Source};
    use crate::sys;

    const PAGE: usize = 4096;
    const UNIT: usize = 65_536;
    const SIZE: usize = 3 * UNIT + 100;

    fn contents() -> Vec<u8> {
        (0..SIZE).map(|at| (at % 251 + 1) as u8).collect()
    }

    fn file(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("mmap-native-{}-{name}", std::process::id()));
        std::fs::write(&path, contents()).unwrap();
        path
    }

    fn region(path: &std::path::Path, access: sys::Access) -> Arc<Region> {
        let request = OpenRequest {
            access,
            offset: 0,
            length: None,
            create: None,
            exclusive: false,
            grow: false,
            preallocate: false,
            options: MapOptions::default(),
            owner: 0,
        };
        Arc::new(Region::open(Source::Path(path), &request).unwrap())
    }

    /// What the system would call the handler with, were a device to fail.
    fn fail(address: usize, write: bool) -> i32 {
        let mut record = EXCEPTION_RECORD {
            ExceptionCode: EXCEPTION_IN_PAGE_ERROR,
            NumberParameters: 3,
            ..EXCEPTION_RECORD::default()
        };
        record.ExceptionInformation = [0; 15];
        record.ExceptionInformation[0] = usize::from(write);
        record.ExceptionInformation[1] = address;
        let mut pointers = EXCEPTION_POINTERS { ExceptionRecord: &raw mut record, ContextRecord: std::ptr::null_mut() };
        // SAFETY: valid pointers.
        unsafe { handle(&raw mut pointers) }
    }

    fn bytes(region: &Region) -> Vec<u8> {
        // SAFETY: mapped, and can be read.
        unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance(region.address()), SIZE) }.to_vec()
    }

    fn faults(region: &Region) -> Vec<(u64, u64, Kind)> {
        region.faults().1.into_iter().map(|fault| (fault.offset, fault.length, fault.kind)).collect()
    }

    #[test]
    fn pages_that_a_device_cannot_deliver_become_memory_with_what_can_be_read() {
        let path = file("broken");
        for access in [sys::Access::Read, sys::Access::Write, sys::Access::Copy] {
            let region = region(&path, access);
            let other = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
            let broken = UNIT + 3 * PAGE;
            let mut expected = contents();
            if access == sys::Access::Copy {
                // What was written to a copy is nowhere else.
                for at in [5, UNIT + 7, SIZE - 1] {
                    region.write(at as u64, b"!").unwrap();
                    expected[at] = b'!';
                }
            }
            assert_eq!(fail(region.address() + broken + 9, false), GO_ON);
            assert!(bytes(&region) == expected, "{access:?}");
            assert_eq!(faults(&region), [(UNIT as u64, UNIT as u64, Kind::IoError)]);
            assert!(region.read(broken as u64, &mut [0]).is_err());
            region.read(0, &mut [0; UNIT]).unwrap();
            if access == sys::Access::Write {
                // What is around it is the file's.
                region.write(3, b"around").unwrap();
                let mut written = [0; 6];
                other.seek_read(&mut written, 3).unwrap();
                assert_eq!(&written, b"around");
                region.refresh().unwrap();
                region.write(broken as u64, b"healed").unwrap();
                other.seek_read(&mut written, broken as u64).unwrap();
                assert_eq!(&written, b"healed");
                other.seek_write(&contents(), 0).unwrap();
                assert!(bytes(&region) == contents());
            }
            region.unmap().unwrap();
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_record_of_an_address_that_is_not_ours_goes_on_to_others() {
        let path = file("foreign");
        let region = region(&path, sys::Access::Read);
        let local = 0_u8;
        assert_eq!(fail((&raw const local).addr(), false), NOT_OURS);
        assert_eq!(region.faults().0, 0);
        region.unmap().unwrap();
        std::fs::remove_file(path).unwrap();
    }
}
