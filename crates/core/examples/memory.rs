//! How fast memory can be read, and searched by the `memchr` crate, without Node and without this library: what the
//! benchmark compares searches with.
//!
//! ```text
//! memory sum|find|count FILE NEEDLE
//! ```
//!
//! It says `{"ready":true}`, then does a turn for each line on standard input and answers with its result and time.

use std::error::Error;
use std::fs::File;
use std::io::{stdin, stdout, Write};
use std::time::Instant;

use memchr::{memchr_iter, memmem};
use memmap2::MmapOptions;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, path, needle] = arguments.as_slice() else {
        return Err("usage: memory sum|find|count FILE NEEDLE".into());
    };
    let file = File::open(path)?;
    // SAFETY: the benchmark writes to no file that it measures on.
    let bytes = unsafe { MmapOptions::new().populate().map(&file) }?;
    say("{\"ready\":true}")?;
    for line in stdin().lines() {
        line?;
        let start = Instant::now();
        let result = match kind.as_str() {
            "sum" => {
                std::hint::black_box(sum(&bytes));
                // Nothing that a search could have found.
                String::from("null")
            }
            "find" => find(&bytes, needle.as_bytes()).map_or("-1".into(), |at| at.to_string()),
            _ => count(&bytes, needle.as_bytes()).to_string(),
        };
        let seconds = start.elapsed().as_secs_f64();
        let (ns, rate) = (seconds * 1e9, bytes.len() as f64 / seconds);
        say(&format!("{{\"result\":{result},\"figures\":{{\"ns\":{ns},\"rate\":{rate}}}}}"))?;
    }
    Ok(())
}

fn say(what: &str) -> std::io::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{what}")?;
    out.flush()
}

/// The sum of all whole numbers of 64 bits: nothing but reading.
fn sum(bytes: &[u8]) -> u64 {
    let numbers = bytes.chunks_exact(8).filter_map(|number| number.try_into().ok().map(u64::from_ne_bytes));
    numbers.fold(0, u64::wrapping_add)
}

fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    match needle {
        [byte] => memchr::memchr(*byte, bytes),
        _ => memmem::find(bytes, needle),
    }
}

fn count(bytes: &[u8], needle: &[u8]) -> usize {
    match needle {
        [byte] => memchr_iter(*byte, bytes).count(),
        _ => memmem::find_iter(bytes, needle).count(),
    }
}
