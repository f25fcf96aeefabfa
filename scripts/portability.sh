#!/usr/bin/env bash
# Builds for other processors and another C library, and runs the tests that run here: i386 and arm64 against Debian's packages for
# them, unpacked below build/portability, and musl with what needs no other library. A target whose compiler or packages cannot be
# had is skipped and says why. The last line is the result: "N passed, N failed", then ", N skipped" if there were any.
#
#   scripts/portability.sh                all targets
#   scripts/portability.sh i386 musl      these
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
export LC_ALL=C.UTF-8

targets=("$@")
[ $# -gt 0 ] || targets=(i386 arm64 musl)
for target in "${targets[@]}"; do
    case $target in
    i386 | arm64 | musl) ;;
    *)
        sed -n '2,7s/^# \{0,1\}//p' "$0"
        exit 2
        ;;
    esac
done

passed=0 failed=0 skipped=0
jobs=$(nproc)
log=$(mktemp)
trap 'rm -f "$log"' EXIT

skip() {
    echo "$target: skipped, $1"
    skipped=$((skipped + 1))
}
fail() {
    tail -n 40 "$log"
    echo "$target: FAILED, $1"
    failed=$((failed + 1))
}
quiet() { "$@" >"$log" 2>&1; }

# -- The system of another processor --

# system <architecture> [package...]: $here/root has its C library, the libraries that we use, and these packages. Apt works in a
# folder of its own: the packages of this machine are not touched, and root is not needed.
system() {
    local packages=(libc6-dev check libuv1-dev libxxhash-dev libwslay-dev libzstd-dev "${@:2}") msgpack deb
    for msgpack in libmsgpack-c-dev libmsgpack-dev; do
        dpkg -s $msgpack >/dev/null 2>&1 && packages+=($msgpack)
    done
    [ "$(cat "$here/packages" 2>/dev/null)" = "${packages[*]}" ] && return
    rm -rf "$here/root" "$here/apt"
    mkdir -p "$here/root" "$here/apt/lists/partial" "$here/apt/archives/partial"
    : >"$here/apt/status"
    local apt=(apt-get -q -y -o "APT::Architecture=$1" -o "APT::Architectures=$1" -o "Dir::State=$here/apt"
        -o "Dir::State::status=$here/apt/status" -o "Dir::Cache=$here/apt" -o APT::Install-Recommends=false
        -o Debug::NoLocking=true -o "APT::Sandbox::User=")
    # A source that has nothing for this processor is an error of apt, but none of ours.
    "${apt[@]}" update >"$log" 2>&1
    quiet "${apt[@]}" install --download-only "${packages[@]}" || return
    for deb in "$here"/apt/archives/*.deb; do
        quiet dpkg-deb -x "$deb" "$here/root" || return
    done
    # What points to /lib there means the lib of that system: without libm.so a linker takes libm.a instead.
    local file to
    while read -r file to; do
        ln -sfnr "$here/root$to" "$here/root/$file"
    done < <(cd "$here/root" && find . -type l -lname '/*' -printf '%P %l\n')
    rm -rf "$here/apt"
    echo "${packages[*]}" >"$here/packages"
}

# cross <triplet of the compiler> <triplet of the libraries> <line of CMake...>: the toolchain file, and what pkg-config is to find.
cross() {
    local root=$here/root
    {
        echo "set(CMAKE_SYSTEM_NAME Linux)"
        echo "set(CMAKE_SYSTEM_PROCESSOR ${1%%-*})"
        echo "set(CMAKE_C_COMPILER $1-gcc)"
        echo "set(CMAKE_SYSROOT \"$root\")"
        echo "set(CMAKE_LIBRARY_ARCHITECTURE $2)"
        echo "set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)"
        echo "set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)"
        echo "set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)"
        printf '%s\n' "${@:3}"
    } >"$here/toolchain.cmake"
    export PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_LIBDIR=$root/usr/lib/$2/pkgconfig:$root/usr/share/pkgconfig
}

# -- Building and testing --

# build <what> [cmake argument...]: the CMake target, for which a warning in what users get is an error. Others may warn: their
# numbers are made for 64 bits.
build() {
    local what=$1
    shift
    quiet cmake -S . -B "$here/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DHAKUBAN_BUILD_BENCH=OFF "$@" &&
        quiet cmake --build "$here/build" -j "$jobs" --target $what || { fail "it does not build"; return 1; }
    ! grep -E '(^|/)(core|runtime|transports|codecs|tools)/[^:]*: warning:' "$log" || { fail "warnings"; return 1; }
}

# run <ctest argument...>: counts, and says what it counted.
run() {
    local name status good=0 bad=0 without=0
    ctest --test-dir "$here/build" -j "$jobs" --output-on-failure --no-tests=error "$@" >"$log" 2>&1
    while read -r name status; do
        case $status in
        Passed) good=$((good + 1)) ;;
        Skipped) without=$((without + 1)) ;;
        *) bad=$((bad + 1)) ;;
        esac
    done < <(sed -nE 's/^ *[0-9]+\/[0-9]+ Test +#[0-9]+: ([^ ]+) \.+ *(\*\*\*)?([A-Za-z]+).*/\1 \3/p' "$log")
    [ $((good + bad)) -gt 0 ] || bad=1
    [ $bad = 0 ] || cat "$log"
    passed=$((passed + good)) failed=$((failed + bad)) skipped=$((skipped + without))
    echo "$target: $built; $good tests passed, $bad failed, $without skipped"
}

