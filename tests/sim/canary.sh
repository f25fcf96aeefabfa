#!/bin/sh
# canary.sh <hakuban-sim>: with an expectation that is wrong on purpose, a failure is reported, in words, and the commands that it
# names show the same again. Otherwise nothing that the simulator does not report would mean anything.
set -u
report=$(mktemp)
trap 'rm -f "$report"' EXIT

"$1" --canary --seeds 100 >"$report" 2>&1
code=$?
cat "$report"
[ $code = 1 ] || { echo "canary: exit code $code, not 1"; exit 1; }
grep -q '^seed [0-9]*: I1 convergence: ' "$report" || { echo "canary: no words"; exit 1; }
[ "$(grep -c '^replay: hakuban-sim --seed ' "$report")" = 2 ] || { echo "canary: no commands"; exit 1; }
sed -n 's/^replay: hakuban-sim //p' "$report" | while read -r arguments; do
    # shellcheck disable=SC2086
    "$1" $arguments >"$report.again" 2>&1
    code=$?
    grep -q ': I1 convergence: ' "$report.again" && [ $code = 1 ] && rm "$report.again" && continue
    rm -f "$report.again"
    echo "canary: $arguments does not show it again"
    exit 1
done
