# bitnet(1) is installed, clean, and true: see man.py.
source=$1
. "$source/tests/samples/check.sh"
. "$source/tests/install/stage.sh"
set -e
stage "$2" "$3"
set +e
page=$(one bitnet.1)

version=$(sh "$source/pkgconfig/version.sh" "$header" version)
grep -qx "\.Os bitnet $version" "$page" || fail "the page does not name version $version: $(grep '^\.Os' "$page")"
[ "${page#"$tree"}" = "$(dirname "$(dirname "${program#"$tree"}")")/share/man/man1/bitnet.1" ] ||
  fail "the page is in ${page#"$tree"}"

if command -v mandoc >/dev/null; then
  status 0 mandoc -T lint -W warning "$page"
  [ ! -s "$out" ] || fail "mandoc: $(cat "$out")"
else
  echo 'there is no mandoc: its check is left out'
fi
if command -v man >/dev/null; then
  status 0 env MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 "$page"
  silent
  stdout_has 'run BitNet b1.58 language models'
else
  echo 'there is no man: its check is left out'
fi

# The options, and the examples, with the small model as model.gguf.
mkdir "$work/bin" "$work/examples"
ln -s "$program" "$work/bin/bitnet"
cp "$model" "$work/examples/model.gguf"
printf 'What is the capital of France?\nAnd of Italy?\n' >"$work/examples/questions.txt"
cd "$work/examples" || exit 1
PATH=$work/bin:$PATH python3 "$source/tests/install/man.py" "$page" "$program" || fail 'man.py found differences'
[ "$failures" -ne 0 ] || rm -rf "$3"
finish
