#!/bin/sh
# Prints the version ("version") or the ABI version ("abi") that the public header states.
# usage: version.sh HEADER version|abi
number() { sed -n "s/^#define BITNET_$1 \([0-9][0-9]*\).*/\1/p" "$header"; }
header=$1
case $2 in
  version) echo "$(number VERSION_MAJOR).$(number VERSION_MINOR).$(number VERSION_PATCH)" ;;
  abi) number ABI_VERSION ;;
  *) echo "usage: version.sh HEADER version|abi" >&2; exit 2 ;;
esac
