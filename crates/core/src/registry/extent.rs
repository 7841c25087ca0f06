//! A mapping that can grow and shrink where it is: pages, and behind them addresses that are taken for it.
//!
//! ```text
//!   held.start                       pages.end                  reach                   held.end
//!      |<---------- pages ------------->|<------- reserved ------->|<------- spare -------->|
//!      |   kept: memory, a file         |   no memory, no file, nobody else's               |
//!                     vacate() <--------|--------> occupy()                                 |-----> widen()
//! ```
//!
//! Its pins hold all up to `reach`, and not only the pages of the moment: so the border can move under them, and a mapping that
//! grew a thousand times with a view made each time is still a few segments. The reach doubles when pages come to lie behind
//! it. What is spare goes with the mapping, whoever still looks at its pages: room for a TiB is not held for the sake of a
//! view of a page. What is vacated is as what is retired: a stray access finds zeros.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{change, retire, Pin, Registry, State, Tag, REGISTRY};
use crate::error::{Error, Result};
use crate::range::{round_up, Span};
use crate::sys;

/// Owns a mapping in the registry. Dropped without a [`release`](Owned::release), its pages stay for their pins only.
#[derive(Debug)]
pub struct Owned {
    held: Span,
    pages: Option<Span>,
    /// The address up to which pins hold it.
    reach: usize,
    id: u64,
}

/// Where a room ended that was used, of a mapping that was unmapped last.
static VACANT: AtomicUsize = AtomicUsize::new(0);

/// Pages that may come back.
#[derive(Debug)]
pub struct Withheld {
    /// With what was mapped there.
    parts: Vec<(Span, Tag)>,
    /// How many faults the mapping had.
    noted: u64,
}

impl Withheld {
    fn span(&self) -> Option<Span> {
        self.parts.iter().map(|(part, _)| *part).reduce(Span::union)
    }
}

fn replaced() -> Error {
    Error::refused("mmap", libc::EINVAL, "a part of the mapping was unmapped or replaced by a raw call")
}

/// Why there is no pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unpinnable {
    /// A part of the range was unmapped.
    Gone,
    /// A page does not allow what is to be done: this part of the range.
    Protected(Span),
}

impl Owned {
    /// Registers a fresh mapping.
    pub fn adopt(span: Span, tag: Tag) -> Self {
        let id = tag.id;
        change().adopt(span, Tag { owned: true, ..tag });
        Self { held: span, pages: Some(span), reach: span.end(), id }
    }

    /// Registers addresses that were just taken for a mapping to grow into. It has no pages yet.
    pub fn reserve(held: Span, tag: Tag) -> Self {
        let id = tag.id;
        change().adopt_reserved(held, Tag { owned: true, file: None, ..tag });
        Self { held, pages: None, reach: held.start(), id }
    }

