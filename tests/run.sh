#!/bin/sh
# All tests, from a fresh Debian 12 on: installs what is missing, then
#   build/        gcc, release, shared library and archive: all tests
#   build-asan/   gcc, address and undefined-behaviour sanitizers: all tests
#   build-clang/  clang: compiles without a warning
# The last line says "N passed, N failed, N skipped"; the exit status is 0 only if none failed and
# some ran.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$root"

sh samples/packages.sh tests </dev/null

passed=0
failed=0
skipped=0
summary=
errors=

say() { printf '\n== %s\n' "$*"; }

# note TEXT PASSED FAILED SKIPPED: adds one stage to the sum.
note() {
  summary="$summary
  $1: $2 passed, $3 failed, $4 skipped"
  passed=$((passed + $2))
  failed=$((failed + $3))
  skipped=$((skipped + $4))
}

# build DIRECTORY OPTIONS...: configures (also a directory that was configured differently) and compiles. What went
# wrong is said again at the end.
build() {
  directory=$1
  shift
  mkdir -p "$directory"
  rm -f "$directory/built"
  {
    if [ -f "$directory/build.ninja" ]; then
      meson configure "$directory" "$@" && ninja -C "$directory" && touch "$directory/built"
    else
      meson setup "$directory" "$@" && ninja -C "$directory" && touch "$directory/built"
    fi
  } 2>&1 | tee "$directory/build.log"
  [ -f "$directory/built" ] && return 0
  errors="$errors
$directory: $(grep -m 1 -A 20 -e '^FAILED' -e 'ERROR:' "$directory/build.log" || tail -20 "$directory/build.log")"
  return 1
}

# Prints "PASSED FAILED SKIPPED" of the last `meson test` in a directory.
count() {
  python3 - "$1/meson-logs/testlog.json" <<'END'
import json, sys
passed = failed = skipped = 0
try:
    lines = open(sys.argv[1], encoding="utf-8").read().splitlines()
except FileNotFoundError:
    lines = []
for line in lines:
    result = json.loads(line)["result"]
    if result in ("OK", "EXPECTEDFAIL"):
        passed += 1
    elif result == "SKIP":
        skipped += 1
    else:
        failed += 1
print(passed, failed, skipped)
END
}

# run NAME DIRECTORY ARGUMENTS...: runs the tests of a directory and adds them to the sum.
run() {
  name=$1
  directory=$2
  shift 2
  rm -f "$directory/meson-logs/testlog.json"
  status=0
  meson test -C "$directory" --no-rebuild --print-errorlogs "$@" || status=$?
  # shellcheck disable=SC2046
  set -- "$name" $(count "$directory")
  if [ $(($2 + $3)) -eq 0 ]; then
    echo "$name: no test ran"
    set -- "$1" "$2" $(($3 + 1)) "$4"
  elif [ "$status" -ne 0 ] && [ "$3" -eq 0 ]; then
    echo "$name: meson test ended with status $status before all tests had run"
    set -- "$1" "$2" $(($3 + 1)) "$4"
  fi
  # Cases that a passing program skipped inside itself (data that is not beside the checkout).
  if grep -A1 ': Skipped$' "$directory/meson-logs/testlog.txt" >"$directory/skipped.txt" 2>/dev/null; then
    echo "$name: cases skipped inside passing tests, and why:"
    grep -v -e ': Skipped$' -e '^--$' "$directory/skipped.txt"
  fi
  note "$@"
}

say 'release build (gcc)'
if CC=gcc CXX=g++ build build -Dbuildtype=release -Dwerror=true -Ddefault_library=both -Dtests=true \
  -Dsamples=true; then
  run 'release' build
else
  note 'release build' 0 1 0
fi

say 'sanitizer build (gcc, address and undefined)'
export ASAN_OPTIONS=allocator_may_return_null=1:detect_stack_use_after_return=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
if CC=gcc CXX=g++ build build-asan -Ddebug=true -Doptimization=1 -Db_sanitize=address,undefined \
  -Db_lundef=false -Dwerror=true -Dtests=true -Dsamples=true; then
  run 'sanitizers' build-asan --timeout-multiplier 4
else
  note 'sanitizer build' 0 1 0
fi

say 'clang build'
if ! command -v clang++ >/dev/null 2>&1; then
  echo 'clang build: skipped, there is no clang++'
  note 'clang build' 0 0 1
elif CC=clang CXX=clang++ build build-clang -Dbuildtype=plain -Dwerror=true -Dcuda=disabled -Dtests=true -Dsamples=true; then
  note 'clang build' 1 0 0
else
  note 'clang build' 0 1 0
fi

[ -z "$errors" ] || say "builds that failed$errors"
say "summary$summary"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
