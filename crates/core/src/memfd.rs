//! Files without a name (`memfd_create(2)`), and the seals that keep what others may do with them.
//!
//! A descriptor is the only way to such a file, and what goes to another process. A file that is sealed against shrinking cannot be
//! truncated under whoever has it mapped: nobody needs to trust the process at the other end for that.

use std::ffi::CString;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::range::Span;
use crate::region::{OpenRequest, Region};
use crate::registry::{self, MappedFile};
use crate::sys::{self, RawFd};

/// What a file can be sealed against: the kernel's numbers.
pub mod seal {
    /// No seal can be added.
    pub const SEAL: i32 = 1;
    /// It does not get shorter.
    pub const SHRINK: i32 = 2;
    /// It does not get longer.
    pub const GROW: i32 = 4;
    /// Nobody writes to it.
    pub const WRITE: i32 = 8;
    /// Nobody writes to it but through writable mappings that exist already.
    pub const FUTURE_WRITE: i32 = 16;
    /// All of them.
    pub const ALL: i32 = SEAL | SHRINK | GROW | WRITE | FUTURE_WRITE;
}

impl Region {
    /// Maps a new file without a name (`memfd_create(2)`), of the request's length, sealed.
    ///
    /// # Errors
    /// Those of the call, and as [`open`](Region::open); those of [`seal`](Region::seal).
    pub fn memfd(name: &str, seals: i32, request: &OpenRequest) -> Result<Self> {
        let invalid = |why| Error::refused("memfd_create", libc::EINVAL, why);
        let checked = CString::new(name).map_err(|_| invalid("a name has no null byte"))?;
        sys::ensure_guard()?;
        registry::lock().check_room("mmap")?;
        let file = sys::memfd_create(&checked)?;
        let region = Self::map(file, Some(PathBuf::from(format!("memfd:{name}"))), request)?;
        if seals != 0 {
            region.seal(seals)?;
        }
        Ok(region)
    }

    /// The descriptor of the mapped file, open until the region is unmapped; `None` for memory without a file.
    ///
    /// # Errors
    /// [`Error::Closed`]; [`Error::Unavailable`] on Windows.
    pub fn fd(&self) -> Result<Option<RawFd>> {
        if cfg!(windows) {
            return Err(Error::unavailable("fd", "on Windows a mapping keeps a handle, and no descriptor"));
        }
        Ok(self.file()?.map(|file| file.identity.fd))
    }

    /// Adds seals to the mapped file (`fcntl(2)`, `F_ADD_SEALS`): bits of [`seal`]. They are never taken off.
    ///
    /// # Errors
    /// [`Error::Closed`]; `EBUSY` for [`seal::WRITE`] while a writable mapping exists; `EPERM` when the file takes no more seals or was
    /// opened for reading; `EINVAL` for a file that cannot be sealed.
    pub fn seal(&self, seals: i32) -> Result<()> {
        let refused = |errno, why: &'static str| Error::refused("fcntl", errno, why);
        if seals & !seal::ALL != 0 {
            return Err(refused(libc::EINVAL, "no such seal"));
        }
        let Some(file) = self.file()? else {
            return Err(refused(libc::EINVAL, "memory without a file cannot be sealed"));
        };
        let added = match sys::add_seals(&file.file, seals) {
            // A descriptor for reading: who may open the file for writing may seal it.
            Err(error) if error.errno() == Some(libc::EPERM) => match sys::open_again(&file.file) {
                Ok(file) => sys::add_seals(&file, seals),
                Err(_) => Err(error),
            },
            result => result,
        };
        added.map_err(|error| match error.errno() {
            Some(libc::EBUSY) => {
                let why = "a writable mapping of it exists: 'future-write' leaves that one, and allows no other";
                refused(libc::EBUSY, why)
            }
            Some(libc::EPERM) if sys::seals(&file.file).is_some_and(|seals| seals & seal::SEAL != 0) => {
                refused(libc::EPERM, "the file takes no more seals")
            }
            Some(libc::EPERM) => refused(libc::EPERM, "the file was opened for reading only"),
            Some(libc::EINVAL) => refused(libc::EINVAL, "only files of memory, as memfd has them, can be sealed"),
            _ => error,
        })
    }

