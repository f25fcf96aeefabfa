#!/usr/bin/env bash
# Builds the chaos test and runs it for N minutes, with one seed after the other: programs that are connected over TCP, WebSocket
# and ZeroMQ are killed, frozen and cut off. It ends at the first failure, and says how to repeat it and where the logs are.
#
#   scripts/chaos.sh [--minutes N] [--seed S] [--preset release|asan|tsan]     10 minutes, a new seed, release
set -euo pipefail
cd "$(dirname "$0")/.."

minutes=10 preset=release seed=$((RANDOM * 32768 + RANDOM))
while [ $# -gt 0 ]; do
    case "$1:${2:-}" in
    --minutes:[1-9]*) minutes=$2 ;;
    --seed:[0-9]*) seed=$2 ;;
    --preset:release | --preset:asan | --preset:tsan) preset=$2 ;;
    *)
        sed -n '2,5s/^# \{0,1\}//p' "$0"
        exit 2
        ;;
    esac
    shift 2
done

scripts/install-deps.sh --test
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { cmake --preset "$preset" &&
    cmake --build "build/$preset" -j "$(nproc)" --target tool-hakuban tool-hakuban-router e2e_chaos; } >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    exit 1
fi
export TSAN_OPTIONS="halt_on_error=1:suppressions=$PWD/tests/support/tsan.supp"
# The test's framework counts microseconds in 31 bits, so one run takes twenty minutes at most.
end=$((SECONDS + minutes * 60))
while [ $SECONDS -lt $end ]; do
    left=$((end - SECONDS))
    "build/$preset/tests/e2e_chaos" --seed "$seed" --seconds $((left < 1200 ? left : 1200))
    seed=$((seed + 1000))
done
