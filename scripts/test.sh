#!/usr/bin/env bash
# Installs what is missing, builds, and runs the tests. The last line is the result: "N passed, N failed", then ", N skipped" if
# tests were skipped. Lines above it name what failed, and what passed only at a second try.
#
#   scripts/test.sh                  release build, all tests
#   scripts/test.sh --full           also six subsets of the plugins and six more that are drawn at random, other processors and
#                                    musl (scripts/portability.sh), a build with clang, bugs planted to be found, all tests under
#                                    ASan and UBSan, the threaded ones under TSan, a short run of the fuzzers; so it is with CI=true
#   scripts/test.sh --subset NAME    only this subset, such as tcp+ws+json
#   scripts/test.sh --subsets SEED   only the six subsets that SEED draws
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
export LC_ALL=C.UTF-8

full=0 only=
case "${1:-}:${2:-}" in
--full:) full=1 ;;
--subset:?* | --subsets:[0-9]*) only=$1 ;;
:) [ "${CI:-}" = true ] && full=1 ;;
*)
    sed -n '2,11s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac

passed=0 failed=0 skipped=0 failures=() second_tries=() sizes=()
jobs=$(nproc)
at_once=$((2 * jobs)) # tests at a time: many of them wait most of the time
targets=all
log=$(mktemp)
trap 'rm -f "$log"' EXIT

finish() {
    local name
    for name in "${second_tries[@]}"; do
        echo "PASSED ONLY AT THE SECOND TRY: $name"
    done
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

# build <name> [choice...]: $targets in build/<name>, with the preset <name>, or with the preset release and these choices.
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

# play <name> [ctest argument...]: runs the tests; their report is in the log.
play() {
    local build=$1
    shift
    ctest --test-dir "build/$build" --output-on-failure --no-tests=ignore "$@" 2>&1 |
        tee "$log" | grep -vE '^ *Start +[0-9]+:|^Test project|^Internal ctest|^Label Time|sec\*proc|^$'
}

# results: "name status" of each test in the log.
results() {
    sed -nE 's/^ *[0-9]+\/[0-9]+ Test +#[0-9]+: ([^ ]+) \.+ *(\*\*\*)?([A-Za-z]+).*/\1 \3/p' "$log"
}

# A crash or a find of a sanitizer, in the output of a test: that is no matter of time.
crash='Sanitizer|runtime error: |Received signal|ASSERT|ended( by itself)? with (-(4|5|6|7|8|11)|13[2-69])([^0-9]|$)'

# may_be_noise <build> <name> <status>: a test with real processes that failed, perhaps because the machine was busy.
may_be_noise() {
    local build=$1 name=$2 status=$3 known output
    [[ $status = Failed || $status = Timeout ]] || return
    known=$(ctest --test-dir "build/$build" -N -L '^(e2e|interop)$')
    grep -qE "Test +#[0-9]+: $name\$" <<<"$known" || return
    output=$(awk -v name="$name" '/^ *[0-9]+\/[0-9]+ Test +#[0-9]+: / { its = $4 == name } its' "$log")
    ! grep -qE "$crash" <<<"$output"
}

# run <name> [ctest argument...]: runs the tests, and counts the lines of ctest's report. What may be noise is tried once more, when
# the machine does nothing else; the output of the first try was shown.
run() {
    local build=$1 status name noise=()
    shift
    echo "== $build: tests"
    play "$build" -j "$at_once" "$@"
    while read -r name status; do
        case $status in
        Passed) passed=$((passed + 1)) ;;
        Skipped) skipped=$((skipped + 1)) ;;
        *)
            if may_be_noise "$build" "$name" "$status"; then
                noise+=("$name")
            else
                fail "$build: $name ($status)"
            fi
            ;;
        esac
    done < <(results)
    for name in "${noise[@]}"; do
        echo "== $build: $name failed; a second try, alone"
        play "$build" -R "^${name//./\\.}\$"
        status=$(results | sed -n "s/^$name //p")
        if [ "$status" = Passed ]; then
            passed=$((passed + 1))
            second_tries+=("$build: $name")
        else
            fail "$build: $name (twice: $status)"
        fi
    done
}

# size <name>: notes the size of the shared library without debug information.
size() {
    local library=build/$1/lib/libhakuban.so stripped
    [ -e "$library" ] || return
    stripped=$(mktemp)
    strip -o "$stripped" "$library" && sizes+=("$(printf '| %-28s | %11s |' "$1" "$(stat -c %s "$stripped")")")
    rm -f "$stripped"
}

