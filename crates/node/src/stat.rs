//! What a mapping really is.

use mmap_native_core::stat::{Figures, Stat};
use napi::bindgen_prelude::AsyncTask;
use napi_derive::napi;

use crate::error::to_js;
use crate::mapping::Handle;
use crate::tasks::Work;

/// As `MappingStat` in `src/stat.ts`, where the names are explained.
#[napi(object)]
#[derive(Default)]
pub struct StatInfo {
    pub readable: bool,
    pub writable: bool,
    pub executable: bool,
    pub shared: bool,
    pub file_size: Option<f64>,
    pub truncated: bool,
    pub resident: Option<f64>,
    pub figures: Option<FigureInfo>,
}

/// What the kernel counts, in bytes.
#[napi(object)]
#[derive(Default)]
pub struct FigureInfo {
    pub resident: f64,
    pub proportional: f64,
    pub shared_dirty: f64,
    pub private_dirty: f64,
    pub anonymous: f64,
    pub huge: f64,
    pub swapped: f64,
    pub locked: f64,
    pub neighbours: f64,
    pub page_size: f64,
    pub mappings: f64,
    pub flags: Vec<String>,
    pub name: Option<String>,
}

impl From<Figures> for FigureInfo {
    fn from(figures: Figures) -> Self {
        Self {
            resident: figures.resident as f64,
            proportional: figures.proportional as f64,
            shared_dirty: figures.shared_dirty as f64,
            private_dirty: figures.private_dirty as f64,
            anonymous: figures.anonymous as f64,
            huge: figures.huge as f64,
            swapped: figures.swapped as f64,
            locked: figures.locked as f64,
            neighbours: figures.neighbours as f64,
            page_size: figures.page_size as f64,
            mappings: f64::from(figures.mappings),
            flags: figures.flags,
            name: figures.name,
        }
    }
}

/// Of a mapping without bytes there is nothing to tell.
fn info(stat: Option<Stat>) -> StatInfo {
    let Some(stat) = stat else {
        return StatInfo { readable: true, ..StatInfo::default() };
    };
    StatInfo {
        readable: stat.readable,
        writable: stat.writable,
        executable: stat.executable,
        shared: stat.shared,
        file_size: stat.file_size.map(|size| size as f64),
        truncated: stat.truncated,
        resident: stat.resident.map(|bytes| bytes as f64),
        figures: stat.figures.map(FigureInfo::from),
    }
}

/// What a mapping really is, found out on this thread.
#[napi]
pub fn mapping_stat_sync(region: &Handle) -> napi::Result<StatInfo> {
    let stat = region.stat().map_err(to_js)?;
    stat().map(info).map_err(to_js)
}

/// What a mapping really is, found out in the thread pool.
#[napi(ts_return_type = "Promise<StatInfo>")]
pub fn mapping_stat(region: &Handle) -> napi::Result<AsyncTask<Work<StatInfo>>> {
    let stat = region.stat().map_err(to_js)?;
    Ok(AsyncTask::new(Work::new(move || stat().map(info))))
}
