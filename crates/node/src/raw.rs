//! The raw POSIX functions. Addresses come as numbers: every address that a process can have is a safe integer.

use mmap_native_core::{flags, raw, registry, sys};
use napi::bindgen_prelude::{JsObjectValue, Object, Uint8Array, Unknown};
use napi::Env;
use napi_derive::napi;

use crate::error::{exact, exact_fd, exact_flags, exact_size, to_js};
use crate::external;
use crate::faults::owner_of;

/// Every constant of this platform by its POSIX name.
#[napi(ts_return_type = "Record<string, number>")]
pub fn constants(env: &Env) -> napi::Result<Object<'_>> {
    let mut object = Object::new(env)?;
    for (name, value) in flags::constants() {
        object.set_named_property(name, value)?;
    }
    Ok(object)
}

/// Bytes in a page.
#[napi]
pub fn page_size() -> f64 {
    sys::page_size() as f64
}

/// mmap(2).
#[napi(ts_return_type = "bigint")]
pub fn mmap(env: &Env, addr: f64, length: f64, prot: f64, flags: f64, fd: f64, offset: f64) -> napi::Result<u64> {
    let at = raw::mmap(
        exact_size("addr", addr)?,
        exact_size("length", length)?,
        exact_flags("prot", prot)?,
        exact_flags("flags", flags)?,
        exact_fd(fd)?,
        exact("offset", offset)?,
        owner_of(env),
    );
    at.map(|at| at as u64).map_err(to_js)
}

/// munmap(2).
#[napi]
pub fn munmap(addr: f64, length: f64) -> napi::Result<()> {
    raw::munmap(exact_size("addr", addr)?, exact_size("length", length)?).map_err(to_js)
}

/// mprotect(2).
#[napi]
pub fn mprotect(addr: f64, length: f64, prot: f64) -> napi::Result<()> {
    raw::mprotect(exact_size("addr", addr)?, exact_size("length", length)?, exact_flags("prot", prot)?).map_err(to_js)
}

/// msync(2).
#[napi]
pub fn msync(addr: f64, length: f64, flags: f64) -> napi::Result<()> {
    raw::msync(exact_size("addr", addr)?, exact_size("length", length)?, exact_flags("flags", flags)?).map_err(to_js)
}

/// madvise(2).
#[napi]
pub fn madvise(addr: f64, length: f64, advice: f64) -> napi::Result<()> {
    raw::madvise(exact_size("addr", addr)?, exact_size("length", length)?, exact_flags("advice", advice)?)
        .map_err(to_js)
}

/// mlock(2).
#[napi]
pub fn mlock(addr: f64, length: f64) -> napi::Result<()> {
    raw::mlock(exact_size("addr", addr)?, exact_size("length", length)?).map_err(to_js)
}

/// munlock(2).
#[napi]
pub fn munlock(addr: f64, length: f64) -> napi::Result<()> {
    raw::munlock(exact_size("addr", addr)?, exact_size("length", length)?).map_err(to_js)
}

/// mincore(2).
#[napi]
pub fn mincore(addr: f64, length: f64) -> napi::Result<Uint8Array> {
    raw::mincore(exact_size("addr", addr)?, exact_size("length", length)?).map(Uint8Array::new).map_err(to_js)
}

/// mremap(2), Linux.
#[napi(ts_return_type = "bigint")]
pub fn mremap(addr: f64, old_length: f64, new_length: f64, flags: f64, new_addr: f64) -> napi::Result<u64> {
    let (addr, new_addr) = (exact_size("addr", addr)?, exact_size("newAddr", new_addr)?);
    let (old_length, new_length) = (exact_size("oldLength", old_length)?, exact_size("newLength", new_length)?);
    let flags = exact_flags("flags", flags)?;
    #[cfg(target_os = "linux")]
    return raw::mremap(addr, old_length, new_length, flags, new_addr).map(|at| at as u64).map_err(to_js);
    #[cfg(not(target_os = "linux"))]
    {
        let _unused = (addr, old_length, new_length, flags, new_addr);
        Err(to_js(mmap_native_core::Error::system("mremap", libc::ENOSYS)))
    }
}

/// A buffer over a range of mapped memory, starting up to seven bytes before it, at a multiple of 8.
#[napi(ts_return_type = "ArrayBuffer | SharedArrayBuffer")]
pub fn view_from_pointer(env: Env, addr: f64, length: f64, shared: bool) -> napi::Result<Unknown<'static>> {
    let pin = raw::pin_for_view(exact_size("addr", addr)?, exact_size("length", length)?).map_err(to_js)?;
    external::view(&env, pin, shared)
}

/// What this package holds in the process.
#[napi(object)]
pub struct Census {
    /// Ranges with memory or a file behind them.
    pub live: f64,
    /// Ranges whose addresses alone are held, for views that outlived them.
    pub retired: f64,
}

/// Counts the ranges of addresses that this package holds, over all threads.
#[napi]
pub fn census() -> Census {
    let census = registry::census();
    Census { live: census.live as f64, retired: census.retired as f64 }
}
