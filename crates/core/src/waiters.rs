//! Waits that nobody blocks for: each is a sleeping thread of the package.
//!
//! ```text
//!   idle thread: asleep on { interrupt, stage }
//!        |  start(): the kernel moves it over to the cell (FUTEX_CMP_REQUEUE), in one step, without waking it
//!        v
//!   asleep on { interrupt, cell } --- notified, in any process ---> done(Woken)
//!                                 \-- cancel() --- interrupt -----> done(Cancelled)
//! ```
//!
//! When `start` returns, the wait is in the cell's queue: a notification of the next instruction finds it. A thread that is not
//! asleep yet, and one that a signal has sent back to its stage, goes to the cell by itself.
//!
//! A thread for each wait, and not one for many: to add a cell to those that a thread waits for, it would have to leave all
//! queues and enter them again, and who notifies meanwhile would find nobody there.
//!
//! Where the kernel cannot wait for two cells (Linux before 5.16, macOS), a thread wakes up every few milliseconds to see whether it is
//! cancelled. Then a notification that goes without a change of value may find nobody.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::futex::Outcome;
use crate::range::Span;
use crate::region::Region;
use crate::registry::Pin;
use crate::sys::{self, Wake};

/// Waits of a process at a time.
pub const MOST_WAITS: usize = 1024;

/// Threads that stay when there is nothing to wait for.
const MOST_IDLE: usize = 4;

/// Where a thread has to look at its interrupt, it does so this often.
const SLICE: Duration = Duration::from_millis(20);

/// A thread that has been started is asleep within microseconds, if the machine has a processor for it. After this time nobody
/// waits for that any more.
const SETTLING: Duration = Duration::from_secs(1);

/// A thread's stack: it makes system calls, and hands over the outcome.
const STACK: usize = 128 * 1024;

/// Values of an interrupt.
mod interrupt {
    pub const NONE: u32 = 0;
    pub const CANCELLED: u32 = 1;
    pub const NOT_EQUAL: u32 = 2;
    pub const MOVED: u32 = 3;
}

/// How far a thread has come with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It has the job, and is asleep at its stage, or about to be.
    Called,
    /// It was moved to the cell.
    AtCell,
    /// It is to go to the cell by itself.
    Go,
}

type Done = Box<dyn FnOnce(u64, Result<Outcome>) + Send>;

/// A wait.
struct Job {
    id: u64,
    region: Arc<Region>,
    /// The cell, and where it is in the region.
    pin: Pin,
    offset: u64,
    expected: u32,
    step: Step,
    done: Done,
}

/// What a thread sleeps at.
struct Station {
    interrupt: AtomicU32,
    /// Counts the jobs that it was sent away with, each under the lock on that job: who is late finds another number, or no job.
    stage: AtomicU32,
    job: Mutex<Option<Job>>,
}

struct Pool {
    idle: Vec<Arc<Station>>,
    /// By the number of the wait, with the environment that it is of.
    running: BTreeMap<u64, (usize, Arc<Station>)>,
    threads: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { idle: Vec::new(), running: BTreeMap::new(), threads: 0 });

/// Starts a wait for the cell at `offset`, for the environment `owner`. Returns its number; `None` if the cell has another value.
///
/// `done` is called on another thread when the wait has ended, with that number; perhaps before this returns.
///
/// # Errors
/// As [`Region::wait`]; `EAGAIN` when there are too many waits or threads.
pub fn start(
    region: &Arc<Region>,
    offset: u64,
    expected: i32,
    owner: usize,
    done: impl FnOnce(u64, Result<Outcome>) + Send + 'static,
) -> Result<Option<u64>> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let moves = region.moves();
    let expected = expected.cast_unsigned();
    let compare = |cell: Span| region.explained(cell, || sys::futex_compare(cell.start(), expected));
    let (pin, is_equal) = region.anew(|| {
        let pin = region.cell(offset)?;
        region.verify(pin.span())?;
        let is_equal = compare(pin.span())?;
        Ok((pin, is_equal))
    })?;
    if !is_equal {
        return Ok(None);
    }
    let cell = pin.span();
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let job = Job { id, region: region.clone(), pin, offset, expected, step: Step::Called, done: Box::new(done) };
    let station = call(job, owner)?;
    if sys::has_wait_two() {
        let sent = || {
            region.explained(cell, || station.send(id, cell.start()))?;
            // Who changed it before the thread was at the cell may have found nobody to wake.
            compare(cell)
        };
        conclude(region, offset, id, sent())?;
        // The next one is not to wait for a thread to come up. Without it, it does.
        let _ = POOL.lock().make_ready();
    }
    // Who moved it before the wait was among those under way has not found it.
    if region.moves() != moves {
        interrupt(id, interrupt::MOVED);
    }
    Ok(Some(id))
}

