/*
 * Preloaded by a test: madvise() as qemu has it for programs of another CPU. It follows the advice of POSIX, and says of any other
 * that it was followed.
 */
#define _GNU_SOURCE
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int madvise(void *address, size_t length, int advice) {
  return advice <= MADV_DONTNEED ? (int)syscall(SYS_madvise, address, length, advice) : 0;
}
