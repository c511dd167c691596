#!/bin/sh
# The float64 forward pass against the engine on a random model of every family with every weight type, and of every
# type for embeddings and head: prints the worst errors, fails where compare.py finds them too large.
#
# usage: every_type_test.sh MAKE_MODEL BITNET PYTHON COMPARE
set -eu
make_model=$1
bitnet=$2
python=$3
compare=$4
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
models=0
failed=0

check() {
  models=$((models + 1))
  "$make_model" -o "$folder/model.gguf" --shape tiny --seed $models "$@"
  if "$python" "$compare" "$folder/model.gguf" "$bitnet" --random 12 --runs 2 --greedy 4 \
    >"$folder/report" 2>&1; then
    echo "$* : $(grep -m1 'worst relative error' "$folder/report")"
  else
    echo "$* : FAILED"
    cat "$folder/report"
    failed=$((failed + 1))
  fi
}

for family in bitnet-b1.58 bitnet-25 bitnet llama; do
  for type in i2_s tq2_0 tq1_0 f32 f16 bf16 q8_0; do
    case $type in tq*) size='--width 256 --ff 256 --heads 8' ;; *) size= ;; esac
    # shellcheck disable=SC2086
    check --family $family --weights $type $size
  done
done
for type in f16 f32 bf16 q8_0 q6_k q5_0 q4_k q4_0; do
  check --embd $type --width 256 --ff 256
  check --family llama --head $type --width 256 --ff 256
done
echo "$models models compared, $failed failed"
[ $failed -eq 0 ]
