#!/usr/bin/env bash
# Plays each kind of misuse against a router while a good pair sends states over it; prints the pair's p50, p99 and longest wait,
# quiet and under attack, the most processor time of one turn of the router's loop, in ms, and its memory. Exit code 0: the pair kept its pace beside each.
#
#   scripts/attack.sh                      ten seconds of each kind
#   scripts/attack.sh --seconds 60 tags    a minute of one
#   scripts/attack.sh --help               the kinds
set -euo pipefail
cd "$(dirname "$0")/.."

cmake --preset release >/dev/null
cmake --build --preset release --target hakuban-attack tool-hakuban-router >/dev/null
case " $* " in
*" --seconds "*) ;;
*) set -- --seconds 10 "$@" ;;
esac
exec build/release/bin/hakuban-attack "$@"
