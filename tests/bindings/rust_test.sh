#!/bin/sh
# The Rust crates against the installed library, offline: their own tests and examples by every Rust toolchain in PATH,
# clippy, the documentation, how the library is found, the chat beside the program bitnet, and no leak under valgrind.
# usage: rust_test.sh SOURCE-ROOT BUILD-FOLDER SCRATCH-FOLDER    environment: BITNET_FACTS, what facts.c prints
set -eu
source=$1
build=$2
scratch=$3
crates=$source/bindings/rust

say() { printf '== %s\n' "$*"; }
fail() {
  echo "FAILED: $*" >&2
  exit 1
}
status=0
skip() {
  echo "skipped: $*"
  status=77
}

for tool in cargo rustc pkg-config cc; do
  command -v $tool >/dev/null || { skip "there is no $tool (Debian: cargo, rustc, pkg-config, gcc)"; exit 77; }
done

. "$source/tests/install/stage.sh"
stage "$build" "$scratch"
# Takes a second for a few hundred tokens.
slow_model=$scratch/slow.gguf
"$build/tests/make_model" -o "$slow_model" --family bitnet-b1.58 --shape nano --layers 12 --width 768 --ff 3072 \
  --heads 6 --kv-heads 3 --head-dim 128 --vocab 2048 --ctx 10000 --vocab-gguf "$model" >/dev/null

# Nothing of the user's configuration; nothing into the source tree.
unset RUST_BACKTRACE RUSTFLAGS RUSTDOCFLAGS RUSTC_WRAPPER CARGO_BUILD_TARGET BITNET_LIB_DIR BITNET_STATIC PKG_CONFIG
CARGO_HOME=$scratch/cargo
CARGO_INCREMENTAL=0
CARGO_TERM_COLOR=never
export CARGO_HOME CARGO_INCREMENTAL CARGO_TERM_COLOR
touch "$scratch/begin"
cd "$crates"

# toolchain FOLDER: from now on the one in this folder.
toolchain() {
  PATH=$1:$plain_path
  CARGO_TARGET_DIR=$scratch/target-$(rustc --version | cut -d ' ' -f 2)
  export PATH CARGO_TARGET_DIR
}

# Warnings of the oldest version that the crates are for, which is Debian's, are failures. What newer ones warn of is
# theirs to change, and only shown.
own_tests() {
  say "tests and documentation, $(rustc --version)"
  case $(rustc --version) in *' 1.63.'*) deny='-D warnings' ;; *) deny= ;; esac
  cargo test --workspace --locked --offline
  if cargo clippy --version >/dev/null 2>&1; then
    # shellcheck disable=SC2086
    cargo clippy --workspace --all-targets --locked --offline --quiet -- $deny
  else
    skip "there is no clippy for $(rustc --version) (Debian: rust-clippy)"
  fi
  # Formatted by the rustfmt that formats what is generated; others may differ.
  case $(cargo fmt --version 2>/dev/null) in *' 1.5.1'*) cargo fmt --check ;; esac
  RUSTDOCFLAGS=$deny cargo doc --workspace --no-deps --locked --offline --quiet
}

[ -n "${BITNET_FACTS:-}" ] || skip 'BITNET_FACTS names no facts of the C compiler, so nothing is compared with them'
plain_path=$PATH
versions=
printf '%s' "$PATH" | tr ':' '\n' >"$scratch/folders"
while read -r folder || [ -n "$folder" ]; do
  [ -x "$folder/cargo" ] && [ -x "$folder/rustc" ] && version=$("$folder/rustc" --version) || continue
  case $versions in *"$version"*) continue ;; esac
  versions="$versions $version"
  toolchain "$folder"
  own_tests </dev/null
done <"$scratch/folders"
toolchain "$(dirname "$(PATH=$plain_path command -v cargo)")"
debug=$CARGO_TARGET_DIR/debug
chat=$debug/examples/chat

