//! What Windows says went wrong, in the numbers of POSIX.

/// The `errno` value that an error of the standard library stands for. The choice is libuv's, so that a failure here has the
/// code that `fs` would give it.
pub fn errno_of(error: &std::io::Error) -> Option<i32> {
    let code = u32::try_from(error.raw_os_error()?).ok()?;
    Some(errno_of_code(code))
}

/// The `errno` value for a code of `GetLastError`.
pub(super) fn errno_of_code(code: u32) -> i32 {
    use windows_sys::Win32::Foundation as w;
    match code {
        w::ERROR_FILE_NOT_FOUND | w::ERROR_PATH_NOT_FOUND | w::ERROR_INVALID_DRIVE | w::ERROR_INVALID_NAME => {
            libc::ENOENT
        }
        w::ERROR_BAD_PATHNAME | w::ERROR_MOD_NOT_FOUND | w::ERROR_BAD_NETPATH | w::ERROR_BAD_NET_NAME => libc::ENOENT,
        w::ERROR_ACCESS_DENIED | w::ERROR_PRIVILEGE_NOT_HELD => libc::EPERM,
        w::ERROR_NOACCESS | w::ERROR_ELEVATION_REQUIRED | w::ERROR_CANT_ACCESS_FILE => libc::EACCES,
        w::ERROR_SHARING_VIOLATION | w::ERROR_LOCK_VIOLATION | w::ERROR_BUSY | w::ERROR_PIPE_BUSY => libc::EBUSY,
        w::ERROR_USER_MAPPED_FILE => libc::EBUSY,
        w::ERROR_INVALID_HANDLE => libc::EBADF,
        w::ERROR_TOO_MANY_OPEN_FILES => libc::EMFILE,
        w::ERROR_ALREADY_EXISTS | w::ERROR_FILE_EXISTS => libc::EEXIST,
        w::ERROR_DISK_FULL | w::ERROR_HANDLE_DISK_FULL | w::ERROR_DISK_QUOTA_EXCEEDED => libc::ENOSPC,
        w::ERROR_FILE_TOO_LARGE => libc::EFBIG,
        w::ERROR_NOT_ENOUGH_MEMORY | w::ERROR_OUTOFMEMORY | w::ERROR_COMMITMENT_LIMIT => libc::ENOMEM,
        w::ERROR_NO_SYSTEM_RESOURCES | w::ERROR_WORKING_SET_QUOTA | w::ERROR_NOT_ENOUGH_QUOTA => libc::ENOMEM,
        w::ERROR_COMMITMENT_MINIMUM | w::ERROR_NOT_LOCKED => libc::ENOMEM,
        w::ERROR_WRITE_PROTECT => libc::EROFS,
        w::ERROR_DIRECTORY => libc::ENOTDIR,
        w::ERROR_INVALID_FUNCTION => libc::EISDIR,
        w::ERROR_NOT_SAME_DEVICE => libc::EXDEV,
        w::ERROR_FILENAME_EXCED_RANGE => libc::ENAMETOOLONG,
        w::ERROR_CANT_RESOLVE_FILENAME => libc::ELOOP,
        w::ERROR_NOT_SUPPORTED | w::ERROR_CALL_NOT_IMPLEMENTED => libc::ENOTSUP,
        w::ERROR_OPERATION_ABORTED => libc::ECANCELED,
        w::ERROR_CRC | w::ERROR_IO_DEVICE | w::ERROR_READ_FAULT | w::ERROR_WRITE_FAULT | w::ERROR_GEN_FAILURE => {
            libc::EIO
        }
        w::ERROR_SECTOR_NOT_FOUND | w::ERROR_FILE_CORRUPT | w::ERROR_DISK_CORRUPT | w::ERROR_HANDLE_EOF => libc::EIO,
        // ERROR_INVALID_PARAMETER, ERROR_INVALID_ADDRESS, ERROR_MAPPED_ALIGNMENT and the like.
        _ => libc::EINVAL,
    }
}