i386() {
    command -v i686-linux-gnu-gcc >/dev/null || { skip "gcc-i686-linux-gnu is missing"; return; }
    system i386 libzmq3-dev || { skip "the packages of i386 cannot be had: $(tail -n 1 "$log")"; return; }
    local lib=$here/root/lib usr=$here/root/usr/lib
    cross i686-linux-gnu i386-linux-gnu
    built="library, programs and tests are built"
    # An rpath of the old kind holds for the libraries of libraries as well.
    build all "-DCMAKE_TOOLCHAIN_FILE=$here/toolchain.cmake" "-DCMAKE_EXE_LINKER_FLAGS=-Wl,--disable-new-dtags,\
--dynamic-linker=$lib/ld-linux.so.2,-rpath,$lib/i386-linux-gnu:$usr/i386-linux-gnu" &&
        run -L '^(unit|sim|fuzz)$' -E '^sim\.(fixed|fresh|canary)'
}

arm64() {
    command -v aarch64-linux-gnu-gcc >/dev/null || { skip "gcc-aarch64-linux-gnu is missing"; return; }
    system arm64 || { skip "the packages of arm64 cannot be had: $(tail -n 1 "$log")"; return; }
    local emulator=
    if command -v qemu-aarch64-static >/dev/null; then
        emulator="set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static -L \"$here/root\")"
    fi
    cross aarch64-linux-gnu aarch64-linux-gnu "$emulator"
    built="library, programs and tests are built"
    # libzmq would bring more packages than all others together.
    build all "-DCMAKE_TOOLCHAIN_FILE=$here/toolchain.cmake" -DHAKUBAN_TRANSPORT_ZMQ=OFF || return
    if [ -z "$emulator" ]; then
        passed=$((passed + 1))
        echo "$target: $built; they do not run, for qemu-user-static is missing"
        return
    fi
    # Not unit.wire.delta, which takes minutes in an emulator; the corpora of its fuzzers are replayed.
    run -L '^(base|json|model|plugin|wire|link|exchange|fuzz)$' -E unit.wire.delta
}

# What needs the headers of other libraries only: all of core, the runtime, tcp, inproc, json, msgpack. Programs are those without
# a loop of libuv's: the simulator and the fuzzers' replays.
musl() {
    command -v musl-gcc >/dev/null || { skip "musl-tools is missing"; return; }
    local name option choices=(-DCMAKE_C_COMPILER=musl-gcc "-DCMAKE_C_FLAGS=-isystem $here/include -DXXH_INLINE_ALL="
        "-DCMAKE_EXE_LINKER_FLAGS=$here/check.o" -DBUILD_SHARED_LIBS=OFF)
    mkdir -p "$here/include" "$here/pkgconfig"
    # The kernel's headers come with the C library of this machine.
    for name in uv.h uv xxhash.h xxh3.h msgpack msgpack.h check.h check_stdint.h linux asm-generic "$(gcc -print-multiarch)/asm"; do
        [ ! -e "/usr/include/$name" ] || ln -sfn "/usr/include/$name" "$here/include/${name##*/}"
    done
    for name in libuv libxxhash msgpack check; do
        printf '%s\n' "Name: $name" "Description: headers only" "Version: 0" >"$here/pkgconfig/$name.pc"
    done
    export PKG_CONFIG_LIBDIR=$here/pkgconfig
    # All that the simulator takes from check is the end after a broken promise, which its own program never reaches.
    quiet musl-gcc -c -x c -o "$here/check.o" - <<<'_Noreturn void _ck_assert_failed(void) { __builtin_trap(); }' ||
        { fail "musl-gcc compiles nothing"; return; }
    for option in TRANSPORT_WS TRANSPORT_ZMQ COMPRESSOR_ZSTD BUILD_TOOLS BUILD_EXAMPLES INSTALL; do
        choices+=("-DHAKUBAN_$option=OFF")
    done
    built="core, runtime, tcp, unix, inproc, json and msgpack are compiled"
    build "hakuban hakuban-sim fuzzers" "${choices[@]}" && run -R '^(fuzz\.|sim\.regressions)'
}

for target in "${targets[@]}"; do
    here=$PWD/build/portability/$target
    mkdir -p "$here"
    echo "== portability: $target"
    $target
    unset PKG_CONFIG_SYSROOT_DIR PKG_CONFIG_LIBDIR
done
line="$passed passed, $failed failed"
[ $skipped = 0 ] || line="$line, $skipped skipped"
echo "$line"
[ $failed = 0 ]
