#!/bin/sh
# The Go package against the installed library: gofmt, go vet, its tests with the race detector and with all checks of
# pointers between Go and C, a library of another version, and the chat sample, which must say what bitnet says.
# usage: go_test.sh SOURCE-ROOT BUILD-FOLDER SCRATCH-FOLDER    environment: BITNET_FACTS, the C compiler's facts
set -eu
source=$1
build=$2
scratch=$3
. "$source/tests/install/stage.sh"

if ! command -v go >/dev/null 2>&1; then
  echo 'skipped: there is no go (Debian: golang-go)'
  exit 77
fi

stage "$build" "$scratch"
module=$source/bindings/go
# Compiling Go's own packages for the race detector takes a minute, so that what is compiled stays between runs. What it
# was compiled from is part of its name for all but the header, which cgo does not look for: hence the macro.
GOCACHE=$(dirname "$scratch")/go-cache
GOPATH=$scratch/gopath
HOME=$scratch
GOPROXY=off
GOTOOLCHAIN=local
GOFLAGS=-mod=readonly
CGO_ENABLED=1
CGO_CFLAGS="-O2 -g -DBITNET_HEADER_SUM=$(cksum <"$header" | tr ' ' _)"
TMPDIR=$scratch
export GOCACHE GOPATH HOME GOPROXY GOTOOLCHAIN GOFLAGS CGO_ENABLED CGO_CFLAGS TMPDIR
cd "$module"

fail() {
  echo "FAILED: $*"
  exit 1
}

echo "== $(go version)"
unformatted=$(gofmt -l .)
[ -z "$unformatted" ] || fail "gofmt would change $unformatted"
go vet ./... || fail 'go vet found something'
echo 'formatted; go vet is silent'

# Thousands of tokens of this model take seconds, so that there is time to cancel.
BITNET_SLOW_MODEL=$scratch/slow.gguf
export BITNET_SLOW_MODEL
"$build/tests/make_model" -o "$BITNET_SLOW_MODEL" --shape 2b4t --layers 4 --vocab 8000 --ctx 10000 >/dev/null

# tests NAME COMMAND...: all must pass and none skip.
tests() {
  name=$1
  shift
  if ! "$@" -count=1 -v ./... >"$scratch/output" 2>&1 || grep -q -e '^ *--- SKIP' "$scratch/output"; then
    grep -v '^=== ' "$scratch/output"
    fail "go test, $name"
  fi
  echo "$(grep -c -e '^ *--- PASS' "$scratch/output") tests passed, $name"
}
tests 'with the race detector' go test -race
grep 'agree\|are made\|MB after\|were cancelled' "$scratch/output"
# Go 1.21 moved this switch.
checks=GODEBUG=cgocheck=2
if GOEXPERIMENT=cgocheck2 go env GOOS >/dev/null 2>&1; then checks=GOEXPERIMENT=cgocheck2; fi
tests "with every pointer checked ($checks)" env $checks go test

# count TESTS: opened and closed become the numbers of handles that these tests open and close.
count() {
  rm -f "$scratch/handles"
  HANDLES=$scratch/handles LD_PRELOAD=$scratch/handles.so "$scratch/tests" -test.v -test.run "$1" >"$scratch/output" &&
    grep -q -e '^--- PASS' "$scratch/output" || fail "$(cat "$scratch/output")"
  # shellcheck disable=SC2046
  set -- $(od -An -t d8 "$scratch/handles")
  opened=$1
  closed=$2
}
# shellcheck disable=SC2046
cc -shared -fPIC $(pkg-config --cflags bitnet) -o "$scratch/handles.so" "$source/tests/bindings/go_handles.c"
go test -c -o "$scratch/tests" .
# Every handle that is opened is closed in the end. (The tests left out here forget some on purpose.)
count 'Clos|Cancel|Panic|Many|Damaged|Full|Execute|Log|Reader|Generator$'
[ "$opened" -gt 500 ] && [ "$opened" -eq "$closed" ] || fail "$opened handles were opened, $closed closed"
echo "$opened handles were opened and closed"
count PanicInLogEndsTheOpening
[ "$opened" -eq 0 ] || fail "$opened models were opened though Log panicked"
echo 'a panic in Log ends the opening'

