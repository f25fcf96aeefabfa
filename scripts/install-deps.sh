#!/usr/bin/env bash
# Installs what building and testing need and is not there, on Debian and Ubuntu, as root or through sudo.
# With --full also what only the long run of scripts/test.sh needs. Does nothing, quickly, when nothing is missing.
set -euo pipefail

full=0
[ "${1:-}" = --full ] && full=1

packages=()
command_from() { command -v "$1" >/dev/null || packages+=("$2"); }
module_from() { pkg-config --exists "$1" 2>/dev/null || packages+=("$2"); }

command_from cmake cmake
command_from ninja ninja-build
command_from gcc gcc
command_from pkg-config pkg-config
command_from python3 python3
[ -e /usr/include/stdio.h ] || packages+=(libc6-dev)
module_from libuv libuv1-dev
module_from libzstd libzstd-dev
module_from libxxhash libxxhash-dev
module_from libzmq libzmq3-dev
[ -e /usr/include/wslay/wslay.h ] || packages+=(libwslay-dev)
module_from check check
module_from jansson libjansson-dev
module_from liblz4 liblz4-dev
if [ $full = 1 ]; then
    command_from g++ g++
    command_from man man-db
    command_from file file
    command_from dpkg-shlibdeps dpkg-dev
    command_from clang clang
    module_from glib-2.0 libglib2.0-dev
    module_from openssl libssl-dev
    command_from node nodejs
    command_from chromium chromium
fi

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "this needs root or sudo: $*" >&2
        return 1
    fi
}

updated=0
update() {
    [ $updated = 1 ] || as_root apt-get update -q >/dev/null
    updated=1
}
install() {
    command -v apt-get >/dev/null || {
        echo "missing (by their Debian names): $*" >&2
        exit 1
    }
    update
    echo "installing: $*"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" \
        >/dev/null
}

[ ${#packages[@]} = 0 ] || install "${packages[@]}"

# msgpack-c has another package, and another name for pkg-config, since Ubuntu 24.04 and Debian 13.
if ! pkg-config --exists msgpack-c && ! pkg-config --exists msgpack; then
    command -v apt-get >/dev/null && update
    for package in libmsgpack-c-dev libmsgpack-dev; do
        if [ $package = libmsgpack-dev ] || apt-cache show $package >/dev/null 2>&1; then
            install $package
            break
        fi
    done
fi

# libFuzzer and clang's sanitizers are a package of their own in some releases and part of another one in others.
if [ $full = 1 ]; then
    library=libclang_rt.fuzzer-$(uname -m).a
    if [ ! -e "$(clang -print-file-name="$library")" ] &&
        [ ! -e "$(clang -print-runtime-dir)/$library" ] &&
        [ ! -e "$(clang -print-runtime-dir)/libclang_rt.fuzzer.a" ]; then
        update
        major=$(clang -dumpversion | cut -d. -f1)
        for package in "libclang-rt-$major-dev" "libclang-common-$major-dev"; do
            if apt-cache show "$package" >/dev/null 2>&1; then
                install "$package"
                break
            fi
        done
    fi
fi

# The Rust implementation, which tests/interop is about, needs cargo 1.88 (in Debian 12 that is cargo-web; its cargo is 0.66).
# Without it those tests say that they were skipped, so this is no reason to stop.
cargo_is_new() {
    local version
    version=$(PATH=$PATH:$HOME/.cargo/bin cargo --version 2>/dev/null | sed -nE 's/^cargo 1\.([0-9]+)\..*/\1/p')
    [ "${version:-0}" -ge 88 ]
}
if [ $full = 1 ]; then
    if ! cargo_is_new && command -v apt-get >/dev/null; then
        update
        for package in cargo cargo-web; do
            version=$(apt-cache policy $package | sed -nE 's/^ *Candidate: ([0-9]+\.[0-9]+).*/\1/p')
            if dpkg --compare-versions "${version:-0}" ge 1.88; then
                install $package
                break
            fi
        done
    fi
    cargo_is_new || echo "no cargo of 1.88 or newer here: the tests with the Rust implementation will be skipped" >&2
fi
