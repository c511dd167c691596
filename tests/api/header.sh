#!/bin/sh
# The public header compiles alone, without a warning, in every language it promises.
# usage: header.sh DIRECTORY-OF-HEADER
set -eu
include=$1
checked=0
status=0

compile() { # compile COMPILER LANGUAGE STANDARD
  command -v "$1" >/dev/null 2>&1 || return 0
  checked=$((checked + 1))
  if ! printf '#include <bitnet.h>\n#include <bitnet.h>\nint main(void) { return BITNET_OK; }\n' |
    "$1" -x "$2" -std="$3" -I"$include" -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wundef -Werror \
      -fsyntax-only -; then
    echo "FAILED: $1 -std=$3"
    status=1
  fi
}

for standard in c99 c11 c17; do
  compile gcc c $standard
  compile clang c $standard
done
for standard in c++11 c++14 c++17 c++20; do
  compile g++ c++ $standard
  compile clang++ c++ $standard
done
[ $checked -gt 0 ] || { echo 'skipped: there is no gcc and no clang'; exit 77; }
echo "$checked compilers and standards"
exit $status
