//! The functions behind `Mapping`.

use std::ffi::CString;
use std::path::Path;

use mmap_native_core::huge::{HugePages, Size};
use mmap_native_core::region::{Access, FlushMode, MapOptions, OpenRequest, Region, Source};
use mmap_native_core::share::Holder;
use mmap_native_core::sys;
use napi::bindgen_prelude::{AsyncTask, Either3, External, Uint8Array, Uint8ArraySlice, Unknown};
use napi::Env;
use napi_derive::napi;

use crate::error::{exact, exact_fd, exact_flags, to_js};
use crate::external;
use crate::faults::{owner_of, FaultInfo, FaultReport};
use crate::tasks::Work;

/// The hold of a `Mapping` on its region; collected with it.
#[napi]
pub type Handle = External<Holder>;

/// The handle of a new region.
pub fn handle_of(env: &Env, region: Region) -> Handle {
    External::new(Holder::new(region, owner_of(env)))
}

/// Bits of the `flags` argument of `mappingOpen` and `mappingAnonymous`, as `src/mapping.ts` has them.
mod open_flags {
    pub const CREATE: i32 = 1;
    pub const EXCLUSIVE: i32 = 2;
    pub const GROW: i32 = 4;
    pub const PREALLOCATE: i32 = 8;
    pub const POPULATE: i32 = 16;
    pub const NO_RESERVE: i32 = 32;
    pub const STACK: i32 = 1 << 8;
    pub const SYNC: i32 = 1 << 9;
    pub const HUGE_TRANSPARENT: i32 = 1 << 10;
    pub const HUGE_2MB: i32 = 1 << 11;
    pub const HUGE_1GB: i32 = 1 << 12;
    pub const HUGE_FALLBACK: i32 = 1 << 13;
}

fn map_options(flags: i32, max_length: Option<f64>) -> napi::Result<MapOptions> {
    let has = |flag| flags & flag != 0;
    let sizes = [
        (open_flags::HUGE_TRANSPARENT, Size::Transparent),
        (open_flags::HUGE_2MB, Size::Log2(21)),
        (open_flags::HUGE_1GB, Size::Log2(30)),
    ];
    let size = sizes.into_iter().find(|(flag, _)| has(*flag)).map(|(_, size)| size);
    let fallback = has(open_flags::HUGE_FALLBACK);
    Ok(MapOptions {
        populate: has(open_flags::POPULATE),
        no_reserve: has(open_flags::NO_RESERVE),
        stack: has(open_flags::STACK),
        huge_pages: size.map(|size| HugePages { size, fallback }),
        sync: has(open_flags::SYNC),
        max_length: max_length.map(|length| exact("maxLength", length)).transpose()?,
    })
}

/// What the arguments of `mappingOpen` ask for.
pub fn open_request(
    env: &Env,
    access: &str,
    offset: f64,
    length: Option<f64>,
    flags: f64,
    mode: f64,
    max_length: Option<f64>,
) -> napi::Result<OpenRequest> {
    let flags = exact_flags("flags", flags)?;
    let mode = exact_flags("mode", mode)?.cast_unsigned();
    let access = match access {
        "write" => Access::Write,
        "copy" => Access::Copy,
        _ => Access::Read,
    };
    Ok(OpenRequest {
        access,
        offset: exact("offset", offset)?,
        length: length.map(|length| exact("length", length)).transpose()?,
        create: (flags & open_flags::CREATE != 0).then_some(mode),
        exclusive: flags & open_flags::EXCLUSIVE != 0,
        grow: flags & open_flags::GROW != 0,
        preallocate: flags & open_flags::PREALLOCATE != 0,
        options: map_options(flags, max_length)?,
        owner: owner_of(env),
    })
}

/// Opens and maps a file, given by path or descriptor.
#[napi]
#[allow(clippy::too_many_arguments)] // one for each thing asked for; `src/mapping.ts` names them
pub fn mapping_open(
    env: &Env,
    file: Either3<String, Uint8Array, f64>,
    access: String,
    offset: f64,
    length: Option<f64>,
    flags: f64,
    mode: f64,
    max_length: Option<f64>,
) -> napi::Result<Handle> {
    let request = open_request(env, &access, offset, length, flags, mode, max_length)?;
    let source = match &file {
        Either3::A(path) => Source::Path(Path::new(path)),
        Either3::B(path) => Source::Path(sys::path_of_bytes(path).map_err(to_js)?),
        Either3::C(fd) => Source::Descriptor(exact_fd(*fd)?),
    };
    let region = Region::open(source, &request).map_err(to_js)?;
    Ok(handle_of(env, region))
}

/// Maps zeroed memory.
#[napi]
pub fn mapping_anonymous(
    env: &Env,
    length: f64,
    flags: f64,
    max_length: Option<f64>,
    name: Option<String>,
) -> napi::Result<Handle> {
    let options = map_options(exact_flags("flags", flags)?, max_length)?;
    let region = Region::anonymous(exact("length", length)?, options, owner_of(env)).map_err(to_js)?;
    if let Some(name) = name.and_then(|name| CString::new(name).ok()) {
        region.set_name(name);
    }
    Ok(handle_of(env, region))
}

