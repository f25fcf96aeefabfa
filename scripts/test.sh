#!/usr/bin/env bash
# Builds and tests everything from nothing; installs what is missing first. The last line is the result:
# "N passed, N failed", then ", N skipped" if there were any.
#
#   scripts/test.sh          release build, all tests
#   scripts/test.sh --full   also a build with clang, all tests under ASan and UBSan, the threaded ones under TSan, and a
#                            short run of the fuzzers; so it is with CI=true
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
export LC_ALL=C.UTF-8

full=0
case "${1:-}" in
--full) full=1 ;;
"") [ "${CI:-}" = true ] && full=1 ;;
*)
    sed -n '2,8s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac

passed=0 failed=0 skipped=0 failures=()
jobs=$(nproc)
log=$(mktemp)
trap 'rm -f "$log"' EXIT

finish() {
    local name
    for name in "${failures[@]}"; do
        echo "FAILED: $name"
    done
    local line="$passed passed, $failed failed"
    [ $skipped -gt 0 ] && line="$line, $skipped skipped"
    echo "$line"
    [ $failed -eq 0 ] && [ $passed -gt 0 ]
    exit
}

fail() {
    failed=$((failed + 1))
    failures+=("$1")
}

build() {
    local preset=$1
    echo "== $preset: build"
    { cmake --preset "$preset" && cmake --build --preset "$preset" -j "$jobs"; } >"$log" 2>&1 && return
    tail -n 60 "$log"
    fail "$preset: build"
    return 1
}

# run <preset> [ctest argument...]: counts every test by its line of the report.
run() {
    local preset=$1 status name
    shift
    echo "== $preset: tests"
    ctest --preset "$preset" -j "$jobs" --no-tests=ignore "$@" 2>&1 | tee "$log" |
        grep -vE '^ *Start +[0-9]+:|^Test project|^Label Time|sec\*proc|^$'
    while read -r name status; do
        case $status in
        Passed) passed=$((passed + 1)) ;;
        Skipped) skipped=$((skipped + 1)) ;;
        *) fail "$preset: $name ($status)" ;;
        esac
    done < <(sed -nE 's/^ *[0-9]+\/[0-9]+ Test +#[0-9]+: ([^ ]+) \.+ *(\*\*\*)?([A-Za-z]+).*/\1 \3/p' "$log")
}

if [ $full = 1 ]; then
    scripts/install-deps.sh --full || { fail "installing what is missing"; finish; }
else
    scripts/install-deps.sh || { fail "installing what is missing"; finish; }
fi

build release && run release
if [ $full = 1 ]; then
    build clang
    build asan && run asan
    build tsan && run tsan -L 'e2e|runtime|transports'
    build fuzz && run fuzz -L fuzz
fi
finish