# What can be chosen, by the names of `hakuban --version`; drawn and listed in this order.
plugins=(tcp ws inproc zmq tls json msgpack zstd)
declare -A option_of=([tcp]=TRANSPORT_TCP [ws]=TRANSPORT_WS [inproc]=TRANSPORT_INPROC [zmq]=TRANSPORT_ZMQ [tls]=TLS
    [json]=SERIALIZER_JSON [msgpack]=SERIALIZER_MSGPACK [zstd]=COMPRESSOR_ZSTD)

# subset <folder> <plugin+plugin...> <tests that are left out> [cmake argument...]: the library with nothing else, and the tests of
# what it has. Those about long times and many histories run in the whole builds.
subset() {
    local folder=$1 names=$2 without=$3 plugin choices=(-DHAKUBAN_BUILD_BENCH=OFF)
    shift 3
    for plugin in "${plugins[@]}"; do
        case +$names+ in
        *+$plugin+*) choices+=("-DHAKUBAN_${option_of[$plugin]}=ON") ;;
        *) choices+=("-DHAKUBAN_${option_of[$plugin]}=OFF") ;;
        esac
    done
    echo "== subset $names"
    build "$folder" "${choices[@]}" "$@" && run "$folder" -L 'unit|sim|e2e|install' \
        -E "^(sim.(fixed|fresh|canary)|unit.wire.delta|e2e.(chaos|peers|outage|pool|flow|bench)|$without)\$"
}

# draw <seed>: six subsets with a transport and a serializer each, no two alike.
draw() {
    local count=0 names drawn=' ' plugin
    RANDOM=$1
    while [ $count -lt 6 ]; do
        names=
        for plugin in "${plugins[@]}"; do
            ((RANDOM % 2)) && names=$names+$plugin
        done
        names=${names#+}
        [[ $names =~ tcp|ws|inproc|zmq|tls && $names =~ json|msgpack && $drawn != *" $names "* ]] || continue
        drawn="$drawn$names "
        count=$((count + 1))
    done
    echo $drawn
}

# Compilers warn of other things where they save space; warnings are errors in each of these builds.
small=-DCMAKE_BUILD_TYPE=MinSizeRel

# subsets <seed>: those that it draws, one after the other in one folder, so that only what differs is built again.
subsets() {
    local names
    echo "== subsets drawn by the seed $1: $(draw "$1")"
    for names in $(draw "$1"); do
        local failed_before=$failed
        subset subset "$names" 'install\..*|unit.runtime.memory' $small
        [ $failed = $failed_before ] || echo "again: scripts/test.sh --subset $names"
    done
}

# portability: its own script counts.
portability() {
    local line
    scripts/portability.sh 2>&1 | tee "$log"
    line=$(tail -n 1 "$log")
    if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)?$ ]]; then
        passed=$((passed + BASH_REMATCH[1])) skipped=$((skipped + ${BASH_REMATCH[4]:-0}))
        [ "${BASH_REMATCH[2]}" = 0 ] || fail "portability: ${BASH_REMATCH[2]} failed"
    else
        fail "portability: no result"
    fi
}

purpose=--test
[ $full = 0 ] || purpose=--full
scripts/install-deps.sh $purpose || { fail "installing what is missing"; finish; }

case $only in
--subset)
    for plugin in ${2//+/ }; do
        [ -n "${option_of[$plugin]:-}" ] || { echo "there is no plugin $plugin: ${plugins[*]}" >&2; exit 2; }
    done
    subset subset "$2" 'install.packages' $small
    finish
    ;;
--subsets)
    subsets "$2"
    finish
    ;;
esac

build release && run release
if [ $full = 1 ]; then
    size release
    for names in tcp+json zmq+msgpack ws+json tls+json inproc+json+zstd tcp+inproc+json+msgpack+zstd; do
        programs=ON
        [ $names != inproc+json+zstd ] || programs=OFF
        subset $names $names 'install.packages' -DHAKUBAN_BUILD_TOOLS=$programs -DHAKUBAN_BUILD_EXAMPLES=$programs
        size $names
    done
    subsets $((RANDOM * 32768 + RANDOM))
    portability
    build clang
    targets=planted build planted -DHAKUBAN_PLANT_BUGS=ON && run planted -L planted
    build asan && run asan
    build tsan && run tsan -L 'e2e|runtime|transports'
    targets=fuzzers build fuzz && run fuzz -L fuzz
    printf '\n| %-28s | %11s |\n| --- | ---: |\n' libhakuban.so 'bytes'
    printf '%s\n' "${sizes[@]}" ''
fi
finish
