//! The handler of SIGBUS and SIGSEGV, and its place among the handlers of others.
//!
//! The runtime has handlers of its own (WebAssembly traps are SIGSEGV), other addons may have some, and libuv installs
//! one for `process.on('SIGBUS')`. Ours goes on top, takes what is ours and calls the one below for the rest. Handlers
//! that were installed above ours later may call ours as the one below them: such a call is known by its context,
//! which is the same, and is passed on one place further down.

use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicUsize, Ordering};

use libc::{c_int, c_void, sigaction, siginfo_t, ucontext_t};
use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::fault::{self, Access, Outcome};
use crate::registry;
use crate::room;
use crate::sys;
use crate::sys::guard::{is_guarded, is_on};
use crate::sys::watcher;

/// The signals that an access to memory can raise.
const SIGNALS: [c_int; 2] = [libc::SIGBUS, libc::SIGSEGV];

/// Handlers below ours, for each signal; more than this many are not remembered.
const DEEPEST: usize = 8;

/// The handlers below ours for one signal: the oldest first.
struct Below {
    actions: [AtomicPtr<sigaction>; DEEPEST],
    count: AtomicUsize,
}

impl Below {
    const fn new() -> Self {
        Self { actions: [const { AtomicPtr::new(std::ptr::null_mut()) }; DEEPEST], count: AtomicUsize::new(0) }
    }

    /// Puts a handler on top of the others; if it is among them already it moves there.
    fn push(&self, action: &sigaction) {
        self.remove_last(|known| known.sa_sigaction == action.sa_sigaction);
        let count = self.count.load(Ordering::Acquire);
        if let Some(place) = self.actions.get(count) {
            // Leaked: a handler may read it at any time from now on.
            place.store(Box::into_raw(Box::new(*action)), Ordering::Release);
            self.count.store(count.saturating_add(1), Ordering::Release);
        }
    }

    /// Takes the topmost handler out that `is_it` knows. A signal that is being passed on meanwhile may miss one.
    fn remove_last(&self, is_it: impl Fn(&sigaction) -> bool) {
        let count = self.count.load(Ordering::Acquire);
        let Some(places) = self.actions.get(..count) else { return };
        let Some(index) = places.iter().rposition(|place| action_in(place).is_some_and(&is_it)) else { return };
        for (place, next) in places.iter().zip(places.iter().skip(1)).skip(index) {
            place.store(next.load(Ordering::Acquire), Ordering::Release);
        }
        self.count.store(count.saturating_sub(1), Ordering::Release);
    }

    /// The handler `depth` places below ours.
    fn get(&self, depth: usize) -> Option<&'static sigaction> {
        let index = self.count.load(Ordering::Acquire).checked_sub(depth)?.checked_sub(1)?;
        let place = self.actions.get(index)?;
        let action = action_in(place)?;
        if action.sa_flags & libc::SA_RESETHAND != 0 {
            // It is to be called once: the kernel would have put the default in its place.
            place.store(std::ptr::null_mut(), Ordering::Release);
        }
        Some(action)
    }
}

fn action_in(place: &AtomicPtr<sigaction>) -> Option<&'static sigaction> {
    // SAFETY: null or a leaked action.
    unsafe { place.load(Ordering::Acquire).as_ref() }
}

static BELOW: [Below; 2] = [Below::new(), Below::new()];

fn below(signal: c_int) -> &'static Below {
    let [bus, segv] = &BELOW;
    if signal == libc::SIGBUS {
        bus
    } else {
        segv
    }
}

/// A signal that is being passed on.
struct Passing {
    /// Its context; 0 for a free place.
    context: AtomicUsize,
    /// Where the stack was when it came.
    frame: AtomicUsize,
    /// How many handlers below ours were called.
    depth: AtomicUsize,
}

static PASSING: [Passing; 64] =
    [const { Passing { context: AtomicUsize::new(0), frame: AtomicUsize::new(0), depth: AtomicUsize::new(0) } }; 64];

/// Puts our handler on top for both signals, unless it is there or faults are not to be caught.
///
/// # Errors
/// As `sigaction(2)`, `pipe(2)` and the start of a thread.
pub fn ensure_guard() -> Result<()> {
    if !is_guarded() {
        return Ok(());
    }
    // The handler asks, and must not be the first.
    sys::can_populate();
    if WAKE.load(Ordering::Acquire) < 0 {
        // Two threads must not both start one; a failure, for want of descriptors, is not for good.
        static STARTING: Mutex<()> = Mutex::new(());
        let _starting = STARTING.lock();
        if WAKE.load(Ordering::Acquire) < 0 {
            start_watcher()?;
        }
    }
    SIGNALS.into_iter().try_for_each(install)
}

