# What `meson install` puts where: every file with its mode, parts by --tags, other layouts, nothing of the build in it,
# one version everywhere, and nothing left after `ninja uninstall`.
source=$1
build=$2
scratch=$3
. "$source/tests/samples/check.sh"
. "$source/tests/install/stage.sh"
set -e
stage "$build" "$scratch"
set +e
unset LD_LIBRARY_PATH

# list FOLDER: "MODE PATH" of each file and "PATH -> TARGET" of each link, sorted.
list() { find "$1" \( -type f -printf '%m %P\n' \) -o \( -type l -printf '%P -> %l\n' \) | sort -k 2; }

# ---- The tree ----------------------------------------------------------------------------------
version=$(sh "$source/pkgconfig/version.sh" "$header" version)
abi=$(sh "$source/pkgconfig/version.sh" "$header" abi)
prefix=$(sed -n 's/^prefix=//p' "$libdir/pkgconfig/bitnet.pc")
root=$tree$prefix
lib=${libdir#"$root/"}
archive=
if grep -q 'libbitnet\.a"' "$build/meson-info/intro-installed.json"; then archive="644 $lib/libbitnet.a"; fi
sort -k 2 >"$work/runtime" <<END
755 $lib/libbitnet.so.$version
$lib/libbitnet.so.$abi -> libbitnet.so.$version
END
sort -k 2 >"$work/devel" <<END
644 include/bitnet.h
$lib/libbitnet.so -> libbitnet.so.$abi
644 $lib/pkgconfig/bitnet.pc
644 $lib/cmake/bitnet/bitnetConfig.cmake
644 $lib/cmake/bitnet/bitnetConfigVersion.cmake${archive:+
$archive}
END
sort -k 2 >"$work/bin,man" <<END
755 bin/bitnet
644 share/bitnet/bitnet-nano.gguf
644 share/man/man1/bitnet.1
END
# Where nvcc is; no other layout below is asked to build it.
: >"$work/cuda"
if grep -q 'libbitnet-cuda\.so"' "$build/meson-info/intro-installed.json"; then
  echo "755 $lib/libbitnet-cuda.so" >"$work/cuda"
fi
sort -k 2 "$work/runtime" "$work/devel" "$work/bin,man" "$work/cuda" >"$work/all"

list "$root" >"$work/found"
diff "$work/all" "$work/found" || fail 'the installed files are not those expected (left)'
[ "$(find "$tree" -type f | wc -l)" -eq "$(find "$root" -type f | wc -l)" ] || fail "files outside $prefix"
cat "$work/found"

# ---- Its parts ---------------------------------------------------------------------------------
for tags in runtime devel bin,man cuda; do
  [ -s "$work/$tags" ] || continue
  status 0 meson install -C "$scratch/view" --no-rebuild --quiet --tags "$tags" --destdir "$scratch/part"
  list "$scratch/part$prefix" >"$work/found"
  diff "$work/$tags" "$work/found" || fail "--tags $tags does not install what is expected (left)"
  rm -rf "$scratch/part"
done

# ---- Uninstalling ------------------------------------------------------------------------------
# What `ninja uninstall` runs; ninja itself would not take the view for the build folder.
status 0 meson install -C "$scratch/view" --no-rebuild --quiet --destdir "$scratch/again"
uninstall=$(ninja -C "$build" -t commands uninstall)
[ -n "$uninstall" ] || fail 'ninja knows no uninstall'
status 0 sh -c "cd '$scratch/view' && $uninstall"
[ ! -e "$scratch/again" ] || fail "left after ninja uninstall: $(find "$scratch/again" | head -n 5)"

# ---- Nothing of the build ----------------------------------------------------------------------
cp -R "$root" "$work/stripped"
# A build with debug information names its sources there, and only there.
strip --strip-debug "$work/stripped/$lib/libbitnet.so.$version" "$work/stripped/bin/bitnet"
[ -z "$archive" ] || strip --strip-debug "$work/stripped/$lib/libbitnet.a"
for path in "$source" "$build" "$scratch"; do
  status 1 grep -rlF -e "$path/" "$work/stripped"
  [ ! -s "$out" ] || fail "the path $path is inside $(cat "$out")"
done

# search_path FILE: where a program looks for libraries besides the system's folders.
search_path() { readelf -dW "$1" | sed -n 's/.*(R\(UN\)*PATH).*\[\(.*\)\]$/\2/p'; }
[ -z "$(search_path "$libdir/libbitnet.so.$version")" ] || fail 'the library has a search path of its own'
case $prefix in
  /usr) [ -z "$(search_path "$program")" ] || fail 'in /usr a program needs no search path' ;;
  *)
    [ "$(search_path "$program")" = "\$ORIGIN/../$lib" ] || fail "the program searches $(search_path "$program")"
    cd /
    status 0 "$program" chat 'What is the capital of France?'
    stdout_has Paris
    ;;
esac

