#!/bin/sh
# The C# package, compiled by Mono against nothing but its sources and run with the installed library.
# usage: csharp_test.sh SOURCE-ROOT BUILD-FOLDER SCRATCH-FOLDER     BITNET_FACTS: what the C compiler makes of bitnet.h
set -eu
source=$1
build=$2
scratch=$3
package=$source/bindings/csharp

for tool in mcs mono valgrind; do
  command -v $tool >/dev/null 2>&1 || { echo "skipped: no $tool (Debian: mono-mcs mono-runtime valgrind)"; exit 77; }
done
[ -n "$(find /usr/lib/mono -name Mono.Posix.dll 2>/dev/null)" ] ||
  { echo 'skipped: no Mono.Posix (Debian: libmono-posix4.0-cil)'; exit 77; }

# shellcheck source=tests/install/stage.sh
. "$source/tests/install/stage.sh"
stage "$build" "$scratch"
[ -n "$program" ] || { echo 'skipped: the program bitnet is not built (-Dsamples=false)'; exit 77; }
made=$scratch/made
mkdir -p "$made" "$scratch/home"
HOME=$scratch/home
export HOME

say() { printf '== %s\n' "$*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }

say 'compiled without a warning'
compile() { mcs -debug -langversion:7.2 -warnaserror "$@"; }
compile -unsafe -target:library -doc:"$made/Bitnet.xml" -out:"$made/Bitnet.dll" "$package"/Bitnet/*.cs
compile -out:"$made/Bitnet.Tests.exe" -r:"$made/Bitnet.dll" "$package"/Bitnet.Tests/*.cs
chat() {
  compile -r:"$made/Bitnet.dll" -resource:"$source/samples/models/bitnet-nano.gguf,bitnet-nano.gguf" "$@" \
    "$package"/samples/Chat/*.cs
}
chat -out:"$made/chat.exe" -d:MONO -r:Mono.Posix.dll
chat -out:"$made/chat-net.exe" # as the .NET SDK sees it

say 'every call of the header is used by the safe layer'
cat "$package"/Bitnet/[!N]*.cs >"$scratch/safe"
sed -n 's/^function \([a-z_]*\) .*/\1/p' "$BITNET_FACTS" | while read -r call; do
  grep -q "Native\.$call(" "$scratch/safe" || fail "$call is not called"
done

say 'the first program of the README'
awk '/^```/ { if (inside) exit; inside = 1; next } inside' "$package/README.md" >"$scratch/hello.cs"
compile -out:"$made/hello.exe" -r:"$made/Bitnet.dll" "$scratch/hello.cs"
"$program" chat 'What is the capital of France?' >"$scratch/wanted"
mono "$made/hello.exe" "$model" >"$scratch/found"
cmp "$scratch/wanted" "$scratch/found" || fail 'the first program of the README says something else'

say "the package's version is the header's"
version=$(sed -n 's/^version //p' "$BITNET_FACTS")
grep -q "<Version>$version</Version>" "$package/Bitnet/Bitnet.csproj" || fail "Bitnet.csproj is not version $version"

say 'tests'
"$build/tests/make_model" -o "$scratch/slow.gguf" --shape nano --layers 16 --width 768 --ff 2048 --heads 12 \
  --kv-heads 4 --ctx 10000 >/dev/null
"$build/tests/make_model" -o "$scratch/warned.gguf" --tokenizer bpe --pre martian >/dev/null
# tests COMMAND...: with what the tests want to know.
tests() {
  BITNET_NANO=$model BITNET_SLOW=$scratch/slow.gguf BITNET_WARNED=$scratch/warned.gguf BITNET_SCRATCH=$scratch "$@"
}
tests mono --debug "$made/Bitnet.Tests.exe"

say 'a library that does not fit is refused with a sentence'
# stub FOLDER ABI VERSION
stub() {
  mkdir -p "$scratch/$1"
  printf 'unsigned bitnet_abi_version(void) { return %s; }\nunsigned bitnet_version(void) { return %s; }\n' "$2" "$3" |
    ${CC:-cc} -x c -shared -fPIC -o "$scratch/$1/libbitnet.so.0" -
}
# refused FOLDER PART-OF-THE-SENTENCE
refused() {
  status=0
  LD_LIBRARY_PATH=$scratch/$1 mono "$made/chat.exe" hello >"$scratch/out" 2>"$scratch/why" || status=$?
  [ $status -eq 1 ] || fail "with the library in $1 the chat ended with $status, expected 1"
  grep -q "^chat: .*$2" "$scratch/why" || fail "with the library in $1 the chat said: $(cat "$scratch/why")"
  [ "$(wc -l <"$scratch/why")" -eq 1 ] || fail "more than one line: $(cat "$scratch/why")"
}
stub newer 1 0x000200
refused newer 'has ABI version 1, this package needs ABI version 0'
stub older 0 0x000109
refused older "is version 0.1.9, this package needs version $version"
mkdir -p "$scratch/none"
PATH=$PATH:/sbin
if ! ldconfig -p | grep -q 'libbitnet\.so\.0'; then refused none 'was not found'; fi

say 'valgrind: no wrong access, and nothing of the library is left when Mono has finalized everything'
# A mimalloc without calls makes the library take its memory from malloc, which valgrind sees.
mkdir -p "$scratch/malloc"
for name in libmimalloc.so.2 libmimalloc.so.3 libmimalloc.so; do
  ${CC:-cc} -x c -shared -o "$scratch/malloc/$name" /dev/null
done
# --keep-debuginfo: Mono has closed the library before the leaks are looked for.
LD_LIBRARY_PATH=$scratch/malloc:$libdir tests valgrind --smc-check=all --keep-debuginfo=yes --leak-check=full \
  --show-leak-kinds=all --log-file="$scratch/valgrind" mono "$made/Bitnet.Tests.exe" Pieces Sequences Samplers Chats \
  ListsThatChangeMeanwhile ClosedIsClosed CallbacksThatThrow AFullContextStaysUsable AStopThatComesTooLateIsForgotten
wrong='== (Invalid|Conditional|Use of|Syscall|Mismatched)'
if grep -E -A 12 "$wrong" "$scratch/valgrind"; then fail 'a wrong access'; fi
if grep -B 12 -A 6 'libbitnet\.so' "$scratch/valgrind"; then fail 'memory of the library is never freed'; fi
grep -q 'LEAK SUMMARY' "$scratch/valgrind" || fail 'valgrind did not look for leaks'

say 'the chat sample prints what the program prints'
compared=0
# same INPUT-FILE "ARGUMENTS OF bitnet" "ARGUMENTS OF chat" [WORD]: equal output and exit status; WORD is added to both.
same() {
  input=$1 theirs=$2 ours=$3
  shift 3
  wanted=0
  found=0
  # shellcheck disable=SC2086
  "$program" $theirs "$@" <"$input" >"$scratch/wanted" 2>/dev/null || wanted=$?
  # shellcheck disable=SC2086
  mono "$made/chat.exe" $ours "$@" <"$input" >"$scratch/found" 2>"$scratch/why" || found=$?
  cmp "$scratch/wanted" "$scratch/found" || fail "chat $ours $* printed something else: $(cat "$scratch/why")"
  [ $wanted -eq $found ] || fail "chat $ours $* ended with $found, expected $wanted"
  compared=$((compared + 1))
}
for seed in 0 7 18446744073709551615; do
  for temperature in 0 0.8 1.5; do
    options="--seed $seed --temp $temperature"
    same /dev/null "run $options -p" "$options -p" 'Once upon a time'
    same /dev/null "chat $options" "$options" 'What is the opposite of cold?'
  done
done
same /dev/null 'run -n 40 --temp 1 --top-k 20 --top-p 0.9 --min-p 0.02 -p' \
  '-n 40 --temp 1 --top-k 20 --top-p 0.9 --min-p 0.02 -p' 'Grüße, 世界! 🦉'
same /dev/null 'run -p' '-p' ''
same /dev/null "run -m $scratch/slow.gguf -n 30 --temp 1.2 -p" "-m $scratch/slow.gguf -n 30 --temp 1.2 -p" 'naïve 🦉'
same /dev/null 'chat --system' '--system' 'Answer in one word.' 'Name a colour.'
same /dev/null 'chat --nonsense' '--nonsense'
for wrong in '-n many' '-n -5' '--seed -1' '--threads -1' '--temp -1' '--temp cold' '--top-p 2' '--seed' '--system'; do
  same /dev/null "chat $wrong" "$wrong"
done
same /dev/null 'chat -m /missing.gguf hello' '-m /missing.gguf hello'
cat >"$scratch/lines" <<'END'
What is the capital of France?
And of Italy?

/system Answer in one word.
Name a colour.
Grüße! Wie heißt die Hauptstadt von Österreich? 🦉
/reset
What is 3 plus 4?
/help
/nothing known
What is the plural of mouse?
END
printf 'Hello\r\nlast line without an end' >>"$scratch/lines"
same "$scratch/lines" chat ''
same "$scratch/lines" 'chat --temp 0.9 --seed 3 -n 12' '--temp 0.9 --seed 3 --max-tokens=12'
# Long enough that old turns must be dropped.
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  echo "Tell me a story about number $i."
done >"$scratch/lines"
same "$scratch/lines" 'chat --temp 0.7' '--temp 0.7'
grep -q 'dropped the oldest' "$scratch/why" || fail 'no turn was dropped'
{
  echo 'Name a colour.'
  awk 'BEGIN { for (i = 0; i < 3000; ++i) printf "too long "; print "" }'
  echo 'Name a colour.'
} >"$scratch/lines"
same "$scratch/lines" chat '' # the question that does not fit fails, the others are answered
echo "$compared comparisons, byte for byte"

say 'a model cannot give orders to the terminal by its name'
python3 - "$model" "$scratch/named.gguf" "$program" "$made/chat.exe" <<'END'
import os, pty, subprocess, sys
model, named, program, chat = sys.argv[1:]
with open(model, "rb") as file:
    whole = file.read()
with open(named, "wb") as file:  # a name as long as the one it had
    file.write(whole.replace(b"bitnet-nano", "\x1b[2J\x9b~\x7fü\n".encode(), 1))

def greeting(*command):
    person, terminal = pty.openpty()
    os.write(person, b"/exit\n")
    return subprocess.run([*command, "-m", named], stdin=terminal, capture_output=True, check=True).stderr

wanted, found = greeting(program, "chat"), greeting("mono", chat)
if rb"\x1b[2J\xc2\x9b~\x7f" not in wanted or wanted != found:
    sys.exit(f"FAILED: the chat greets with {found}, bitnet chat with {wanted}")
END

say 'Ctrl-C'
python3 "$source/tests/bindings/interrupt.py" "$scratch/slow.gguf" mono "$made/chat.exe"
echo hello | mono "$made/chat-net.exe" >/dev/null || fail 'the chat as the .NET SDK compiles it'

rm -rf "$scratch"
