# bitnet inspect: what it shows agrees with the file and with itself, and its JSON is JSON.
. "$(dirname "$0")/check.sh"

status 0 "$BITNET" inspect "$MODEL" --json
silent
cp "$out" "$work/inspect.json"
status 0 "$BITNET" inspect --json
stdout_is_file "$work/inspect.json" # the model in the program is that file
status 0 "$BITNET" inspect -m "$MODEL" --json
stdout_is_file "$work/inspect.json"

number() { json "$work/inspect.json" "$1"; }
[ "$(number file_bytes)" -eq "$(wc -c <"$MODEL")" ] || fail "file_bytes is not the file's size"
for key in parameters vocab_size context_length layers width ff_width heads kv_heads head_dim; do
  [ "$(number $key)" -gt 0 ] || fail "$key is $(number $key)"
done
for key in weight_bytes cache_bytes work_bytes total_bytes; do
  [ "$(number memory.$key)" -gt 0 ] || fail "memory.$key is $(number memory.$key)"
done
[ "$(number metadata)" -gt 5 ] || fail "there are $(number metadata) metadata"

# The tensors' bytes add up to those of the types, and fit the file.
tensors=$(number tensors)
sum=0
i=0
while [ "$i" -lt "$tensors" ]; do
  sum=$((sum + $(number tensors.$i.bytes)))
  i=$((i + 1))
done
{ [ "$tensors" -gt 0 ] && [ "$sum" -gt 0 ] && [ "$sum" -lt "$(number file_bytes)" ]; } ||
  fail "$tensors tensors of $sum bytes in a file of $(number file_bytes)"
by_type=0
for type in I2_S TQ1_0 TQ2_0 F32 F16 BF16 Q8_0 Q6_K Q5_0 Q4_0 Q4_K; do
  bytes=$("$JSON_VALUE" "$work/inspect.json" types.$type.bytes) && by_type=$((by_type + bytes))
done
[ "$by_type" -eq "$sum" ] || fail "types add up to $by_type bytes, tensors to $sum"

# The text has the same facts.
status 0 "$BITNET" inspect "$MODEL"
silent
for fact in "$(number family)" "$(number fingerprint)" "$(number memory.total_bytes)" "$(number tensors.0.name)" \
  'general.architecture = ' 'tokenizer.ggml.tokens = '; do
  stdout_has "$fact"
done

# A smaller context needs less.
status 0 "$BITNET" inspect --ctx 64 --json
[ "$(json "$out" memory.cache_bytes)" -lt "$(number memory.cache_bytes)" ] ||
  fail "a context of 64 positions needs as much cache as the whole"

# What a file says is shown without being obeyed. The name is overwritten in place.
name=$(number name)
at=$(grep -aobF -e "$name" "$MODEL" | head -n 1 | cut -d : -f 1)
cp "$MODEL" "$work/rude.gguf"
chmod u+w "$work/rude.gguf"
printf '\033[' | dd of="$work/rude.gguf" bs=1 seek="$at" conv=notrunc 2>/dev/null
status 0 "$BITNET" inspect "$work/rude.gguf"
stdout_has '\x1b['
[ "$(tr -d '\n -~\200-\377' <"$out" | wc -c)" -eq 0 ] || fail "inspect printed control characters"
status 0 "$BITNET" inspect "$work/rude.gguf" --json
[ "$(json "$out" name | head -c 2 | od -An -t x1 | tr -d ' ')" = 1b5b ] || fail "the JSON lost the name's escape"

# Failures.
refused 1 no-such-file.gguf "$BITNET" inspect "$work/no-such-file.gguf"
for length in 0 3 20 1000; do
  head -c "$length" "$MODEL" >"$work/cut.gguf"
  refused 1 'bitnet: ' "$BITNET" inspect "$work/cut.gguf"
done
finish
