#!/usr/bin/env bash
# Builds the library with planted bugs, one of which is chosen at run time, and prints for each which test or seed finds it. The
# last line is the result. When no test finds a planted bug, the script fails: the tests would miss such a bug as well.
#
#   scripts/planted.sh             all of them
#   scripts/planted.sh no_window   this one, with the shortest schedule that shows it
set -euo pipefail
cd "$(dirname "$0")/.."

build=build/planted
cmake --preset release -B "$build" -DHAKUBAN_PLANT_BUGS=ON >/dev/null
cmake --build "$build" -j "$(nproc)" --target planted >/dev/null
if [ $# -gt 0 ]; then
    "$build/bin/hakuban-sim" --plant "$1" --seeds 1000 && exit 1
    exit 0
fi
ctest --test-dir "$build" -L planted --output-on-failure -V | sed -nE '/Test command/d; s/^[0-9]+: (.*found.*)$/\1/p; /tests passed/p'
exit "${PIPESTATUS[0]}"
