#!/bin/sh
# browser.sh <node> <argument>...: runs browser.mjs with WebSocket switched on where it has to be.
node=$1
shift
option=
"$node" --experimental-websocket -e 0 2>/dev/null && option=--experimental-websocket
exec "$node" --no-warnings $option "$(dirname "$0")/browser.mjs" "$@"
