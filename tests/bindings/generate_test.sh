#!/bin/sh
# What is generated from bitnet.h is what the generators make of it today, and they refuse what they would get wrong.
# usage: generate_test.sh SOURCE-ROOT SCRATCH-FOLDER
set -eu
source=$1
scratch=$2
. "$source/tests/install/stage.sh"
alone "$scratch"
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

"$python" "$(dirname "$0")/bent_headers.py" "$source" "$scratch/bent" || exit 1

# generated FOLDER: the files below its bindings that say in their first line that a generator wrote them
generated() {
  find "$1/bindings" "$1/tests/bindings" -name target -prune -o -type f \
    -exec grep -l 'by bindings/generate/.*from include/bitnet.h' {} + | while read -r file; do
    if head -n 1 "$file" | grep -q 'by bindings/generate/.*from include/bitnet.h'; then
      echo "${file#"$1/"}"
    fi
  done
}

# left_behind FOLDER WRITTEN: of these files, those that the list WRITTEN of what the generators write does not have
left_behind() {
  generated "$1" >"$scratch/marked"
  grep -vxF -f "$2" "$scratch/marked"
}

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

generated "$scratch" | sort >"$scratch/marked"
if ! sort "$scratch/written" | diff - "$scratch/marked"; then
  echo 'FAILED: the first line of each generated file has to say so'
  exit 1
fi
cp "$scratch/bindings/go/constants.go" "$scratch/bindings/go/no_longer_written.go"
if [ "$(left_behind "$scratch" "$scratch/written")" != bindings/go/no_longer_written.go ]; then
  echo 'FAILED: a file that the generators have stopped writing is not found'
  exit 1
fi
# Without a tool its part writes nothing.
if [ $status -eq 0 ] && left_behind "$source" "$scratch/written"; then
  echo 'FAILED: these files say that bindings/generate writes them, and it does not: delete them'
  exit 1
fi
echo "$compared generated files are up to date"
[ $status -eq 0 ] || echo 'skipped: the parts named above'
rm -rf "$scratch"
exit $status
