//! Errors on their way to JavaScript, and numbers on their way from it.

use mmap_native_core::fault::Fault;
use mmap_native_core::Error;

/// Between the fields of a message: a character that no message has.
const SEPARATOR: char = '\u{1f}';

/// A failure of the core as an error whose message `src/errors.ts` takes apart.
pub fn to_js(error: Error) -> napi::Error {
    let fields = match error {
        Error::System { errno, syscall, detail } => {
            vec!["system".to_owned(), errno.to_string(), syscall.to_owned(), detail.into_owned()]
        }
        Error::Closed => vec!["closed".to_owned()],
        Error::Fault(Fault { offset, length, kind }) => {
            vec!["fault".to_owned(), offset.to_string(), length.to_string(), kind.name().to_owned()]
        }
        Error::OutOfRange { name, max, limit } => {
            vec!["range".to_owned(), name.to_owned(), max.to_string(), limit.to_owned()]
        }
        Error::Unavailable { feature, reason } => {
            vec!["unavailable".to_owned(), feature.to_owned(), reason.to_owned()]
        }
    };
    napi::Error::from_reason(fields.join(&SEPARATOR.to_string()))
}

/// The largest integer that a JavaScript number holds exactly.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// A JavaScript number as an unsigned integer; an error for a fraction, a negative, huge or missing one.
pub fn exact(name: &'static str, value: f64) -> napi::Result<u64> {
    if value.fract() == 0.0 && (0.0..=MAX_SAFE_INTEGER).contains(&value) {
        // In range and whole: the conversion is exact.
        return Ok(value as u64);
    }
    let max = 9_007_199_254_740_991;
    Err(to_js(Error::OutOfRange { name, max, limit: "the largest safe integer" }))
}

/// As [`exact`], for what counts bytes in memory.
pub fn exact_size(name: &'static str, value: f64) -> napi::Result<usize> {
    let value = exact(name, value)?;
    usize::try_from(value).map_err(|_| {
        to_js(Error::OutOfRange { name, max: u64::from(u32::MAX), limit: "the size of the address space" })
    })
}

/// A JavaScript number as the bits of a C `int`, whether it was written signed or unsigned.
pub fn exact_flags(name: &'static str, value: f64) -> napi::Result<i32> {
    if value.fract() == 0.0 && (f64::from(i32::MIN)..=f64::from(u32::MAX)).contains(&value) {
        // In range and whole. Between i32 and u32 the bits are what is meant.
        return Ok(value as i64 as i32);
    }
    Err(to_js(Error::OutOfRange { name, max: u64::from(u32::MAX), limit: "32 bits" }))
}

/// A JavaScript number as a file descriptor.
pub fn exact_fd(value: f64) -> napi::Result<i32> {
    if value.fract() == 0.0 && (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&value) {
        return Ok(value as i32);
    }
    Err(to_js(Error::OutOfRange { name: "fd", max: 2_147_483_647, limit: "31 bits" }))
}
