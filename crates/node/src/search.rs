//! The searches of `Mapping`. The memory can change while they run, whatever the code below them assumes: should that
//! ever make it panic, it is an exception.

use std::sync::Arc;

use mmap_native_core::search::{Needle, Progress};
use napi::bindgen_prelude::{AsyncTask, External, Uint8ArraySlice};
use napi_derive::napi;

use crate::error::{exact, to_js};
use crate::external;
use crate::mapping::Handle;
use crate::tasks::Work;

/// Bytes to search for, kept while a search runs in the thread pool.
#[napi]
pub type NeedleHandle = External<Arc<Needle>>;

/// How a search stands after one slice. With neither property, the needle is not there.
#[napi(object)]
pub struct SearchProgress {
    /// Where the needle is.
    pub found: Option<f64>,
    /// Where the search goes on.
    pub next: Option<f64>,
}

impl From<Progress> for SearchProgress {
    fn from(progress: Progress) -> Self {
        match progress {
            Progress::Found(at) => Self { found: Some(at as f64), next: None },
            Progress::Next(at) => Self { found: None, next: Some(at as f64) },
            Progress::Nowhere => Self { found: None, next: None },
        }
    }
}

/// An offset, or -1.
fn or_minus_one(at: Option<u64>) -> f64 {
    at.map_or(-1.0, |at| at as f64)
}

/// The first place of `needle` that is not before `from`, or -1.
#[napi(catch_unwind)]
pub fn mapping_index_of(region: &Handle, needle: &[u8], from: f64) -> napi::Result<f64> {
    region.index_of(needle, exact("from", from)?).map(or_minus_one).map_err(to_js)
}

/// The last place of `needle` that is not behind `from`, or -1. A `from` of -1 stands for any place before the mapping: only
/// an empty needle is found from there, at 0.
#[napi(catch_unwind)]
pub fn mapping_last_index_of(region: &Handle, needle: &[u8], from: f64) -> napi::Result<f64> {
    if from < 0.0 && !needle.is_empty() {
        return Ok(-1.0);
    }
    region.last_index_of(needle, exact("from", from.max(0.0))?).map(or_minus_one).map_err(to_js)
}

/// How often `needle` is in a range, not counting those that overlap.
#[napi(catch_unwind)]
pub fn mapping_count(region: &Handle, needle: &[u8], from: f64, to: f64) -> napi::Result<f64> {
    let count = region.count(needle, exact("from", from)?, exact("to", to)?).map_err(to_js)?;
    Ok(count as f64)
}

/// A copy of bytes, for `mappingFind`.
#[napi]
pub fn needle_of(bytes: &[u8]) -> napi::Result<NeedleHandle> {
    Ok(External::new(Arc::new(Needle::new(bytes).map_err(to_js)?)))
}

/// Looks for the first place of `needle` from `from` on, in one slice, in the thread pool.
#[napi(ts_return_type = "Promise<SearchProgress>")]
pub fn mapping_find(
    region: &Handle,
    needle: &NeedleHandle,
    from: f64,
) -> napi::Result<AsyncTask<Work<SearchProgress>>> {
    let find = region.find(needle, exact("from", from)?).map_err(to_js)?;
    Ok(AsyncTask::new(Work::new(move || find().map(SearchProgress::from))))
}

/// Finds lines from `start` on. Writes where each ends and where the next starts into `table`, which has the bytes of a Float64Array,
/// and returns how many lines there are in it.
#[napi(catch_unwind)]
pub fn mapping_lines(region: &Handle, start: f64, end: f64, mut table: Uint8ArraySlice<'_>) -> napi::Result<f64> {
    let entries = external::bytes_mut(&mut table).chunks_exact_mut(16);
    let most = entries.len();
    let mut entries = entries.map(|entry| entry.split_at_mut(8));
    let mut count = 0_u32;
    let found = region.lines(exact("start", start)?, exact("end", end)?, most, |line| {
        let Some((ends, next)) = entries.next() else { return };
        ends.copy_from_slice(&(line.end as f64).to_ne_bytes());
        next.copy_from_slice(&(line.next as f64).to_ne_bytes());
        count = count.saturating_add(1);
    });
    found.map_err(to_js)?;
    Ok(f64::from(count))
}