    /// The seals of the mapped file; none where there is no such thing.
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn seals(&self) -> Result<i32> {
        let seals = self.file()?.and_then(|file| sys::seals(&file.file));
        Ok(seals.unwrap_or(0) & seal::ALL)
    }

    /// The mapped file, kept open by whoever has this.
    fn file(&self) -> Result<Option<Arc<MappedFile>>> {
        if self.is_closed() {
            return Err(Error::Closed);
        }
        let Some(span) = Span::new(self.address(), self.len()) else { return Ok(None) };
        let tags = registry::lock().tags(span);
        match tags.into_iter().find(|(_, tag)| tag.id == self.id()) {
            Some((_, tag)) => Ok(tag.file),
            // Unmapped meanwhile, or by a raw call.
            None => Err(Error::Closed),
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::region::{Access, MapOptions, Source};

    fn request(access: Access, length: Option<u64>) -> OpenRequest {
        OpenRequest {
            access,
            offset: 0,
            length,
            create: None,
            exclusive: false,
            grow: length.is_some(),
            preallocate: false,
            options: MapOptions::default(),
            owner: 0,
        }
    }

    fn memfd(seals: i32) -> Result<Region> {
        Region::memfd("test", seals, &request(Access::Write, Some(5000)))
    }

    #[test]
    fn memfd_by_its_descriptor() {
        let region = memfd(seal::SHRINK).unwrap();
        let fd = region.fd().unwrap().unwrap();
        let other = Region::open(Source::Descriptor(fd), &request(Access::Read, None)).unwrap();
        region.write(4990, b"text").unwrap();
        let mut bytes = [0; 4];
        other.read(4990, &mut bytes).unwrap();
        assert_eq!((&bytes, other.len(), other.seals().unwrap()), (b"text", 5000, seal::SHRINK));
        region.unmap().unwrap();
        assert_eq!(region.fd(), Err(Error::Closed));
        assert_eq!(region.seal(seal::GROW), Err(Error::Closed));
        other.read(4990, &mut bytes).unwrap();
    }

    #[test]
    fn writable_mapping_is_not_sealed_against_writing() {
        assert_eq!(memfd(seal::WRITE).unwrap_err().errno(), Some(libc::EBUSY));
        let region = memfd(seal::FUTURE_WRITE).unwrap();
        region.write(0, b"still").unwrap();
        let fd = region.fd().unwrap().unwrap();
        let error = Region::open(Source::Descriptor(fd), &request(Access::Write, None)).unwrap_err();
        assert_eq!(error.errno(), Some(libc::EPERM));
    }

    #[test]
    fn read_only_descriptor_is_sealed_against_writing() {
        let writer = memfd(0).unwrap();
        let path = PathBuf::from(format!("/proc/self/fd/{}", writer.fd().unwrap().unwrap()));
        let reader = Region::open(Source::Path(&path), &request(Access::Read, None)).unwrap();
        writer.unmap().unwrap();
        reader.seal(seal::WRITE).unwrap();
        assert_eq!(reader.seals().unwrap(), seal::WRITE);
    }

    #[test]
    fn sealed_for_good() {
        let region = memfd(seal::SEAL | seal::GROW).unwrap();
        assert_eq!(region.seal(seal::SHRINK).unwrap_err().errno(), Some(libc::EPERM));
        assert_eq!(region.seal(1 << 10).unwrap_err().errno(), Some(libc::EINVAL));
        assert_eq!(region.seals().unwrap(), seal::SEAL | seal::GROW);
    }

    #[test]
    fn memory_has_no_descriptor_and_no_seals() {
        let region = Region::anonymous(100, MapOptions::default(), 0).unwrap();
        assert_eq!((region.fd(), region.seals()), (Ok(None), Ok(0)));
        assert_eq!(region.seal(seal::GROW).unwrap_err().errno(), Some(libc::EINVAL));
    }
}