    /// Takes addresses of so many bytes for a mapping to grow into.
    ///
    /// Views that are left over of mappings that are gone hold the start of their rooms. Rooms are taken so that these starts come to lie
    /// one behind the other, and not one in every terabyte: where the last one ended that went, if there is still enough.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn take_room(length: usize) -> Result<Span> {
        if sys::WHOLE_MAPPINGS {
            // Neither a part of them is given back, nor others asked for by name.
            return sys::reserve_anywhere(length);
        }
        let again = Span::new(VACANT.load(Ordering::Acquire), length).filter(|room| room.start() != 0);
        if let Some(room) = again.filter(|room| sys::reserve(*room).is_ok()) {
            return Ok(room);
        }
        let some_more = length.saturating_add(round_up(length / 16, sys::page_size()).unwrap_or(0));
        let Ok(taken) = sys::reserve_anywhere(some_more) else { return sys::reserve_anywhere(length) };
        let room = taken.slice(0, length).ok_or(Error::system("mmap", libc::ENOMEM))?;
        if let Some(rest) = taken.from(room.end()) {
            // SAFETY: just taken, seen by nobody.
            unsafe { sys::munmap(rest) }?;
        }
        Ok(room)
    }

    /// All addresses that are taken for it.
    pub fn held(&self) -> Span {
        self.held
    }

    /// The whole pages.
    pub fn pages(&self) -> Option<Span> {
        self.pages
    }

    /// The address behind the last page.
    fn end(&self) -> usize {
        self.pages.map_or(self.held.start(), Span::end)
    }

    /// Pins the mapping for the sake of a part of it, to do with it what needs the protection `prot` (`PROT_*`; 0 for nothing).
    ///
    /// # Errors
    /// [`Unpinnable`].
    pub fn pin(&self, part: Span, prot: i32) -> std::result::Result<Pin, Unpinnable> {
        let mut registry = REGISTRY.lock();
        let Some(reached) = self.held.before(self.reach) else { return Err(Unpinnable::Gone) };
        if registry.pin_single(reached, self.id, prot) {
            return Ok(Pin { span: part, pages: reached });
        }
        let denied = registry.overlapping(part).find(|segment| segment.is_live() && segment.tag.prot & prot != prot);
        if let Some(span) = denied.and_then(|segment| segment.span.intersect(part)) {
            return Err(Unpinnable::Protected(span));
        }
        // All of it, and not the part: calls that read here and there leave it one segment.
        if registry.is_intact(self) {
            return Pin::hold(registry, part, reached).ok_or(Unpinnable::Gone);
        }
        drop(registry);
        Pin::of(part, Some(self.id)).ok_or(Unpinnable::Gone)
    }

    /// Lets go of pages and reserved addresses now. A second call finds nothing to do.
    ///
    /// # Errors
    /// As [`Registry::release`].
    pub fn release(&self) -> Result<()> {
        if self.reach < self.held.end() {
            VACANT.store(self.reach, Ordering::Release);
        }
        change().release(self.held, Some(self.id))
    }

    /// Takes more addresses behind those that it has, if they are nobody's.
    ///
    /// # Errors
    /// `EEXIST`, `ENOMEM`.
    pub fn widen(&mut self, length: usize, tag: Tag) -> Result<()> {
        let wider = Span::new(self.held.start(), length).ok_or(Error::system("mmap", libc::ENOMEM))?;
        let Some(added) = wider.from(self.held.end()) else { return Ok(()) };
        let mut registry = change();
        sys::reserve(added)?;
        let offset = tag.offset.saturating_add(u64::try_from(self.held.len()).unwrap_or(0));
        registry.adopt_reserved(added, Tag { owned: true, file: None, offset, ..tag });
        registry.join(added.start());
        self.held = wider;
        Ok(())
    }

    /// Lets `map` put pages into the reserved addresses up to `end`. It is told where, and the offset in the file of `tag` that
    /// belongs there, and returns which of them have another protection than `tag` says.
    ///
    /// # Errors
    /// As `map`; `EINVAL` if a raw call has taken the addresses. Nothing is changed then.
    pub fn occupy(
        &mut self,
        end: usize,
        tag: &Tag,
        map: impl FnOnce(&Registry, Span, u64) -> Result<Vec<(Span, i32)>>,
    ) -> Result<()> {
        let Some(added) = Span::between(self.end(), end) else { return Ok(()) };
        let mut registry = change();
        if !registry.is_intact(self) || !self.held.contains(added) {
            return Err(replaced());
        }
        let skipped = u64::try_from(added.start().saturating_sub(self.held.start())).unwrap_or(0);
        let rights = map(&registry, added, tag.offset.saturating_add(skipped)).inspect_err(|_| {
            // The kernel may have unmapped them before it failed: then they are taken again, and otherwise this fails.
            let _ = sys::reserve(added);
        })?;
        self.reach_to(&mut registry, end);
        registry.set_occupied(added, tag);
        for (part, prot) in rights {
            registry.set_prot(part, prot);
        }
        self.pages = Span::between(self.held.start(), end);
        Ok(())
    }

    /// Lets pins hold what lies before `end`, and more, so that this is seldom to be done.
    fn reach_to(&mut self, registry: &mut Registry, end: usize) {
        if end <= self.reach {
            return;
        }
        let length = end.saturating_sub(self.held.start()).checked_next_power_of_two().unwrap_or(usize::MAX);
        let reach = self.held.start().saturating_add(length).min(self.held.end());
        if let Some(more) = Span::between(self.reach, reach) {
            for start in registry.carve(more) {
                registry.set_state(start, State::Reserved);
            }
            registry.join(more.start());
        }
        self.reach = reach;
    }

    /// Lets go of the pages from `end` on, and keeps their addresses.
    ///
    /// # Errors
    /// `ENOMEM`. Nothing is changed then.
    pub fn vacate(&mut self, end: usize, tag: &Tag) -> Result<()> {
        let Some(left) = self.pages.and_then(|pages| pages.from(end)) else { return Ok(()) };
        let mut registry = change();
        if !registry.is_intact(self) {
            return Err(replaced());
        }
        retire(left)?;
        registry.set_vacated(left, tag);
        self.pages = Span::between(self.held.start(), end);
        Ok(())
    }

    /// Lets go of the pages from `end` on where a mapping is unmapped as a whole: of all pages, while `change_file` is at work, and those
    /// before `end` are mapped again at their addresses. If `change_file` fails, all are. Accesses of other threads wait meanwhile.
    ///
    /// # Errors
    /// Those of `change_file`. `ENOMEM` and the like from mapping: there are no pages then.
    pub fn recede(&mut self, end: usize, tag: &Tag, change_file: impl FnOnce() -> Result<()>) -> Result<()> {
        let Some(pages) = self.pages else { return change_file() };
        let mut registry = change();
        if !registry.is_intact(self) {
            return Err(replaced());
        }
        let rights = registry.tags(pages);
        // SAFETY: addresses of this mapping, under the lock.
        let taken = unsafe { sys::take_pages(self.held, pages, tag.is_private()) }?;
        let changed = change_file();
        let kept = if changed.is_ok() { pages.before(end) } else { Some(pages) };
        let fd = tag.file.as_ref().map_or(-1, |file| file.identity.fd);
        let mapped = kept.map_or(Ok(()), |kept| {
            // SAFETY: as above: they were just unmapped.
            unsafe { sys::map_more(kept, tag.prot, tag.flags, fd, tag.offset) }?;
            sys::put_pages(&taken);
            for (part, was) in rights.iter().filter(|(_, was)| was.prot != tag.prot) {
                let Some(part) = part.intersect(kept) else { continue };
                // SAFETY: as above.
                unsafe { sys::mprotect(part, was.prot) }?;
            }
            Ok(())
        });
        if !tag.is_private() {
            tag.log.patches().iter().for_each(|patch| tag.log.heal(patch.span, patch.kind));
        }
        self.pages = kept.filter(|_| mapped.is_ok());
        if let Some(left) = pages.from(self.end()) {
            registry.set_vacated(left, tag);
            if !sys::is_guarded() {
                // A view may look there, and must find something.
                // SAFETY: as above.
                let _ = unsafe { sys::map_zeros(left) };
            }
        }
        changed.and(mapped)
    }

    /// As [`vacate`](Owned::vacate), but the pages stay mapped, out of reach, until it is known what becomes of them.
    ///
    /// # Errors
    /// As [`vacate`](Owned::vacate).
    pub fn withhold(&mut self, end: usize, tag: &Tag) -> Result<Option<Withheld>> {
        let Some(left) = self.pages.and_then(|pages| pages.from(end)) else { return Ok(None) };
        if !sys::is_guarded() {
            // A view may look there, and must find something.
            self.vacate(end, tag)?;
            return Ok(None);
        }
        let mut registry = change();
        if !registry.is_intact(self) {
            return Err(replaced());
        }
        let parts = registry.tags(left);
        // SAFETY: pages of this mapping, under the lock.
        unsafe { sys::mprotect(left, libc::PROT_NONE) }?;
        registry.set_vacated(left, tag);
        self.pages = Span::between(self.held.start(), end);
        Ok(Some(Withheld { parts, noted: tag.log.noted() }))
    }

    /// Lets go of pages that were withheld. If the kernel refuses, they stay out of reach.
    pub fn discard(&self, withheld: &Withheld) {
        let registry = change();
        if let Some(span) = withheld.span().filter(|_| registry.is_intact(self)) {
            let _ = retire(span);
        }
    }

    /// Puts pages back that were withheld, unless an access has put others in their place.
    ///
    /// # Errors
    /// `EINVAL` then; as `mprotect(2)`.
    pub fn restore(&mut self, withheld: &Withheld) -> Result<()> {
        let mut registry = change();
        let is_untouched = withheld.parts.iter().all(|(_, tag)| tag.log.noted() == withheld.noted);
        let Some(span) = withheld.span().filter(|_| is_untouched && registry.is_intact(self)) else {
            return Err(replaced());
        };
        for (part, tag) in &withheld.parts {
            // SAFETY: pages of this mapping, under the lock.
            unsafe { sys::mprotect(*part, tag.prot) }?;
            registry.set_occupied(*part, tag);
        }
        self.pages = Span::between(self.held.start(), span.end());
        Ok(())
    }

    /// Whether no raw call has unmapped or replaced a part of it.
    pub fn is_intact(&self, registry: &Registry) -> bool {
        registry.is_intact(self)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        change().loosen(self.held, self.id);
    }
}

