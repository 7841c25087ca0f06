//! What goes in and out of the system calls, on every system.

use crate::huge::HugePages;

/// How the pages of a file are mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read only; other processes' writes to the file show.
    Read,
    /// Read and write; writes go to the file.
    Write,
    /// Read and write; writes stay in this process.
    Copy,
}

/// What a new mapping asks of the system beyond its range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MapOptions {
    /// Bring all pages into memory before returning (`MAP_POPULATE`; Linux). On Windows the device is asked for them, and nobody waits.
    pub populate: bool,
    /// Set no swap space aside (`MAP_NORESERVE`; Linux). Windows always does for memory that can be written.
    pub no_reserve: bool,
    /// Take addresses for so many bytes, and never move.
    pub max_length: Option<u64>,
    /// An address fit for a stack (`MAP_STACK`), for memory. On Windows any is.
    pub stack: bool,
    /// What pages it is to have (Linux).
    pub huge_pages: Option<HugePages>,
    /// What is written to a file on persistent memory is there when the processor's caches are flushed (`MAP_SYNC`; Linux).
    pub sync: bool,
}

/// How a wait for a cell of memory ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Somebody woke it.
    Woken,
    /// The cell had another value.
    NotEqual,
    /// The time was over.
    TimedOut,
    /// A signal came in between.
    Signal,
}
