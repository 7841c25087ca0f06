//! Protection, mapping and synchronisation flags, and every constant of the platform by its POSIX name.

use bitflags::bitflags;

bitflags! {
    /// What may be done with the pages of a mapping (`PROT_*`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Prot: i32 {
        /// Pages may be read.
        const READ = libc::PROT_READ;
        /// Pages may be written.
        const WRITE = libc::PROT_WRITE;
        /// Pages may be executed.
        const EXEC = libc::PROT_EXEC;
        // Platforms add bits of their own (PROT_BTI, PROT_MTE): the kernel judges them.
        const _ = !0;
    }
}

bitflags! {
    /// How a mapping is made (`MAP_*`). Bits without a name here are passed to the kernel as they are.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct MapFlags: i32 {
        /// The address is not a hint: whatever is mapped there is replaced.
        const FIXED = libc::MAP_FIXED;
        /// Writes stay in this process.
        const PRIVATE = libc::MAP_PRIVATE;
        /// Memory without a file.
        const ANONYMOUS = libc::MAP_ANONYMOUS;
        /// No swap space or memory is set aside.
        const NORESERVE = MAP_NORESERVE;
        /// Huge pages of a size in bits 26 to 31, or of the default size.
        #[cfg(target_os = "linux")]
        const HUGETLB = libc::MAP_HUGETLB;
        /// Like `FIXED`, but fails with `EEXIST` instead of replacing anything (Linux 4.17).
        #[cfg(target_os = "linux")]
        const FIXED_NOREPLACE = libc::MAP_FIXED_NOREPLACE;
        const _ = !0;
    }
}

/// No swap space or memory is set aside.
#[cfg(not(target_os = "freebsd"))]
pub const MAP_NORESERVE: i32 = libc::MAP_NORESERVE;
/// Not one bit: FreeBSD has no such flag, and sets nothing aside.
#[cfg(target_os = "freebsd")]
pub const MAP_NORESERVE: i32 = 0;

#[cfg(target_os = "linux")]
impl MapFlags {
    /// The huge page size asked for in bits 26 to 31, in bytes; `None` for the default size.
    pub fn huge_page_size(self) -> Option<usize> {
        let log2 = (self.bits() >> libc::MAP_HUGE_SHIFT) & libc::MAP_HUGE_MASK;
        (log2 != 0).then(|| 1_usize.checked_shl(u32::try_from(log2).ok()?)).flatten()
    }
}

/// A table of `(name, value)` from constants of `libc`.
macro_rules! constants {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), libc::$name)),*] };
}

/// The constants that every Unix has.
#[cfg(unix)]
pub const COMMON: &[(&str, i32)] = constants![
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    PROT_EXEC,
    MAP_SHARED,
    MAP_PRIVATE,
    MAP_FIXED,
    MAP_ANONYMOUS,
    MAP_ANON,
    MAP_FILE,
    MS_ASYNC,
    MS_SYNC,
    MS_INVALIDATE,
    MADV_NORMAL,
    MADV_RANDOM,
    MADV_SEQUENTIAL,
    MADV_WILLNEED,
    MADV_DONTNEED,
    MADV_FREE,
];

/// The constants that stand for something that Windows can do.
#[cfg(windows)]
pub const COMMON: &[(&str, i32)] = constants![
    PROT_NONE,
    PROT_READ,
    PROT_WRITE,
    PROT_EXEC,
    MAP_SHARED,
    MAP_PRIVATE,
    MAP_ANONYMOUS,
    MAP_ANON,
    MAP_FILE,
    MS_ASYNC,
    MS_SYNC,
    MADV_NORMAL,
    MADV_WILLNEED,
];