/// Ends a wait that does not start after all: because the cell has another value, or is not where it was.
fn conclude(region: &Region, offset: u64, id: u64, sent: Result<bool>) -> Result<()> {
    match sent {
        Ok(true) => {}
        Ok(false) => interrupt(id, interrupt::NOT_EQUAL),
        Err(error) => {
            region.why_lost(offset, error).inspect_err(|_| cancel(id))?;
            interrupt(id, interrupt::MOVED);
        }
    }
    Ok(())
}

/// Ends a wait: it is then [`Outcome::Cancelled`], unless it was woken before.
pub fn cancel(id: u64) {
    interrupt(id, interrupt::CANCELLED);
}

fn interrupt(id: u64, value: u32) {
    let pool = POOL.lock();
    if let Some((_, station)) = pool.running.get(&id) {
        sys::futex_interrupt(&station.interrupt, value);
    }
}

/// A region has moved: who notifies its cells finds nobody at the addresses that they had. Its waits end as woken, to look again.
pub(crate) fn moved(region: &Region) {
    let pool = POOL.lock();
    for (_, station) in pool.running.values() {
        let is_its = station.job.lock().as_ref().is_some_and(|job| job.region.id() == region.id());
        if is_its {
            sys::futex_interrupt(&station.interrupt, interrupt::MOVED);
        }
    }
}

/// An environment has ended: so do its waits.
pub fn abandon(owner: usize) {
    let pool = POOL.lock();
    for (_, station) in pool.running.values().filter(|(other, _)| *other == owner) {
        sys::futex_interrupt(&station.interrupt, interrupt::CANCELLED);
    }
}

/// Gives the job to a thread.
fn call(job: Job, owner: usize) -> Result<Arc<Station>> {
    let mut pool = POOL.lock();
    if pool.running.len() >= MOST_WAITS {
        let why = format!("{MOST_WAITS} waits are under way in this process");
        return Err(Error::refused("futex", libc::EAGAIN, why));
    }
    let id = job.id;
    let station = match pool.idle.pop() {
        Some(station) => station,
        None => pool.add()?,
    };
    *station.job.lock() = Some(job);
    if !sys::has_wait_two() {
        let station = station.clone();
        if let Err(error) = launch(move || {
            station.attend_in_slices();
        }) {
            pool.threads = pool.threads.saturating_sub(1);
            return Err(error);
        }
    }
    pool.running.insert(id, (owner, station.clone()));
    Ok(station)
}

fn launch(work: impl FnOnce() + Send + 'static) -> Result<()> {
    let builder = std::thread::Builder::new().name("mmap-wait".to_owned()).stack_size(STACK);
    let spawned = builder.spawn(move || {
        sys::block_signals();
        work();
    });
    spawned.map(|_| ()).map_err(|error| Error::from_io("pthread_create", &error))
}

impl Pool {
    /// Another thread, asleep soon.
    fn add(&mut self) -> Result<Arc<Station>> {
        let station = Arc::new(Station::new());
        if sys::has_wait_two() {
            let its = station.clone();
            launch(move || while its.attend() {})?;
        }
        self.threads = self.threads.saturating_add(1);
        Ok(station)
    }

    /// Sees to it that a thread is idle, as long as there may be more waits.
    fn make_ready(&mut self) -> Result<()> {
        if self.idle.is_empty() && self.threads < MOST_WAITS {
            let station = self.add()?;
            self.idle.push(station);
        }
        Ok(())
    }

    /// A wait has ended. Returns whether its thread is idle now, or else is to end.
    fn put_back(&mut self, id: u64, station: &Arc<Station>) -> bool {
        self.running.remove(&id);
        let stays = sys::has_wait_two() && self.idle.len() < MOST_IDLE;
        if stays {
            // Nobody finds it any more by the old number, nor yet by a new one.
            station.interrupt.store(interrupt::NONE, Ordering::SeqCst);
            self.idle.push(station.clone());
        } else {
            self.threads = self.threads.saturating_sub(1);
        }
        stays
    }
}

impl Station {
    fn new() -> Self {
        Self { interrupt: AtomicU32::new(interrupt::NONE), stage: AtomicU32::new(0), job: Mutex::new(None) }
    }

