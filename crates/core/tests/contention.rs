//! Threads that map, touch, pin and unmap in random order while files are truncated under them, with the handler
//! installed: every byte is the file's or a zero that is told, and nothing of anybody else's.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mmap_native_core::fault::{self, Kind};
use mmap_native_core::region::{self, Access, MapOptions, OpenRequest, Region, Source};
use mmap_native_core::registry::{self, Pin};
use mmap_native_core::sys;

const PAGES: usize = 16;
const THREADS: u64 = 4;
const DURATION: Duration = Duration::from_secs(3);
/// Each thread does as much, however long that takes.
const LEAST_STEPS: usize = 100;

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let value = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(value).unwrap() % limit
    }
}

/// What is in a page of every file.
fn expected(page: usize) -> u8 {
    u8::try_from(page).unwrap() + 1
}

/// A file that only ever becomes shorter, and a mapping of it.
struct Mapped {
    path: PathBuf,
    file: Mutex<File>,
    region: Region,
    access: Access,
    pins: Mutex<Vec<Pin>>,
    /// Pages that were seen to be lost while the region was open, one bit each.
    lost: AtomicUsize,
}

impl Mapped {
    fn new(folder: &Path, random: &mut Random) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let path = folder.join(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
        let bytes: Vec<u8> = (0..PAGES).flat_map(|page| vec![expected(page); sys::page_size()]).collect();
        std::fs::write(&path, bytes).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        let access = [Access::Read, Access::Write, Access::Copy][random.below(3)];
        let request = OpenRequest {
            access,
            offset: 0,
            length: None,
            create: None,
            exclusive: false,
            grow: false,
            preallocate: false,
            options: MapOptions::default(),
            owner: 0,
        };
        let region = Region::open(Source::Path(&path), &request).unwrap();
        Self { path, file: Mutex::new(file), region, access, pins: Mutex::default(), lost: AtomicUsize::new(0) }
    }

    /// Reads the first byte of a page, and now and then writes another: the pin keeps the addresses.
    fn touch(&self, pin: &Pin, page: usize, writes: bool) {
        let start = region::address(pin).cast_mut();
        // SAFETY: pinned; the handler makes whatever has become of the page accessible.
        let at = unsafe { start.add(page * sys::page_size()) };
        // SAFETY: as above.
        let value = unsafe { at.read_volatile() };
        assert!(value == 0 || value == expected(page), "{value} in page {page}");
        if value == 0 && !self.region.is_closed() {
            self.lost.fetch_or(1 << page, Ordering::AcqRel);
        }
        if writes {
            // SAFETY: the second byte of the page.
            let second = unsafe { at.add(1) };
            // SAFETY: as above. Threads race here on purpose: they all write the same.
            unsafe { second.write_volatile(expected(page)) };
        }
    }

    fn pin(&self) -> Option<Pin> {
        let length = u64::try_from(PAGES * sys::page_size()).unwrap();
        self.region.pin(0, length).ok().flatten()
    }

    /// Whatever was seen lost is told, and nothing is told that cannot be.
    fn check(&self) {
        let lost = self.lost.load(Ordering::Acquire);
        let (_, list) = self.region.faults();
        let page_size = u64::try_from(sys::page_size()).unwrap();
        let gone: Vec<_> = list.iter().filter(|fault| matches!(fault.kind, Kind::Truncated | Kind::Closed)).collect();
        for page in (0..PAGES).filter(|page| lost & (1 << page) != 0) {
            let at = u64::try_from(page).unwrap() * page_size;
            assert!(
                gone.iter().any(|fault| fault.offset <= at && at < fault.offset + fault.length),
                "page {page} in {list:?}"
            );
        }
        assert!(list.iter().all(|fault| match fault.kind {
            Kind::Truncated | Kind::Closed => true,
            Kind::ReadOnly => self.access == Access::Read,
            _ => false,
        }));
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.check();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

fn work(seed: u64, folder: &Path, shelf: &Mutex<Vec<Arc<Mapped>>>, stop: &AtomicBool) {
    let mut random = Random(seed);
    let mut steps = 0;
    while steps < LEAST_STEPS || !stop.load(Ordering::Relaxed) {
        steps += 1;
        let mut shelved = shelf.lock().unwrap();
        if shelved.len() < 8 {
            shelved.push(Arc::new(Mapped::new(folder, &mut random)));
        }
        let index = random.below(shelved.len());
        let mapped = shelved[index].clone();
        if random.below(40) == 0 {
            shelved.swap_remove(index);
        }
        drop(shelved);
        match random.below(16) {
            0 => mapped.region.unmap().unwrap(),
            1 | 2 => {
                // Becomes shorter, by any number of bytes.
                let file = mapped.file.lock().unwrap();
                let size = usize::try_from(file.metadata().unwrap().len()).unwrap();
                file.set_len(u64::try_from(random.below(size + 1)).unwrap()).unwrap();
            }
            3 | 4 => {
                let pin = mapped.pin();
                mapped.pins.lock().unwrap().extend(pin);
            }
            5 => drop(mapped.pins.lock().unwrap().pop()),
            6 => drop(registry::census()),
            _ => {
                let kept = mapped.pins.lock().unwrap().last().cloned();
                if let Some(pin) = mapped.pin().or(kept) {
                    for _ in 0..PAGES {
                        mapped.touch(&pin, random.below(PAGES), random.below(4) == 0);
                    }
                }
            }
        }
    }
}

#[test]
fn threads_that_map_touch_truncate_and_unmap_see_nothing_that_is_not_theirs() {
    let folder = std::env::temp_dir().join(format!("mmap-native-contention-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let shelf = Mutex::new(Vec::new());
    let stop = AtomicBool::new(false);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let (folder, shelf, stop) = (&folder, &shelf, &stop);
        let threads: Vec<_> = (1..=THREADS)
            .map(|seed| scope.spawn(move || work(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15), folder, shelf, stop)))
            .collect();
        while start.elapsed() < DURATION && threads.iter().all(|thread| !thread.is_finished()) {
            std::thread::sleep(Duration::from_millis(10));
        }
        stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().unwrap();
        }
    });
    shelf.lock().unwrap().clear();
    let events = fault::take_events(|_| true);
    assert!(events.iter().any(|event| event.fault.kind == Kind::Truncated));
    assert!(events.iter().any(|event| event.fault.kind == Kind::Closed));
    drop(events);
    let left = registry::census();
    assert_eq!((left.live, left.retired), (0, 0));
    std::fs::remove_dir(&folder).unwrap();
}
