//! Changing a mapping where it is: its length, and what its pages allow.

use mmap_native_core::protect::Rights;
use mmap_native_core::resize::RESIZES;
use napi::bindgen_prelude::Unknown;
use napi::Env;
use napi_derive::napi;

use crate::error::{exact, to_js};
use crate::external;
use crate::mapping::Handle;

/// Gives a mapping and its file another length; without one, the mapping gets that of the file.
#[napi]
pub fn mapping_resize(region: &Handle, length: Option<f64>) -> napi::Result<()> {
    let length = length.map(|length| exact("length", length)).transpose()?;
    region.resize(length).map_err(to_js)
}

/// Sets what the pages of a range, or all from `offset` on, allow: 'none', 'read' or 'write'.
#[napi]
pub fn mapping_protect(region: &Handle, access: String, offset: f64, length: Option<f64>) -> napi::Result<()> {
    let length = length.map(|length| exact("length", length)).transpose()?;
    let rights = match access.as_str() {
        "write" => Rights::Write,
        "read" => Rights::Read,
        _ => Rights::None,
    };
    region.protect(rights, exact("offset", offset)?, length).map_err(to_js)
}

/// The count of resizes in this process, as memory: four bytes that any thread may change. Undefined where the runtime allows no
/// buffers over foreign memory.
#[napi(ts_return_type = "ArrayBuffer | undefined")]
pub fn resizes(env: Env) -> napi::Result<Option<Unknown<'static>>> {
    external::over_static(&env, &RESIZES)
}
