//! What a mapping really is, by the kernel's account: `/proc/self/smaps` (Linux).
//!
//! The kernel goes through all pages of a mapping to count them, 30 to 100 ms for each GiB in memory, and through those of the mappings
//! below it, as the file can only be read from its start.

use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::range::Span;
use crate::region::Region;
use crate::registry::{MappedFile, Pin, Tag};
use crate::sys;

/// What the kernel counts of a range of addresses, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// In memory and in the page tables of this process.
    pub resident: u64,
    /// The same, each page divided by how many processes have it.
    pub proportional: u64,
    /// Written and not stored yet, or of memory; others have these pages, too.
    pub shared_dirty: u64,
    /// The same of pages that only this process has.
    pub private_dirty: u64,
    /// Without a file behind them.
    pub anonymous: u64,
    /// In huge pages of any kind.
    pub huge: u64,
    /// Swapped out.
    pub swapped: u64,
    /// Locked in memory.
    pub locked: u64,
    /// Of other mappings, counted in all of these, because the kernel has joined them to this one.
    pub neighbours: u64,
    /// The size of a page.
    pub page_size: u64,
    /// As how many mappings the kernel has the range.
    pub mappings: u32,
    /// `VmFlags` of any of them: two letters each.
    pub flags: Vec<String>,
    /// What `/proc/self/maps` has in place of a file.
    pub name: Option<String>,
}

/// What a region is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// `PROT_*` of all of it.
    pub readable: bool,
    /// As above.
    pub writable: bool,
    /// As above.
    pub executable: bool,
    /// Whether what is written is in the file, or in memory that others share.
    pub shared: bool,
    /// The file's size now; `None` without a file, and for devices.
    pub file_size: Option<u64>,
    /// Whether the file ends before the mapping does.
    pub truncated: bool,
    /// What the kernel counts; `None` where it does not tell.
    pub figures: Option<Figures>,
    /// Bytes in memory, where [`Figures`] are not to be had.
    pub resident: Option<u64>,
}

impl Region {
    /// What the region really is. Checks that it is open and returns the work, which may run on another thread; `None` for a region
    /// without bytes.
    ///
    /// # Errors
    /// [`Error::Closed`]; those of reading `/proc/self/smaps`.
    pub fn stat(self: &Arc<Self>) -> Result<impl FnOnce() -> Result<Option<Stat>> + Send + 'static> {
        self.pin(0, 0)?;
        let region = self.clone();
        Ok(move || loop {
            let length = u64::try_from(region.len()).unwrap_or(u64::MAX);
            match region.steadily(0, length, 0, |pin| pin.map(|pin| region.stat_of(pin)).transpose()) {
                // Bytes were cut off meanwhile: there is less to tell of.
                Err(Error::OutOfRange { .. }) => {}
                stat => return stat,
            }
        })
    }

    fn stat_of(&self, pin: &Pin) -> Result<Stat> {
        let pages = pin.span().widened(sys::page_size()).ok_or(Error::system("mmap", libc::EOVERFLOW))?;
        let parts = self.parts(pages)?;
        let figures = figures(pages)?;
        // What was read may be another's by then.
        self.parts(pages)?;
        let has = |prot| parts.iter().all(|(_, tag)| tag.prot & prot != 0);
        let size = parts.iter().find_map(|(_, tag)| tag.file.as_ref()).and_then(size_of);
        Ok(Stat {
            readable: has(libc::PROT_READ),
            writable: has(libc::PROT_WRITE),
            executable: has(libc::PROT_EXEC),
            shared: parts.iter().all(|(_, tag)| !tag.is_private()),
            file_size: size,
            truncated: size.is_some_and(|size| size < end_in_file(&parts, pin.span())),
            resident: if figures.is_none() { resident(pages) } else { None },
            figures,
        })
    }
}

/// The size of a regular file.
fn size_of(file: &Arc<MappedFile>) -> Option<u64> {
    let file = Some(file).filter(|file| file.is_file())?;
    file.file.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len())
}

/// The offset in the file behind the last byte of `data`.
fn end_in_file(parts: &[(Span, Tag)], data: Span) -> u64 {
    let ends = parts.iter().filter(|(_, tag)| tag.file.is_some()).filter_map(|(part, tag)| {
        let length = part.before(data.end())?.len();
        Some(tag.offset.saturating_add(u64::try_from(length).unwrap_or(u64::MAX)))
    });
    ends.max().unwrap_or(0)
}

/// What mincore(2) says, for systems without smaps.
fn resident(pages: Span) -> Option<u64> {
    const STEP: usize = 64 * 1024 * 1024;
    let mut count = 0_usize;
    for step in pages.pieces(STEP) {
        count = count.saturating_add(sys::mincore(step).ok()?.iter().filter(|page| *page & 1 == 1).count());
    }
    u64::try_from(count.saturating_mul(sys::page_size())).ok()
}

#[cfg(target_os = "linux")]
fn figures(pages: Span) -> Result<Option<Figures>> {
    let failed = |error: std::io::Error| Error::from_io("read", &error);
    match std::fs::File::open("/proc/self/smaps") {
        // No such file system, or a kernel built without it.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::from_io("open", &error)),
        Ok(smaps) => parse(smaps, pages).map(Some).map_err(failed),
    }
}

#[cfg(not(target_os = "linux"))]
fn figures(_pages: Span) -> Result<Option<Figures>> {
    Ok(None)
}

