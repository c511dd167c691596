# bitnet chat from the command line and from a pipe. (At a terminal: terminal_test.cpp.)
. "$(dirname "$0")/check.sh"

question='What is the capital of France?'
other='Who are you?'
# chat INPUT OPTIONS...: what comes out for lines of input, in printf's notation.
chat() {
  printf "$1" >"$work/input"
  shift
  status 0 "$BITNET" chat "$@" <"$work/input"
}

status 0 "$BITNET" chat "$question"
silent
cp "$out" "$work/reply"
[ "$(wc -c <"$work/reply")" -gt 1 ] || fail "no reply to '$question'"
# shellcheck disable=SC2086
status 0 "$BITNET" chat $question -t 1 # words of a question need no quotes
stdout_is_file "$work/reply"
status 0 "$BITNET" chat -- $question
stdout_is_file "$work/reply"
status 0 "$BITNET" chat "$other"
cp "$out" "$work/other"

# A pipe: every line is answered, whatever ends it.
chat "$question\n"
silent
stdout_is_file "$work/reply"
chat "$question"
stdout_is_file "$work/reply"
chat "\n  \n$question\r\n\n"
stdout_is_file "$work/reply"
chat "$question\n$question\n$question\n" -n 3 --ignore-end
[ "$(wc -l <"$out")" -ge 3 ] || fail "3 questions, $(wc -l <"$out") lines"
chat ''
stdout_is_file /dev/null

# Commands.
cat "$work/reply" "$work/other" "$work/reply" >"$work/three"
chat "$question\n/reset\n$other\n/reset\n$question\n"
silent
stdout_is_file "$work/three"
chat "$question\n/exit\n$other\n"
stdout_is_file "$work/reply"
chat '/help\n'
stdout_is_file /dev/null
stderr_has /reset
status 0 "$BITNET" chat --system 'You are a pirate.' --temp 1 --seed 4 "$question"
cp "$out" "$work/pirate"
chat "/system You are a pirate.\n$question\n" --temp 1 --seed 4
stdout_is_file "$work/pirate"
chat "/system You are a pirate.\n/system\n$question\n"
stdout_is_file "$work/reply"

# A chat remembers: the second turn's prompt has the first one, most of it still in the cache.
chat "$question\n$other\n" --stats
prompts=$(sed -n 's/.*prompt \([0-9]*\) tokens, \([0-9]*\) of them computed.*/\1 \2/p' "$err")
echo "$prompts" | awk 'NR == 1 { first = $1 } NR == 2 { exit !($1 > first && $2 < $1 / 2 + 20 && $2 < $1) }' ||
  fail "the second turn did not go on from the first: '$prompts'"

# Same reply whatever computes it.
chat "$question\n$other\n" --temp 0.8 --seed 5
cp "$out" "$work/seeded"
for options in '-t 1' '--isa reference' '--batch 3'; do
  # shellcheck disable=SC2086
  chat "$question\n$other\n" --temp 0.8 --seed 5 $options
  stdout_is_file "$work/seeded"
done

# A full context drops the oldest turns and says so; the newest question is always answered.
lines=$(for i in 1 2 3 4 5 6 7 8 9 10 11 12; do printf '%s\\n' "Question $i?"; done)
chat "$lines" --ctx 128 -n 12 --ignore-end --stats
stderr_has 'bitnet: the context is full: dropped the oldest'
[ "$(grep -c 'tokens/s' "$err")" -eq 12 ] || fail "$last: $(grep -c 'tokens/s' "$err") replies to 12 questions"

# A question that alone is too long fails; the next one is answered.
long=$(awk 'BEGIN { for (i = 0; i < 400; i++) printf "word " }')
printf '%s\n%s\n' "$long" "$question" >"$work/input"
status 1 "$BITNET" chat --ctx 128 <"$work/input"
stderr_has 'bitnet: '
stdout_is_file "$work/reply"
refused 1 'bitnet: ' "$BITNET" chat --ctx 128 "$long"

# Failures.
refused 1 no-such-template "$BITNET" chat --template no-such-template hello
"$MAKE_MODEL" -o "$work/mute.gguf" --family bitnet --shape tiny >/dev/null 2>&1
refused 1 template "$BITNET" chat -m "$work/mute.gguf" hello
refused 1 template "$BITNET" chat -m "$work/mute.gguf" </dev/null
refused 1 no-such-file.gguf "$BITNET" chat -m "$work/no-such-file.gguf" hello
finish
