#!/usr/bin/env bash
# Builds the Rust crate's router and our leaf on top of the crate, with the versions of client/Cargo.lock.
#
#   build-rust.sh DIR              into DIR/debug, quickly: for the tests
#   build-rust.sh --release DIR    into DIR/release, as the crate is released (minutes): for hakuban-bench --peer rust
#
# Exit code 77: cargo, or what it has to fetch, is missing; with CI=true that is a failure.
set -uo pipefail
profile=dev
if [ "${1:-}" = --release ]; then
    profile=release
    shift
fi
[ $# = 1 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; }
mkdir -p "$1" && target=$(cd "$1" && pwd) && cd "$(dirname "$0")/client" || exit 1

missing() {
    echo "$1"
    [ "${CI:-}" = true ] && exit 1
    exit 77
}

[ -x "$HOME/.cargo/bin/cargo" ] && PATH=$PATH:$HOME/.cargo/bin
command -v cargo >/dev/null || missing "cargo is missing (scripts/install-deps.sh --full)"
# What the lock file wants is either there, or can be fetched; otherwise nothing else is tried.
if ! cargo fetch --locked --offline >/dev/null 2>&1; then
    cargo fetch --locked || missing "crates cannot be fetched, or this cargo is too old: $(cargo --version)"
fi
# The crate asks for OpenSSL's headers, though nothing here speaks TLS.
pkg-config --exists openssl || missing "libssl-dev is missing (scripts/install-deps.sh --full)"
CARGO_TARGET_DIR=$target exec cargo build --locked --offline --profile $profile -p hakuban -p hakuban-rust-leaf --bins
