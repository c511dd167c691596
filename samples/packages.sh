#!/bin/sh
# Installs the Debian packages that are missing to build; where it may not, says the command to run.
# usage: sh samples/packages.sh [tests]     tests: also those that the tests need, and on x86-64 those of the
#        emulated AArch64, for which arm64 becomes an architecture of this system, and those of the ABI checks and of
#        Rust, Go and C# (without them those tests skip)
set -eu

# dpkg-dev tells Meson the folder that Debian has for libraries: with it `meson install` installs where the loader looks.
packages='meson ninja-build gcc g++ pkg-config dpkg-dev libcjson-dev libmimalloc-dev libutf8proc-dev'
emulated=
outside=
if [ "${1:-}" = tests ]; then
  packages="$packages libgtest-dev libbenchmark-dev python3 python3-numpy clang"
  emulated='qemu-user g++-aarch64-linux-gnu
    libcjson-dev:arm64 libutf8proc-dev:arm64 libgtest-dev:arm64 libstdc++6:arm64'
  outside='abigail-tools cmake mandoc man-db valgrind python3-clang bindgen rustfmt rustc cargo rust-clippy
    golang-go mono-mcs mono-runtime libmono-posix4.0-cil'
fi

if ! command -v dpkg-query >/dev/null 2>&1; then
  echo "packages.sh: this is no Debian; the build needs what these packages hold: $packages" >&2
  exit 0
fi
native=$(dpkg --print-architecture)
[ "$native" = amd64 ] || emulated=

# missing PACKAGES...: those that are not installed; NAME:ARCHITECTURE is another architecture's.
missing() {
  for package in "$@"; do
    case $package in
      *:*) architecture=${package#*:} ;;
      *) architecture="$native\|all" ;;
    esac
    dpkg-query -W -f='${Architecture} ${db:Status-Status}\n' "${package%:*}" 2>/dev/null |
      grep -qx "\($architecture\) installed" || printf ' %s' "$package"
  done
}
# shellcheck disable=SC2086
needed=$(missing $packages)
# shellcheck disable=SC2086
outside=$(missing $outside)
# shellcheck disable=SC2086
emulated=$(missing $emulated)
[ -n "$needed$outside$emulated" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
  as_root=
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
  as_root='sudo -n'
else
  echo "packages.sh: packages are missing and only root may install them. Please run:" >&2
  if [ -n "$emulated" ]; then echo "  sudo dpkg --add-architecture arm64" >&2; fi
  echo "  sudo apt-get update && sudo apt-get install -y$needed$outside$emulated" >&2
  [ -z "$needed" ]
  exit
fi

if [ -n "$emulated" ] && ! $as_root dpkg --add-architecture arm64; then
  echo "packages.sh: arm64 cannot become a foreign architecture of this system" >&2
fi
# Another apt may be at work; a fresh system has no package lists yet.
apt="$as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300"
$apt update >&2 </dev/null || echo "packages.sh: apt-get update failed, trying what is known" >&2

# install PACKAGES...: all or none; none is fine.
install() {
  [ $# -gt 0 ] || return 0
  echo "packages.sh: installing $*" >&2
  $apt install -y --no-install-recommends "$@" >&2 </dev/null
}
# shellcheck disable=SC2086
install $needed
# shellcheck disable=SC2086
install $outside || echo "packages.sh: not all of Rust, Go, C# and the ABI checks is here; what lacks is skipped" >&2
# shellcheck disable=SC2086
install $emulated || echo "packages.sh: no emulated AArch64 on this system; its tests are skipped" >&2