/// The constants of this platform beyond [`COMMON`].
#[cfg(target_os = "linux")]
pub const PLATFORM: &[(&str, i32)] = constants![
    PROT_GROWSDOWN,
    PROT_GROWSUP,
    MAP_NORESERVE,
    MAP_SHARED_VALIDATE,
    MAP_TYPE,
    MAP_GROWSDOWN,
    MAP_DENYWRITE,
    MAP_EXECUTABLE,
    MAP_LOCKED,
    MAP_POPULATE,
    MAP_NONBLOCK,
    MAP_STACK,
    MAP_HUGETLB,
    MAP_SYNC,
    MAP_FIXED_NOREPLACE,
    MAP_HUGE_SHIFT,
    MAP_HUGE_MASK,
    MAP_HUGE_64KB,
    MAP_HUGE_512KB,
    MAP_HUGE_1MB,
    MAP_HUGE_2MB,
    MAP_HUGE_8MB,
    MAP_HUGE_16MB,
    MAP_HUGE_32MB,
    MAP_HUGE_256MB,
    MAP_HUGE_512MB,
    MAP_HUGE_1GB,
    MAP_HUGE_2GB,
    MAP_HUGE_16GB,
    MADV_REMOVE,
    MADV_DONTFORK,
    MADV_DOFORK,
    MADV_MERGEABLE,
    MADV_UNMERGEABLE,
    MADV_HUGEPAGE,
    MADV_NOHUGEPAGE,
    MADV_DONTDUMP,
    MADV_DODUMP,
    MADV_WIPEONFORK,
    MADV_KEEPONFORK,
    MADV_COLD,
    MADV_PAGEOUT,
    MADV_POPULATE_READ,
    MADV_POPULATE_WRITE,
    MADV_HWPOISON,
    MADV_SOFT_OFFLINE,
    MADV_DONTNEED_LOCKED,
    MREMAP_MAYMOVE,
    MREMAP_FIXED,
    MREMAP_DONTUNMAP,
];

/// The constants of this platform beyond [`COMMON`].
#[cfg(target_os = "macos")]
pub const PLATFORM: &[(&str, i32)] = constants![
    MAP_NORESERVE,
    MAP_RENAME,
    MAP_HASSEMAPHORE,
    MAP_NOCACHE,
    MAP_JIT,
    MAP_COPY,
    MS_KILLPAGES,
    MS_DEACTIVATE,
    MADV_ZERO_WIRED_PAGES,
    MADV_FREE_REUSABLE,
    MADV_FREE_REUSE,
    MADV_CAN_REUSE,
];

/// The constants of this platform beyond [`COMMON`].
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub const PLATFORM: &[(&str, i32)] = &[];

/// Constants of the kernel headers that `libc` does not have, each with the header that defines it.
#[cfg(target_os = "linux")]
pub const FROM_HEADERS: &[(&str, i32)] = &[
    // include/uapi/asm-generic/mman-common.h
    ("PROT_SEM", 0x8),
    ("MAP_UNINITIALIZED", 0x400_0000),
    // arch/x86/include/uapi/asm/mman.h; libc too has it for this architecture only
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    ("MAP_32BIT", libc::MAP_32BIT),
    // include/uapi/linux/mman.h, from hugetlb_encode.h (Linux 4.14): 14 << MAP_HUGE_SHIFT
    ("MAP_HUGE_16KB", 14 << libc::MAP_HUGE_SHIFT),
    // include/uapi/linux/mman.h (Linux 6.11)
    ("MAP_DROPPABLE", 0x08),
    // include/uapi/asm-generic/mman-common.h (Linux 6.1; libc has it for glibc only)
    ("MADV_COLLAPSE", 25),
    // include/uapi/asm-generic/mman-common.h (Linux 6.13)
    ("MADV_GUARD_INSTALL", 102),
    ("MADV_GUARD_REMOVE", 103),
];

/// Constants of the kernel headers that `libc` does not have, each with the header that defines it.
#[cfg(not(target_os = "linux"))]
pub const FROM_HEADERS: &[(&str, i32)] = &[];

/// Every constant of this platform.
pub fn constants() -> impl Iterator<Item = (&'static str, i32)> {
    COMMON.iter().chain(PLATFORM).chain(FROM_HEADERS).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = constants().map(|(name, _)| name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn huge_page_size_is_read_from_the_flags() {
        assert_eq!(MapFlags::from_bits_retain(libc::MAP_HUGE_2MB).huge_page_size(), Some(2 << 20));
        assert_eq!(MapFlags::HUGETLB.huge_page_size(), None);
    }
}
