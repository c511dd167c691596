#!/bin/sh
# Installs the Debian packages that are missing to build; where it may not, says the command to run.
# usage: sh samples/packages.sh [tests]     tests: also those that the tests need
set -eu

packages='meson ninja-build gcc g++ pkg-config libcjson-dev libmimalloc-dev libutf8proc-dev'
if [ "${1:-}" = tests ]; then
  packages="$packages libgtest-dev libbenchmark-dev python3 python3-numpy clang"
fi

if ! command -v dpkg-query >/dev/null 2>&1; then
  echo "packages.sh: this is no Debian; the build needs what these packages hold: $packages" >&2
  exit 0
fi

missing=
for package in $packages; do
  state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
  as_root=
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
  as_root='sudo -n'
else
  echo "packages.sh: packages are missing and only root may install them. Please run:" >&2
  echo "  sudo apt-get update && sudo apt-get install -y$missing" >&2
  exit 1
fi

echo "packages.sh: installing$missing" >&2
# Another apt may be at work; a fresh system has no package lists yet.
apt="$as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300"
$apt update >&2 </dev/null || echo "packages.sh: apt-get update failed, trying what is known" >&2
# shellcheck disable=SC2086
$apt install -y --no-install-recommends $missing >&2 </dev/null