fn install(signal: c_int) -> Result<()> {
    let ours: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = handle;
    let ours = ours as *const () as usize;
    if current(signal)?.sa_sigaction == ours {
        return Ok(());
    }
    // Two threads must not both take ours for the one below.
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _installing = INSTALLING.lock();
    let found = current(signal)?;
    if found.sa_sigaction == ours {
        return Ok(());
    }
    let is_first = below(signal).count.load(Ordering::Acquire) == 0;
    if found.sa_sigaction == libc::SIG_DFL || (found.sa_sigaction == libc::SIG_IGN && !is_first) {
        // libuv resets a signal when its last listener goes; its handler, which is not told of addresses, would
        // from now on return from any fault as if it were dealt with. What was below it is called again.
        below(signal).remove_last(|action| action.sa_flags & libc::SA_SIGINFO == 0);
    } else {
        below(signal).push(&found);
    }
    // SAFETY: all zeroes is a valid action.
    let mut action: sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = ours;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    for blocked in SIGNALS {
        // SAFETY: a valid set and valid signals.
        unsafe { libc::sigaddset(&raw mut action.sa_mask, blocked) };
    }
    // SAFETY: the handler only does what a signal handler may do (see its documentation).
    let status = unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
    if status == 0 {
        Ok(())
    } else {
        Err(Error::last("sigaction"))
    }
}

fn current(signal: c_int) -> Result<sigaction> {
    let mut found = MaybeUninit::<sigaction>::zeroed();
    // SAFETY: asks only; the call fills the structure or fails.
    let status = unsafe { libc::sigaction(signal, std::ptr::null(), found.as_mut_ptr()) };
    if status != 0 {
        return Err(Error::last("sigaction"));
    }
    // SAFETY: filled by the successful call.
    Ok(unsafe { found.assume_init() })
}

/// The handler. Async-signal-safe: atomics and system calls, on the alternate stack where the thread has one.
extern "C" fn handle(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let errno = errno();
    // SAFETY: the kernel gives both pointers to a handler with SA_SIGINFO, valid while it runs.
    let access = unsafe { info.as_ref() }.and_then(|info| access_of(signal, info, context));
    let outcome = match access {
        Some(access) if is_on() => fault::resolve(access),
        _ => Outcome::Foreign,
    };
    match outcome {
        Outcome::Resolved => {}
        Outcome::Retry => yield_thread(),
        Outcome::Foreign => pass_on(signal, info, context),
    }
    set_errno(errno);
}

