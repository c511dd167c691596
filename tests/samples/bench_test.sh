# bitnet bench: the JSON that scripts read.
. "$(dirname "$0")/check.sh"

positive() {
  awk -v value="$(json "$out" "$1")" 'BEGIN { exit !(value + 0 > 0) }' || fail "$last: $1 is not above 0"
}
ordered() {
  awk -v min="$(json "$out" "$1.min")" -v median="$(json "$out" "$1.median")" -v max="$(json "$out" "$1.max")" \
    'BEGIN { exit !(0 < min + 0 && min + 0 <= median + 0 && median + 0 <= max + 0) }' || fail "$last: $1 is not in order"
}

status 0 "$BITNET" bench -p 32 -n 8 -t 1,2 -r 3 --json
silent
[ "$(json "$out" results)" -eq 4 ] || fail "$last: $(json "$out" results) results, expected 4"
for expected in '0 pp32 1' '1 tg8 1' '2 pp32 2' '3 tg8 2'; do
  set -- $expected
  [ "$(json "$out" "results.$1.test") $(json "$out" "results.$1.threads")" = "$2 $3" ] ||
    fail "$last: result $1 is not $2 with $3 threads"
  ordered "results.$1"
done
for key in bytes_per_token stream_gb_per_s int8_gmac_per_s load_seconds peak_rss_mb \
  results.0.int8_share results.1.stream_share; do
  positive "$key"
done

status 0 "$BITNET" bench -m "$MODEL" -p 0 -n 4 -t 1 -r 1 --isa reference --json
[ "$(json "$out" results) $(json "$out" results.0.test) $(json "$out" isa)" = '1 tg4 reference' ] ||
  fail "$last: not one result tg4 of reference"

status 0 "$BITNET" bench -p 16 -n 0 -t 1 -r 2
stdout_has pp16
grep -q '^tg' "$out" && fail "$last: measured decode too"

refused 1 'bitnet: ' "$BITNET" bench -p 100000 -n 0 -t 1 -r 1
finish
