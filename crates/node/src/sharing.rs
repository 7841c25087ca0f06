//! Memory that several processes, and several threads, share.

use mmap_native_core::region::{Access, Region};
use mmap_native_core::share::{Holder, Token};
use mmap_native_core::shm;
use napi::bindgen_prelude::External;
use napi::Env;
use napi_derive::napi;

use crate::error::{exact, exact_flags, to_js};
use crate::faults::owner_of;
use crate::mapping::{handle_of, open_request, Handle};

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
    Ok(handle_of(env, region))
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
    Ok(handle_of(env, region))
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

/// A name for a region in other threads of the process.
#[napi(object)]
pub struct TokenParts {
    /// Its number.
    pub id: f64,
    /// Its secret.
    pub key: String,
}

/// A token of a mapping's region.
#[napi]
pub fn mapping_share(region: &Handle) -> napi::Result<TokenParts> {
    let Token { id, key } = region.share().map_err(to_js)?;
    Ok(TokenParts { id: id as f64, key })
}

/// Another hold on the region of a token; none if the token is not of this process.
#[napi]
pub fn mapping_attach(env: &Env, id: f64, key: String) -> napi::Result<Option<Handle>> {
    let token = Token { id: exact("token.id", id)?, key };
    Ok(Holder::attach(&token, owner_of(env)).map_err(to_js)?.map(External::new))
}

/// What a mapping allows.
#[napi(ts_return_type = "'read' | 'write' | 'copy'")]
pub fn mapping_access(region: &Handle) -> &'static str {
    match region.access() {
        Access::Read => "read",
        Access::Write => "write",
        Access::Copy => "copy",
    }
}

/// Where a mapping starts in its file, in bytes.
#[napi]
pub fn mapping_offset(region: &Handle) -> f64 {
    region.offset() as f64
}
