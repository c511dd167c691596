# C and C++ programs of a stranger, with pkg-config and every compiler there is: the header in every language it
# promises, every example of the header and of README.md, linked with the library and with the archive, and shipped.
source=$1
build=$2
scratch=$3
. "$source/tests/samples/check.sh"
. "$source/tests/install/stage.sh"
set -e
stage "$build" "$scratch"
set +e
unset CC CXX CFLAGS CXXFLAGS CPPFLAGS LDFLAGS
cd "$work" || exit 1

# ---- The header alone --------------------------------------------------------------------------
checked=0
# header COMPILER LANGUAGE STANDARDS...: without a warning, also twice.
header_in() {
  compiler=$1
  language=$2
  shift 2
  command -v "$compiler" >/dev/null || { echo "there is no $compiler"; return; }
  for standard in "$@"; do
    checked=$((checked + 1))
    printf '#include <bitnet.h>\n#include <bitnet.h>\nint main(void) { return BITNET_OK; }\n' |
      "$compiler" -x "$language" -std="$standard" -I"$(dirname "$header")" -Wall -Wextra -Wpedantic -Wshadow \
        -Wconversion -Wundef -Werror -fsyntax-only - || fail "$compiler -std=$standard does not take the header"
  done
}
header_in gcc c c99 c11 c17
header_in clang c c99 c11 c17
header_in g++ c++ c++11 c++14 c++17 c++20
header_in clang++ c++ c++11 c++14 c++17 c++20
[ $checked -gt 0 ] || { echo 'skipped: there is no gcc and no clang'; exit 77; }

# ---- The flags ---------------------------------------------------------------------------------
# The tree's packages are all that pkg-config finds here, so they need no others.
cflags=$(pkg-config --cflags bitnet)
libs=$(pkg-config --libs bitnet)
echo "pkg-config: $cflags $libs"
for word in $libs; do
  case $word in
    -L"$tree"/* | -lbitnet) ;;
    *) fail "bitnet.pc asks every program to link $word" ;;
  esac
done

# ---- The examples ------------------------------------------------------------------------------
answer=$("$program" chat 'What is the capital of France?' </dev/null)
[ -n "$answer" ] || fail 'bitnet chat says nothing'

# runs_as_hello PROGRAM: what samples/hello.c is to do.
runs_as_hello() {
  status 0 "$1" "$model" 'What is the capital of France?'
  silent
  stdout_is "$answer"
  status 1 "$1" /nonexistent.gguf
  stderr_has nonexistent.gguf
}
# runs_as_worker PROGRAM: a reply to its end, and one stopped at its first piece.
runs_as_worker() {
  status 0 "$1" "$model"
  silent
  [ "$(head -n 1 "$out")" = "${answer}[]" ] || fail "$1 printed $(head -n 1 "$out"), expected ${answer}[]"
  grep -qx '[^ ]*\[stopped\]' "$out" || fail "$1 was not stopped: $(tail -n 1 "$out")"
  status 1 "$1" /nonexistent.gguf
  stderr_has nonexistent.gguf
}

# built COMPILER STANDARD SOURCE: compiles and links it without a warning, into ./program.
built() {
  rm -f program
  # shellcheck disable=SC2086
  "$1" -std="$2" -Wall -Wextra -Wpedantic -Werror $cflags "$3" -o program $libs -pthread || fail "$1 -std=$2 does not build $3"
  programs=$((programs + 1))
}
programs=0
python3 "$source/tests/install/examples.py" "$header" header >names || fail 'no examples in the header'
[ "$(wc -l <names)" -eq "$(grep -c '^ \* *#include <bitnet' "$header")" ] || fail "examples in the header: $(cat names)"
python3 "$source/tests/install/examples.py" "$source/README.md" readme >names || fail 'no examples in README.md'
set -- readme/*.c
[ $# -eq 1 ] || fail "README.md has $# programs in C, this test knows one"
set -- readme/*.cpp
[ $# -eq 1 ] || fail "README.md has $# programs in C++, this test knows one"
for hello in header/*.c readme/*.c; do
  same "$hello" "$source/samples/hello.c" "$hello is not samples/hello.c"
done
cp header/*.c hello.c
cp readme/*.cpp worker.cpp

for compiler in gcc clang; do
  command -v $compiler >/dev/null || continue
  built $compiler c99 hello.c
  runs_as_hello ./program
done
cp hello.c hello.cpp
for compiler in g++ clang++; do
  command -v $compiler >/dev/null || continue
  for standard in c++17 c++20; do
    built $compiler $standard hello.cpp
    runs_as_hello ./program
    built $compiler $standard worker.cpp
    runs_as_worker ./program
  done
done
echo "$checked times the header alone, $programs programs"

# ---- The lines of README.md --------------------------------------------------------------------
# Each as it stands there; those that ask for the archive only where there is one.
grep -E '^    cc hello\.c |^// c\+\+ ' "$source/README.md" | sed 's,^ *,,; s,^// ,,' >lines
[ "$(wc -l <lines)" -ge 5 ] || fail "README.md has lost lines that compile: $(cat lines)"
archive=$libdir/libbitnet.a
shipped=
while read -r line; do
  case $line in
    *--static*) [ -f "$archive" ] || continue ;;
  esac
  rm -f hello worker
  status 0 sh -c "$line"
  case $line in
    *worker.cpp*) runs_as_worker ./worker ;;
    *) runs_as_hello ./hello ;;
  esac
  case $line in
    *--static*)
      if readelf -dW hello | grep -q 'NEEDED.*libbitnet'; then fail "$line: needs the shared library"; fi
      (unset LD_LIBRARY_PATH && runs_as_hello ./hello; exit $((failures > 0))) || fail 'the program with the archive inside'
      ;;
    *rpath*) shipped=yes && mkdir -p ship && mv hello ship/ ;;
  esac
done <lines

# ---- What to ship ------------------------------------------------------------------------------
# All that is not the C or C++ compiler's own, in a folder beside the program, is found there.
[ "$shipped" = yes ] || fail 'README.md has no line for a program that is shipped'
mkdir -p ship/lib
cp "$libdir/libbitnet.so.0" ship/lib/ || fail 'README.md names libbitnet.so.0'
needed=$(readelf -dW "$libdir/libbitnet.so" | sed -n 's/.*(NEEDED).*\[\(.*\)\]$/\1/p' |
  grep -vE '^lib(stdc\+\+|gcc_s|c|m|dl|pthread)\.so|^ld-linux')
for name in $needed; do
  grep -qF "\`$name\`" "$source/README.md" || fail "README.md does not say that the library needs $name"
  cp "$(LD_LIBRARY_PATH='' ldd "$libdir/libbitnet.so" | sed -n "s/.*$name => \(.*\) (.*/\1/p")" ship/lib/
