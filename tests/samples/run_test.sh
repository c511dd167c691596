# bitnet run: the forms scripts rely on, the same text whatever computes it, failures in words.
. "$(dirname "$0")/check.sh"

text='The capital of France is'
long='Every morning the old man walked down to the harbour, looked at the boats, and counted them twice. '

status 0 "$BITNET" run -p "$text" -n 8 --ignore-end --ids
silent
grep -qE '^[0-9]+(,[0-9]+){7}$' "$out" || fail "--ids printed '$(cat "$out")', expected 8 ids"
cp "$out" "$work/ids"

# The text is that of the ids.
"$BITNET" detokenize "$(cat "$work/ids")" >"$work/text"
echo >>"$work/text"
status 0 "$BITNET" run -p "$text" -n 8 --ignore-end
silent
stdout_is_file "$work/text"

# Text and its tokens are the same prompt.
tokens=$(printf %s "$text" | "$BITNET" tokenize --bos --parse | tr ' ' ,)
status 0 "$BITNET" run --tokens "$tokens" -n 8 --ignore-end --ids
stdout_is_file "$work/ids"

# The model in the program is the file it was built from.
status 0 "$BITNET" run -m "$MODEL" -p "$text" -n 8 --ignore-end --ids
stdout_is_file "$work/ids"
for how in --read --strict --device=cpu; do
  status 0 "$BITNET" run -m "$MODEL" "$how" -p "$text" -n 8 --ignore-end --ids
  stdout_is_file "$work/ids"
done

# Same bits: greedy and seeded text does not depend on instruction set, threads, batches.
for sampling in '--temp 0' '--temp 1.2 --seed 7' \
  '--temp 1 --seed 3 --top-k 20 --top-p 0.9 --min-p 0.01 --repeat-penalty 1.1 --frequency-penalty 0.1 --presence-penalty 0.1 --penalty-window -1'; do
  # shellcheck disable=SC2086
  continue_long() { status 0 "$BITNET" run -p "$long$long" -n 24 --ignore-end --ids $sampling "$@"; }
  continue_long -t 1
  cp "$out" "$work/first"
  continue_long -t 1
  stdout_is_file "$work/first"
  continue_long -t 2
  stdout_is_file "$work/first"
  for batch in 1 7 4096; do
    continue_long --batch "$batch"
    stdout_is_file "$work/first"
  done
  for isa in $("$BITNET" --help | sed -n 's/.*for --isa://p'); do
    continue_long --isa "$isa"
    stdout_is_file "$work/first"
  done
done
status 0 "$BITNET" run -p "$text" -n 24 --ignore-end --ids --temp 2 --seed 1
cp "$out" "$work/seed1"
status 0 "$BITNET" run -p "$text" -n 24 --ignore-end --ids --temp 2 --seed 2
cmp -s "$out" "$work/seed1" && fail "seeds 1 and 2 gave the same text"

# A stop text is not part of the text.
status 0 "$BITNET" run -p "$text" -n 8 --ignore-end
whole=$(cat "$out")
stop=$(printf %s "$whole" | cut -c 4-5)
status 0 "$BITNET" run -p "$text" -n 8 --ignore-end --stop "never said" --stop "$stop"
stdout_is "${whole%%"$stop"*}"

# Limits: none is the context's, and then the whole context is used.
status 0 "$BITNET" run --tokens 1,2,3 --ctx 64 -n 0 --ignore-end --ids
count=$(tr , '\n' <"$out" | wc -l)
[ "$count" -ge 61 ] && [ "$count" -le 62 ] || fail "-n 0 gave $count tokens behind 3 of 64 positions"
refused 1 'bitnet: ' "$BITNET" run -p "$long$long$long$long$long$long" --ctx 64

status 0 "$BITNET" run -p "$text" -n 2 --stats --receipt "$work/receipt.json"
stderr_has 'tokens/s'
[ "$(json "$work/receipt.json" schema)" = bitnet-receipt-1 ] || fail "the receipt's schema is not bitnet-receipt-1"

# Failures.
refused 1 no-such-file.gguf "$BITNET" run -m "$work/no-such-file.gguf" -p x
head -c 2000 "$MODEL" >"$work/cut.gguf"
refused 1 'bitnet: ' "$BITNET" run -m "$work/cut.gguf" -p x
echo 'no model at all' >"$work/text.gguf"
refused 1 'bitnet: ' "$BITNET" run -m "$work/text.gguf" -p x
refused 1 'bitnet: ' "$BITNET" run -m "$work" -p x
refused 1 mmx2 "$BITNET" run --isa mmx2 -p x
refused 1 gpu7 "$BITNET" run --device gpu7 -p x
refused 1 'bitnet: ' "$BITNET" run --tokens 1,99999999
refused 1 'bitnet: ' "$BITNET" run --tokens 1,-5
refused 1 'bitnet: ' "$BITNET" run -p x --temp -1
refused 1 'bitnet: ' "$BITNET" run -p x -t 5000
if [ -w /dev/full ]; then
  status 1 sh -c '"$BITNET" run -p x -n 4 >/dev/full'
  stderr_has 'bitnet: standard output: '
fi

# A reader that leaves early ends the program without a word, whether SIGPIPE is ignored or not. The program starts when
# the reader has left, which is when `yes` has failed: else it might be done before.
for prefix in '' 'trap "" PIPE;'; do
  sh -c "$prefix"' yes 2>/dev/null; "$BITNET" run --tokens 1,2,3 -n 0 --ignore-end; echo $? >"$0"' "$work/status" 2>"$err" | head -c 1 >/dev/null
  last='run into a closed pipe'
  silent
  [ "$(cat "$work/status")" = 141 ] || fail "$last: exit status $(cat "$work/status"), expected 141"
done
finish
