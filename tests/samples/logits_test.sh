# bitnet logits: the file's form, and the same bytes whatever computes them.
. "$(dirname "$0")/check.sh"

tokens=3,14,15,92,65,35,89,79,32,38,46,26,43,38,32,79,50,28,84,19,71,69,39,93,75,10,58,20,97,49
count=30
status 0 "$BITNET" inspect --json
vocabulary=$(json "$out" vocab_size)

status 0 "$BITNET" logits --tokens "$tokens" -o "$work/logits"
silent
stdout_is_file /dev/null
bytes=$(wc -c <"$work/logits")
[ "$bytes" -eq $((count * vocabulary * 4)) ] || fail "$bytes bytes, expected $count x $vocabulary x 4"

# Each row ends what its tokens begin: a shorter text's file is the longer one's start.
status 0 "$BITNET" logits --tokens "${tokens%,*,*,*}" -o "$work/shorter"
head -c $(((count - 3) * vocabulary * 4)) "$work/logits" >"$work/start"
same "$work/shorter" "$work/start" "the logits of 27 tokens are not the first 27 rows of those of 30"

for options in '-t 1' '-t 2' '-t 3' '--batch 1' '--batch 2' '--batch 7' '--batch 4096' "-m $MODEL"; do
  # shellcheck disable=SC2086
  status 0 "$BITNET" logits --tokens "$tokens" -o "$work/other" $options
  same "$work/logits" "$work/other" "logits with $options differ"
done
for isa in $("$BITNET" --help | sed -n 's/.*for --isa://p'); do
  status 0 "$BITNET" logits --tokens "$tokens" -o "$work/other" --isa "$isa"
  same "$work/logits" "$work/other" "logits with --isa $isa differ"
done

# The largest of the last row is what greedy generation picks.
largest=$(tail -c $((vocabulary * 4)) "$work/logits" | od -An -v -t f4 -w4 |
  awk 'NR == 1 || $1 > best { best = $1; at = NR - 1 } END { print at }')
status 0 "$BITNET" run --tokens "$tokens" -n 1 --ignore-end --ids
stdout_is "$largest"

# Failures.
refused 1 "$work/no/such/folder" "$BITNET" logits --tokens 1,2 -o "$work/no/such/folder"
refused 1 'bitnet: ' "$BITNET" logits --tokens 1,99999999 -o "$work/other"
refused 1 mmx2 "$BITNET" logits --tokens 1,2 -o "$work/other" --isa mmx2
if [ -w /dev/full ]; then
  refused 1 /dev/full "$BITNET" logits --tokens 1 -o /dev/full
  refused 1 /dev/full "$BITNET" logits --tokens "$tokens" -o /dev/full
fi
finish