    /// Has the thread, which is asleep here or about to be, wait for the cell at this address.
    fn send(&self, id: u64, cell: usize) -> Result<()> {
        let deadline = sys::monotonic().saturating_add(SETTLING);
        loop {
            let is_late = sys::monotonic() >= deadline;
            if self.try_send(id, cell, is_late)? {
                return Ok(());
            }
            std::thread::sleep(Duration::from_micros(10));
        }
    }

    /// Returns whether that is done: with the job locked, so that it does not end meanwhile.
    fn try_send(&self, id: u64, cell: usize, is_late: bool) -> Result<bool> {
        let mut job = self.job.lock();
        let Some(job) = job.as_mut().filter(|job| job.id == id) else { return Ok(true) };
        let stage = self.stage.load(Ordering::SeqCst);
        job.step = match sys::futex_move(&self.stage, stage, cell)? {
            true => Step::AtCell,
            false if is_late => Step::Go,
            false => return Ok(false),
        };
        self.stage.store(stage.wrapping_add(1), Ordering::SeqCst);
        // Asleep here after all: because it has just come, or because a signal sent it back.
        sys::futex_wake(self.stage.as_ptr().expose_provenance(), 1)?;
        Ok(true)
    }

    /// Sleeps until there was a wait and it has ended. Returns whether the thread goes on.
    fn attend(self: &Arc<Self>) -> bool {
        let (stage, is_late) = {
            let job = self.job.lock();
            (self.stage.load(Ordering::SeqCst), job.as_ref().is_some_and(|job| job.step != Step::Called))
        };
        // Sent away before it came: there is nothing to wait for here.
        let woken = match is_late {
            true => Ok(Some(Wake::NotEqual)),
            false => sys::futex_wait_two(&self.interrupt, self.stage.as_ptr().expose_provenance(), stage),
        };
        let called = self
            .job
            .lock()
            .as_ref()
            .map(|job| (job.step, job.region.clone(), job.offset, job.pin.span(), job.expected));
        let Some((step, region, offset, cell, expected)) = called else {
            // Nobody has called.
            if woken.is_err() {
                std::thread::sleep(SLICE);
            }
            return true;
        };
        let is_interrupted = self.interrupt.load(Ordering::SeqCst) != interrupt::NONE;
        let outcome = match (step, woken) {
            (Step::AtCell, Ok(Some(Wake::Woken))) => Ok(Outcome::Woken),
            _ if is_interrupted => Ok(self.verdict()),
            // To be moved yet.
            (Step::Called, _) => return true,
            _ => self.wait_at_cell(&region, offset, cell, expected),
        };
        drop(region);
        self.finish(outcome)
    }

    fn wait_at_cell(&self, region: &Region, offset: u64, cell: Span, expected: u32) -> Result<Outcome> {
        loop {
            match region.explained(cell, || sys::futex_wait_two(&self.interrupt, cell.start(), expected)) {
                Ok(Some(Wake::Woken)) => return Ok(Outcome::Woken),
                // Interrupted, or changed.
                Ok(None | Some(Wake::NotEqual)) => return Ok(self.verdict()),
                Ok(Some(Wake::Signal | Wake::TimedOut)) => {}
                // To look again, at its new address.
                Err(error) => return region.why_lost(offset, error).map(|()| Outcome::Woken),
            }
        }
    }

    /// The same for one wait, where nothing but time interrupts it.
    fn attend_in_slices(self: &Arc<Self>) -> bool {
        let Some((region, offset, cell, expected)) =
            self.job.lock().as_ref().map(|job| (job.region.clone(), job.offset, job.pin.span(), job.expected))
        else {
            return true;
        };
        let outcome = loop {
            if self.interrupt.load(Ordering::SeqCst) != interrupt::NONE {
                break Ok(self.verdict());
            }
            let deadline = sys::monotonic().saturating_add(SLICE);
            match region.explained(cell, || sys::futex_wait(cell.start(), expected, Some(deadline))) {
                Ok(Wake::Woken | Wake::NotEqual) => break Ok(Outcome::Woken),
                Ok(Wake::TimedOut | Wake::Signal) => {}
                Err(error) => break region.why_lost(offset, error).map(|()| Outcome::Woken),
            }
        };
        drop(region);
        self.finish(outcome)
    }

    /// What a wait is that was interrupted; without that, the value of the cell has changed.
    fn verdict(&self) -> Outcome {
        match self.interrupt.load(Ordering::SeqCst) {
            interrupt::NONE | interrupt::MOVED => Outcome::Woken,
            interrupt::NOT_EQUAL => Outcome::NotEqual,
            _ => Outcome::Cancelled,
        }
    }

