# Meson projects of a stranger: the one of README.md with the installed library, and with the sources as a subproject
# through the wrap of README.md, linked in and shared.
source=$1
build=$2
scratch=$3
. "$source/tests/samples/check.sh"
. "$source/tests/install/stage.sh"
set -e
stage "$build" "$scratch"
set +e
unset CC CXX CFLAGS CXXFLAGS CPPFLAGS LDFLAGS
version=$(sh "$source/pkgconfig/version.sh" "$header" version)
answer=$("$program" chat 'What is the capital of France?' </dev/null)
python3 "$source/tests/install/examples.py" "$source/README.md" "$work/readme" >/dev/null

# meson_does ARGUMENTS...: a failure is shown whole.
meson_does() {
  status 0 meson "$@"
  [ "$got" -eq 0 ] || tail -n 40 "$out"
}
runs() {
  status 0 "$1" "$model"
  silent
  stdout_is "$answer"
}
# plan FOLDER: the names that would be installed.
plan() {
  meson introspect "$1" --installed |
    python3 -c 'import json, os, sys; print(*sorted(os.path.basename(p) for p in json.load(sys.stdin).values()))'
}

# ---- With the installed library ----------------------------------------------------------------
mkdir "$scratch/project"
cp "$source/samples/hello.c" "$scratch/project/"
cp "$work"/readme/*.meson "$scratch/project/meson.build" || fail 'README.md has no project for Meson'
meson_does setup --wrap-mode=nofallback "$scratch/readme" "$scratch/project"
grep -q "dependency bitnet found: YES $version" "$out" || fail 'Meson did not find the installed library'
meson_does compile -C "$scratch/readme"
runs "$scratch/readme/hello"

# ---- As a subproject ---------------------------------------------------------------------------
# Nothing installed is to be found, and the sources are what such a build needs: no samples, no tests.
LD_LIBRARY_PATH=
unset PKG_CONFIG_LIBDIR PKG_CONFIG_SYSROOT_DIR
mkdir -p "$scratch/stranger/subprojects" "$scratch/clone"
cp -R "$source"/tests/install/meson/* "$source/samples/hello.c" "$scratch/stranger/"
for part in LICENSE meson.build meson_options.txt include pkgconfig src; do
  cp -R "$source/$part" "$scratch/clone/"
done
wrap=$scratch/stranger/subprojects/bitnet.wrap
sed "s,^url = .*,url = file://$scratch/clone," "$work"/readme/*.ini >"$wrap" || fail 'README.md has no wrap'
if command -v git >/dev/null; then
  status 0 sh -c "cd '$scratch/clone' && git init -q && git add . &&
    git -c user.name=nobody -c user.email=nobody@localhost commit -q -m sources"
else
  echo 'there is no git: the sources are put into subprojects/bitnet'
  mv "$scratch/clone" "$scratch/stranger/subprojects/bitnet"
fi
fallback='--wrap-mode=forcefallback'

# Linked in. -O0, since this compiles the library again.
meson_does setup $fallback "$scratch/static" "$scratch/stranger" -Ddefault_library=static -Doptimization=0 \
  -Ddebug=false
[ "$(plan "$scratch/static")" = 'hello libanswers.so' ] ||
  fail "with the library inside, these are installed: $(plan "$scratch/static")"
meson_does compile -C "$scratch/static"
meson_does install -C "$scratch/static" --no-rebuild --quiet --destdir "$scratch/to"
mv "$scratch/to" "$scratch/elsewhere"
runs "$(find "$scratch/elsewhere" -name hello)"
status 0 python3 -c 'import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
library.answers_version.restype = ctypes.c_char_p
print(library.answers_version().decode())' "$(find "$scratch/elsewhere" -name 'libanswers.so')"
stdout_is "$version"
if readelf -dW "$(find "$scratch/elsewhere" -name hello)" | grep -q 'NEEDED.*libbitnet'; then
  fail 'hello needs the shared library, though it has it inside'
fi
meson introspect "$scratch/static" --targets >"$work/targets"
if grep -qE '"(make_model|bitnet_test|structs_test)"|samples/bitnet' "$work/targets"; then
  fail 'a subproject builds tests or samples'
fi

# Shared: the library goes along, and nothing else of it. What it would compile is known from the above.
meson_does setup $fallback "$scratch/shared" "$scratch/stranger" -Ddefault_library=shared
abi=$(sh "$source/pkgconfig/version.sh" "$header" abi)
[ "$(plan "$scratch/shared")" = "hello libanswers.so libbitnet.so libbitnet.so.$abi libbitnet.so.$version" ] ||
  fail "with the library shared, these are installed: $(plan "$scratch/shared")"

# The parent's warnings as errors, and its language, are its own.
status 0 python3 - "$scratch/static/compile_commands.json" <<'END'
import json, sys
for command in json.load(open(sys.argv[1], encoding="utf-8")):
    line, ours = command["command"], "subprojects/bitnet" in command["file"]
    if ours and ("-Werror" in line.split() or "-std=c++20" not in line):
        sys.exit(f"the parent's options are the subproject's: {line}")
    if not ours and ("-Werror" not in line.split() or "-ffp-contract=off" in line):
        sys.exit(f"the subproject's options are the parent's: {line}")
END
[ "$got" -eq 0 ] || cat "$err"

[ "$failures" -ne 0 ] || rm -rf "$scratch"
finish