# ---- One version -------------------------------------------------------------------------------
# says WHAT FOUND EXPECTED
says() { [ "$2" = "$3" ] || fail "$1 says '$2', the header says '$3'"; }
says bitnet.pc "$(pkg-config --modversion bitnet)" "$version"
says bitnetConfigVersion.cmake "$(sed -n 's/^set(PACKAGE_VERSION "\(.*\)")$/\1/p' "$libdir/cmake/bitnet/bitnetConfigVersion.cmake")" "$version"
says 'the soname' "$(readelf -dW "$libdir/libbitnet.so" | sed -n 's/.*(SONAME).*\[\(.*\)\]$/\1/p')" "libbitnet.so.$abi"
says 'bitnet --version' "$(LD_LIBRARY_PATH=$libdir "$program" --version)" "bitnet $version"
says 'bitnet(1)' "$(sed -n 's/^\.Os //p' "$(one bitnet.1)")" "bitnet $version"
says Meson "$(meson introspect "$build" --projectinfo |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["version"])')" "$version"
# A patch changes nothing that the changelog is about.
says ABI_CHANGELOG.md "$(sed -n 's/^## \([0-9]*\.[0-9]*\)\..*/\1/p' "$source/ABI_CHANGELOG.md" | head -n 1)" "${version%.*}"

# ---- Other layouts -----------------------------------------------------------------------------
unset PKG_CONFIG_LIBDIR PKG_CONFIG_SYSROOT_DIR CC CXX CFLAGS CXXFLAGS CPPFLAGS LDFLAGS

# layout NAME OPTIONS...: configures anew and installs what was built before, into $scratch/NAME.
layout() {
  name=$1
  shift
  status 0 meson setup "$scratch/build-$name" "$source" -Dtests=false -Dcuda=disabled "$@"
  [ "$got" -eq 0 ] || { cat "$out"; return; }
  ln -s "$build/src/api/libbitnet.so.$version" "$scratch/build-$name/src/api/"
  ln -s "$build"/samples/bitnet "$scratch/build-$name/samples/"
  status 0 meson install -C "$scratch/build-$name" --no-rebuild --quiet --destdir "$scratch/to-$name"
  mv "$scratch/to-$name" "$scratch/$name"
}

layout own --prefix=/opt/own --libdir=lib --bindir=tools/bin --includedir=include/bitnet-0 --datadir=data \
  --mandir=data/man -Dpkgconfig.relocatable=true
sort -k 2 >"$work/all" <<END
755 tools/bin/bitnet
644 include/bitnet-0/bitnet.h
644 data/bitnet/bitnet-nano.gguf
644 data/man/man1/bitnet.1
644 lib/cmake/bitnet/bitnetConfig.cmake
644 lib/cmake/bitnet/bitnetConfigVersion.cmake
644 lib/pkgconfig/bitnet.pc
lib/libbitnet.so -> libbitnet.so.$abi
lib/libbitnet.so.$abi -> libbitnet.so.$version
755 lib/libbitnet.so.$version
END
list "$scratch/own/opt/own" >"$work/found"
diff "$work/all" "$work/found" || fail 'folders of my own are not honoured'
status 0 "$scratch/own/opt/own/tools/bin/bitnet" chat 'What is the capital of France?'
stdout_has Paris
# Both ways to find it, from where it is now.
flags=$(PKG_CONFIG_LIBDIR=$scratch/own/opt/own/lib/pkgconfig pkg-config --cflags --libs bitnet)
include=${flags#-I}
[ "$(realpath "${include%% *}")" = "$scratch/own/opt/own/include/bitnet-0" ] || fail "bitnet.pc, moved, says $flags"
# shellcheck disable=SC2016  # CMake expands it
grep -qF '"${bitnet_libdir}/../include/bitnet-0"' "$scratch/own/opt/own/lib/cmake/bitnet/bitnetConfig.cmake" ||
  fail 'bitnetConfig.cmake does not find the header from its own place'

layout usr --prefix=/usr -Dsamples=true
[ -z "$(search_path "$scratch/usr/usr/bin/bitnet")" ] || fail 'a program in /usr has a search path'
[ -f "$scratch/usr/usr/include/bitnet.h" ] || fail 'the prefix /usr is not honoured'

status 0 meson setup "$scratch/build-alone" "$source" -Dtests=false -Dcuda=disabled -Dsamples=false \
  -Ddefault_library=static
meson introspect "$scratch/build-alone" --installed | tr ',' '\n' | sed 's/.*": "//; s/".*//; s,.*/,,' | sort >"$work/found"
printf '%s\n' bitnet.h bitnet.pc bitnetConfig.cmake bitnetConfigVersion.cmake libbitnet.a | sort >"$work/all"
diff "$work/all" "$work/found" || fail 'the archive alone is not what -Dsamples=false -Ddefault_library=static installs'
grep -q '^Libs: .*-lbitnet -lcjson' "$scratch/build-alone/meson-private/bitnet.pc" ||
  fail 'where there is only the archive, bitnet.pc must name what that needs'

[ "$failures" -ne 0 ] || rm -rf "$scratch"
finish
