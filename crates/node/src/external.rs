//! ArrayBuffer and SharedArrayBuffer over pinned memory: the only unsafe code of this crate.
//!
//! ```text
//!   ArrayBuffer object ----.                      (collected: its finalizer drops this pin)
//!                           +--> Pin --> addresses stay ours
//!   its backing store -----'                      (freed, perhaps after transfer(): drops that pin)
//! ```
//!
//! An ArrayBuffer takes two pins. `transfer()` moves the backing store to another object, so the store needs one.
//! Detaching frees the store at once, while a call in the thread pool (zlib, fs) that was started before may still
//! read the memory: such calls keep the object alive, so the object needs one too.
//!
//! A SharedArrayBuffer can be neither moved nor detached: one pin, for its backing store, is enough.
//!
//! napi-rs's own helpers copy the memory where a runtime forbids external buffers. A copy is not a mapping: here that
//! is an error.

use std::cell::Cell;
use std::ffi::c_void;
use std::sync::atomic::AtomicU32;
use std::sync::OnceLock;

use mmap_native_core::registry::Pin;
use mmap_native_core::Error;
use napi::bindgen_prelude::{FromNapiValue, Uint8ArraySlice};
use napi::{sys, Env, JsValue, Unknown};
use napi_derive::napi;

use crate::error::to_js;

/// Views start at a multiple of this many bytes, the size of the largest element of a typed array.
const ALIGNMENT: usize = 8;

type CreateShared = unsafe extern "C" fn(
    env: sys::napi_env,
    data: *mut c_void,
    length: usize,
    finalize: unsafe extern "C" fn(*mut c_void, *mut c_void),
    hint: *mut c_void,
    result: *mut sys::napi_value,
) -> sys::napi_status;

/// `node_api_create_external_sharedarraybuffer`, where the runtime has it. It is experimental, so it is looked up and
/// never linked.
fn create_shared() -> Option<CreateShared> {
    static FOUND: OnceLock<Option<CreateShared>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let name = c"node_api_create_external_sharedarraybuffer";
        let symbol = mmap_native_core::sys::find_symbol(name)?;
        // SAFETY: the symbol is a function of this signature: Node-API defines it.
        Some(unsafe { std::mem::transmute::<*mut c_void, CreateShared>(symbol) })
    })
}

/// Whether this runtime can make a SharedArrayBuffer over mapped memory.
#[napi]
pub fn has_shared_views() -> bool {
    create_shared().is_some()
}

/// A buffer over the pinned bytes, and over the up to seven before them that make it start aligned.
pub fn view(env: &Env, pin: Pin, shared: bool) -> napi::Result<Unknown<'static>> {
    let address = pin.span().start();
    let lead = address % ALIGNMENT;
    // The first bytes of a page are aligned, so the lead is never before the pinned page.
    let start: *mut c_void = std::ptr::with_exposed_provenance_mut(address.wrapping_sub(lead));
    let length = pin.span().len().wrapping_add(lead);
    if shared {
        create_over(env, start, length, pin)
    } else {
        create_detachable(env, start, length, pin)
    }
}

fn create_over(env: &Env, start: *mut c_void, length: usize, pin: Pin) -> napi::Result<Unknown<'static>> {
    let Some(create) = create_shared() else {
        return Err(to_js(Error::refused("mmap", libc::ENOTSUP, "no SharedArrayBuffer over memory in this runtime")));
    };
    let hint = Box::into_raw(Box::new(pin)).cast();
    let mut result = std::ptr::null_mut();
    // SAFETY: the memory stays mapped or reserved until the finalizer drops the pin that `hint` holds.
    let status = unsafe { create(env.raw(), start, length, drop_pin_anywhere, hint, &raw mut result) };
    created(env, status, hint, result)
}

fn create_detachable(env: &Env, start: *mut c_void, length: usize, pin: Pin) -> napi::Result<Unknown<'static>> {
    let for_object = Box::new(pin.clone());
    let hint = Box::into_raw(Box::new(pin)).cast();
    let mut result = std::ptr::null_mut();
    // SAFETY: the memory stays mapped or reserved until the finalizer drops the pin that `hint` holds.
    let status = unsafe {
        sys::napi_create_external_arraybuffer(env.raw(), start, length, Some(drop_pin), hint, &raw mut result)
    };
    let buffer = created(env, status, hint, result)?;
    let data = Box::into_raw(for_object).cast();
    let no_hint = std::ptr::null_mut();
    let no_reference = std::ptr::null_mut();
    // SAFETY: `result` is the object just made; the finalizer takes over the box in `data`.
    let status =
        unsafe { sys::napi_add_finalizer(env.raw(), result, data, Some(drop_pin_of_object), no_hint, no_reference) };
    // On failure the box is left alone: addresses that stay taken harm nobody, a pin dropped twice would.
    check(status)?;
    Ok(buffer)
}

