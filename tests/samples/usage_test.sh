# Help, version, and command lines that are wrong.
. "$(dirname "$0")/check.sh"

status 0 "$BITNET" --version
stdout_is "bitnet $VERSION"

status 0 "$BITNET" --help
stdout_has 'usage: bitnet COMMAND'
stdout_has reference # the plainest instruction set is everywhere
for command in chat run inspect tokenize detokenize logits bench devices; do
  stdout_has "  $command "
done

for command in chat run inspect tokenize detokenize logits bench; do
  status 0 "$BITNET" "$command" --help
  silent
  stdout_has "usage: bitnet $command "
  stdout_has --model
  stdout_has examples:
  cp "$out" "$work/help"
  status 0 "$BITNET" "$command" -h
  stdout_is_file "$work/help"
  refused 2 "unknown option --no-such-option; see bitnet $command --help" \
    "$BITNET" "$command" --no-such-option
  refused 2 "option -m needs a value; see bitnet $command --help" "$BITNET" "$command" -m
done

# The CPU is always there; of others there is at least a reason.
status 0 "$BITNET" devices
silent
stdout_has 'GB of memory'
stdout_has cuda
status 0 "$BITNET" devices --json
[ "$(json "$out" devices.0.name)" = cpu ] || fail 'the CPU is not the first device'
status 0 "$BITNET" devices --help
stdout_has --json
refused 2 "'cpu' is not expected here" "$BITNET" devices cpu

refused 2 'which command' "$BITNET"
refused 2 'unknown command dance' "$BITNET" dance
refused 2 'unknown option --dance' "$BITNET" --dance

refused 2 "-p TEXT or --tokens IDS" "$BITNET" run
refused 2 "-p TEXT or --tokens IDS" "$BITNET" run -p x --tokens 1
refused 2 "option -n: expected a whole number from 0 to 2^64 - 1, found '-1'" "$BITNET" run -p x -n -1
refused 2 "option -n: expected a whole number from 0 to 2^64 - 1, found '3x'" "$BITNET" run -p x -n 3x
refused 2 "option --temp: expected a number, found 'warm'" "$BITNET" run -p x --temp warm
refused 2 "option --tokens: expected a whole number below 2^31, found 'two'" "$BITNET" run --tokens 1,two
refused 2 "found '4294967296'" "$BITNET" run --tokens 4294967296
refused 2 'option --ids takes no value' "$BITNET" run -p x --ids=yes
refused 2 "'word' is not expected here" "$BITNET" run -p x word
refused 2 "expected one of 128, 64, 4row, found '3'" "$BITNET" run -p x --i2s-layout 3
refused 2 "expected one of relu2, silu, found 'gelu'" "$BITNET" run -p x --activation gelu
refused 2 'give --tokens' "$BITNET" logits -o "$work/logits"
refused 2 'give -o' "$BITNET" logits --tokens 1
refused 2 'give one FILE' "$BITNET" tokenize a b
refused 2 'give one FILE' "$BITNET" inspect a b
refused 2 "found 'x'" "$BITNET" detokenize 1 x
refused 2 'nothing to measure' "$BITNET" bench -p 0 -n 0
refused 2 'at least 1' "$BITNET" bench -r 0
refused 2 'option -t: expected' "$BITNET" bench -t 1,many

if [ -w /dev/full ]; then
  status 1 sh -c '"$BITNET" --help >/dev/full'
  stderr_has 'bitnet: standard output: '
fi

# The examples of the help do what they say. Those of bench take long; bench_test.sh has shorter ones.
mkdir "$work/examples"
cd "$work/examples" || exit 1
cp "$MODEL" model.gguf
echo 'Dear reader' >letter.txt
printf 'What is the capital of France?\nAnd of Italy?\n' >questions.txt
ln -s "$BITNET" bitnet
PATH=$work/examples:$PATH
for command in chat run inspect tokenize detokenize logits; do
  bitnet "$command" --help | sed -n '/^examples:$/,$s/^  //p' >"$work/lines"
  [ -s "$work/lines" ] || fail "the help of $command has no examples"
  while read -r line; do
    status 0 sh -c "$line" </dev/null
    case $command in # these write a file, or wait for input that does not come
      logits | chat) ;;
      *) [ -s "$out" ] || fail "$line: printed nothing" ;;
    esac
  done <"$work/lines"
done
finish