/// Bytes.
#[napi]
pub fn mapping_length(region: &Handle) -> f64 {
    region.len() as f64
}

/// How often bytes of the mapping were given other addresses.
#[napi]
pub fn mapping_moves(region: &Handle) -> f64 {
    region.moves() as f64
}

/// The address of the first byte; 0 for a mapping without bytes.
#[napi(ts_return_type = "bigint")]
pub fn mapping_address(region: &Handle) -> u64 {
    region.address() as u64
}

/// The mapping's number in the process, as faults name it.
#[napi]
pub fn mapping_id(region: &Handle) -> f64 {
    region.id() as f64
}

/// The faults of a mapping.
#[napi]
pub fn mapping_faults(region: &Handle) -> FaultReport {
    let (count, list) = region.faults();
    FaultReport { count: count as f64, list: list.into_iter().map(FaultInfo::from).collect() }
}

/// Maps the file again where faults had put other pages.
#[napi]
pub fn mapping_refresh(region: &Handle) -> napi::Result<()> {
    region.refresh().map_err(to_js)
}

/// A buffer over a range, starting up to seven bytes before it, at a multiple of 8.
#[napi(ts_return_type = "ArrayBuffer | SharedArrayBuffer")]
pub fn mapping_view(
    env: Env,
    region: &Handle,
    offset: f64,
    length: f64,
    shared: bool,
) -> napi::Result<Unknown<'static>> {
    let pin = region.pin(exact("offset", offset)?, exact("length", length)?).map_err(to_js)?;
    let pin = pin.ok_or_else(|| napi::Error::from_reason("an empty range has no view"))?;
    external::view(&env, pin, shared)
}

/// Copies bytes from an offset into `target`.
#[napi]
pub fn mapping_read(region: &Handle, offset: f64, mut target: Uint8ArraySlice<'_>) -> napi::Result<()> {
    region.read_to(exact("position", offset)?, external::cells(&mut target)).map_err(to_js)
}

/// Copies `data` to an offset.
#[napi]
pub fn mapping_write(region: &Handle, offset: f64, mut data: Uint8ArraySlice<'_>) -> napi::Result<()> {
    region.write_from(exact("position", offset)?, external::cells(&mut data)).map_err(to_js)
}

/// Repeats `pattern` over a range.
#[napi]
pub fn mapping_fill(region: &Handle, mut pattern: Uint8ArraySlice<'_>, offset: f64, length: f64) -> napi::Result<()> {
    let pattern = external::cells(&mut pattern);
    region.fill_from(pattern, exact("start", offset)?, exact("end", length)?).map_err(to_js)
}

/// Copies a range to another place of the same mapping.
#[napi]
pub fn mapping_copy_within(region: &Handle, target: f64, start: f64, length: f64) -> napi::Result<()> {
    region.copy_within(exact("target", target)?, exact("start", start)?, exact("end", length)?).map_err(to_js)
}

/// `'async'`, `'invalidate'`, or else `'sync'`.
fn flush_mode(name: &str) -> FlushMode {
    match name {
        "async" => FlushMode::Async,
        "invalidate" => FlushMode::Invalidate,
        _ => FlushMode::Sync,
    }
}

/// Writes changed pages of a range to the file, on this thread.
#[napi]
pub fn mapping_flush_sync(region: &Handle, offset: f64, length: f64, mode: String) -> napi::Result<()> {
    let (offset, length) = (exact("offset", offset)?, exact("length", length)?);
    let flush = region.flush(offset, length, flush_mode(&mode)).map_err(to_js)?;
    flush().map_err(to_js)
}

/// Writes changed pages of a range to the file, in the thread pool.
#[napi(ts_return_type = "Promise<void>")]
pub fn mapping_flush(region: &Handle, offset: f64, length: f64, mode: String) -> napi::Result<AsyncTask<Work<()>>> {
    let (offset, length) = (exact("offset", offset)?, exact("length", length)?);
    let flush = region.flush(offset, length, flush_mode(&mode)).map_err(to_js)?;
    Ok(AsyncTask::new(Work::new(flush)))
}

/// Brings pages of a range into memory, in the thread pool, for a few milliseconds. Resolves to the bytes that are done, from
/// the start of the range on. Up to `ahead` bytes behind the range may be read from the device.
#[napi(ts_return_type = "Promise<number>")]
pub fn mapping_prefetch(region: &Handle, offset: f64, length: f64, ahead: f64) -> napi::Result<AsyncTask<Work<f64>>> {
    let ahead = exact("ahead", ahead)?;
    let slice = region.prefetch(exact("offset", offset)?, exact("length", length)?, ahead).map_err(to_js)?;
    Ok(AsyncTask::new(Work::new(move || slice().map(|done| done as f64))))
}

/// Lets go of the file and its memory.
#[napi]
pub fn mapping_unmap(region: &Handle) -> napi::Result<()> {
    region.unmap().map_err(to_js)
}