/// An ArrayBuffer over a number that lives as long as the process; `None` where the runtime allows none.
pub fn over_static(env: &Env, number: &'static AtomicU32) -> napi::Result<Option<Unknown<'static>>> {
    let no_hint = std::ptr::null_mut();
    let mut result = std::ptr::null_mut();
    // SAFETY: the number is never freed, and is only read and written atomically.
    let status = unsafe {
        let start = number.as_ptr().cast();
        sys::napi_create_external_arraybuffer(env.raw(), start, 4, Some(keep), no_hint, &raw mut result)
    };
    if status == sys::Status::napi_no_external_buffers_allowed {
        return Ok(None);
    }
    check(status)?;
    // SAFETY: the call succeeded, so the value is one of this environment's.
    unsafe { Unknown::from_napi_value(env.raw(), result) }.map(Some)
}

/// Finalizer of memory that stays.
unsafe extern "C" fn keep(_env: sys::napi_env, _data: *mut c_void, _hint: *mut c_void) {}

fn created(
    env: &Env,
    status: sys::napi_status,
    hint: *mut c_void,
    result: sys::napi_value,
) -> napi::Result<Unknown<'static>> {
    if status == sys::Status::napi_no_external_buffers_allowed {
        // SAFETY: with this status the runtime has not taken the memory and will not call the finalizer.
        drop(unsafe { Box::from_raw(hint.cast::<Pin>()) });
        return Err(to_js(Error::refused("mmap", libc::ENOTSUP, "this runtime allows no buffers over mapped memory")));
    }
    // On any other failure it is not known whether the finalizer ran or will: see above.
    check(status)?;
    // SAFETY: the call succeeded, so the value is one of this environment's.
    unsafe { Unknown::from_napi_value(env.raw(), result) }
}

fn check(status: sys::napi_status) -> napi::Result<()> {
    if status == sys::Status::napi_ok {
        return Ok(());
    }
    Err(napi::Error::new(napi::Status::from(status), "the runtime made no buffer over mapped memory"))
}

/// Finalizer of an ArrayBuffer's backing store.
unsafe extern "C" fn drop_pin(_env: sys::napi_env, _data: *mut c_void, hint: *mut c_void) {
    // SAFETY: the box that was made into this hint; a runtime calls a finalizer once.
    drop(unsafe { Box::from_raw(hint.cast::<Pin>()) });
}

/// Finalizer of an ArrayBuffer object.
unsafe extern "C" fn drop_pin_of_object(_env: sys::napi_env, data: *mut c_void, _hint: *mut c_void) {
    // SAFETY: the box that was made into this data; a runtime calls a finalizer once.
    drop(unsafe { Box::from_raw(data.cast::<Pin>()) });
}

/// Finalizer of a SharedArrayBuffer's backing store: on any thread, with no environment.
unsafe extern "C" fn drop_pin_anywhere(_data: *mut c_void, hint: *mut c_void) {
    // SAFETY: the box that was made into this hint; a runtime calls a finalizer once. A pin may be dropped anywhere.
    drop(unsafe { Box::from_raw(hint.cast::<Pin>()) });
}

/// The bytes of a typed array that nobody else has, to write to.
pub fn bytes_mut<'a>(array: &'a mut Uint8ArraySlice<'_>) -> &'a mut [u8] {
    // SAFETY: the call that has the array runs on the thread of its environment, and calls no JavaScript meanwhile.
    unsafe { array.as_mut() }
}

/// The bytes of a typed array: they may lie in a mapping, and other threads may change them.
pub fn cells<'a>(array: &'a mut Uint8ArraySlice<'_>) -> &'a [Cell<u8>] {
    // SAFETY: the call that has the array runs on the thread of its environment, and calls no JavaScript meanwhile.
    let bytes = unsafe { array.as_mut() };
    Cell::from_mut(bytes).as_slice_of_cells()
}

/// Detaches an ArrayBuffer: its length becomes 0 and its memory unreachable through it. Anything else is left alone,
/// and so is a buffer that the runtime keeps as it is while a call in its thread pool uses it (Bun): that one's memory
/// is retired, and reads zeros.
#[napi(ts_args_type = "buffer: ArrayBuffer")]
pub fn detach(env: Env, buffer: Unknown<'_>) -> napi::Result<()> {
    let mut is_buffer = false;
    // SAFETY: both are live values of the same environment.
    check(unsafe { sys::napi_is_arraybuffer(env.raw(), buffer.raw(), &raw mut is_buffer) })?;
    if !is_buffer {
        return Ok(());
    }
    // SAFETY: as above, and the value is an ArrayBuffer.
    let status = unsafe { sys::napi_detach_arraybuffer(env.raw(), buffer.raw()) };
    if status == sys::Status::napi_detachable_arraybuffer_expected {
        return Ok(());
    }
    check(status)
}
