#!/bin/sh
# Prints what the public header and the changelog say about versions.
# usage: version.sh HEADER version            the header's version, 0.2.0
#        version.sh HEADER abi                its ABI version
#        version.sh HEADER oldest CHANGELOG   the first version with that ABI version
set -eu
header=$1
number() { sed -n "s/^#define BITNET_$1 \([0-9][0-9]*\).*/\1/p" "$header"; }
case $2 in
  version) echo "$(number VERSION_MAJOR).$(number VERSION_MINOR).$(number VERSION_PATCH)" ;;
  abi) number ABI_VERSION ;;
  oldest)
    abi=$(number ABI_VERSION)
    oldest=$(sed -nE "s/^## ([0-9][0-9.]*) .*ABI version $abi([^0-9].*)?\$/\1/p" "$3" | tail -n 1)
    [ -n "$oldest" ] || { echo "$3: expected a heading '## VERSION - ABI version $abi', found none" >&2; exit 1; }
    echo "$oldest"
    ;;
  *) echo "usage: version.sh HEADER version|abi|oldest [CHANGELOG]" >&2; exit 2 ;;
esac