impl Registry {
    fn adopt_reserved(&mut self, span: Span, tag: Tag) {
        self.adopt(span, tag);
        for start in self.carve(span) {
            self.set_state(start, State::Spare);
        }
    }

    /// Pins a mapping that is one segment, with pages that all allow what `prot` says: nearly all mappings are.
    fn pin_single(&mut self, reached: Span, id: u64, prot: i32) -> bool {
        let Some(segment) = self.segments.get_mut(&reached.start()) else { return false };
        let is_single = (segment.span, segment.tag.id, segment.state) == (reached, id, State::Kept);
        if is_single && segment.tag.prot & prot == prot {
            segment.holds.add(true, true);
            return true;
        }
        false
    }

    /// Whether all addresses of a mapping are its own, and all of its pages mapped.
    fn is_intact(&self, owned: &Owned) -> bool {
        let mut reached = owned.held.start();
        let end = owned.end();
        for segment in self.overlapping(owned.held) {
            let is_expected = segment.is_live() == (segment.span.start() < end);
            if segment.tag.id != owned.id || !is_expected || segment.span.start() > reached {
                return false;
            }
            reached = segment.span.end();
        }
        reached >= owned.held.end()
    }

    fn set_occupied(&mut self, span: Span, tag: &Tag) {
        let starts = self.carve(span);
        for &start in &starts {
            if let Some(segment) = self.segments.get_mut(&start) {
                segment.tag = Tag { owned: true, offset: segment.tag.offset, ..tag.clone() };
            }
            self.set_state(start, State::Kept);
        }
        self.join_all(starts, span);
    }

    fn set_vacated(&mut self, span: Span, tag: &Tag) {
        let starts = self.carve(span);
        for &start in &starts {
            if let Some(segment) = self.segments.get_mut(&start) {
                segment.tag.prot = tag.prot;
            }
            self.set_state(start, State::Reserved);
        }
        self.join_all(starts, span);
    }
}
