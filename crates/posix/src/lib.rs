//! POSIX's error numbers and the flags of its mapping calls, for Windows.
//!
//! The other crates of this workspace use it there under the name `libc`, so that their code reads the same everywhere.
//! Error numbers are those of Microsoft's C runtime, which Node.js has in `os.constants.errno`; `sys/windows.rs` translates
//! what the system says into them. Windows has no flags of these names: their values are Linux's.
#![no_std]
#![cfg_attr(not(windows), allow(dead_code))]

/// Numbers of a kind.
macro_rules! numbers {
    ($($(#[$about:meta])* $name:ident = $value:expr;)*) => {
        $($(#[$about])* #[allow(missing_docs)] pub const $name: i32 = $value;)*
    };
}

// <errno.h>
numbers! {
    EPERM = 1;
    ENOENT = 2;
    EINTR = 4;
    EIO = 5;
    EBADF = 9;
    EAGAIN = 11;
    ENOMEM = 12;
    EACCES = 13;
    EFAULT = 14;
    EBUSY = 16;
    EEXIST = 17;
    EXDEV = 18;
    ENODEV = 19;
    ENOTDIR = 20;
    EISDIR = 21;
    EINVAL = 22;
    ENFILE = 23;
    EMFILE = 24;
    EFBIG = 27;
    ENOSPC = 28;
    ESPIPE = 29;
    EROFS = 30;
    ENAMETOOLONG = 38;
    ENOSYS = 40;
    ECANCELED = 105;
    ELOOP = 114;
    ENODATA = 120;
    ENOTSUP = 129;
    EOPNOTSUPP = 130;
    EOVERFLOW = 132;
    ETIMEDOUT = 138;
    ETXTBSY = 139;
}

// <fcntl.h>
numbers! {
    O_RDONLY = 0;
    O_RDWR = 2;
    O_CREAT = 0x100;
    O_EXCL = 0x400;
}

// <sys/mman.h>
numbers! {
    PROT_NONE = 0;
    PROT_READ = 1;
    PROT_WRITE = 2;
    PROT_EXEC = 4;
    MAP_FILE = 0;
    MAP_SHARED = 0x01;
    MAP_PRIVATE = 0x02;
    MAP_FIXED = 0x10;
    MAP_ANONYMOUS = 0x20;
    MAP_ANON = MAP_ANONYMOUS;
    MAP_NORESERVE = 0x4000;
    MS_ASYNC = 1;
    MS_INVALIDATE = 2;
    MS_SYNC = 4;
    MADV_NORMAL = 0;
    MADV_RANDOM = 1;
    MADV_SEQUENTIAL = 2;
    MADV_WILLNEED = 3;
    MADV_DONTNEED = 4;
    MADV_FREE = 8;
}