say 'the chat prints what bitnet prints'
# same COMMAND INPUT-FILE ARGUMENTS...: chat and bitnet COMMAND (run, where there is a -p) print the same for them.
compared=0
same() {
  command=$1
  input=$2
  shift 2
  "$chat" "$@" <"$input" >"$scratch/ours" || fail "chat $*: exit status $?"
  "$program" "$command" "$@" <"$input" >"$scratch/theirs" || fail "bitnet $command $*: exit status $?"
  cmp -s "$scratch/ours" "$scratch/theirs" ||
    fail "$command $*: chat printed '$(head -n 5 "$scratch/ours")', bitnet '$(head -n 5 "$scratch/theirs")'"
  [ "$(wc -c <"$scratch/ours")" -gt 1 ] || fail "$command $*: nothing was printed, so nothing was compared"
  compared=$((compared + 1))
}
for prompt in 'The capital of France' 'Grüße aus Köln 🧀' '<|user|>Hi'; do
  for seed in 1 2; do
    same run /dev/null -p "$prompt" --temp 1.1 --seed $seed -n 60
    same run /dev/null -p "$prompt" --temp 0.7 --top-k 30 --top-p 0.9 --min-p 0.02 --seed $seed
  done
done
same chat /dev/null What is the capital of France?
same chat /dev/null --system 'Du bist ein Pirat.' --temp 1 --seed 4 -- Wie heißt du?
same chat /dev/null -m "$slow_model" -t 1 -n 20 Hello
cat >"$scratch/conversation" <<'END'
Hello!
What is the capital of France?
/system You are a pirate. Ä ö ü
Who are you?

And what is 日本?
/reset
Who are you?
/system
Spell goat.
END
# Longer than the context, so that the oldest turns are dropped.
for turn in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
  echo "Question $turn: who are you, what can you do, how are you today, and what is the capital of France?"
done >"$scratch/long_conversation"
for options in '' '--temp 0.9 --seed 1' '--temp 1.2 --seed 2 --top-k 40 -n 40'; do
  # shellcheck disable=SC2086
  same chat "$scratch/conversation" $options
  # shellcheck disable=SC2086
  same chat "$scratch/long_conversation" $options
done
"$chat" <"$scratch/long_conversation" 2>"$scratch/said" >/dev/null
grep -q '^chat: the context is full: dropped the oldest' "$scratch/said" ||
  fail 'the long conversation fits into the context, so no turn was dropped'
echo "$compared outputs are the same"

# refused STATUS TEXT ARGUMENTS...: the chat ends so, with one sentence that has the text.
refused() {
  wanted=$1
  text=$2
  shift 2
  got=0
  "$chat" "$@" </dev/null >"$scratch/ours" 2>"$scratch/said" || got=$?
  [ "$got" -eq "$wanted" ] || fail "chat $*: exit status $got, expected $wanted"
  grep -q "^chat: .*$text" "$scratch/said" || fail "chat $*: said '$(cat "$scratch/said")', which lacks '$text'"
  [ "$(wc -l <"$scratch/said")" -eq 1 ] || fail "chat $*: said more than one sentence"
}
refused 1 no-such-file -m no-such-file Hello
refused 2 'unknown option --frobnicate' --frobnicate
refused 2 'needs a value' --seed
refused 2 warm --temp warm
refused 2 'not expected' -p one two
"$chat" --help | grep -q '^usage: chat' || fail 'chat --help shows no usage'
python3 "$source/tests/bindings/interrupt.py" "$slow_model" "$chat"

say 'another library than the crate was made for'
# pretend FUNCTION VALUE: a library that says so comes before the real one.
pretend() {
  echo "unsigned $1(void) { return $2; }" | cc -shared -fPIC -x c -o "$scratch/pretend.so" -
  got=0
  LD_PRELOAD=$scratch/pretend.so "$chat" Hello >"$scratch/ours" 2>"$scratch/said" || got=$?
  [ $got -eq 1 ] && grep -q '^chat: found libbitnet .* was built for .*: install' "$scratch/said" ||
    fail "$1 gives $2: exit status $got, said '$(cat "$scratch/said")'"
  cat "$scratch/said"
}
pretend bitnet_abi_version 77
pretend bitnet_version '0x000100'

