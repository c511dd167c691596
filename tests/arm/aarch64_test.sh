# AArch64 without such a machine: builds the library, the bitnet program and some tests with
# Debian's cross compiler and runs them under qemu, on processors that have only NEON, dot products
# as well, and int8 matrix products as well.
#   - The verbs of every table equal the reference on a processor that lacks what the table does not
#     need.
#   - Logits and text equal those of the native program, byte for byte.
#   - No instruction of a newer processor, and no symbol that may be shared, outside its own library.
# usage: sh aarch64_test.sh ROOT BUILD BITNET       BUILD is kept between runs; BITNET is native
# Status 77: the compiler, the emulator or a library is not there.
set -u
root=$1
build=$2
native=$3
. "$root/tests/install/stage.sh"
alone "$build"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

skip() {
  echo "skipped: $*"
  exit 77
}
fail() {
  failures=$((failures + 1))
  echo "FAILED: $*"
}
for tool in aarch64-linux-gnu-gcc aarch64-linux-gnu-g++ aarch64-linux-gnu-objdump qemu-aarch64 meson ninja; do
  command -v "$tool" >/dev/null || skip "there is no $tool (sh samples/packages.sh tests installs it)"
done
for package in gtest libcjson libutf8proc; do
  [ -f "/usr/lib/aarch64-linux-gnu/pkgconfig/$package.pc" ] ||
    skip "there is no $package for arm64 (sh samples/packages.sh tests installs it)"
done

# What the environment says to the native build is not meant for this one.
unset CC CXX CFLAGS CXXFLAGS CPPFLAGS LDFLAGS
if [ ! -f "$build/build.ninja" ]; then
  meson setup "$build" "$root" -Dwerror=true --cross-file "$root/tests/arm/aarch64.ini" >"$work/log" 2>&1 || {
    cat "$work/log"
    exit 1
  }
fi
ninja -C "$build" samples/bitnet tests/base/base_test tests/compute/compute_test \
  tests/proof/contract_test >"$work/log" 2>&1 || {
  tail -n 60 "$work/log"
  exit 1
}

# tests CPU PROGRAM FILTER COUNT: so many tests or more pass.
tests() {
  qemu-aarch64 -cpu "$1" "$build/$2" --gtest_filter="$3" >"$work/log" 2>&1 || {
    fail "$2 $3 on $1"
    grep -B 8 'FAILED' "$work/log" | head -n 60
    tail -n 3 "$work/log"
    return
  }
  passed=$(sed -n 's/.*PASSED  *\] \([0-9]*\) test.*/\1/p' "$work/log")
  [ "${passed:-0}" -ge "$4" ] || fail "$2 $3 on $1: $passed tests passed, expected $4 or more"
}

text='The capital of France is'
tokens=3,14,15,92,65,35,89,79,32,38,46,26
"$native" run -p "$text" -n 12 --ignore-end --ids >"$work/ids" || fail 'the native run'
"$native" logits --tokens "$tokens" -o "$work/logits" || fail 'the native logits'
[ -s "$work/ids" ] && [ -s "$work/logits" ] || fail 'the native program wrote nothing'

# processor CPU ISAS: offers these and no more; the last is what it uses; all give the native bytes.
processor() {
  cpu=$1
  isas=$2
  bitnet() { qemu-aarch64 -cpu "$cpu" "$build/samples/bitnet" "$@"; }
  offered=$(bitnet --help | sed -n 's/.*for --isa: *//p')
  [ "$offered" = "$isas" ] || fail "$cpu offers '$offered', expected '$isas'"
  bitnet run -p "$text" -n 2 --receipt "$work/receipt" >/dev/null || fail "run on $cpu"
  grep -q "\"isa\":\"${isas##* }\"" "$work/receipt" || fail "$cpu: the receipt does not name ${isas##* }"
  for isa in $isas; do
    bitnet run -p "$text" -n 12 --ignore-end --ids --isa "$isa" >"$work/other" || fail "run --isa $isa on $cpu"
    cmp "$work/ids" "$work/other" || fail "other text by $isa on $cpu"
    bitnet logits --tokens "$tokens" -o "$work/other" --isa "$isa" || fail "logits --isa $isa on $cpu"
    cmp "$work/logits" "$work/other" || fail "other logits by $isa on $cpu"
  done
}
processor cortex-a53 'reference neon'
processor cortex-a76 'reference neon dotprod'
processor max 'reference neon dotprod i8mm'

compute=tests/compute/compute_test
tests cortex-a53 $compute '*/neon:Select*' 25
tests cortex-a76 $compute '*/dotprod:Select*' 25
# Without what is plain arithmetic in double, checked against long double, which here has 128 emulated bits.
tests max $compute '-*/neon:*/dotprod:*Identity*/reference:ContractExp*:ExactMath*' 30
tests max tests/base/base_test '*FloatMode*' 1
BITNET_MODELS=$root/samples/models/bitnet-nano.gguf
export BITNET_MODELS
tests max tests/proof/contract_test '*FloatMode*' 1

others=
for folder in base file model tokens compute forward sample session; do
  others="$others $build/src/$folder/libbitnet_$folder.a"
done
# shellcheck disable=SC2086
python3 "$root/tests/api/isa_symbols.py" --tools aarch64-linux-gnu- "$build"/src/compute/libbitnet_compute_*.a \
  -- $others || failures=$((failures + 1))

echo "$failures failures"
exit $((failures > 0))
