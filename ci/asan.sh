#!/usr/bin/env bash
# The addon under AddressSanitizer: reads and writes of freed memory and past the end of what was allocated, in Rust and on its
# border to Node. Runs the plain suite and, with --all, those of the ava suite that can be.
#
#   ci/asan.sh [--all]
#
# Debug assertions and overflow checks are on as well. Needs a nightly Rust compiler, gcc with its libasan, and Node.
. "$(dirname "$0")/common.sh"

on_linux_x64
has_nightly || skip "there is no nightly Rust"
runtime_of asan >/dev/null || skip "this nightly Rust has no AddressSanitizer"
command -v gcc >/dev/null || skip "there is no gcc"
library=$(readlink -f "$(gcc -print-file-name=libasan.so)")
[ -f "$library" ] || skip "gcc has no libasan.so"
if [ ! -d build/__test__/plain ] || [ ! -f dist/index.js ]; then
  say "the package is not built: npm run build"
  exit 1
fi

say "building the addon with AddressSanitizer ..."
profile=CARGO_PROFILE_RELEASE
env RUSTFLAGS=-Zsanitizer=address \
  ${profile}_STRIP=false ${profile}_DEBUG=1 ${profile}_LTO=off ${profile}_CODEGEN_UNITS=16 \
  ${profile}_DEBUG_ASSERTIONS=true ${profile}_OVERFLOW_CHECKS=true \
  cargo +nightly build --quiet --release --locked --target "$target" --target-dir "$cache/asan" --package mmap-native-node
addon=$cache/asan/mmap-native.node
cp "$cache/asan/$target/release/libmmap_native.so" "$addon"

# The addon has no runtime of its own: the program that loads it must have it, and be the first to have it. Node is not built for
# it and leaks on purpose. SIGSEGV and SIGBUS are for our handler, and what it passes on is for Node, as without ASan.
under_asan() {
  env LD_PRELOAD="$library" MMAP_NATIVE_BINARY="$addon" MMAP_NATIVE_TEST_TIMEOUT=300000 \
    ASAN_OPTIONS=detect_leaks=0:handle_segv=0:handle_sigbus=0:handle_sigill=0 "$@"
}

failed=0
output=$(mktemp)
trap 'rm -f "$output"' EXIT
for file in build/__test__/plain/*.js; do
  if under_asan timeout 300 node --expose-gc "$file" >"$output" 2>&1 && grep -q '^[1-9][0-9]* passed, 0 failed$' "$output"; then
    echo "ok $(basename "$file"): $(grep -o '[1-9][0-9]* passed, 0 failed' "$output")"
  else
    echo "FAILED $(basename "$file")"
    cat "$output"
    failed=1
  fi
done

if [ "${1:-}" = --all ]; then
  # By file, what cannot be: ASan makes mlock() do nothing (lock, raw-pages), and maps memory of its own when it likes (raw*, where
  # all that is mapped is compared before and after); loader.spec.ts is about other binaries than this one, bench.spec.ts about time, and
  # life.spec.ts runs the plain suite again.
  specs=$(printf '%s\n' build/__test__/*.spec.js | grep -vE '/(lock|raw|raw-pages|raw-mremap|raw-bad-input|loader|bench|life)\.spec\.js$')
  # By title: locked pages and their flags again; addresses that were free a moment ago; dd, which ASan finds at fault; and the
  # token of another binary.
  without=('*EBUSY while a page is locked*' '*so are locked ones' 'flags and protection are those that the pages have now'
    '*can move away and back*' '*full tmpfs that is only read*' '*another copy of the addon*')
  # shellcheck disable=SC2086 # a word for each file
  under_asan npx ava --concurrency=2 --timeout=5m "${without[@]/#/--match=!}" $specs || failed=1
fi
exit "$failed"
