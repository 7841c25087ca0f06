//! Shared memory by name on Windows: a section, which is there as long as some process has it open or mapped.
//!
//! Nothing removes its name before, and nothing is left over afterwards. It has the length that it was made with, from its first
//! moment on.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::range::Layout;
use crate::region::{OpenRequest, Region};
use crate::registry::{self, MappedFile};
use crate::resize::fixed;
use crate::sys::{self, LONGEST_SHM_NAME};

/// The name of a section, checked.
struct Name<'a>(&'a str);

/// Where names are: those of the session of the user, and those of all sessions.
const FOLDERS: [&str; 2] = ["Local\\", "Global\\"];

impl<'a> Name<'a> {
    /// The slash at the start is that of POSIX, and may be left out.
    fn new(name: &'a str) -> Result<Self> {
        let bare = name.strip_prefix('/').unwrap_or(name);
        let in_folder = FOLDERS.iter().find_map(|folder| bare.strip_prefix(folder)).unwrap_or(bare);
        let refused = |errno, why: &'static str| Err(Error::refused("shm_open", errno, why));
        if in_folder.is_empty() || in_folder == "." || in_folder == ".." {
            return refused(libc::EINVAL, "a name has characters, and is not '.' or '..'");
        }
        if in_folder.contains(['/', '\\']) {
            return refused(libc::EINVAL, "a name has no slash but one at its start, and no backslash but of Global\\");
        }
        if in_folder.contains('\0') {
            return refused(libc::EINVAL, "a name has no null byte");
        }
        if bare.len() > LONGEST_SHM_NAME {
            let why = format!("a name has at most {LONGEST_SHM_NAME} bytes");
            return Err(Error::refused("shm_open", libc::ENAMETOOLONG, why));
        }
        Ok(Self(bare))
    }

    /// With the folder that it is in.
    fn full(&self) -> String {
        let is_full = FOLDERS.iter().any(|folder| self.0.starts_with(folder));
        format!("{}{}", if is_full { "" } else { FOLDERS[0] }, self.0)
    }

    /// As messages show it.
    fn label(&self) -> PathBuf {
        PathBuf::from(format!("/{}", self.0))
    }

    /// Opens the section. Returns its size in bytes.
    fn open(&self, request: &OpenRequest) -> Result<(std::fs::File, u64)> {
        let (section, made) = match request.create.zip(request.length) {
            Some((_, length)) => sys::create_section(&self.full(), length)?,
            None => (sys::open_section(&self.full(), request.access)?, false),
        };
        match request.length.filter(|_| made) {
            Some(length) => Ok((section, length)),
            None if request.exclusive => Err(Error::system("shm_open", libc::EEXIST)),
            None => sys::section_size(&section).map(|size| (section, size)),
        }
    }
}

impl Region {
    /// Opens and maps a section by its name (`CreateFileMapping`, `OpenFileMapping`). Who gives no length has its whole pages.
    ///
    /// # Errors
    /// `EINVAL`, `ENAMETOOLONG` for what is no name; `ENOENT`, `EACCES`; `EEXIST` for a section that is there already, or a name of something
    /// else; `ENOMEM`; [`Error::OutOfRange`] for a length that it does not have; [`Error::Unavailable`] if it would have to grow.
    pub fn shared(name: &str, request: &OpenRequest) -> Result<Self> {
        let name = Name::new(name)?;
        if request.options.max_length.is_some() {
            return Err(fixed("maxLength"));
        }
        sys::ensure_guard()?;
        registry::lock().check_room("mmap")?;
        let (section, size) = name.open(request)?;
        let length = request.length.unwrap_or(size);
        if length > size {
            let limit = "what the object has";
            return Err(if request.grow {
                fixed("grow")
            } else {
                Error::OutOfRange { name: "length", max: size, limit }
            });
        }
        let layout = Layout::new(0, length).ok_or(Error::refused("mmap", libc::EFBIG, "beyond what can be mapped"))?;
        let map = |section: &MappedFile| sys::map_shared(&section.file, layout, request.access);
        Self::map_layout(MappedFile::of_section(section), Some(name.label()), layout, sys::page_size(), request, map)
    }
}

/// Refused: a name goes with the last handle and the last view.
///
/// # Errors
/// Always [`Error::Unavailable`]; `EINVAL`, `ENAMETOOLONG` for what is no name.
pub fn unlink(name: &str) -> Result<()> {
    Name::new(name).map_err(|error| error.in_call("shm_unlink"))?;
    let reason = "on Windows a name goes with the last mapping that somebody has, and not before";
    Err(Error::unavailable("Mapping.unlinkShared()", reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::{Access, MapOptions};

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
    fn names_are_of_the_session_unless_they_say_otherwise() {
        for name in ["name", "/name", "Local\\name"] {
            assert_eq!(Name::new(name).unwrap().full(), "Local\\name");
        }
        assert_eq!(Name::new("/Global\\name").unwrap().full(), "Global\\name");
        let errno = |name: &str| Name::new(name).err().and_then(|error| error.errno());
        for name in ["", "/", ".", "Global\\", "Global\\..", "a/b", "a\\b", "Global\\a\\b", "a\0b"] {
            assert_eq!(errno(name), Some(libc::EINVAL), "{name:?}");
        }
        assert_eq!(errno(&"x".repeat(LONGEST_SHM_NAME + 1)), Some(libc::ENAMETOOLONG));
    }

    #[test]
    fn two_regions_of_one_name() {
        let name = name_of("two");
        let one = Region::shared(&name, &request(Access::Write, Some(10_000), true)).unwrap();
        let two = Region::shared(&name, &request(Access::Read, None, false)).unwrap();
        one.write(9_995, b"hello").unwrap();
        let mut bytes = [0; 5];
        two.read(9_995, &mut bytes).unwrap();
        assert_eq!((&bytes, one.len(), two.len()), (b"hello", 10_000, 12_288));
        assert!(matches!(unlink(&name), Err(Error::Unavailable { .. })));
        one.unmap().unwrap();
        two.read(9_995, &mut bytes).unwrap();
        assert_eq!(&bytes, b"hello");
        two.unmap().unwrap();
        let gone = Region::shared(&name, &request(Access::Read, None, false)).unwrap_err();
        assert_eq!(gone.errno(), Some(libc::ENOENT));
    }

    #[test]
    fn a_section_has_one_length() {
        let name = name_of("length");
        let one = Region::shared(&name, &request(Access::Write, Some(4096), true)).unwrap();
        let shared = |length, create| Region::shared(&name, &request(Access::Write, Some(length), create));
        assert_eq!(shared(100, true).unwrap().len(), 100);
        assert!(matches!(shared(4097, false), Err(Error::OutOfRange { max: 4096, .. })));
        assert!(matches!(shared(4097, true), Err(Error::Unavailable { feature: "grow", .. })));
        for length in [0, 100, 8192] {
            assert!(matches!(one.resize(Some(length)), Err(Error::Unavailable { .. })));
        }
        let exclusive = OpenRequest { exclusive: true, ..request(Access::Write, Some(4096), true) };
        assert_eq!(Region::shared(&name, &exclusive).unwrap_err().errno(), Some(libc::EEXIST));
    }
}
