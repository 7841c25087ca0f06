//! What a `Mapping` tells the kernel of its pages, and asks it.

use mmap_native_core::advice::Advice;
use napi::bindgen_prelude::{AsyncTask, Uint8Array};
use napi_derive::napi;

use crate::error::{exact, to_js};
use crate::mapping::Handle;
use crate::tasks::Work;

/// Whether the kernel knows an advice.
#[napi]
pub fn is_advice_known(name: String) -> bool {
    Advice::named(&name).is_some_and(Advice::is_known)
}

/// Gives advice about a range. Returns the bytes of the pages that it is about.
#[napi]
pub fn mapping_advise(region: &Handle, name: String, offset: f64, length: f64, destructive: bool) -> napi::Result<f64> {
    let given = region.advise(&name, exact("offset", offset)?, exact("length", length)?, destructive);
    given.map(|bytes| bytes as f64).map_err(to_js)
}

/// Which pages of a range are in memory, in one slice, in the thread pool: a bit a page.
#[napi(ts_return_type = "Promise<Uint8Array>")]
pub fn mapping_residency(region: &Handle, offset: f64, length: f64) -> napi::Result<AsyncTask<Work<Uint8Array>>> {
    let slice = region.residency(exact("offset", offset)?, exact("length", length)?).map_err(to_js)?;
    Ok(AsyncTask::new(Work::new(move || slice().map(Uint8Array::new))))
}
