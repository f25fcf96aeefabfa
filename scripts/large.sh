#!/usr/bin/env bash
# Large trees that are honest, with the default limits: a million objects, and a GiB of states, through one link of a router; and both
# from below two hubs. All of it has to arrive at two observers, each state checked. Prints what hakuban-bench measures.
#
#   scripts/large.sh             takes some 3 minutes, and 8 GiB of memory
#   scripts/large.sh 10          a tenth of everything
set -euo pipefail
cd "$(dirname "$0")/.."

part=${1:-1}
cmake --preset release >/dev/null
cmake --build --preset release --target hakuban-bench tool-hakuban-router >/dev/null
objects() {
    build/release/bin/hakuban-bench objects --only hakuban --runs 1 "$@"
}
for hubs in 0 2; do
    objects --hubs $hubs --objects $((1000000 / part))
    objects --hubs $hubs --objects $((1024 / part)) --bytes 1048576
done
