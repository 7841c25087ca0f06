#!/usr/bin/env bash
#
# Type-checks the whole workspace for targets that the machine at hand cannot
# run (and need not be able to link for), so that a mistake in code for macOS,
# for 32 bits or for a big-endian CPU shows up before anybody builds there.
#
#   scripts/check-targets.sh [--install] [--strict] [--no-skip]
#                            [--target TARGET]... [-- CARGO-ARGUMENTS]
#
#   --install   let the script install the packages it needs with apt-get (only
#               as root and where apt-get exists). CI=true means the same.
#   --strict    clippy's and the compiler's warnings count as errors. Has no
#               effect where clippy is missing.
#   --no-skip   a skipped target makes the exit status non-zero as well.
#   --target T  check T instead of the usual targets; may be given many times.
#   -- ...      the rest is handed to cargo, for example: -- --all-targets
#
# One line per target goes to standard output:
#
#   ok TARGET            clippy, or else cargo check, found no error
#   FAILED TARGET        it found one; the messages are on standard error
#   skipped TARGET: ...  there is no standard library for TARGET here, and why
#
# then one line with the counts. The exit status is 1 if a target FAILED, 2 for
# a wrong argument.
#
# Where the standard library comes from, first match wins:
#
#   1. A ready-made one: the toolchain on the PATH (rustup target add TARGET),
#      or the distribution's compiler in /usr/bin.
#   2. Its source, checked together with the workspace by -Zbuild-std: again of
#      the toolchain on the PATH (rustup component add rust-src), or of the
#      distribution (on Debian: rustc-web, cargo-web, rust-web-src).
#
# A source is used only with the very compiler it came with: the standard
# library of one version does not compile with the compiler of another.
#
# Everything built is kept in one directory per compiler version, outside the
# repository, so that the second run takes seconds, also in a fresh clone:
# $CHECK_TARGETS_CACHE, or else check-targets in the user's cache directory.
# It is safe to delete.

set -eu

# The usual targets.
targets=(
  aarch64-unknown-linux-gnu
  aarch64-apple-darwin
  x86_64-apple-darwin
  x86_64-unknown-linux-musl
  armv7-unknown-linux-gnueabihf
  s390x-unknown-linux-gnu
  x86_64-pc-windows-gnu
  x86_64-unknown-freebsd
)

# What --install installs. The last package is clippy; all the others are
# needed.
packages=(rustc-web cargo-web rust-web-src rust-web-clippy)

say() { printf '%s\n' "$*" >&2; }

# ---------------------------------------------------------------- arguments

install=no
if [ "${CI:-}" = true ]; then install=yes; fi
strict=no
no_skip=no
chosen=()
while [ $# -gt 0 ]; do
  case $1 in
    --install) install=yes ;;
    --strict) strict=yes ;;
    --no-skip) no_skip=yes ;;
    --target)
      if [ $# -lt 2 ]; then say "--target needs a name"; exit 2; fi
      chosen+=("$2")
      shift
      ;;
    --target=*) chosen+=("${1#--target=}") ;;
    -h | --help)
      # The comment at the top of this file is the help text.
      awk 'NR > 2 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"
      exit 0
      ;;
    --)
      shift
      break
      ;;
    *) say "unknown argument: $1 (try --help)"; exit 2 ;;
  esac
  shift
