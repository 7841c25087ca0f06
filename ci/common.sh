# shellcheck shell=bash disable=SC2034
# What the scripts in this folder share: they are run from the root of the project.
#
# A script whose tool the machine lacks says "skipped: NAME: reason", and exits with 0; with NO_SKIP=1 in its environment, where all
# the tools ought to be, that is a failure.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=x86_64-unknown-linux-gnu
# Builds of other compilers and with other flags, kept outside of the repository so that the next run is short.
cache=${MMAP_NATIVE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mmap-native}

say() { printf '%s\n' "$*" >&2; }

skip() {
  echo "skipped: $(basename "$0" .sh): $*"
  [ "${NO_SKIP:-}" != 1 ]
  exit
}

# on_linux_x64: the sanitizers are used there only.
on_linux_x64() {
  [ "$(uname -sm)" = "Linux x86_64" ] || skip "it is for Linux on x86-64"
}

# has_nightly: whether there is a nightly compiler.
has_nightly() { cargo +nightly --version >/dev/null 2>&1; }

# runtime_of SANITIZER: the nightly compiler's runtime library of it, if there is one.
runtime_of() {
  compgen -G "$(rustc +nightly --print target-libdir --target "$target")/librustc*_rt.$1.a"
}
