//! Memory that several processes share.

use std::sync::Arc;

use mmap_native_core::region::Region;
use mmap_native_core::shm;
use napi::bindgen_prelude::External;
use napi::Env;
use napi_derive::napi;

use crate::error::to_js;
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