say 'how the library is found'
# builds NAME=VALUE...: the chat is built with this environment, and runs.
builds() {
  env "$@" cargo build --example chat --locked --offline --quiet
  "$chat" Hello | grep -q . || fail "built with $*, the chat says nothing"
  echo "built with $*"
}
# lacks TEXT NAME=VALUE...: the build fails with this sentence.
lacks() {
  text=$1
  shift
  if env "$@" cargo build --example chat --locked --offline --quiet 2>"$scratch/said"; then fail "built with $*"; fi
  grep -q "bitnet-sys: .*$text" "$scratch/said" || fail "with $*, said '$(cat "$scratch/said")', which lacks '$text'"
  sed -n 's/^ *\(bitnet-sys: \)/\1/p' "$scratch/said"
}
mkdir "$scratch/empty"
lacks 'finds no libbitnet' "PKG_CONFIG_LIBDIR=$scratch/empty"
lacks 'cannot be run' PKG_CONFIG=no-such-pkg-config
lacks 'it has none of libbitnet.so' "BITNET_LIB_DIR=$scratch/empty"
lacks 'expected an absolute path' BITNET_LIB_DIR=lib
builds BITNET_LIB_DIR=
builds "BITNET_LIB_DIR=$libdir" PKG_CONFIG=no-such-pkg-config
mkdir "$scratch/with space"
ln -s "$tree" "$scratch/with space/tree"
# shellcheck disable=SC2016  # for pkg-config to expand
sed 's|^prefix=|prefix=${pcfiledir}/tree|' "$libdir/pkgconfig/bitnet.pc" >"$scratch/with space/bitnet.pc"
builds PKG_CONFIG_SYSROOT_DIR= "PKG_CONFIG_LIBDIR=$scratch/with space"
if [ -f "$libdir/libbitnet.a" ]; then
  builds BITNET_STATIC=1
  if ldd "$chat" | grep -q libbitnet; then fail 'built with BITNET_STATIC=1, the chat needs the shared library'; fi
  builds BITNET_STATIC=1 "PKG_CONFIG_SYSTEM_LIBRARY_PATH=$libdir"  # as one in /usr
  builds BITNET_STATIC=1 "BITNET_LIB_DIR=$libdir"
  if env BITNET_STATIC=1 "BITNET_LIB_DIR=$libdir" CXXSTDLIB=none cargo build --example chat --locked --offline --quiet \
    2>"$scratch/said"; then fail 'built with CXXSTDLIB=none'; fi
  grep -q -- '-lnone' "$scratch/said" || fail "with CXXSTDLIB=none, said '$(cat "$scratch/said")', which lacks '-lnone'"
else
  echo 'not built: this installation has no libbitnet.a'
fi

say 'a correction of the crates alone'
cp -r "$crates/bitnet-sys" "$scratch/corrected"
sed 's/^\(version = ".*\.\).*/\1255"/' "$crates/bitnet-sys/Cargo.toml" >"$scratch/corrected/Cargo.toml"
grep '^version' "$scratch/corrected/Cargo.toml"
(cd "$scratch/corrected" && cargo check --offline --quiet) || fail 'it wants a library of its own version'

say 'what the crates are published with'
for crate in bitnet-sys bitnet; do
  cargo package --list -p $crate --offline --allow-dirty >"$scratch/files" 2>"$scratch/said" ||
    fail "cargo package -p $crate: $(cat "$scratch/said")"
  if grep 'manifest has no' "$scratch/said"; then fail "$crate/Cargo.toml lacks something"; fi
  for file in LICENSE README.md src/lib.rs; do
    grep -qx $file "$scratch/files" || fail "$crate is published without $file"
  done
  cmp "$source/LICENSE" "$crate/LICENSE"
done

say 'valgrind'
if ! command -v valgrind >/dev/null; then
  skip 'there is no valgrind'
else
  # A host with a mi_free makes the library take its memory from malloc, which valgrind sees.
  echo 'void mi_free(void *block) { (void)block; }' | cc -shared -fPIC -x c -o "$scratch/plain_malloc.so" -
  errors=$(find "$debug/deps" -name 'errors-*' -perm -u+x -type f)
  # checked ARGUMENTS...: the error tests, by valgrind.
  checked() {
    LD_PRELOAD=$scratch/plain_malloc.so valgrind --quiet --fair-sched=yes --leak-check=full \
      --errors-for-leak-kinds=definite --show-leak-kinds=definite --error-exitcode=9 \
      "$errors" --test-threads=1 "$@" >"$scratch/checked" 2>&1
  }
  checked || { cat "$scratch/checked"; fail 'valgrind found something, or a test failed'; }
  grep '^test result' "$scratch/checked"
  got=0
  checked --ignored a_leak || got=$?
  [ $got -eq 9 ] || fail "valgrind does not see a context that is never closed: exit status $got"
fi

written=$(find "$crates" -newer "$scratch/begin" -type f)
[ -z "$written" ] || fail "the tests wrote into the source tree: $written"
rm -rf "$scratch"
exit $status