/// The access that raised the signal; `None` if it was no read or write (a `kill`, a jump, a misaligned address).
fn access_of(signal: c_int, info: &siginfo_t, context: *mut c_void) -> Option<Access> {
    let codes = if signal == libc::SIGBUS { BUS_CODES } else { SEGV_CODES };
    if !codes.contains(&info.si_code) {
        return None;
    }
    // SAFETY: for these codes the kernel fills in the address.
    let address = unsafe { info.si_addr() }.addr();
    // SAFETY: the context of the signal being handled.
    let context = unsafe { context.cast::<ucontext_t>().as_ref() }?;
    let write = match direction(context) {
        Direction::Fetch => return None,
        Direction::Read => false,
        Direction::Write | Direction::Unknown => true,
    };
    Some(Access { address, write, hardware: signal == libc::SIGBUS && info.si_code == BUS_MCEERR_AR })
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const BUS_MCEERR_AR: c_int = libc::BUS_MCEERR_AR;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const BUS_MCEERR_AR: c_int = -1;
/// An address without an object behind it, an error of the object (as macOS says for protection), broken memory.
const BUS_CODES: &[c_int] = &[libc::BUS_ADRERR, libc::BUS_OBJERR, BUS_MCEERR_AR];
/// No mapping, or no permission: `SEGV_MAPERR` and `SEGV_ACCERR` (POSIX, `<signal.h>`; the same everywhere).
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const SEGV_CODES: &[c_int] = &[1, 2];
/// The same, and `SEGV_PKUERR` (include/uapi/asm-generic/siginfo.h): memory with `PROT_EXEC` alone, where the processor has
/// protection keys.
#[cfg(any(target_os = "linux", target_os = "android"))]
const SEGV_CODES: &[c_int] = &[1, 2, 4];

#[allow(dead_code)] // which are made depends on the CPU
enum Direction {
    Read,
    Write,
    Fetch,
    Unknown,
}

/// Bits 1 and 4 of a page fault's error code (Intel SDM 3A, 4.7).
#[cfg(target_arch = "x86_64")]
fn direction(context: &ucontext_t) -> Direction {
    const WRITE: i64 = 1 << 1;
    const FETCH: i64 = 1 << 4;
    #[cfg(target_os = "linux")]
    let code = context.uc_mcontext.gregs.get(usize::try_from(libc::REG_ERR).unwrap_or(usize::MAX)).copied();
    #[cfg(target_os = "macos")]
    // SAFETY: the kernel's pointer to the machine context, null or valid while the handler runs.
    let code = unsafe { context.uc_mcontext.as_ref() }.map(|machine| i64::from(machine.__es.__err));
    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    let code = {
        let _ = context;
        None::<i64>
    };
    match code {
        None => Direction::Unknown,
        Some(code) if code & FETCH != 0 => Direction::Fetch,
        Some(code) if code & WRITE != 0 => Direction::Write,
        Some(_) => Direction::Read,
    }
}

/// The exception syndrome: class in bits 26 to 31, "write, not read" in bit 6 (Arm ARM, ESR_EL1).
#[cfg(target_arch = "aarch64")]
fn direction(context: &ucontext_t) -> Direction {
    const DATA_ABORT: u64 = 0x24;
    const INSTRUCTION_ABORT: u64 = 0x20;
    match syndrome(context) {
        Some(esr) if esr >> 26 == DATA_ABORT && esr & (1 << 6) != 0 => Direction::Write,
        Some(esr) if esr >> 26 == DATA_ABORT => Direction::Read,
        Some(esr) if esr >> 26 == INSTRUCTION_ABORT => Direction::Fetch,
        _ => Direction::Unknown,
    }
}

#[cfg(all(target_arch = "aarch64", target_os = "macos"))]
fn syndrome(context: &ucontext_t) -> Option<u64> {
    // SAFETY: the kernel's pointer to the machine context, null or valid while the handler runs.
    unsafe { context.uc_mcontext.as_ref() }.map(|machine| u64::from(machine.__es.__esr))
}

/// Linux appends records of (magic, size, data) to the registers; the syndrome has a record of its own
/// (arch/arm64/include/uapi/asm/sigcontext.h). They start where the floating-point context is aligned to.
#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
fn syndrome(context: &ucontext_t) -> Option<u64> {
    const ESR_MAGIC: u32 = 0x4553_5201;
    // fault_address, regs[31], sp, pc, pstate, then __reserved[4096] aligned to 16.
    const REGISTERS: usize = 288;
    const RESERVED: usize = 4096;
    let start = (&raw const context.uc_mcontext).cast::<u8>();
    // SAFETY: the machine context has these bytes behind the registers.
    let records: &[u8] = unsafe { std::slice::from_raw_parts(start.wrapping_add(REGISTERS), RESERVED) };
    let mut rest = records;
    while let Some((header, _)) = rest.split_first_chunk::<8>() {
        let [a, b, c, d, e, f, g, h] = *header;
        let (magic, size) = (u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h]));
        if magic == ESR_MAGIC {
            let (value, _) = rest.get(8..)?.split_first_chunk::<8>()?;
            return Some(u64::from_ne_bytes(*value));
        }
        if magic == 0 || size < 8 {
            return None;
        }
        rest = rest.get(usize::try_from(size).ok()?..)?;
    }
    None
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn direction(_context: &ucontext_t) -> Direction {
    Direction::Unknown
}

/// Calls the handler below ours, as the kernel would have.
#[inline(never)] // the same distance from the context to `here` each time
fn pass_on(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let here = 0_u8;
    let (key, frame) = (context.addr(), (&raw const here).addr());
    let known = PASSING.iter().find(|passing| passing.context.load(Ordering::Acquire) == key);
    if let Some(passing) = known.filter(|passing| frame < passing.frame.load(Ordering::Acquire)) {
        // Deeper in the stack: called again, by the handler that we called.
        let depth = passing.depth.fetch_add(1, Ordering::AcqRel).saturating_add(1);
        return call(below(signal).get(depth), signal, info, context);
    }
    // A place with the same context that is not above us was left behind by a handler that jumped away.
    let free =
        |passing: &&Passing| passing.context.compare_exchange(0, key, Ordering::AcqRel, Ordering::Acquire).is_ok();
    let mine = known.or_else(|| PASSING.iter().find(free));
    if let Some(passing) = mine {
        passing.frame.store(frame, Ordering::Release);
        passing.depth.store(0, Ordering::Release);
    }
    call(below(signal).get(0), signal, info, context);
    if let Some(passing) = mine {
        passing.context.store(0, Ordering::Release);
    }
}

fn call(action: Option<&sigaction>, signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    match action {
        Some(action) if action.sa_sigaction != libc::SIG_DFL && action.sa_sigaction != libc::SIG_IGN => {
            if action.sa_flags & libc::SA_SIGINFO != 0 {
                // SAFETY: installed with SA_SIGINFO, the value is a function of this type.
                let handler = unsafe {
                    std::mem::transmute::<usize, extern "C" fn(c_int, *mut siginfo_t, *mut c_void)>(action.sa_sigaction)
                };
                handler(signal, info, context);
            } else {
                // SAFETY: installed without SA_SIGINFO, the value is a function of this type.
                let handler = unsafe { std::mem::transmute::<usize, extern "C" fn(c_int)>(action.sa_sigaction) };
                handler(signal);
            }
        }
        // Only what was sent can be ignored.
        Some(action) if action.sa_sigaction == libc::SIG_IGN && is_sent(info) => {}
        _ => die(signal, info),
    }
}