done
mv ship elsewhere
(
  unset LD_LIBRARY_PATH
  runs_as_hello ./elsewhere/hello
  status 0 ldd ./elsewhere/hello
  for name in libbitnet.so.0 $needed; do
    grep -qF "$name => $work/./elsewhere/lib/$name" "$out" ||
      grep -qF "$name => $work/elsewhere/lib/$name" "$out" || fail "$(grep -F "$name" "$out") is not what was shipped"
  done
  exit $((failures > 0))
) || fail 'the program that was shipped'

# ---- The archive -------------------------------------------------------------------------------
if [ ! -f "$archive" ]; then
  echo 'no archive was built (-Ddefault_library=both)'
  finish
fi
# Without the shared library beside it, -lbitnet is the archive, for any of the compilers.
rm "$libdir"/libbitnet.so*
unset LD_LIBRARY_PATH
libs=$(pkg-config --libs --static bitnet)
for compiler in gcc clang; do
  command -v $compiler >/dev/null || continue
  built $compiler c99 hello.c
  runs_as_hello ./program
done
# Nothing in it can meet a name of the host: what is strong is bitnet_* or in namespace bitnet; what is weak may also be
# the C++ library's own, which all programs share.
nm -gC --defined-only "$archive" | sed -n 's/^[0-9a-f]* \(.\) /\1 /p' | sort -u >symbols
[ "$(wc -l <symbols)" -ge 300 ] || fail "nm sees only $(wc -l <symbols) names in the archive"
grep -vE '^. (bitnet_|bitnet::|(vtable|typeinfo|typeinfo name|guard variable) for bitnet::)' symbols |
  grep -vE '^[VWu] (DW\.ref\.|(typeinfo|typeinfo name|vtable) for std::|(.* )?std::|void std::|bool std::)' >foreign
[ ! -s foreign ] || fail "names in the archive that may be the host's as well: $(head -n 20 foreign)"
echo "archive: $(grep -c ' bitnet_' symbols) calls, $(grep -c 'bitnet::' symbols) names of its own," \
  "$(grep -vc 'bitnet' symbols) of the C++ library"

[ "$failures" -ne 0 ] || rm -rf "$scratch"
finish
