# The hello in the first comment of bitnet.h is samples/hello.c, compiles as C99 and works.
. "$(dirname "$0")/check.sh"

sed -n '/^ \*     #include <bitnet.h>$/,/^ \*     }$/s/^ \*     //p' "$HEADER" >"$work/hello.c"
[ "$(wc -l <"$work/hello.c")" -ge 15 ] || fail "the header has no hello of 15 lines"
same "$work/hello.c" "$HELLO_SOURCE" "samples/hello.c is not the hello of bitnet.h"

# It says what `bitnet chat` says.
status 0 "$BITNET" chat 'What is the capital of France?'
cp "$out" "$work/chat"
status 0 "$HELLO" "$MODEL"
silent
stdout_is_file "$work/chat"

status 1 "$HELLO" "$work/no-such-file.gguf"
stderr_has no-such-file.gguf
status 1 "$HELLO"
finish
