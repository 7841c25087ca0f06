//! Memory that several processes share.

use std::sync::Arc;

use mmap_native_core::region::Region;
use mmap_native_core::shm;
use napi::bindgen_prelude::External;
use napi::Env;
use napi_derive::napi;

use crate::error::{exact_flags, to_js};
use crate::mapping::{open_request, Handle};

/// Opens and maps a shared memory object.
#[napi]
pub fn mapping_shared(
    env: &Env,
    name: String,
    access: String,
    length: Option<f64>,
    flags: f64,
    mode: f64,
    max_length: Option<f64>,
) -> napi::Result<Handle> {
    let request = open_request(env, &access, 0.0, length, flags, mode, max_length)?;
    let region = Region::shared(&name, &request).map_err(to_js)?;
    Ok(External::new(Arc::new(region)))
}

/// Removes the name of a shared memory object.
#[napi]
pub fn unlink_shared(name: String) -> napi::Result<()> {
    shm::unlink(&name).map_err(to_js)
}

/// Maps a new file without a name. `seals` are bits as the kernel has them.
#[napi]
pub fn mapping_memfd(
    env: &Env,
    name: String,
    length: f64,
    seals: f64,
    flags: f64,
    max_length: Option<f64>,
) -> napi::Result<Handle> {
    let request = open_request(env, "write", 0.0, Some(length), flags, 0.0, max_length)?;
    let region = Region::memfd(&name, exact_flags("seals", seals)?, &request).map_err(to_js)?;
    Ok(External::new(Arc::new(region)))
}

/// The descriptor of the mapped file; -1 for memory without one.
#[napi]
pub fn mapping_fd(region: &Handle) -> napi::Result<i32> {
    Ok(region.fd().map_err(to_js)?.unwrap_or(-1))
}

/// Adds seals to the mapped file.
#[napi]
pub fn mapping_seal(region: &Handle, seals: f64) -> napi::Result<()> {
    region.seal(exact_flags("seals", seals)?).map_err(to_js)
}

/// The seals of the mapped file, as bits.
#[napi]
pub fn mapping_seals(region: &Handle) -> napi::Result<i32> {
    region.seals().map_err(to_js)
}
