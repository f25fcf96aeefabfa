#!/bin/sh
# headers.sh c11|cxx17 <compiler>: each public header compiles alone, with every warning an error. 77: no such compiler.
language=$1
compiler=$2
cd "$(dirname "$0")/../.." || exit 1
if [ "$language" = cxx17 ]; then
    command -v "$compiler" >/dev/null || compiler=clang++
    standard="-x c++ -std=c++17"
else
    standard="-x c -std=c11 -Wstrict-prototypes -Wmissing-prototypes"
fi
command -v "$compiler" >/dev/null || exit 77

failed=0
for header in include/hakuban/*.h include/hakuban/plugin/*.h; do
    # Twice, so that a missing include guard is noticed; a C file must have something in it.
    printf '#include <%s>\n#include <%s>\nextern int something;\n' "${header#include/}" \
        "${header#include/}" |
        $compiler $standard -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -Iinclude \
            -fsyntax-only - || {
        echo "$header does not stand alone in $language"
        failed=1
    }
done
exit $failed
