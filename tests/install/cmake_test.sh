# CMake projects of a stranger find the library by find_package, in a tree that was moved; wrong versions are refused.
source=$1
build=$2
scratch=$3
. "$source/tests/samples/check.sh"
. "$source/tests/install/stage.sh"
command -v cmake >/dev/null || { echo 'skipped: there is no cmake (sh samples/packages.sh tests installs it)'; exit 77; }
set -e
stage "$build" "$scratch"
set +e
unset LD_LIBRARY_PATH CC CXX CFLAGS CXXFLAGS CPPFLAGS LDFLAGS
CMAKE_GENERATOR=Ninja
CMAKE_PREFIX_PATH=$(dirname "$(dirname "$header")")
export CMAKE_GENERATOR CMAKE_PREFIX_PATH
version=$(sh "$source/pkgconfig/version.sh" "$header" version)
oldest=$(sh "$source/pkgconfig/version.sh" "$header" oldest "$source/ABI_CHANGELOG.md")
major=${version%%.*}
rest=${version#*.}
minor=${rest%%.*}
patch=${version##*.}

python3 "$source/tests/install/examples.py" "$source/README.md" "$work/readme" >/dev/null
cp "$source/samples/hello.c" "$work/hello.c"
cp "$source/samples/hello.c" "$work/hello.cpp"
answer=$("$program" chat 'What is the capital of France?' </dev/null)
runs() {
  status 0 "$1" "$model"
  silent
  stdout_is "$answer"
}

# ---- The project of README.md ------------------------------------------------------------------
mkdir "$work/project"
cp "$work/hello.c" "$work/project/"
cp "$work"/readme/*.cmake "$work/project/CMakeLists.txt" || fail 'README.md has no project for CMake'
status 0 cmake -S "$work/project" -B "$scratch/readme"
status 0 cmake --build "$scratch/readme"
runs "$scratch/readme/hello"

# A version that is not here is refused, by name.
sed "s/bitnet [0-9.]* /bitnet $major.$((minor + 1)) /" "$work/project/CMakeLists.txt" >"$work/newer"
mv "$work/newer" "$work/project/CMakeLists.txt"
status 1 cmake -S "$work/project" -B "$scratch/newer"
stderr_has "\"$major.$((minor + 1))\""
stderr_has "version: $version"

# ---- More of it, in C and C++ ------------------------------------------------------------------
accepted="$oldest;$version;$version,EXACT;$major;$major.$minor;$oldest...$version;0.0.1...<$((major + 1))"
refused="$major.$minor.$((patch + 1));$major.$((minor + 1));$((major + 1));0.0.1;0.0.1...<$version"
refused="$refused;$major.$((minor + 1))...$((major + 1))"
[ "$oldest" = "$version" ] || refused="$refused;$oldest,EXACT"
status 0 cmake -S "$source/tests/install/cmake" -B "$scratch/project" -DHELLO="$work" -DEXPECTED_VERSION="$version" \
  "-DACCEPTED=$accepted" "-DREFUSED=$refused"
[ "$got" -eq 0 ] || cat "$err"
stdout_has "found $version"
status 0 cmake --build "$scratch/project"
[ "$got" -eq 0 ] || cat "$out"
runs "$scratch/project/hello_c"
runs "$scratch/project/hello_cxx"
if [ -f "$libdir/libbitnet.a" ]; then
  for name in hello_c_static hello_cxx_static; do
    runs "$scratch/project/$name"
    if readelf -dW "$scratch/project/$name" | grep -q 'NEEDED.*libbitnet'; then fail "$name needs the shared library"; fi
  done
  linked='the library and the archive'
else
  linked='the library (no archive was built)'
fi

# Installed by CMake with the library that it was linked with, under its soname, by the line that README.md has.
line=$(grep '^install(FILES' "$source/tests/install/cmake/CMakeLists.txt")
grep -qF "$line" "$source/README.md" || fail "README.md does not have: $line"
status 0 cmake --install "$scratch/project" --prefix "$scratch/shipped"
mv "$scratch/shipped" "$scratch/elsewhere"
mv "$libdir/libbitnet.so.$version" "$libdir/hidden"
runs "$scratch/elsewhere/bin/hello_c"
runs "$scratch/elsewhere/bin/hello_cxx"

# ---- Other installations -----------------------------------------------------------------------
sed "s/bitnet [0-9.]* /bitnet $version /" "$work/project/CMakeLists.txt" >"$work/this"
mv "$work/this" "$work/project/CMakeLists.txt"
# A later library than the files for building: that library, not the archive beside it.
soname=$(readlink "$libdir/libbitnet.so")
cp "$libdir/hidden" "$libdir/libbitnet.so.$version.99"
ln -sf "libbitnet.so.$version.99" "$libdir/$soname"
status 0 cmake -S "$work/project" -B "$scratch/later"
status 0 cmake --build "$scratch/later"
runs "$scratch/later/hello"
readelf -dW "$scratch/later/hello" | grep -q "NEEDED.*$soname" || fail 'beside a later library the archive is linked'
rm "$libdir/libbitnet.so.$version.99"
# Only the archive: it stands in for the library.
if [ -f "$libdir/libbitnet.a" ]; then
  status 0 cmake -S "$work/project" -B "$scratch/archive"
  status 0 cmake --build "$scratch/archive"
  runs "$scratch/archive/hello"
  rm "$libdir/libbitnet.a"
fi
# Neither: a sentence says so.
status 1 cmake -S "$work/project" -B "$scratch/neither"
tr -s ' \n' ' ' <"$err" >"$work/sentence"
grep -q "neither $libdir/libbitnet.so.[0-9.]* nor $libdir/libbitnet.a is there" "$work/sentence" ||
  fail "without a library CMake says: $(cat "$err")"

echo "linked with $linked; accepted $accepted; refused $refused"
[ "$failures" -ne 0 ] || rm -rf "$scratch"
finish
