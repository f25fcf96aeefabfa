#!/bin/sh
# found.sh <bug> <test program> [argument...]: with the bug planted the test must fail, and not by what has nothing to do with it:
# without the bug the same program passes.
set -u
bug=$1
shift
report=$(mktemp)
trap 'rm -f "$report"' EXIT
if HAKUBAN_PLANT='' "$@" >"$report" 2>&1; then :; else
    cat "$report"
    echo "$bug: $1 fails without it too"
    exit 1
fi
if HAKUBAN_PLANT=$bug "$@" >"$report" 2>&1; then
    cat "$report"
    echo "$bug: not found by $*"
    exit 1
fi
grep -E ':[FE]:' "$report" | head -n 3
echo "$bug: found by $(basename "$1")"
