#!/bin/sh
# A stranger can use the installed tree: everything is where packagers and pkg-config look, a C program
# builds from that tree alone and runs, and so does the bitnet program. The tree is moved first, so
# nothing may point back into the build folder.
# usage: install.sh BUILD-FOLDER SCRATCH-FOLDER EXPECTED-VERSION EXPECTED-ABI
set -eu
build=$1
scratch=$2
version=$3
abi=$4
status=0

fail() {
  echo "FAILED: $*"
  status=1
}

rm -rf "$scratch"
mkdir -p "$scratch"
DESTDIR="$scratch/staged" meson install -C "$build" --no-rebuild --quiet
mv "$scratch/staged" "$scratch/moved"
tree=$scratch/moved

pc=$(find "$tree" -name bitnet.pc)
header=$(find "$tree" -path '*/include/bitnet.h')
library=$(find "$tree" -name "libbitnet.so.$version")
model=$(find "$tree" -path '*/share/bitnet/bitnet-nano.gguf')
program=$(find "$tree" -path '*/bin/bitnet')
for file in "pc $pc" "header $header" "library $library" "model $model" "program $program"; do
  [ -f "${file#* }" ] || fail "the ${file%% *} is not installed, or not once: ${file#* }"
done
[ $status -eq 0 ] || { find "$tree"; exit 1; }

libdir=$(dirname "$library")
[ "$(readlink "$libdir/libbitnet.so.$abi")" = "libbitnet.so.$version" ] || fail "libbitnet.so.$abi is no link to it"
[ "$(readlink "$libdir/libbitnet.so")" = "libbitnet.so.$abi" ] || fail 'libbitnet.so is no link to it'
others=$(find "$tree" -name '*.a' -o -path '*/include/*' -type f ! -name bitnet.h)
[ -z "$others" ] || fail "these should not be installed: $others"
if readelf -d "$library" "$program" | grep -E 'R(UN)?PATH' | grep -qF "$build"; then
  fail 'a path of the build folder is searched for libraries'
fi

# Nothing but the tree may be found.
PKG_CONFIG_LIBDIR=$(dirname "$pc")
PKG_CONFIG_SYSROOT_DIR=$tree
export PKG_CONFIG_LIBDIR PKG_CONFIG_SYSROOT_DIR
unset PKG_CONFIG_PATH LD_LIBRARY_PATH
[ "$(pkg-config --modversion bitnet)" = "$version" ] || fail "bitnet.pc says $(pkg-config --modversion bitnet)"
cflags=$(pkg-config --cflags bitnet)
libs=$(pkg-config --libs bitnet)
echo "pkg-config: $cflags $libs"
for word in $libs; do
  case $word in
    -L"$tree"/*|-lbitnet) ;;
    *) fail "bitnet.pc asks every program to link $word" ;;
  esac
done

# The hello of the header's first page, as it stands there.
sed -n '/^ \* HELLO/,/^ \* CONVENTIONS/s/^ \*     //p' "$header" >"$scratch/hello.c"
[ "$(grep -c . "$scratch/hello.c")" -ge 15 ] || fail 'bitnet.h has lost its hello'
for compiler in cc gcc clang; do
  command -v $compiler >/dev/null 2>&1 || continue
  # shellcheck disable=SC2086
  $compiler -std=c99 -Wall -Wextra -Werror $cflags "$scratch/hello.c" -o "$scratch/hello" $libs ||
    fail "$compiler does not compile the hello"
done
reply=$(LD_LIBRARY_PATH=$libdir "$scratch/hello" "$model" 'What is the capital of France?') ||
  fail 'the hello ends with an error'
echo "hello: $reply"
[ -n "$reply" ] || fail 'the hello says nothing'
if LD_LIBRARY_PATH=$libdir "$scratch/hello" /nonexistent 2>"$scratch/why"; then
  fail 'the hello does not notice a missing model'
fi
grep -q nonexistent "$scratch/why" || fail 'the reason does not name the file'

# The program finds its library by itself, and needs no file beside it.
cd /
answer=$("$program" chat 'What is the capital of France?' </dev/null) || fail 'bitnet chat ends with an error'
echo "bitnet chat: $answer"
[ -n "$answer" ] || fail 'bitnet chat says nothing'

[ $status -ne 0 ] || rm -rf "$scratch"
exit $status
