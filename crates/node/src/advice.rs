//! What a `Mapping` tells the kernel of its pages, and asks it.

use mmap_native_core::advice::Advice;
use mmap_native_core::evict::Eviction;
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

/// Locks pages of a range in memory, in the thread pool, for a few milliseconds. Resolves to the bytes that are done.
#[napi(ts_return_type = "Promise<number>")]
pub fn mapping_lock(region: &Handle, offset: f64, length: f64, on_fault: bool) -> napi::Result<AsyncTask<Work<f64>>> {
    let slice = region.lock(exact("offset", offset)?, exact("length", length)?, on_fault).map_err(to_js)?;
    Ok(AsyncTask::new(Work::new(move || slice().map(|done| done as f64))))
}

/// Lets the system take locked pages away again.
#[napi]
pub fn mapping_unlock(region: &Handle, offset: f64, length: Option<f64>) -> napi::Result<()> {
    let length = length.map(|length| exact("length", length)).transpose()?;
    region.unlock(exact("offset", offset)?, length).map_err(to_js)
}

/// What one slice of `mappingEvict` has done, in bytes.
#[napi(object)]
pub struct EvictionProgress {
    /// Of the range.
    pub done: f64,
    /// Of pages that the process had.
    pub from_process: Option<f64>,
    /// Of pages that the page cache had.
    pub from_page_cache: f64,
}

impl From<Eviction> for EvictionProgress {
    fn from(slice: Eviction) -> Self {
        let from_process = slice.from_process.map(|bytes| bytes as f64);
        Self { done: slice.done as f64, from_process, from_page_cache: slice.from_page_cache as f64 }
    }
}

/// Drops pages of a range from the process, and from the page cache, in one slice, in the thread pool. `behind` bytes before the range
/// were dropped by the slice before.
#[napi(ts_return_type = "Promise<EvictionProgress>")]
pub fn mapping_evict(
    region: &Handle,
    offset: f64,
    length: f64,
    behind: f64,
    page_cache: bool,
) -> napi::Result<AsyncTask<Work<EvictionProgress>>> {
    let (offset, length) = (exact("offset", offset)?, exact("length", length)?);
    let slice = region.evict(offset, length, exact("behind", behind)?, page_cache).map_err(to_js)?;
    Ok(AsyncTask::new(Work::new(move || slice().map(EvictionProgress::from))))
}
