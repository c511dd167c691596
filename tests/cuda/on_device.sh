#!/bin/sh
# Everything that wants a CUDA device, in the order of what is worth most if time runs out: the kernels against the
# reference verbs, whole models against the CPU, the rates of phases and passes, tokens a second through the public API,
# then the tools that find bad accesses and races. Runs what a build directory has; builds nothing.
#
# usage: on_device.sh BUILD-DIRECTORY [SECONDS]     (default: 480 seconds for all)
set -u

build=$(CDPATH='' cd -- "$1" && pwd) || exit 2
end=$(($(date +%s) + ${2:-480}))
failed=0

# step NAME SECONDS COMMAND...: not more than so long, nor beyond the end.
step() {
  name=$1
  limit=$2
  shift 2
  left=$((end - $(date +%s)))
  if [ "$left" -le 5 ]; then
    echo "== $name: not run, the time is over"
    failed=1
    return
  fi
  [ "$left" -lt "$limit" ] && limit=$left
  echo "== $name"
  begin=$(date +%s)
  status=0
  timeout "$limit" "$@" || status=$?
  echo "== $name: status $status after $(($(date +%s) - begin)) s"
  [ "$status" -eq 0 ] || failed=1
}

models=
for model in "$build"/tests/proof/*.gguf; do models=$models${models:+:}$model; done
small=$(dirname "$0")/../../samples/models/bitnet-nano.gguf
export LD_LIBRARY_PATH="$build/tests/cuda/device"

step 'devices' 20 "$build/samples/bitnet" devices
step 'kernels against the reference' 60 "$build/tests/cuda/cuda_kernels_test" --gtest_brief=1
step 'models against the CPU' 90 env BITNET_MODELS="$models" "$build/tests/cuda/cuda_model_test" --gtest_brief=1
step 'the small model answers' 20 "$build/samples/bitnet" chat -m "$small" --device cuda \
  'What is the capital of France?'
step 'questions' 60 "$build/tests/proof/questions_test" "$small" "$(dirname "$0")/../data/questions.jsonl" cuda
step 'phases and passes' 120 "$build/tests/cuda/cuda_bench" --benchmark_min_time=0.2
random=${TMPDIR:-/tmp}/random-2b4t.gguf
if [ ! -f "$random" ]; then step 'a model of 2B-4T shapes' 60 "$build/tests/make_model" --shape 2b4t -o "$random"; fi
step 'tokens a second' 60 "$build/samples/bitnet" bench -m "$random" --device cuda
if command -v compute-sanitizer >/dev/null 2>&1; then
  for tool in memcheck racecheck; do
    step "$tool" 90 compute-sanitizer --tool "$tool" --error-exitcode 1 "$build/tests/cuda/cuda_kernels_test" \
      --gtest_brief=1 --gtest_filter='*Attention:*Norms*:*Screened*:*OfOddLogits*:*OfDraws*'
  done
else
  echo '== compute-sanitizer is not installed: memcheck and racecheck not run'
fi
[ "$failed" -eq 0 ]
