#!/usr/bin/env bash
# Runs every fuzzer of tests/fuzz, or those named, for N minutes each, as many at a time as there are processors. Their corpora stay
# in build/fuzz/corpus for the next run, and inputs that fail in build/fuzz/finds. The last line is the result.
#
#   scripts/fuzz.sh [--minutes N] [NAME...]     10 minutes each, all of them
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

minutes=10 names=()
while [ $# -gt 0 ]; do
    case "$1:${2:-}" in
    --minutes:[1-9]*) minutes=$2 && shift ;;
    -*)
        sed -n '2,5s/^# \{0,1\}//p' "$0"
        exit 2
        ;;
    *) names+=("$1") ;;
    esac
    shift
done
if [ ${#names[@]} = 0 ]; then
    for source in tests/fuzz/*.c; do
        names+=("$(basename "$source" .c)")
    done
fi
for name in "${names[@]}"; do
    [ -e "tests/fuzz/$name.c" ] || {
        echo "there is no fuzzer $name: $(cd tests/fuzz && echo *.c | sed 's/\.c//g')" >&2
        exit 2
    }
done

log=$(mktemp)
trap 'rm -f "$log"' EXIT
scripts/install-deps.sh --full || exit 1
if ! { cmake --preset fuzz && cmake --build build/fuzz -j "$(nproc)" --target fuzzers; } >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    exit 1
fi

# fuzz <name>: prints one line with its figures; fails if an input failed.
fuzz() {
    local corpus=build/fuzz/corpus/$1 finds=build/fuzz/finds/$1- output status
    mkdir -p "$corpus" build/fuzz/finds
    output=$("build/fuzz/tests/fuzz_$1" -max_total_time=$((minutes * 60)) -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$finds" "$corpus" "tests/corpus/$1" 2>&1)
    status=$?
    printf '%s: %s executions, corpus of %s\n' "$1" \
        "$(sed -n 's/^stat::number_of_executed_units: *//p' <<<"$output")" "$(find "$corpus" -type f | wc -l)"
    [ $status = 0 ] && return
    tail -n 40 <<<"$output"
    echo "again: build/fuzz/tests/fuzz_$1 $(sed -n 's/.*Test unit written to //p' <<<"$output")"
    return 1
}
export -f fuzz
export minutes
printf '%s\n' "${names[@]}" | xargs -P "$(nproc)" -I{} bash -c 'fuzz {}' && echo "no input fails" && exit
echo "there are inputs that fail: build/fuzz/finds"
exit 1