    fn finish(self: &Arc<Self>, outcome: Result<Outcome>) -> bool {
        let Some(Job { id, region, pin, done, .. }) = self.job.lock().take() else { return true };
        drop(pin);
        drop(region);
        done(id, outcome);
        POOL.lock().put_back(id, self)
    }
}

/// How many threads there are, for tests and diagnosis.
pub fn threads() -> usize {
    POOL.lock().threads
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::MapOptions;
    use std::sync::mpsc::{channel, Receiver};
    use std::time::Instant;

    type Ended = (u64, Result<Outcome>);

    fn region() -> Arc<Region> {
        Arc::new(Region::anonymous(8192, MapOptions::default(), 0).unwrap())
    }

    fn start_one(region: &Arc<Region>, owner: usize) -> (u64, Receiver<Ended>) {
        let (sender, receiver) = channel();
        let id = start(region, 0, 0, owner, move |id, outcome| sender.send((id, outcome)).unwrap());
        (id.unwrap().unwrap(), receiver)
    }

    fn end_of(receiver: &Receiver<Ended>) -> Ended {
        receiver.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    #[test]
    fn notification_right_after_the_start_finds_the_wait() {
        let region = region();
        for _ in 0..200 {
            let (id, ended) = start_one(&region, 1);
            if sys::has_wait_two() {
                assert_eq!(region.notify(0, u32::MAX), Ok(1));
            } else {
                while region.notify(0, u32::MAX) == Ok(0) {}
            }
            assert_eq!(end_of(&ended), (id, Ok(Outcome::Woken)));
        }
    }

    #[test]
    fn turns_of_two_threads() {
        const TURNS: i32 = 3000;
        let region = region();
        let player = |parity: i32| {
            let region = region.clone();
            std::thread::spawn(move || {
                let mut turn = parity;
                while turn < TURNS {
                    let mut now = [0; 4];
                    region.read(0, &mut now).unwrap();
                    if i32::from_ne_bytes(now) == turn {
                        region.write(0, &(turn + 1).to_ne_bytes()).unwrap();
                        // One and no more: a wait that has ended does not take it from one that has not.
                        region.notify(0, 1).unwrap();
                        turn += 2;
                        continue;
                    }
                    let (sender, ended) = channel();
                    let done = move |id, outcome| sender.send((id, outcome)).unwrap();
                    if start(&region, 0, turn - 1, 1, done).unwrap().is_some() {
                        assert!(matches!(end_of(&ended).1, Ok(Outcome::Woken | Outcome::NotEqual)));
                    }
                }
            })
        };
        for thread in [player(0), player(1)] {
            thread.join().unwrap();
        }
    }

    #[test]
    fn region_that_moves_wakes_its_waits() {
        let (region, other) = (region(), region());
        let (id, ended) = start_one(&region, 1);
        let (others, ended_other) = start_one(&other, 1);
        let mut length = 8192;
        while region.moves() == 0 {
            length *= 8;
            region.resize(Some(length)).unwrap();
        }
        assert_eq!(end_of(&ended), (id, Ok(Outcome::Woken)));
        let (id, ended) = start_one(&region, 1);
        assert_eq!(region.notify(0, 1), Ok(1));
        assert_eq!(end_of(&ended), (id, Ok(Outcome::Woken)));
        cancel(others);
        assert_eq!(end_of(&ended_other), (others, Ok(Outcome::Cancelled)));
    }

    /// A region of two pages, and the first cell of the second one, where it was before `lose`.
    #[cfg(target_os = "linux")]
    fn region_and_lost_cell(lose: impl Fn(&Region)) -> (Arc<Region>, Pin) {
        let region = region();
        let cell = region.cell(4096).unwrap();
        lose(&region);
        (region, cell)
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn cell_that_is_cut_off_while_the_wait_is_on_its_way() {
        let cut = |region: &Region| region.resize(Some(4096)).unwrap();
        let (region, pin) = region_and_lost_cell(cut);
        let cell = pin.span();
        let lost = |error| matches!(error, Err(Error::OutOfRange { name: "offset", max: 4092, .. }));
        let outcome = Station::new().wait_at_cell(&region, 4096, cell, 0);
        assert!(!sys::has_wait_two() || lost(outcome.map(|_| ())));
        let sent = region.explained(cell, || sys::futex_compare(cell.start(), 0));
        assert!(lost(conclude(&region, 4096, u64::MAX, sent)));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn cell_that_moves_while_the_wait_is_on_its_way() {
        let (region, pin) = region_and_lost_cell(|region| {
            for length in (1..).map(|step| 8192 << (3 * step)).take_while(|_| region.moves() == 0) {
                region.resize(Some(length)).unwrap();
            }
        });
        let cell = pin.span();
        let sent = region.explained(cell, || sys::futex_compare(cell.start(), 0));
        assert_eq!(sent, Err(Error::Closed));
        assert_eq!(conclude(&region, 4096, u64::MAX, sent), Ok(()));
        if sys::has_wait_two() {
            assert_eq!(Station::new().wait_at_cell(&region, 4096, cell, 0), Ok(Outcome::Woken));
        }
    }

    #[test]
    fn value_that_is_another() {
        let region = region();
        assert_eq!(start(&region, 4, 1, 1, |_, _| {}), Ok(None));
        assert_eq!(start(&region, 2, 0, 1, |_, _| {}).unwrap_err().errno(), Some(libc::EINVAL));
    }

    #[test]
    fn cancelled_waits() {
        let region = region();
        let (one, ended_one) = start_one(&region, 7);
        let (two, ended_two) = start_one(&region, 8);
        let (three, ended_three) = start_one(&region, 8);
        cancel(one);
        assert_eq!(end_of(&ended_one), (one, Ok(Outcome::Cancelled)));
        cancel(one);
        abandon(8);
        assert_eq!(end_of(&ended_two), (two, Ok(Outcome::Cancelled)));
        assert_eq!(end_of(&ended_three), (three, Ok(Outcome::Cancelled)));
        assert_eq!(region.notify(0, 1), Ok(0));
    }

    #[test]
    fn threads_that_are_not_needed_end() {
        let region = region();
        let waits: Vec<_> = (0..50).map(|_| start_one(&region, 1)).collect();
        assert!(threads() >= 50);
        while waits.iter().any(|(id, _)| POOL.lock().running.contains_key(id)) {
            region.notify(0, 5).unwrap();
        }
        for (id, ended) in &waits {
            assert_eq!(end_of(ended), (*id, Ok(Outcome::Woken)));
        }
        let started = Instant::now();
        while threads() > MOST_IDLE && started.elapsed() < Duration::from_secs(20) {
            std::thread::yield_now();
        }
        assert!(threads() <= MOST_IDLE);
    }

    #[test]
    fn waiting_in_slices() {
        let region = region();
        for cancels in [true, false] {
            let (sender, ended) = channel();
            let station = Arc::new(Station::new());
            let done: Done = Box::new(move |id, outcome| sender.send((id, outcome)).unwrap());
            let pin = region.cell(0).unwrap();
            *station.job.lock() =
                Some(Job { id: 0, region: region.clone(), pin, offset: 0, expected: 0, step: Step::Called, done });
            POOL.lock().threads += 1;
            let its = station.clone();
            // An idle station has a thread: the tests beside this one may take it.
            std::thread::spawn(move || {
                if its.attend_in_slices() {
                    while its.attend() {}
                }
            });
            if cancels {
                station.interrupt.store(interrupt::CANCELLED, Ordering::SeqCst);
            } else {
                while region.notify(0, 1) == Ok(0) {}
            }
            let expected = if cancels { Outcome::Cancelled } else { Outcome::Woken };
            assert_eq!(end_of(&ended), (0, Ok(expected)));
        }
    }

    #[test]
    fn thread_that_is_not_asleep_yet_goes_to_the_cell_by_itself() {
        let region = region();
        let (sender, ended) = channel();
        let station = Arc::new(Station::new());
        let done: Done = Box::new(move |id, outcome| sender.send((id, outcome)).unwrap());
        let pin = region.cell(0).unwrap();
        let cell = pin.span().start();
        *station.job.lock() =
            Some(Job { id: 0, region: region.clone(), pin, offset: 0, expected: 0, step: Step::Called, done });
        // There is no thread that could be moved.
        assert_eq!(station.try_send(0, cell, false), Ok(false));
        assert_eq!(station.try_send(0, cell, true), Ok(true));
        assert_eq!(station.job.lock().as_ref().map(|job| job.step), Some(Step::Go));
        POOL.lock().threads += 1;
        let its = station.clone();
        // It stays with its thread when it is idle, as the tests beside this one may take it.
        std::thread::spawn(move || while its.attend() {});
        while region.notify(0, 1) == Ok(0) {}
        assert_eq!(end_of(&ended), (0, Ok(Outcome::Woken)));
    }
}
