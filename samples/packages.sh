#!/bin/sh
# Installs the Debian packages that are missing to build; where it may not, says the command to run.
# usage: sh samples/packages.sh [tests]     tests: also those that the tests need, and on x86-64 those of the
#        emulated AArch64, for which arm64 becomes an architecture of this system (without them those tests skip)
set -eu

packages='meson ninja-build gcc g++ pkg-config libcjson-dev libmimalloc-dev libutf8proc-dev'
emulated=
if [ "${1:-}" = tests ]; then
  packages="$packages libgtest-dev libbenchmark-dev python3 python3-numpy clang"
  emulated='qemu-user g++-aarch64-linux-gnu
    libcjson-dev:arm64 libutf8proc-dev:arm64 libgtest-dev:arm64 libstdc++6:arm64'
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
wanted=$(missing $emulated)
[ -n "$needed$wanted" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
  as_root=
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
  as_root='sudo -n'
else
  echo "packages.sh: packages are missing and only root may install them. Please run:" >&2
  if [ -n "$wanted" ]; then echo "  sudo dpkg --add-architecture arm64" >&2; fi
  echo "  sudo apt-get update && sudo apt-get install -y$needed$wanted" >&2
  [ -z "$needed" ]
  exit
fi

if [ -n "$wanted" ] && ! $as_root dpkg --add-architecture arm64; then
  echo "packages.sh: arm64 cannot become a foreign architecture of this system" >&2
fi
# Another apt may be at work; a fresh system has no package lists yet.
apt="$as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300"
$apt update >&2 </dev/null || echo "packages.sh: apt-get update failed, trying what is known" >&2

# install PACKAGES...
install() {
  echo "packages.sh: installing $*" >&2
  $apt install -y --no-install-recommends "$@" >&2 </dev/null
}
# shellcheck disable=SC2086
if [ -n "$wanted" ] && ! install $wanted; then
  echo "packages.sh: no emulated AArch64 on this system; its tests are skipped" >&2
fi
# shellcheck disable=SC2086
if [ -n "$needed" ]; then install $needed; fi
