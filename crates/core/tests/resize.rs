//! Threads that read, write, search, flush, prefetch and look through pins while others resize, protect and unmap the same
//! region: what stays in it is right in every look, and a failure is one that says so.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mmap_native_core::error::Error;
use mmap_native_core::fault::Kind;
use mmap_native_core::protect::Rights;
use mmap_native_core::region::{self, Access, FlushMode, MapOptions, OpenRequest, Region, Source};
use mmap_native_core::registry;
use mmap_native_core::search::Needle;
use mmap_native_core::sys;

/// Pages that no resize reaches, and the most that there are.
const SAFE: u64 = 4;
const MOST: u64 = 64;
const DURATION: Duration = Duration::from_secs(3);
const ROUND: Duration = Duration::from_millis(40);

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }
}

fn page() -> u64 {
    u64::try_from(sys::page_size()).unwrap()
}

/// What is in a page, where it is not zeros.
fn expected(page: u64) -> u8 {
    u8::try_from(page).unwrap() + 1
}

fn contents(pages: u64) -> Vec<u8> {
    (0..pages).flat_map(|number| vec![expected(number); sys::page_size()]).collect()
}

#[derive(Clone, Copy, Debug)]
struct Kinds {
    access: Option<Access>,
    room: bool,
}

fn make(path: &Path, Kinds { access, room }: Kinds) -> Region {
    let options = MapOptions { max_length: room.then_some(MOST * page()), ..MapOptions::default() };
    let Some(access) = access else {
        let region = Region::anonymous(SAFE * page(), options, 0).unwrap();
        region.write(0, &contents(SAFE)).unwrap();
        return region;
    };
    // A file that cannot grow has all that it can get.
    let pages = if access == Access::Write { SAFE } else { MOST };
    std::fs::write(path, contents(pages)).unwrap();
    let request = OpenRequest {
        access,
        offset: 0,
        length: Some(SAFE * page()),
        create: None,
        exclusive: false,
        grow: false,
        preallocate: false,
        options,
        owner: 0,
    };
    Region::open(Source::Path(path), &request).unwrap()
}

/// The region of this round is being unmapped, or was.
static CLOSING: AtomicBool = AtomicBool::new(false);

/// Whether a failure is one of those that may be.
fn check<T>(result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(Error::OutOfRange { .. }) => None,
        Err(Error::Closed) if CLOSING.load(Ordering::SeqCst) => None,
        Err(error) if error.errno() == Some(libc::EACCES) => None,
        Err(error) => panic!("{error:?}"),
    }
}

fn check_bytes(at: u64, bytes: &[u8]) {
    for (position, byte) in (at..).zip(bytes) {
        let number = position / page();
        let is_right = *byte == expected(number) || (number >= SAFE && *byte == 0);
        assert!(is_right, "{byte} in page {number}");
    }
}

fn read(region: &Region, random: &mut Random) {
    let at = random.below(MOST * page());
    let mut bytes = vec![0; usize::try_from(random.below(3 * page()) + 1).unwrap()];
    if check(region.read(at, &mut bytes)).is_some() {
        check_bytes(at, &bytes);
    }
}

fn write(region: &Region, random: &mut Random) {
    if region.access() == Access::Read {
        return;
    }
    let number = random.below(MOST);
    let bytes = vec![expected(number); usize::try_from(random.below(page()) + 1).unwrap()];
    check(region.write(number * page(), &bytes));
    let length = random.below(page());
    check(region.fill(&[expected(number)], number * page(), length));
}

/// What a view sees: the bytes, or zeros where they are no longer the region's.
fn look(region: &Region, random: &mut Random) {
    let Some(Some(pin)) = check(region.pin(0, SAFE * page())) else { return };
    for _ in 0..50 {
        let at = random.below(SAFE * page());
        // SAFETY: within the pinned range; the handler makes whatever has become of the page accessible.
        let place = unsafe { region::address(&pin).add(usize::try_from(at).unwrap()) };
        // SAFETY: as above.
        let byte = unsafe { place.read_volatile() };
        assert!(byte == 0 || byte == expected(at / page()), "{byte} in page {}", at / page());
    }
}

