#!/bin/sh
# What is generated from bitnet.h is what the generators make of it today.
# usage: generate_test.sh SOURCE-ROOT SCRATCH-FOLDER
set -eu
source=$1
scratch=$2
rm -rf "$scratch"
mkdir -p "$scratch"

# The python3 that comes first may be one without Debian's modules.
for python in python3 /usr/bin/python3 none; do
  if "$python" -c 'import clang.cindex' 2>/dev/null; then break; fi
done
if [ "$python" = none ]; then
  echo 'skipped: no python3 has the module clang (Debian: python3-clang)'
  exit 77
fi

status=0
"$python" "$source/bindings/generate/main.py" --out "$scratch" >"$scratch/written" || status=$?
[ $status -eq 0 ] || [ $status -eq 77 ] || exit 1
compared=0
different=0
while read -r file; do
  compared=$((compared + 1))
  diff -u "$source/$file" "$scratch/$file" || different=$((different + 1))
done <"$scratch/written"
if [ $different -ne 0 ]; then
  echo "FAILED: $different files are not what bindings/generate/main.py writes; run it and commit what it changed"
  exit 1
fi
[ $compared -gt 0 ] || { echo 'FAILED: nothing was generated'; exit 1; }
echo "$compared generated files are up to date"
[ $status -eq 0 ] || echo 'skipped: the parts named above'
rm -rf "$scratch"
exit $status
