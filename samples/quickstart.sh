#!/bin/sh
# From a fresh Debian 12 to a chat: installs what is missing, builds into build/, talks to the small model.
#   sh samples/quickstart.sh                                   a chat in the terminal
#   sh samples/quickstart.sh 'What is the capital of France?'  one answer
#   echo 'What is the capital of France?' | sh samples/quickstart.sh
# Arguments go to `bitnet chat` (see its --help). Only the chat goes to standard output.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
build=$root/build
log=$build/quickstart.log

failed() {
  tail -n 40 "$log" >&2
  echo "quickstart.sh: the build failed; the whole of it is in $log" >&2
  exit 1
}

sh "$root/samples/packages.sh" </dev/null >&2

mkdir -p "$build"
if [ ! -f "$build/build.ninja" ]; then
  echo "quickstart.sh: configuring $build" >&2
  meson setup --buildtype=release -Dtests=false "$build" "$root" >"$log" 2>&1 </dev/null || failed
fi
echo "quickstart.sh: building (a minute or two the first time)" >&2
ninja -C "$build" samples/bitnet >"$log" 2>&1 </dev/null || failed

exec "$build/samples/bitnet" chat "$@"
