//! Shared memory by name (POSIX): an object that every process can open, and that stays until it is unlinked.
//!
//! ```text
//!   shm_open() --> size 0 --> fallocate() --> its length --> mmap()
//!                     ^ another process may come here: EAGAIN, unless it may give the object its length itself
//! ```
//!
//! An object is a file of a tmpfs: once it is open, everything else is as for a file.

use std::ffi::CString;
use std::fs::File;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::region::{Access, OpenRequest, Region};
use crate::registry;
use crate::sys::{self, LONGEST_SHM_NAME};

/// The name of an object, checked: one slash, at the start.
struct Name(CString);

impl Name {
    /// The slash at the start may be left out.
    fn new(name: &str) -> Result<Self> {
        let bare = name.strip_prefix('/').unwrap_or(name);
        let refused = |errno, why: &'static str| Err(Error::refused("shm_open", errno, why));
        if bare.is_empty() || bare == "." || bare == ".." {
            return refused(libc::EINVAL, "a name has characters, and is not '.' or '..'");
        }
        if bare.contains('/') {
            return refused(libc::EINVAL, "a name has no slash but one at its start");
        }
        if bare.len() > LONGEST_SHM_NAME {
            let why = format!("a name has at most {LONGEST_SHM_NAME} bytes");
            return Err(Error::refused("shm_open", libc::ENAMETOOLONG, why));
        }
        match CString::new(format!("/{bare}")) {
            Ok(name) => Ok(Self(name)),
            Err(_) => refused(libc::EINVAL, "a name has no null byte"),
        }
    }

    /// As messages show it.
    fn label(&self) -> PathBuf {
        PathBuf::from(self.0.to_string_lossy().into_owned())
    }

    /// Opens the object. Returns whether it was made by this call.
    fn open(&self, request: &OpenRequest) -> Result<(File, bool)> {
        let flags = if request.access == Access::Write { libc::O_RDWR } else { libc::O_RDONLY };
        let Some(mode) = request.create else {
            return sys::shm_open(&self.0, flags, 0).map(|file| (file, false));
        };
        let mut attempts = 0_u32;
        loop {
            let made = sys::shm_open(&self.0, flags | libc::O_CREAT | libc::O_EXCL, mode & 0o7777);
            let exists = matches!(&made, Err(error) if error.errno() == Some(libc::EEXIST));
            if !exists || request.exclusive {
                return made.map(|file| (file, true));
            }
            // Unlinked between the two calls: again, but not for ever.
            attempts = attempts.saturating_add(1);
            match sys::shm_open(&self.0, flags, 0) {
                Err(error) if error.errno() == Some(libc::ENOENT) && attempts < 100 => {}
                opened => return opened.map(|file| (file, false)),
            }
        }
    }
}

impl Region {
    /// Opens and maps a shared memory object (`shm_open(3)`).
    ///
    /// # Errors
    /// `EINVAL`, `ENAMETOOLONG` for what is no name; those of `shm_open(3)`; `EAGAIN` for an object that has no length yet;
    /// otherwise as [`open`](Region::open). An object that the call made is not left behind.
    pub fn shared(name: &str, request: &OpenRequest) -> Result<Self> {
        let name = Name::new(name)?;
        sys::ensure_guard()?;
        registry::lock().check_room("mmap")?;
        let (file, created) = name.open(request)?;
        let checked = if request.grow { Ok(()) } else { has_length(&file) };
        // macOS gives an object its memory with its length, and has no other way to ask for it.
        let request = &OpenRequest { preallocate: request.preallocate && !cfg!(target_os = "macos"), ..*request };
        checked.and_then(|()| Self::map(file, Some(name.label()), request)).inspect_err(|_| {
            if created {
                // The first failure is the one to report.
                let _ = sys::shm_unlink(&name.0);
            }
        })
    }
}

/// An object is made without a length: who comes before it has one is told to come again.
fn has_length(file: &File) -> Result<()> {
    let metadata = file.metadata().map_err(|error| Error::from_io("fstat", &error))?;
    if metadata.len() > 0 {
        return Ok(());
    }
    let why = "the object has no length yet: who makes it is about to give it one, or has ended before";
    Err(Error::refused("shm_open", libc::EAGAIN, why))
}

/// Removes the name of a shared memory object (`shm_unlink(3)`): who has it mapped keeps it.
///
/// # Errors
/// `ENOENT`, `EACCES`; `EINVAL`, `ENAMETOOLONG` for what is no name.
pub fn unlink(name: &str) -> Result<()> {
    let name = Name::new(name).map_err(|error| error.in_call("shm_unlink"))?;
    sys::shm_unlink(&name.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::MapOptions;

    fn request(access: Access, length: Option<u64>, create: bool) -> OpenRequest {
        OpenRequest {
            access,
            offset: 0,
            length,
            create: create.then_some(0o600),
            exclusive: false,
            grow: create,
            preallocate: true,
            options: MapOptions::default(),
            owner: 0,
        }
    }

    fn name_of(test: &str) -> String {
        format!("/mmap-native-{}-{test}", std::process::id())
    }

    #[test]
    fn names_without_and_with_a_slash_are_one() {
        for name in ["name", "/name"] {
            assert_eq!(Name::new(name).unwrap().0.as_bytes(), b"/name");
        }
    }

    #[test]
    fn names_that_are_none() {
        let errno = |name: &str| Name::new(name).err().and_then(|error| error.errno());
        for name in ["", "/", ".", "/..", "a/b", "//a", "/a/", "a\0b"] {
            assert_eq!(errno(name), Some(libc::EINVAL), "{name:?}");
        }
        assert_eq!(errno(&"x".repeat(LONGEST_SHM_NAME + 1)), Some(libc::ENAMETOOLONG));
        assert_eq!(errno(&"x".repeat(LONGEST_SHM_NAME)), None);
    }

    #[test]
    fn two_regions_of_one_name() {
        let name = name_of("two");
        let one = Region::shared(&name, &request(Access::Write, Some(10_000), true)).unwrap();
        let two = Region::shared(&name, &request(Access::Read, None, false)).unwrap();
        one.write(9_995, b"hello").unwrap();
        let mut bytes = [0; 5];
        two.read(9_995, &mut bytes).unwrap();
        assert_eq!((&bytes, two.len()), (b"hello", 10_000));
        unlink(&name).unwrap();
        assert_eq!(unlink(&name).unwrap_err().errno(), Some(libc::ENOENT));
    }

    #[test]
    fn object_without_a_length_is_not_there_yet() {
        let name = name_of("early");
        let checked = Name::new(&name).unwrap();
        drop(sys::shm_open(&checked.0, libc::O_RDWR | libc::O_CREAT, 0o600).unwrap());
        for length in [None, Some(1)] {
            let error = Region::shared(&name, &request(Access::Write, length, false)).unwrap_err();
            assert_eq!(error.errno(), Some(libc::EAGAIN));
        }
        // Who may make it gives it a length.
        assert_eq!(Region::shared(&name, &request(Access::Write, Some(7), true)).unwrap().len(), 7);
        unlink(&name).unwrap();
    }

    #[test]
    fn object_that_cannot_grow_is_not_left_behind() {
        let name = name_of("huge");
        let error = Region::shared(&name, &request(Access::Write, Some(1 << 52), true)).unwrap_err();
        assert!(matches!(error.errno(), Some(libc::ENOSPC | libc::EFBIG | libc::ENOMEM)), "{error:?}");
        assert_eq!(unlink(&name).unwrap_err().errno(), Some(libc::ENOENT));
    }
}