done
if [ ${#chosen[@]} -gt 0 ]; then targets=("${chosen[@]}"); fi
# What is left in "$@" now is for cargo.

cd "$(dirname "$0")/.."
root=$PWD

# Whoever has set these meant their own builds. Here they would put the wrong
# compiler or the wrong directory in.
unset RUSTC CARGO CARGO_TARGET_DIR CARGO_BUILD_TARGET CARGO_BUILD_RUSTC

if [ -n "${CHECK_TARGETS_CACHE:-}" ]; then
  cache=$CHECK_TARGETS_CACHE
elif [ -n "${XDG_CACHE_HOME:-}" ]; then
  cache=$XDG_CACHE_HOME/check-targets
elif [ -n "${HOME:-}" ]; then
  cache=$HOME/.cache/check-targets
else
  cache=$root/target/check-targets
fi

# A lock file that is there must be right as it is: this script is not the one
# to change it. Without one, cargo writes it as in any other build.
locked=()
if [ -f Cargo.lock ]; then locked=(--locked); fi

# The oldest compiler the workspace allows, or nothing.
oldest=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' Cargo.toml | head -n 1)

# --------------------------------------------------------------- toolchains

# Directories with a rustc and a cargo that start and are new enough, and what
# is wrong with the others.
bins=()
complaints=

# new_enough VERSION: is it at least the oldest allowed?
new_enough() {
  [ -z "$oldest" ] ||
    [ "$(printf '%s\n%s\n' "$oldest" "$1" | sort -V | head -n 1)" = "$oldest" ]
}

# version_of DIRECTORY: prints "1.96.0", fails if there is no working compiler.
version_of() {
  "$1/rustc" --version 2>/dev/null | sed -n 's/^rustc \([0-9][^ ]*\).*/\1/p' | grep .
}

find_toolchains() {
  local bin seen=: version
  bins=()
  complaints=
  for bin in "$(dirname "$(command -v rustc || echo /none/rustc)")" /usr/bin; do
    case $seen in *":$bin:"*) continue ;; esac
    seen=$seen$bin:
    if [ ! -x "$bin/rustc" ] || [ ! -x "$bin/cargo" ]; then continue; fi
    "$bin/cargo" --version >/dev/null 2>&1 || continue
    version=$(version_of "$bin") || continue
    if new_enough "$version"; then
      bins+=("$bin")
    else
      complaints="$complaints; $bin/rustc $version is older than $oldest"
    fi
  done
}

# has_std BIN TARGET: is there a ready-made standard library?
has_std() {
  local dir
  dir=$("$1/rustc" --print target-libdir --target "$2" 2>/dev/null) || return 1
  compgen -G "$dir/libcore-*.rlib" >/dev/null
}

# has_source BIN: is the source of the standard library there?
has_source() {
  local sysroot
  sysroot=$("$1/rustc" --print sysroot 2>/dev/null) || return 1
  [ -f "$sysroot/lib/rustlib/src/rust/library/Cargo.lock" ]
}

# knows BIN TARGET: does the compiler know the name at all?
knows() {
  "$1/rustc" --print target-list 2>/dev/null | grep -qx -- "$2"
}

# has_clippy BIN
has_clippy() {
  [ -x "$1/cargo-clippy" ] && "$1/cargo-clippy" --version >/dev/null 2>&1
}

# choose TARGET: sets bin and std (ready or source), or why and fails.
choose() {
  bin=
  std=
  why=
  local b
  for b in ${bins[@]+"${bins[@]}"}; do
    if has_std "$b" "$1"; then bin=$b std=ready; return 0; fi
  done
  for b in ${bins[@]+"${bins[@]}"}; do
    if has_source "$b" && knows "$b" "$1"; then bin=$b std=source; return 0; fi
  done
  if [ ${#bins[@]} -eq 0 ]; then
    why="no usable Rust compiler$complaints$installing"
    return 1
  fi
  for b in "${bins[@]}"; do
    if knows "$b" "$1"; then
      why="no standard library for it and no source of one$complaints$installing"
      return 1
    fi
  done
  why="no compiler here knows this target"
  return 1
}

# ------------------------------------------------------------- installation

# What became of the installation, for the line of a skipped target.
installing="; try --install or: rustup target add"

install_packages() {
  local apt=(apt-get -o DPkg::Lock::Timeout=300 -q -y)
  local log
  if ! command -v apt-get >/dev/null; then
    installing="; cannot install: no apt-get here"
    return 0
  fi
  if [ "$(id -u)" != 0 ]; then
    installing="; cannot install: not root"
    return 0
  fi
  export DEBIAN_FRONTEND=noninteractive
  say "installing ${packages[*]} ..."
  log=$(mktemp)
  # The lists first: with old ones an old compiler could come. That they could
  # not be renewed is no reason to stop.
  "${apt[@]}" update >"$log" 2>&1 || tail -n 5 "$log" >&2
  if "${apt[@]}" install --no-install-recommends "${packages[@]}" >"$log" 2>&1 ||
    # Once more without clippy, which we can do without.
    "${apt[@]}" install --no-install-recommends "${packages[@]:0:3}" >"$log" 2>&1; then
    installing="; the packages installed did not help"
  else
    installing="; apt-get could not install ${packages[*]:0:3}"
    tail -n 20 "$log" >&2
  fi
  rm -f "$log"
  hash -r
}

find_toolchains
if [ "$install" = yes ]; then
  # Only if something is missing, so that the next run does not go there.
  for target in "${targets[@]}"; do
    if choose "$target" && has_clippy "$bin"; then continue; fi
    install_packages
    find_toolchains
    break
  done
fi

# ----------------------------------------------------------------- checking

# check TARGET CARGO-ARGUMENTS, with bin and std as set by choose.
# Runs in a subshell of its own: what it exports ends with it.
check() (
  target=$1
  shift
  # The compiler and cargo by name and first on the PATH: another toolchain may
  # stand in front there, and a build script may ask for "rustc".
  export PATH="$bin:$PATH" CARGO="$bin/cargo" RUSTC="$bin/rustc"

  # Nothing of it is ever run or debugged: half the disk space.
  export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0

  args=(--workspace --quiet --target "$target"
    --target-dir "$cache/$(version_of "$bin")" ${locked[@]+"${locked[@]}"})

  if [ "$std" = source ]; then
    # -Z is for unstable versions; this variable allows it in a stable one.
    export RUSTC_BOOTSTRAP=1
    args+=("-Zbuild-std=std,panic_unwind")
  fi

  case $target in
    *-musl)
      # musl is linked statically unless told otherwise, and then a shared
      # library such as the addon is refused. The variable RUSTFLAGS, if it is
      # set, puts the other one out of force.
      flags="-C target-feature=-crt-static"
      if [ -n "${RUSTFLAGS:-}" ]; then
        export RUSTFLAGS="$RUSTFLAGS $flags"
      else
        name=${target//-/_}
        export "CARGO_TARGET_${name^^}_RUSTFLAGS=$flags"
      fi
      ;;
    *-windows-gnu)
      # napi's build script asks for a library of Node's to link with. Nothing is linked here, nor are its symbols
      # when an addon is: they are looked up in the program that loads it.
      mkdir -p "$cache/node"
      : >>"$cache/node/libnode.dll"
      export LIBNODE_PATH="$cache/node"
      ;;
  esac

  if has_clippy "$bin"; then
    say "checking $target with clippy $(version_of "$bin") (standard library: $std) ..."
    lints=()
    if [ "$strict" = yes ]; then lints=(-- -D warnings); fi
    # Not "cargo clippy": cargo looks into its own home directory first and may
    # find the cargo-clippy of another toolchain there.
    exec "$bin/cargo-clippy" clippy "${args[@]}" "$@" ${lints[@]+"${lints[@]}"}
  fi
  say "checking $target with rustc $(version_of "$bin"), no clippy (standard library: $std) ..."
  exec "$bin/cargo" check "${args[@]}" "$@"
)

ok=0
failed=0
skipped=0
for target in "${targets[@]}"; do
  if ! choose "$target"; then
    echo "skipped $target: $why"
    skipped=$((skipped + 1))
  elif check "$target" "$@" >&2; then
    echo "ok $target"
    ok=$((ok + 1))
  else
    echo "FAILED $target"
    failed=$((failed + 1))
  fi
done

echo "check-targets: $ok ok, $failed FAILED, $skipped skipped"
if [ "$failed" -gt 0 ]; then exit 1; fi
if [ "$no_skip" = yes ] && [ "$skipped" -gt 0 ]; then exit 1; fi
exit 0
