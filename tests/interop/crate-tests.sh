#!/usr/bin/env bash
# Runs the tests of the Rust crate with our router in the place of theirs: the crate's own behaviour as the judge. By hand: cargo
# builds the crate's test programs (minutes) and fetches what they want.
#
#   crate-tests.sh DIR ROUTER [TEST]...    in DIR/crate; ROUTER is a hakuban-router, ours or theirs; TEST is a part of a name
#
# Each test is played in the networks it names, with the first order of its tasks (HISTORY=0; others: HISTORY=0,5 crate-tests.sh …).
set -uo pipefail
[ $# -ge 2 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 2; }
mkdir -p "$1/crate" && crate=$(cd "$1/crate" && pwd) && router=$(realpath "$2") || exit 1
shift 2
[ -x "$HOME/.cargo/bin/cargo" ] && PATH=$PATH:$HOME/.cargo/bin
manifest=$(cargo metadata --locked --format-version 1 --manifest-path "$(dirname "$0")/client/Cargo.toml" |
    python3 -c 'import json, sys; print(next(p["manifest_path"] for p in json.load(sys.stdin)["packages"] if p["name"] == "hakuban"))') || exit 1
cp -r "$(dirname "$manifest")/." "$crate" && cd "$crate" || exit 1
rm -f target/debug/hakuban-router # ours from the last time: cargo would take it for its own
cargo test --no-run --test basic --test introspective || exit 1
cp --remove-destination "$router" target/debug/hakuban-router || exit 1

passed=0 failed=0
for suite in basic introspective; do
    # shellcheck disable=SC2012 # the newest
    program=$(ls -t target/debug/deps/"$suite"-* | grep -v '\.d$' | head -1)
    for test in $("$program" --list | sed -n 's/: test$//p'); do
        wanted=$([ $# = 0 ] && echo yes)
        for part in "$@"; do
            [[ $test == *"$part"* ]] && wanted=yes
        done
        [ "$wanted" ] || continue
        # In a group of its own: a test that fails leaves its routers, and their ports are the next one's.
        HISTORY=${HISTORY:-0} RUST_LOG=off setsid timeout 120 "$program" --exact "$test" --nocapture >last.txt 2>&1 &
        if wait $! 2>/dev/null; then
            echo "passed $test" && passed=$((passed + 1))
        else
            echo "FAILED $test: $(grep -aE 'Elapsed|panicked|left:|right:' last.txt | head -3 | tr '\n' ' ')" && failed=$((failed + 1))
        fi
        kill -- -$! 2>/dev/null
    done
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
