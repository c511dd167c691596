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

vocabulary=$("$BITNET" inspect --json >"$out" && json "$out" vocab_size)
status 0 "$BITNET" bench -m "$MODEL" -p 0 -n 4 -t 1 -r 1 --isa reference --logits --json
[ "$(json "$out" results) $(json "$out" results.0.test) $(json "$out" isa)" = '1 tg4 reference' ] ||
  fail "$last: not one result tg4 of reference"
[ "$(json "$out" head) $(json "$out" results.0.head_rows_per_token)" = "full $vocabulary" ] ||
  fail "$last: not all rows of the head"

# near A B: two numbers of the last JSON are the same but for rounding.
near() {
  awk -v a="$1" -v b="$2" 'BEGIN { d = a - b; exit !(d * d <= 1e-12 * (a * a + b * b)) }' ||
    fail "$last: $3: $1 and $2 differ"
}
# sum KEY...: of result $i.
sum() {
  for key; do json "$out" "results.$i.$key"; done | awk '{ s += $1 } END { printf "%.17g", s }'
}
product() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.17g", a * b }'; }

# Sequences, depths and replies: what is measured, and that its figures agree with one another.
status 0 "$BITNET" bench -p 0 -n 8 -t 1 -r 3 -s 1,3 -d 0,100 --drafts --weights base3 --head screened --json
silent
i=0
for expected in tg8,1,0 tg8x3,3,0 tg8@100,1,100 tg8x3@100,3,100 copy8 copy8 loop8 loop8 plain8 plain8; do
  found=$(json "$out" "results.$i.test")
  case $expected in
    tg*) found=$found,$(json "$out" "results.$i.sequences"),$(json "$out" "results.$i.depth") ;;
  esac
  [ "$found" = "$expected" ] || fail "$last: result $i is $found, expected $expected"
  ordered "results.$i"
  i=$((i + 1))
done
[ "$(json "$out" results)" -eq $i ] || fail "$last: $(json "$out" results) results, expected $i"

for i in 0 2; do
  near "$(sum ms_per_token)" "$(sum weights_ms attention_ms rest_ms)" "the phases of result $i"
  near "$(product "$(sum weights_gb_per_s)" "$(sum weights_ms)")" \
    "$(product "$(json "$out" bytes_per_token)" 1e-6)" "the reading of result $i"
  for key in weights_ms attention_ms weights_stream_share head_rows_per_token; do
    positive "results.$i.$key"
  done
done
for i in 0 1 2 3; do
  near "$(product "$(sum gb_per_s)" "$(sum sequences)")" \
    "$(product "$(json "$out" bytes_per_token)" "$(product "$(sum median)" 1e-9)")" "the bandwidth of result $i"
  near "$(product "$(sum stream_share)" "$(json "$out" machine.0.stream_gb_per_s)")" "$(sum gb_per_s)" \
    "the share of result $i"
  near "$(product "$(sum int8_share)" "$(json "$out" machine.0.int8_gmac_per_s)")" "$(sum gmac_per_s)" \
    "the multiply-adds of result $i"
done
[ "$(json "$out" results.1.ms_per_token)" = missing ] || fail "$last: phases of several sequences"

for expected in '2 tg8' '3 tg8x3' '5 copy8 no drafts' '7 loop8 no drafts' '9 plain8 no drafts'; do
  i=${expected%% *}
  [ "$(json "$out" "results.$i.ratio_to")" = "${expected#* }" ] ||
    fail "$last: result $i is held against $(json "$out" "results.$i.ratio_to"), expected ${expected#* }"
  positive "results.$i.ratio"
done
for i in 4 6 8; do
  [ "$(sum drafted accepted)" = 0 ] || fail "$last: result $i has drafts"
done
for i in 5 7 9; do
  [ "$(json "$out" "results.$i.accepted")" -le "$(json "$out" "results.$i.drafted")" ] ||
    fail "$last: result $i: more drafts accepted than made"
done

near "$(json "$out" stream_gb_per_s)" "$(json "$out" machine.0.stream_gb_per_s)" 'the limit of the report'
[ "$(json "$out" machine.0.measured)" -ge 2 ] || fail "$last: the machine is measured before and after"
for key in repetitions macs_per_token file_bytes weight_bytes cache_bytes work_bytes; do positive "$key"; done

# A screened head computes fewer rows.
[ "$(json "$out" weights) $(json "$out" head)" = 'base3 screened' ] || fail "$last: not base3 and screened"
for expected in '0 24' '1 72' '2 24' '3 72'; do
  set -- $expected
  [ "$(json "$out" "results.$1.screened_tokens")" = "$2" ] || fail "$last: result $1 has not $2 screened tokens"
  awk -v rows="$(json "$out" "results.$1.head_rows_per_token")" -v all="$vocabulary" \
    'BEGIN { exit !(1 <= rows + 0 && rows + 0 < all + 0) }' || fail "$last: result $1: not fewer rows than $vocabulary"
done

status 0 "$BITNET" bench -p 0 -n 4 -t 1 -r 1 -d 0,64 --drafts
grep -q '^pp' "$out" && fail "$last: measured prefill too"
for text in 'tg4@64 ' ' of tg4' 'copy4 no drafts' 'drafts right' 'weights ' ', head '; do
  stdout_has "$text"
done

refused 1 'bitnet: ' "$BITNET" bench -p 100000 -n 0 -t 1 -r 1
refused 1 'tg8@510 needs 518 positions' "$BITNET" bench -p 0 -n 8 -d 0,510 -t 1 -r 1
refused 1 'sequences is 2001' "$BITNET" bench -p 0 -s 2000 -t 1 -r 1
refused 2 'option -s: expected' "$BITNET" bench -s 1,0
refused 2 'option -s: expected' "$BITNET" bench -s many
refused 2 'option -s: expected' "$BITNET" bench -s ''
refused 2 'option -d: expected' "$BITNET" bench -d -1
refused 2 'option --drafts: expected -n 2' "$BITNET" bench --drafts -n 1
refused 2 'found --head screened' "$BITNET" bench --logits --head screened
finish