/// Sums what the text has for mappings in `pages`. It ends with the first one behind them.
#[cfg_attr(not(any(target_os = "linux", test)), allow(dead_code))]
fn parse(smaps: impl Read, pages: Span) -> std::io::Result<Figures> {
    let mut figures = Figures::default();
    let mut reader = BufReader::with_capacity(64 * 1024, smaps);
    let mut line = Vec::new();
    let mut is_ours = false;
    while reader.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        if let Some((mapped, name)) = header(&text) {
            if mapped.start() >= pages.end() {
                break;
            }
            is_ours = mapped.intersect(pages).is_some();
            if is_ours {
                figures.enter(mapped, pages, name);
            }
        } else if is_ours {
            figures.add(&text);
        }
        line.clear();
    }
    Ok(figures)
}

/// The range and the name in `start-end perms offset device inode  name`.
fn header(line: &str) -> Option<(Span, &str)> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let span = Span::between(usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?)?;
    let name = rest.splitn(5, ' ').nth(4).unwrap_or_default().trim();
    Some((span, name))
}

impl Figures {
    fn enter(&mut self, mapped: Span, pages: Span, name: &str) {
        self.mappings = self.mappings.saturating_add(1);
        let inside = mapped.intersect(pages).map_or(0, Span::len);
        let outside = u64::try_from(mapped.len().saturating_sub(inside)).unwrap_or(u64::MAX);
        self.neighbours = self.neighbours.saturating_add(outside);
        if self.name.is_none() && name.starts_with('[') {
            self.name = Some(name.to_owned());
        }
    }

    fn add(&mut self, line: &str) {
        let Some((field, value)) = line.split_once(':') else { return };
        if field == "VmFlags" {
            for flag in value.split_whitespace() {
                if !self.flags.iter().any(|known| known == flag) {
                    self.flags.push(flag.to_owned());
                }
            }
            return;
        }
        let kilobytes = value.trim().strip_suffix("kB").and_then(|number| number.trim().parse::<u64>().ok());
        let Some(bytes) = kilobytes.and_then(|number| number.checked_mul(1024)) else { return };
        let sums: &mut [&mut u64] = match field {
            "Rss" => &mut [&mut self.resident],
            "Pss" => &mut [&mut self.proportional],
            "Shared_Dirty" => &mut [&mut self.shared_dirty],
            "Private_Dirty" => &mut [&mut self.private_dirty],
            "Anonymous" => &mut [&mut self.anonymous],
            "AnonHugePages" | "ShmemPmdMapped" | "FilePmdMapped" => &mut [&mut self.huge],
            // Not in Rss.
            "Shared_Hugetlb" | "Private_Hugetlb" => &mut [&mut self.huge, &mut self.resident],
            "Swap" => &mut [&mut self.swapped],
            "Locked" => &mut [&mut self.locked],
            "KernelPageSize" => {
                self.page_size = self.page_size.max(bytes);
                return;
            }
            _ => return,
        };
        for sum in sums {
            **sum = sum.saturating_add(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
1000-3000 r--p 00000000 fe:00 17                         /bin/with (deleted) 5000-6000 x
Rss:                   8 kB
VmFlags: rd mr
5000-9000 rw-p 00000000 00:00 0                          [anon:a name]
Size:                 16 kB
KernelPageSize:        4 kB
Rss:                  12 kB
Pss:                   6 kB
Shared_Dirty:          1 kB
Private_Dirty:         2 kB
Anonymous:             3 kB
AnonHugePages:         4 kB
FilePmdMapped:         4 kB
Private_Hugetlb:    2048 kB
Swap:                  5 kB
Locked:                6 kB
THPeligible:           0
ProtectionKey:         0
VmFlags: rd wr mr\u{20}
9000-b000 rw-s 00000000 00:00 0\u{20}
Rss:                   4 kB
Swap:     99999999999999999999999999 kB
Swap:
VmFlags: rd sh
c000-d000 rw-s 00000000 00:00 0
Rss:                   4 kB
";

    #[test]
    fn smaps_are_summed_over_the_range() {
        let found = parse(SMAPS.as_bytes(), Span::between(0x6000, 0xb000).unwrap()).unwrap();
        let expected = Figures {
            resident: (12 + 2048 + 4) * 1024,
            proportional: 6 * 1024,
            shared_dirty: 1024,
            private_dirty: 2048,
            anonymous: 3 * 1024,
            huge: (4 + 4 + 2048) * 1024,
            swapped: 5 * 1024,
            locked: 6 * 1024,
            neighbours: 0x1000,
            page_size: 4096,
            mappings: 2,
            flags: ["rd", "wr", "mr", "sh"].map(String::from).to_vec(),
            name: Some("[anon:a name]".to_owned()),
        };
        assert_eq!(found, expected);
        assert_eq!(parse(SMAPS.as_bytes(), Span::between(0x3000, 0x5000).unwrap()).unwrap(), Figures::default());
        assert_eq!(parse(&b"\xff\xfe\n-\n1-\nz-1 a\n"[..], Span::between(1, 9).unwrap()).unwrap(), Figures::default());
    }

    #[test]
    fn a_region_is_what_it_was_made() {
        let region = Arc::new(Region::anonymous(10_000, sys::MapOptions::default(), 0).unwrap());
        region.write(5000, &[1]).unwrap();
        let work = region.stat().unwrap();
        let stat = work().unwrap().unwrap();
        assert_eq!((stat.readable, stat.writable, stat.executable, stat.shared), (true, true, false, false));
        assert_eq!((stat.file_size, stat.truncated), (None, false));
        let later = region.stat().unwrap();
        region.unmap().unwrap();
        assert_eq!(later(), Err(Error::Closed));
    }
}
