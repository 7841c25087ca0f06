#!/usr/bin/env bash
# The core's tests under valgrind's memcheck: values that were never written, heap that was freed, blocks that nobody holds at the
# end. Without a compiler of its own, and with a view of system calls that the sanitizers have not.
#
#   ci/valgrind.sh
. "$(dirname "$0")/common.sh"

on_linux_x64
command -v valgrind >/dev/null || skip "there is no valgrind"

# Left out, by name: valgrind knows no futex_waitv(2), which the waiting threads sleep in. Neither are those of concurrency run: it
# runs one thread at a time. Nor does it know an mremap(2) that keeps the old addresses, by which a mapping without room moves.
without=(--skip waiters:: --skip range_to_the_end_is_that_of_the_moment)

test=$(cargo test --locked --no-run --package mmap-native-core --lib --message-format=json 2>/dev/null |
  sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
if [ ! -x "$test" ]; then
  say "the tests do not build: cargo test --package mmap-native-core"
  exit 1
fi

# Blocks that something still points to at the end are the test runner's, and those of statics.
valgrind --quiet --error-exitcode=1 --leak-check=full --errors-for-leak-kinds=definite --show-leak-kinds=definite \
  --suppressions=ci/valgrind.supp "$test" --test-threads=1 "${without[@]}"
