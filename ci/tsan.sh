#!/usr/bin/env bash
# The core's tests under ThreadSanitizer: two threads at the same bytes without an order between them. Only the bytes of mappings may
# be raced for, which is what they are for: ci/tsan.supp names who touches them.
#
#   ci/tsan.sh [TEST...]    the names of tests, or parts of them; default: all
#
# The locks are Rust's, so the standard library has to be built with ThreadSanitizer as well: needs a nightly Rust compiler
# with rust-src or, beside one without, the compiler of Debian and its source (rustc-web, cargo-web, rust-web-src).
. "$(dirname "$0")/common.sh"

on_linux_x64
has_nightly || skip "there is no nightly Rust"
runtime=$(runtime_of tsan) || skip "this nightly Rust has no ThreadSanitizer"
nightly=$(rustc +nightly --print sysroot)
source=lib/rustlib/src/rust/library/Cargo.lock

flags=-Zsanitizer=thread
if [ -f "$nightly/$source" ]; then
  cargo=(cargo +nightly)
elif [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] && [ -f "$(/usr/bin/rustc --print sysroot)/$source" ]; then
  # A stable compiler does it as well, but has no runtime for it: the nightly one's, which its own linker takes.
  flags="$flags -Zexternal-clangrt -Clink-arg=-fuse-ld=lld -Clink-arg=-B$nightly/lib/rustlib/$target/bin/gcc-ld"
  flags="$flags -Clink-arg=-Wl,--whole-archive -Clink-arg=$runtime -Clink-arg=-Wl,--no-whole-archive"
  export RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc
  cargo=(/usr/bin/cargo)
else
  skip "there is no source of the standard library: rustup component add rust-src --toolchain nightly"
fi

# Faults are our handler's. A report makes the exit status 66.
export RUSTFLAGS=$flags
export TSAN_OPTIONS="suppressions=$PWD/ci/tsan.supp handle_segv=0 handle_sigbus=0"
"${cargo[@]}" test --locked -Zbuild-std=std,panic_unwind,test --target "$target" --target-dir "$cache/tsan" \
  --package mmap-native-core --lib --test contention --test resize -- --test-threads=1 "$@"
