#!/usr/bin/env bash
# Builds and tests everything from nothing; installs what is missing first. The last line is the result:
# "N passed, N failed", then ", N skipped" if there were any.
#
#   scripts/test.sh          release build, all tests
#   scripts/test.sh --full   also five subsets of what can be chosen, a build with clang, bugs planted to be found, all tests
#                            under ASan and UBSan, the threaded ones under TSan, and a short run of the fuzzers; so it is with CI=true
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

passed=0 failed=0 skipped=0 failures=() sizes=()
jobs=$(nproc)
at_once=$((2 * jobs)) # of tests: many of them wait most of the time
targets=all
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

# build <name> [choice...]: $targets of a preset, or with choices of the release with them, in build/<name>.
build() {
    local name=$1 preset=$1
    shift
    [ $# = 0 ] || preset=release
    echo "== $name: build"
    { cmake --preset "$preset" -B "build/$name" "$@" && cmake --build "build/$name" -j "$jobs" --target $targets; } \
        >"$log" 2>&1 && return
    tail -n 60 "$log"
    fail "$name: build"
    return 1
}

# run <name> [ctest argument...]: counts every test by its line of the report.
run() {
    local build=$1 status name
    shift
    echo "== $build: tests"
    ctest --test-dir "build/$build" --output-on-failure -j "$at_once" --no-tests=ignore "$@" 2>&1 |
        tee "$log" | grep -vE '^ *Start +[0-9]+:|^Test project|^Internal ctest|^Label Time|sec\*proc|^$'
    while read -r name status; do
        case $status in
        Passed) passed=$((passed + 1)) ;;
        Skipped) skipped=$((skipped + 1)) ;;
        *) fail "$build: $name ($status)" ;;
        esac
    done < <(sed -nE 's/^ *[0-9]+\/[0-9]+ Test +#[0-9]+: ([^ ]+) \.+ *(\*\*\*)?([A-Za-z]+).*/\1 \3/p' "$log")
}

# size <name>: of what users get, without debug information.
size() {
    local library=build/$1/lib/libhakuban.so stripped
    [ -e "$library" ] || return
    stripped=$(mktemp)
    strip -o "$stripped" "$library" && sizes+=("$(printf '| %-28s | %11s |' "$1" "$(stat -c %s "$stripped")")")
    rm -f "$stripped"
}

# subset <name> <choice that is ON>...: the library with nothing else, and the tests of what it has; those that take long, for
# they are about networks and times, are run in the whole builds.
subset() {
    local name=$1 option choices=()
    shift
    for option in TRANSPORT_TCP TRANSPORT_WS TRANSPORT_ZMQ TRANSPORT_INPROC SERIALIZER_JSON \
        SERIALIZER_MSGPACK \
        COMPRESSOR_ZSTD BUILD_TOOLS BUILD_EXAMPLES; do
        case " $* " in
        *" $option "*) choices+=("-DHAKUBAN_$option=ON") ;;
        *) choices+=("-DHAKUBAN_$option=OFF") ;;
        esac
    done
    build "$name" "${choices[@]}" -DHAKUBAN_BUILD_BENCH=OFF &&
        run "$name" -L 'link|plugin|runtime|transports|codecs|e2e|install' -E 'install.packages|e2e.(chaos|peers|outage|pool|flow|bench)'
    size "$name"
}

purpose=--test
[ $full = 0 ] || purpose=--full
scripts/install-deps.sh $purpose || { fail "installing what is missing"; finish; }

build release && run release
if [ $full = 1 ]; then
    size release
    subset tcp+json TRANSPORT_TCP SERIALIZER_JSON BUILD_TOOLS BUILD_EXAMPLES
    subset zmq+msgpack TRANSPORT_ZMQ SERIALIZER_MSGPACK BUILD_TOOLS BUILD_EXAMPLES
    subset ws+json TRANSPORT_WS SERIALIZER_JSON BUILD_TOOLS BUILD_EXAMPLES
    subset inproc+json+zstd TRANSPORT_INPROC SERIALIZER_JSON COMPRESSOR_ZSTD
    subset tcp+inproc+json+msgpack+zstd TRANSPORT_TCP TRANSPORT_INPROC SERIALIZER_JSON \
        SERIALIZER_MSGPACK COMPRESSOR_ZSTD BUILD_TOOLS
    build clang
    targets=planted build planted -DHAKUBAN_PLANT_BUGS=ON && run planted -L planted
    build asan && run asan
    build tsan && run tsan -L 'e2e|runtime|transports'
    targets=fuzzers build fuzz && run fuzz -L fuzz
    printf '\n| %-28s | %11s |\n| --- | ---: |\n' libhakuban.so 'bytes'
    printf '%s\n' "${sizes[@]}" ''
fi
finish
