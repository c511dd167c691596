# bitnet tokenize and detokenize: inverse to each other, byte for byte.
. "$(dirname "$0")/check.sh"

printf '' >"$work/empty"
printf 'Hello, world' >"$work/plain"
printf '  two  blanks\t\ttabs\r\n\n\nnewlines\n' >"$work/blanks"
printf 'Gr\303\274\303\237e, \346\227\245\346\234\254\350\252\236, \360\237\230\200 \360\237\217\263\357\270\217\342\200\215\360\237\214\210' >"$work/unicode"
printf '\000\001\177\200\277\300\377 not UTF-8 \360\237' >"$work/binary"
printf 'a <|eot_id|> b <|begin_of_text|>' >"$work/control"
awk 'BEGIN { for (i = 0; i < 2000; i++) printf "word%d ", i }' >"$work/long"
for text in empty plain blanks unicode binary control long; do
  status 0 "$BITNET" tokenize "$work/$text"
  silent
  cp "$out" "$work/ids"
  [ "$(wc -l <"$work/ids")" -eq 1 ] || fail "the ids of $text are not one line"
  grep -qE '^([0-9]+( [0-9]+)*)?$' "$work/ids" || fail "the ids of $text are '$(head -c 80 "$work/ids")'"
  status 0 "$BITNET" tokenize <"$work/$text"
  stdout_is_file "$work/ids"
  status 0 "$BITNET" detokenize <"$work/ids"
  silent
  stdout_is_file "$work/$text"

  status 0 "$BITNET" tokenize --pieces "$work/$text"
  [ "$(cut -f 1 "$out" | tr '\n' ' ')" = "$(tr '\n' ' ' <"$work/ids" | sed 's/^ $//')" ] ||
    fail "--pieces of $text has other ids"
done
status 0 "$BITNET" tokenize "$work/empty"
stdout_is ''
[ "$(tr ' ' '\n' <"$work/ids" | wc -l)" -ge 2000 ] || fail "2000 words are fewer tokens"

# Nothing that a terminal would obey comes out of --pieces.
status 0 "$BITNET" tokenize --pieces "$work/binary"
stdout_has '\x00'
[ "$(tr -d '\t\n -~' <"$out" | wc -c)" -eq 0 ] || fail "--pieces printed control characters"

# Special tokens.
status 0 "$BITNET" inspect --json
bos=$(json "$out" bos_token)
eos=$(json "$out" eos_token)
status 0 "$BITNET" tokenize "$work/plain"
plain=$(cat "$out")
status 0 "$BITNET" tokenize --bos "$work/plain"
stdout_is "$bos $plain"
status 0 "$BITNET" detokenize --special "$eos"
cp "$out" "$work/eos"
[ -s "$work/eos" ] || fail "--special shows nothing for the token $eos"
status 0 "$BITNET" detokenize "$eos"
stdout_is_file /dev/null
status 0 "$BITNET" tokenize --parse "$work/eos"
stdout_is "$eos"
status 0 "$BITNET" tokenize "$work/eos"
[ "$(cat "$out")" != "$eos" ] || fail "a control token's text became the token without --parse"

# Ids in every form.
# shellcheck disable=SC2086
status 0 "$BITNET" detokenize $plain
stdout_is_file "$work/plain"
status 0 "$BITNET" detokenize "$(echo "$plain" | tr ' ' ,)"
stdout_is_file "$work/plain"
echo "$plain" | sed 's/ / ,\n/g' >"$work/lines"
status 0 "$BITNET" detokenize <"$work/lines"
stdout_is_file "$work/plain"
status 0 "$BITNET" tokenize -m "$MODEL" "$work/plain"
stdout_is "$plain"

# Failures.
refused 1 no-such-file "$BITNET" tokenize "$work/no-such-file"
refused 1 "$work" "$BITNET" tokenize "$work"
refused 1 99999999 "$BITNET" detokenize 99999999
echo '1 2 x' >"$work/bad"
refused 1 "standard input: expected a whole number below 2^31, found 'x'" "$BITNET" detokenize <"$work/bad"
finish
