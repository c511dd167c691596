# The library as built, on x86-64 processors that this machine is not, under qemu: one with nothing beyond SSE2
# and one that ends at AVX2. It starts, offers what the processor has and no more, uses the best of that, and
# gives the bytes that the program gives here.
# usage: sh x86_processors.sh BITNET NEWER_INSTRUCTION      Status 77: there is no emulator.
set -u
program=$1
newer_instruction=$2
command -v qemu-x86_64 >/dev/null || {
  echo 'skipped: there is no qemu-x86_64 (sh samples/packages.sh tests installs it)'
  exit 77
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
fail() {
  failures=$((failures + 1))
  echo "FAILED: $*"
}

text='The capital of France is'
tokens=3,14,15,92,65,35,89,79,32,38,46,26
"$program" run -p "$text" -n 12 --ignore-end --ids >"$work/ids" || fail 'the native run'
"$program" logits --tokens "$tokens" -o "$work/logits" || fail 'the native logits'
[ -s "$work/ids" ] && [ -s "$work/logits" ] || fail 'the native program wrote nothing'

# emulated CPU COMMAND...: without the emulator's word about features it does not know.
emulated() { qemu-x86_64 -cpu "$@" 2>"$work/err"; }

# processor CPU ISAS LACKS
processor() {
  cpu=$1
  isas=$2
  for instruction in $3; do
    # In a shell of its own, which says nothing about the signal.
    (emulated "$cpu" "$newer_instruction" "$instruction") 2>/dev/null &&
      fail "the emulator executes $instruction as $cpu: this test would see nothing"
  done
  offered=$(emulated "$cpu" "$program" --help | sed -n 's/.*for --isa: *//p')
  [ "$offered" = "$isas" ] || fail "$cpu offers '$offered', expected '$isas'"
  emulated "$cpu" "$program" run -p "$text" -n 12 --ignore-end --ids --receipt "$work/receipt" >"$work/other" ||
    fail "run on $cpu: $(cat "$work/err")"
  cmp "$work/ids" "$work/other" || fail "other text on $cpu"
  grep -q "\"isa\":\"${isas##* }\"" "$work/receipt" || fail "$cpu: the receipt does not name ${isas##* }"
  for isa in $isas; do
    emulated "$cpu" "$program" logits --tokens "$tokens" -o "$work/other" --isa "$isa" ||
      fail "logits --isa $isa on $cpu: $(cat "$work/err")"
    cmp "$work/logits" "$work/other" || fail "other logits by $isa on $cpu"
  done
}
processor qemu64,-sse3 'reference baseline' 'ssse3 avx avx512'
processor Haswell 'reference baseline avx2' avx512

echo "$failures failures"
exit $((failures > 0))
