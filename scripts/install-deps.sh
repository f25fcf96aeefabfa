#!/usr/bin/env bash
# Installs the packages that are missing for one purpose, on Debian and Ubuntu, as root or through sudo. Without root, without a
# network or on another distribution it fails and says which packages to ask for. It ends at once when nothing is missing.
#
#   scripts/install-deps.sh           the library and its programs, with every plugin (docs/building.md)
#   scripts/install-deps.sh --demo    scripts/demo.sh
#   scripts/install-deps.sh --test    scripts/test.sh
#   scripts/install-deps.sh --full    scripts/test.sh --full, scripts/fuzz.sh, scripts/portability.sh
set -euo pipefail
cd "$(dirname "$0")/.."

case "${1:-}" in
--demo) level=0 ;;
"") level=1 ;;
--test) level=2 ;;
--full) level=3 ;;
*)
    sed -n '2,8s/^# \{0,1\}//p' "$0"
    exit 2
    ;;
esac

# -- What is missing --

# Packages that the purpose needs; packages without which tests are skipped, each with what is skipped.
missing=() optional=()
from_command() { command -v "$1" >/dev/null || missing+=("$2"); }
from_module() { pkg-config --exists "$1" 2>/dev/null || missing+=("$2"); }
from_file() { [ -e "$1" ] || missing+=("$2"); }
optional_from_command() { command -v "$1" >/dev/null || optional+=("$2:$3"); }

from_command cmake cmake
if [ $level = 1 ]; then
    from_command make make # what CMake takes unless it is told otherwise
elif [ $level -ge 2 ]; then
    from_command ninja ninja-build
else
    command -v ninja >/dev/null || from_command make make
fi
from_command cc gcc
from_file /usr/include/stdio.h libc6-dev
from_command pkg-config pkg-config
from_module libuv libuv1-dev
from_module libxxhash libxxhash-dev
if [ $level -ge 1 ]; then
    from_module libzstd libzstd-dev
    from_module libzmq libzmq3-dev
    from_file /usr/include/wslay/wslay.h libwslay-dev
    from_module "openssl >= 3.0" libssl-dev
    if ! pkg-config --exists msgpack-c 2>/dev/null && ! pkg-config --exists msgpack 2>/dev/null; then
        # The package has another name in Debian up to 12 and in Ubuntu up to 22.04.
        if grep -qE '^VERSION_CODENAME=(bullseye|bookworm|focal|jammy)$' /etc/os-release 2>/dev/null; then
            missing+=(libmsgpack-dev)
        else
            missing+=(libmsgpack-c-dev)
        fi
    fi
fi
if [ $level -ge 2 ]; then
    from_module check check
    optional_from_command python3 python3 "tidy, interop and some more"
    optional_from_command patch patch "planted"
    optional_from_command groff groff-base "tidy.manual"
    pkg-config --exists liblz4 2>/dev/null || optional+=("liblz4-dev:examples/custom-compressor.c")
fi
if [ $level -ge 3 ]; then
    from_command g++ g++
    from_command clang clang
    from_command man man-db
    optional_from_command mandoc mandoc "mandoc in tidy.manual"
    from_command file file
    from_command patch patch
    from_command dpkg-shlibdeps dpkg-dev
    from_module jansson libjansson-dev
    from_module glib-2.0 libglib2.0-dev
    python3 -c 'import ensurepip' 2>/dev/null || optional+=("python3-venv:tidy.format")
    # Not in every release, and not for every processor.
    optional_from_command musl-gcc musl-tools "musl in scripts/portability.sh"
    optional_from_command i686-linux-gnu-gcc gcc-i686-linux-gnu "i386 in scripts/portability.sh"
    optional_from_command aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu "arm64 in scripts/portability.sh"
    optional_from_command qemu-aarch64-static qemu-user-static "the tests of arm64 in scripts/portability.sh"
fi

# -- Installing --

as_root=()
if [ "$(id -u)" != 0 ]; then
    as_root=(sudo)
fi

# give_up <why>: tells what to ask for.
give_up() {
    {
        echo "These packages are missing: ${missing[*]}"
        [ ${#optional[@]} = 0 ] || echo "Without these, tests are skipped: ${optional[*]%%:*}"
        echo "They cannot be installed from here: $1. Ask for:"
        if command -v apt-get >/dev/null; then
            echo "    apt-get update && apt-get install --no-install-recommends ${missing[*]} ${optional[*]%%:*}"
        else
            echo "    these packages of Debian 12, or what they are called in your distribution"
        fi
    } >&2
    exit 1
}

# install <package...>: 1 after a failure, whose reason is in $log.
log=$(mktemp)
trap 'rm -f "$log"' EXIT
updated=0
update() {
    # Without a network the lists that are there may do as well.
    [ $updated = 1 ] || "${as_root[@]}" apt-get update -q >"$log" 2>&1 || true
    updated=1
}
install() {
    update
    echo "installing: $*"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >"$log" 2>&1
}

if [ ${#missing[@]} -gt 0 ]; then
    command -v apt-get >/dev/null || give_up "there is no apt-get"
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null || give_up "this needs root, and there is no sudo"
    if ! install "${missing[@]}"; then
        grep -E '^(E:|sudo:)' "$log" >&2 || tail -n 5 "$log" >&2
        give_up "apt-get failed"
    fi
fi

# From here on nothing is indispensable.
skips() { echo "$1 cannot be installed. Skipped without it: $2" >&2; }

for pair in "${optional[@]}"; do
    install "${pair%%:*}" || skips "${pair%%:*}" "${pair#*:}"
done
[ $level -ge 3 ] || exit 0

# libFuzzer and clang's sanitizers are a package of their own in some releases and part of another one in others.
library=libclang_rt.fuzzer-$(uname -m).a
if [ ! -e "$(clang -print-file-name="$library")" ] &&
    [ ! -e "$(clang -print-runtime-dir)/$library" ] &&
    [ ! -e "$(clang -print-runtime-dir)/libclang_rt.fuzzer.a" ]; then
    major=$(clang -dumpversion | cut -d. -f1)
    install "libclang-rt-$major-dev" || install "libclang-common-$major-dev" ||
        skips "libclang-rt-$major-dev" "the preset fuzz"
fi

# The Rust implementation, which tests/interop is about, needs cargo 1.88 (in Debian 12 that is cargo-web; its cargo is 0.66).
cargo_is_new() {
    local version
    version=$(PATH=$PATH:$HOME/.cargo/bin cargo --version 2>/dev/null | sed -nE 's/^cargo 1\.([0-9]+)\..*/\1/p')
    [ "${version:-0}" -ge 88 ]
}
if ! cargo_is_new && command -v apt-get >/dev/null; then
    update
    for package in cargo cargo-web; do
        version=$(apt-cache policy $package | sed -nE 's/^ *Candidate: ([0-9]+\.[0-9]+).*/\1/p')
        if dpkg --compare-versions "${version:-0}" ge 1.88; then
            install $package || true
            break
        fi
    done
fi
cargo_is_new || skips "cargo 1.88" "the tests with the Rust implementation"

# clang-format 19.1 for scripts/format.sh, which no release of Debian up to 12 has under its plain name.
if ! scripts/format.sh --program >/dev/null; then
    echo "installing: clang-format 19.1.7 from PyPI, in build/clang-format"
    python3 -m venv build/clang-format >"$log" 2>&1 &&
        build/clang-format/bin/pip install -q clang-format==19.1.7 >"$log" 2>&1 ||
        skips "clang-format 19.1" "tidy.format"
fi
