#!/usr/bin/env bash
# Ten seconds of Hakuban: a router and three programs. Each program publishes the load of this machine and shows what all three
# publish. Installs and builds what is missing first. Ctrl-C ends the demo and everything that it started.
#
#   scripts/demo.sh            ten seconds
#   scripts/demo.sh --forever  until Ctrl-C
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=10
case "${1:-}" in
--forever) seconds= ;;
"") ;;
*)
    sed -n '2,6s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac

scratch=$(mktemp -d)
started=()
finish() {
    trap - EXIT INT TERM
    local pid
    for pid in "${started[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    for pid in "${started[@]}"; do
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$scratch"
}
trap finish EXIT
trap 'finish; exit 130' INT
trap 'finish; exit 143' TERM

scripts/install-deps.sh --demo
# What the demo does not use is left out; the generator of an earlier build stays.
choices=(-DCMAKE_BUILD_TYPE=Release)
for option in TRANSPORT_WS TRANSPORT_ZMQ TLS SERIALIZER_MSGPACK COMPRESSOR_ZSTD BUILD_TESTS BUILD_BENCH; do
    choices+=("-DHAKUBAN_$option=OFF")
done
if [ ! -e build/demo/CMakeCache.txt ] && command -v ninja >/dev/null; then
    choices+=(-G Ninja)
fi
if ! { cmake -S . -B build/demo "${choices[@]}" &&
    cmake --build build/demo -j "$(nproc)" --target tool-hakuban tool-hakuban-router example-all-top; } >"$scratch/build" 2>&1; then
    tail -n 40 "$scratch/build" >&2
    echo "demo: the build failed" >&2
    exit 1
fi
bin=build/demo/bin examples=build/demo/examples

# Port 0 is any free port; the router prints which one it took.
"$bin/hakuban-router" -b tcp://127.0.0.1:0 >"$scratch/listening" 2>"$scratch/router" </dev/null &
started+=($!)
url=
for _ in $(seq 100); do
    url=$(sed -n 's/^listening //p' "$scratch/listening")
    [ -z "$url" ] || break
    kill -0 "${started[0]}" 2>/dev/null || break
    sleep 0.1
done
if [ -z "$url" ]; then
    cat "$scratch/router" >&2
    echo "demo: the router did not start" >&2
    exit 1
fi

"$examples/all-top" "$url" --name second >/dev/null 2>&1 &
started+=($!)
"$examples/all-top" "$url" --name third >/dev/null 2>&1 &
started+=($!)

# The program that is shown runs in the background as well, so that Ctrl-C reaches this script at once.
"$examples/all-top" "$url" --name first ${seconds:+--for "${seconds}s"} &
started+=($!)
status=0
wait $! || status=$?

cat <<END

Each of the three programs exposed its own object and observed all of them; only differences travelled.
Next:  build/demo/bin/hakuban-router &
       build/demo/bin/hakuban observe --tag '"utilizations"'     (in one terminal)
       build/demo/examples/all-top [URL]                         (in others; from another machine with the router's URL)
       README.md tells more.
END
exit $status
