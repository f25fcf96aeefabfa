#!/bin/sh
# headers.sh c11|c23|cxx17 <compiler>: each public header compiles alone, and all of them in any order, with every warning an
# error. 77: no such compiler.
language=$1
compiler=$2
cd "$(dirname "$0")/../.." || exit 1
case $language in
cxx17)
    command -v "$compiler" >/dev/null || compiler=clang++
    standard="-x c++ -std=c++17"
    ;;
c23) standard="-x c -std=c2x -Wstrict-prototypes -Wmissing-prototypes" ;;
*) standard="-x c -std=c11 -Wstrict-prototypes -Wmissing-prototypes" ;;
esac
command -v "$compiler" >/dev/null || exit 77

failed=0
# compile <what>: the includes come on stdin; a C file must have something in it.
compile() {
    { cat && echo 'extern int something;'; } |
        $compiler $standard -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -Iinclude \
            -fsyntax-only - || {
        echo "$1 does not compile in $language"
        failed=1
    }
}

headers=$(cd include && echo hakuban/*.h hakuban/plugin/*.h)
for header in $headers; do
    # Twice, so that a missing include guard is noticed.
    printf '#include <%s>\n' "$header" "$header" | compile "$header alone"
    # Each of them comes first once, and the others in both directions after it.
    before= after=
    for other in $headers; do
        after="$after $other"
        before="$other $before"
    done
    printf '#include <%s>\n' "$header" $after | compile "$header before all in order"
    printf '#include <%s>\n' "$header" $before | compile "$header before all in reverse order"
done
exit $failed