# README.md's program, in a module of its own.
mkdir "$scratch/hello"
awk '/^```/ { inside = !inside && ++blocks == 3; next } inside' README.md >"$scratch/hello/main.go"
cat >"$scratch/hello/go.mod" <<END
module hello
go 1.19
require github.com/libbitnet/libbitnet/bindings/go v0.3.0
replace github.com/libbitnet/libbitnet/bindings/go => $module
END
(cd "$scratch/hello" && go run . "$model") >"$scratch/output" || fail "README.md's program"
grep -qx 'The capital of France is Paris.' "$scratch/output" || fail "README.md's program says: $(cat "$scratch/output")"
echo "README.md's program runs"

chat=$scratch/chat
go build -o "$chat" ./examples/chat

# A library of another version is an error, not a crash.
cat >"$scratch/other.c" <<'END'
#include <stdint.h>
uint32_t bitnet_abi_version(void) { return 77; }
END
cc -shared -fPIC -o "$scratch/other.so" "$scratch/other.c"
status=0
LD_PRELOAD=$scratch/other.so "$chat" hello >"$scratch/output" 2>&1 || status=$?
[ $status -eq 1 ] && grep -q '^chat: .* ABI version 77' "$scratch/output" ||
  fail "a library with ABI version 77 gave exit status $status and: $(cat "$scratch/output")"
echo "refused: $(cat "$scratch/output")"

# The chat says what bitnet says, byte for byte.
compared=0
# same INPUT BITNET-COMMAND CHAT-OPTION OPTIONS...: in printf's notation INPUT.
same() {
  input=$1
  command=$2
  shift 2
  printf "$input" >"$scratch/input"
  "$program" "$command" "$@" <"$scratch/input" >"$scratch/expected" 2>/dev/null || fail "bitnet $command $*"
  "$chat" "$@" <"$scratch/input" >"$scratch/found" 2>"$scratch/output" ||
    fail "chat $*: $(cat "$scratch/output")"
  cmp "$scratch/expected" "$scratch/found" || fail "chat $* does not say what bitnet $command says"
  compared=$((compared + 1))
}
for prompt in 'The capital of France is' 'Größe, 日本語 und 🦊' ''; do
  for sampling in '' '--temp 0.8 --seed 7' \
    '--temp 2.5 --seed 18446744073709551615 --top-k 50 --top-p 0.95 --min-p 0.01'; do
    # shellcheck disable=SC2086
    same '' run -p "$prompt" $sampling
  done
done
same '' run -p 'One two' -n 5 -t 1
same '' run -m "$model" -p 'One two' -n 0
talk='What is the capital of France?\nAnd of Italy?\n\n  \n/system You are a pirate.\nWho are you?\r\n/reset\n'
talk=$talk'Wer bist du, größer 🦊?\n/system\nWho are you?\n/exit\nno more\n'
for sampling in '' '--temp 1 --seed 3'; do
  # shellcheck disable=SC2086
  {
    same '' chat 'What is the capital of France?' $sampling
    same '' chat What is the opposite of cold? --system 'You are a pirate.' $sampling
    same "$talk" chat $sampling
    same 'Hello\nWho are you?' chat -n 3 $sampling
  }
done
# Longer than the context: the oldest turns are dropped.
lines=$(awk 'BEGIN { for (i = 0; i < 40; i++) printf "What is the capital of France, and of Italy? %d\\n", i }')
same "$lines" chat
echo "$compared runs of the chat say what bitnet says"

# refused STATUS WORD ARGUMENTS...
refused() {
  expected=$1
  word=$2
  shift 2
  status=0
  "$chat" "$@" </dev/null >"$scratch/found" 2>"$scratch/output" || status=$?
  [ $status -eq "$expected" ] && grep -q "^chat: .*$word" "$scratch/output" ||
    fail "chat $*: exit status $status, expected $expected and '$word': $(cat "$scratch/output")"
}
refused 1 no-such-file.gguf -m no-such-file.gguf hello
refused 1 temperature --temp -1 hello
refused 2 no-such-option --no-such-option
refused 2 -n -n many
refused 2 'needs an argument' -p
refused 2 'not expected' -p text word
"$build/tests/make_model" -o "$scratch/mute.gguf" --family bitnet --shape tiny >/dev/null 2>&1
refused 1 template -m "$scratch/mute.gguf"
"$chat" --help | grep -q '^usage: chat' || fail 'chat --help'
status=0
"$chat" -p x >/dev/full 2>"$scratch/output" || status=$?
[ $status -eq 1 ] && grep -q 'chat: standard output: ' "$scratch/output" ||
  fail "a full disk: $(cat "$scratch/output")"
echo 'refusals are told in words'

python3 "$source/tests/bindings/interrupt.py" "$BITNET_SLOW_MODEL" "$chat" || fail 'Ctrl-C'
rm -rf "$scratch"
