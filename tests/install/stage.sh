# Sourced by tests that use the library as a stranger would: from an installed tree and nothing else.
# shellcheck disable=SC2034  # what stage sets is for them

# one NAME: the path of the only file of that name in the tree.
one() {
  found=$(find "$tree" -name "$1")
  [ -f "$found" ] || { echo "FAILED: $1 is not installed, or not once: $found" >&2; exit 1; }
  echo "$found"
}

# view BUILD-FOLDER VIEW: the build folder under another name, with a list of installed files of its own, so that tests
# that install side by side, and a developer who wants to uninstall, each keep theirs.
view() {
  mkdir -p "$2/meson-logs" "$2/meson-private"  # Meson finds the one folder by way of the other
  whole=$(cd "$1" && pwd)
  ln -s "$whole"/meson-private/* "$2/meson-private/"
  for entry in "$whole"/*; do
    case $entry in
      */meson-logs | */meson-private) ;;
      *) ln -s "$entry" "$2/" ;;
    esac
  done
}

# alone SCRATCH-FOLDER: until this script ends, another run of it that would empty the folder waits.
alone() {
  if command -v flock >/dev/null; then
    mkdir -p "$(dirname "$1")"
    exec 9>"$1.lock"
    flock 9
  fi
}

# stage BUILD-FOLDER SCRATCH-FOLDER: empties SCRATCH, installs BUILD into it and moves the tree, so that nothing
# can point back into the build folder. Sets `tree`, `libdir`, `header`, `model`, `program`; from then on
# pkg-config and the loader see that tree before, and pkg-config instead of, the system's. For `set -e` scripts.
stage() {
  alone "$2"
  rm -rf "$2"
  mkdir -p "$2"
  view "$1" "$2/view"
  DESTDIR="$2/staged" meson install -C "$2/view" --no-rebuild --quiet
  mv "$2/staged" "$2/installed"
  tree=$2/installed
  header=$(one bitnet.h)
  model=$(one bitnet-nano.gguf)
  program=$(find "$tree" -path '*/bin/bitnet')
  libdir=$(dirname "$(dirname "$(one bitnet.pc)")")
  unset PKG_CONFIG_PATH
  PKG_CONFIG_LIBDIR=$libdir/pkgconfig
  PKG_CONFIG_SYSROOT_DIR=$tree
  LD_LIBRARY_PATH=$libdir
  export PKG_CONFIG_LIBDIR PKG_CONFIG_SYSROOT_DIR LD_LIBRARY_PATH
}
