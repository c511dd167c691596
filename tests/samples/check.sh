# For the shell tests of the program: run something, look at what came out, count what is wrong.
# The environment names the programs and files under test (meson.build).
set -u
LC_ALL=C
export LC_ALL
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
out=$work/out
err=$work/err
failures=0

# Every failure is shown; the test goes on.
fail() {
  failures=$((failures + 1))
  printf 'FAILED: %s\n' "$*"
}

# status WANTED COMMAND...: its output is in $out and $err afterwards.
status() {
  wanted=$1
  shift
  "$@" >"$out" 2>"$err"
  got=$?
  last=$*
  [ "$got" -eq "$wanted" ] && return
  fail "$last: exit status $got, expected $wanted"
  head -n 5 "$err"
}

# The last command wrote exactly this text, or this file, or nothing.
stdout_is() {
  [ "$(cat "$out"; echo .)" = "$1
." ] || fail "$last: printed '$(head -n 5 "$out")', expected '$1'"
}
stdout_is_file() { cmp -s "$out" "$1" || fail "$last: printed '$(head -n 5 "$out")', expected '$(head -n 5 "$1")'"; }
silent() { [ ! -s "$err" ] || fail "$last: said '$(head -n 5 "$err")' on stderr, expected nothing"; }

# It has this text somewhere.
stdout_has() { grep -qF -e "$1" "$out" || fail "$last: printed '$(head -n 5 "$out")', which lacks '$1'"; }
stderr_has() { grep -qF -e "$1" "$err" || fail "$last: said '$(head -n 5 "$err")', which lacks '$1'"; }

# refused STATUS TEXT COMMAND...: it fails with one sentence that has the text, and prints nothing.
refused() {
  expected_status=$1
  text=$2
  shift 2
  status "$expected_status" "$@"
  stderr_has "$text"
  [ "$(wc -l <"$err")" -eq 1 ] || fail "$last: said $(wc -l <"$err") lines, expected one sentence"
  case $(cat "$err") in
    'bitnet: '*) ;;
    *) fail "$last: said '$(cat "$err")', expected 'bitnet: ...'" ;;
  esac
  [ ! -s "$out" ] || fail "$last: printed '$(head -n 5 "$out")' although it failed"
}

same() { cmp -s "$1" "$2" || fail "$3"; }

# json FILE PATH: the value at a path like memory.total_bytes or results.0.test; "missing" without one.
json() { "$JSON_VALUE" "$1" "$2" || echo missing; }

finish() {
  [ "$failures" -eq 0 ] || echo "$failures failures"
  exit $((failures > 0))
}