/// Whether somebody sent the signal: no access will fault again when the handler returns.
fn is_sent(info: *const siginfo_t) -> bool {
    // SAFETY: the kernel's pointer, or null.
    unsafe { info.as_ref() }.is_none_or(|info| info.si_code <= 0)
}

/// What the kernel does where there is no handler: ends the process, with a core if it may.
fn die(signal: c_int, info: *mut siginfo_t) {
    // SAFETY: all zeroes is a valid action: the default.
    let action: sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: the default for this signal. An access that faulted does so again when the handler returns, and ends the
    // process with its own registers in the core.
    unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
    if is_sent(info) {
        // SAFETY: async-signal-safe. The signal is blocked until the handler returns.
        unsafe { libc::raise(signal) };
    }
}

fn yield_thread() {
    // SAFETY: only gives up the processor.
    unsafe { libc::sched_yield() };
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn errno_location() -> *mut c_int {
    // SAFETY: the thread's own errno.
    unsafe { libc::__errno_location() }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn errno_location() -> *mut c_int {
    // SAFETY: the thread's own errno.
    unsafe { libc::__error() }
}

fn errno() -> c_int {
    // SAFETY: valid for the thread's life.
    unsafe { *errno_location() }
}

fn set_errno(value: c_int) {
    // SAFETY: valid for the thread's life.
    unsafe { *errno_location() = value };
}

/// The end of the pipe that handlers write to; -1 while there is none.
static WAKE: AtomicI32 = AtomicI32::new(-1);

/// Tells the watcher thread that there is work. Returns whether there is such a thread. Async-signal-safe.
pub fn wake_watcher() -> bool {
    let fd = WAKE.load(Ordering::Acquire);
    if fd >= 0 && watcher::call() {
        // SAFETY: a write of one byte to a descriptor of ours, which does not block.
        let _ = unsafe { libc::write(fd, [0_u8].as_ptr().cast(), 1) };
    }
    fd >= 0
}

/// The watcher waits without end.
static DOZES: AtomicBool = AtomicBool::new(false);

/// Waits for a byte in the pipe; while there are mappings, not for long: somebody may install a handler above ours, as
/// a listener in another thread does, and an access that it returns from without doing anything faults without end.
fn wait_for_byte(reader: &std::io::PipeReader, may_doze: bool) -> bool {
    let mut poll = libc::pollfd { fd: reader.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    DOZES.store(may_doze, Ordering::SeqCst);
    // Looked at once more: a mapping that was made before the flag was set did not call.
    let timeout = if may_doze && registry::is_empty() { -1 } else { LOOK_EVERY_MS };
    // SAFETY: one structure, which lives until the call returns.
    let ready = unsafe { libc::poll(&raw mut poll, 1, timeout) };
    DOZES.store(false, Ordering::SeqCst);
    ready > 0
}

/// Has the watcher look after the handlers from now on. Called for a mapping that is the only one.
pub fn rouse_watcher() {
    if DOZES.load(Ordering::SeqCst) {
        wake_watcher();
    }
}

const LOOK_EVERY_MS: c_int = 100;

/// Starts the thread that brings records into the logs, has the runtimes told, and unmaps what views have left behind.
fn start_watcher() -> Result<()> {
    let (reader, writer) = std::io::pipe().map_err(|error| Error::from_io("pipe", &error))?;
    let writer: std::os::fd::OwnedFd = writer.into();
    let writer = std::os::fd::IntoRawFd::into_raw_fd(writer);
    // SAFETY: a descriptor of ours. A full pipe has woken the watcher already: a handler must not wait for room.
    unsafe { libc::fcntl(writer, libc::F_SETFL, libc::O_NONBLOCK) };
    let watch = move || {
        let mut reader = reader;
        let mut byte = [0_u8; 1];
        room::count();
        let mut was_quiet = false;
        loop {
            let is_called = wait_for_byte(&reader, was_quiet && registry::is_empty());
            was_quiet = !is_called;
            if !is_called {
                // A failure to put ours back is tried again.
                let _ = SIGNALS.into_iter().filter(|_| is_guarded()).try_for_each(install);
                continue;
            }
            if std::io::Read::read_exact(&mut reader, &mut byte).is_err() {
                return;
            }
            watcher::answer();
        }
    };
    let builder = std::thread::Builder::new().name("mmap-faults".to_owned()).stack_size(256 * 1024);
    builder.spawn(watch).map_err(|error| Error::from_io("pthread_create", &error))?;
    WAKE.store(writer, Ordering::Release);
    Ok(())
}