fn work(region: &Arc<Region>, random: &mut Random) {
    let (at, length) = (random.below(MOST * page()), random.below(8 * page()));
    match random.below(4) {
        0 => drop(check(region.flush(at, length, FlushMode::Sync)).map(|flush| check(flush()))),
        1 => drop(check(region.prefetch(at, length, 0)).map(|prefetch| check(prefetch()))),
        2 => {
            let needle = Arc::new(Needle::new(&[255, 255]).unwrap());
            if let Some(find) = check(region.find(&needle, random.below(SAFE * page()))) {
                check(find());
            }
        }
        _ => {
            if let Some(count) = check(region.count(&[expected(1)], 0, SAFE * page())) {
                assert_eq!(count, page());
            }
        }
    }
}

fn change(region: &Region, random: &mut Random) {
    if random.below(4) > 0 {
        let length = SAFE * page() + random.below((MOST - SAFE) * page() + 1);
        if check(region.resize(Some(length))).is_none() {
            assert!(CLOSING.load(Ordering::SeqCst));
        }
        return;
    }
    let number = random.below(MOST);
    let rights = [Rights::None, Rights::Read, Rights::Write][usize::try_from(random.below(3)).unwrap()];
    check(region.protect(rights, number * page(), Some(page() * random.below(3))));
}

fn round(path: &Path, kinds: Kinds, seed: u64) -> usize {
    CLOSING.store(false, Ordering::SeqCst);
    let region = Arc::new(make(path, kinds));
    let stop = AtomicBool::new(false);
    let steps = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (region, stop, steps) = (&region, &stop, &steps);
            scope.spawn(move || {
                let mut random = Random((seed * 4 + thread + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
                while !stop.load(Ordering::Relaxed) {
                    match (thread, random.below(4)) {
                        (0, _) => change(region, &mut random),
                        (_, 0) => read(region, &mut random),
                        (_, 1) => write(region, &mut random),
                        (_, 2) => look(region, &mut random),
                        _ => work(region, &mut random),
                    }
                    steps.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(ROUND);
        if seed.is_multiple_of(3) {
            CLOSING.store(true, Ordering::SeqCst);
            region.unmap().unwrap();
            std::thread::sleep(ROUND / 8);
        }
        stop.store(true, Ordering::Relaxed);
    });
    if !region.is_closed() {
        settle(&region, path, kinds);
    }
    let list = region.faults().1;
    assert!(list.iter().all(|fault| matches!(fault.kind, Kind::Closed | Kind::Protected)), "{kinds:?}: {list:?}");
    steps.into_inner()
}

/// Nobody changes the region any more: all of it is right, and is what the file has.
fn settle(region: &Region, path: &Path, kinds: Kinds) {
    let rights = if kinds.access == Some(Access::Read) { Rights::Read } else { Rights::Write };
    let length = u64::try_from(region.len()).unwrap();
    region.protect(rights, 0, Some(length)).unwrap();
    let mut bytes = vec![0; region.len()];
    region.read(0, &mut bytes).unwrap();
    check_bytes(0, &bytes);
    match kinds.access {
        Some(Access::Write) => assert_eq!(std::fs::read(path).unwrap(), bytes),
        Some(Access::Read | Access::Copy) => assert_eq!(std::fs::read(path).unwrap(), contents(MOST)),
        None => {}
    }
}

#[test]
fn threads_at_work_on_a_region_that_others_resize_protect_and_unmap() {
    let path: PathBuf = std::env::temp_dir().join(format!("mmap-native-resize-{}", std::process::id()));
    let accesses = [Some(Access::Write), Some(Access::Read), Some(Access::Copy), None];
    let all: Vec<Kinds> =
        accesses.into_iter().flat_map(|access| [true, false].map(|room| Kinds { access, room })).collect();
    let start = Instant::now();
    let (mut seed, mut steps) = (0, 0);
    while start.elapsed() < DURATION || seed < 16 {
        let kinds = all[usize::try_from(seed).unwrap() % all.len()];
        steps += round(&path, kinds, seed);
        seed += 1;
    }
    assert!(steps > 1000, "{steps}");
    std::fs::remove_file(&path).unwrap();
    let left = registry::census();
    assert_eq!((left.live, left.retired), (0, 0));
}
