#!/usr/bin/env bash
# The parts of the core without system calls under Miri, which knows what Rust allows: arithmetic on addresses, the table that
# fault handlers read, the records of faults, constants, names. It knows no mmap(2) of files, and no signals.
#
#   ci/miri.sh
#
# Needs Miri: rustup component add miri rust-src --toolchain nightly
. "$(dirname "$0")/common.sh"

# Without the component, rustup's own cargo-miri is there all the same, and says so.
cargo +nightly miri --version >/dev/null 2>&1 || skip "there is no Miri: rustup component add miri rust-src --toolchain nightly"

tests=(range:: flags:: table:: room:: fault:: residency::tests::bits_are_packed shm::tests::names_ stat::tests::smaps_are_summed)
output=$(mktemp)
trap 'rm -f "$output"' EXIT
cargo +nightly miri test --locked --target-dir "$cache/miri" --package mmap-native-core --lib -- "${tests[@]}" | tee "$output"
# Names that no test has would all pass.
grep -q '^test result: ok. [1-9][0-9]* passed' "$output"
