#!/usr/bin/env bash
# install.sh <build> <source> <cc> <option=value>...: checks that `cmake --install` installs all files, that the library exports what
# it should, that a project outside can use it in each of the three ways, shared and static, and that the uninstallation removes
# all of it. 77: tools are missing.
set -uo pipefail
build=$1 source=$2 cc=$3
shift 3
options=("$@")
for tool in cmake pkg-config readelf ar; do
    command -v $tool >/dev/null || exit 77
done

# CMake takes Make by default, which may be missing.
command -v make >/dev/null || export CMAKE_GENERATOR=Ninja

work=$(mktemp -d)
# The manifest of an earlier installation is put back, so that it can still be uninstalled.
manifest=$build/install_manifest.txt
[ ! -e "$manifest" ] || cp "$manifest" "$work/manifest"
trap '[ ! -e "$work/manifest" ] || cp "$work/manifest" "$manifest"; rm -rf "$work"' EXIT
prefix=$work/prefix
failed=0
fail() {
    echo "FAILED: $*"
    failed=1
}
# quiet <what> <command...>: shows the command's output only if it fails.
quiet() {
    local what=$1
    shift
    "$@" >"$work/log" 2>&1 && return
    fail "$what"
    tail -n 30 "$work/log"
    return 1
}
# on <option>: was it ON in this build?
on() { [[ " ${options[*]} " == *" $1=ON "* ]]; }

quiet "cmake --install" cmake --install "$build" --prefix "$prefix" || exit 1

# ---- files ----
archive=$(find "$prefix" -name libhakuban.a)
libdir=${archive%/*}
has() { [ -s "$prefix/$1" ] || fail "$1 is not there"; }
for header in "$source"/include/hakuban/*.h "$source"/include/hakuban/plugin/*.h; do
    has "${header#"$source"/}"
done
lib=${libdir#"$prefix"/}
for file in libhakuban.a pkgconfig/hakuban.pc cmake/hakuban/hakubanConfig.cmake; do
    has "$lib/$file"
done
if on HAKUBAN_BUILD_TOOLS; then
    for file in bin/hakuban bin/hakuban-router share/man/man1/hakuban.1 etc/hakuban/router.conf \
        share/man/man1/hakuban-router.1 lib/systemd/system/hakuban-router.service; do
        has $file
    done
    if command -v man >/dev/null; then
        for page in "$prefix"/share/man/man1/*; do
            said=$(LC_ALL=C.UTF-8 MANROFFSEQ='' man --warnings -E UTF-8 -l "$page" 2>&1 >/dev/null)
            [ -z "$said" ] || fail "$page: $said"
        done
    fi
fi
# Not as the end of another path: a checkout may be at /hakuban, and ${prefix}/include/hakuban is no mention of it.
quoted() { sed 's/[^A-Za-z0-9_/-]/[&]/g' <<<"$1"; }
grep -rlE "(^|[^]A-Za-z0-9_.})/-])($(quoted "$build")|$(quoted "$source"))(/|[^A-Za-z0-9_./-]|$)" \
    "$libdir/pkgconfig" "$libdir/cmake" && fail "these name the folder they were built in"

# ---- what the library exports and needs ----
if on BUILD_SHARED_LIBS; then
    so=$libdir/libhakuban.so
    readelf -dW "$so" | grep -q 'SONAME.*\[libhakuban\.so\.0\]' || fail "SONAME is not libhakuban.so.0"
    [ -L "$so" ] && [ -e "$libdir/libhakuban.so.0" ] || fail "the links to the library are missing"
    other=$(readelf --dyn-syms -W "$so" |
        awk '$5 != "LOCAL" && $7 != "UND" && $8 != "" && $1 ~ /^[0-9]+:$/ && $8 !~ /^hakuban_/ {print $8}')
    [ -z "$other" ] || fail "exported, but not hakuban_: $other"
    for pair in zmq=HAKUBAN_TRANSPORT_ZMQ wslay=HAKUBAN_TRANSPORT_WS ssl=HAKUBAN_TLS zstd=HAKUBAN_COMPRESSOR_ZSTD; do
        if readelf -dW "$so" | grep -q "NEEDED.*lib${pair%=*}\."; then
            on "${pair#*=}" || fail "lib${pair%=*} is linked though ${pair#*=} is OFF"
        else
            ! on "${pair#*=}" || fail "lib${pair%=*} is not linked though ${pair#*=} is ON"
        fi
    done
fi

# ---- a project outside ----
export PKG_CONFIG_PATH=$libdir/pkgconfig
outside=$source/tests/install/outside
quiet "run under another prefix, as docs/building.md says" bash -c "$cc -std=c11 '$outside/outside.c' -o '$work/rpath' \
    \$(pkg-config --cflags --libs hakuban) -Wl,-rpath,\$(pkg-config --variable=libdir hakuban) && '$work/rpath'"
export LD_LIBRARY_PATH=$libdir
quiet "run with pkg-config" bash -c "$cc -std=c11 -Wall -Werror '$outside/outside.c' -o '$work/shared' \
    \$(pkg-config --cflags --libs hakuban) && '$work/shared'" && cat "$work/log"
quiet "run static with pkg-config" bash -c "$cc -std=c11 '$outside/outside.c' -o '$work/static' \
    \$(pkg-config --cflags hakuban) '$libdir/libhakuban.a' \
    \$(pkg-config --static --libs hakuban | sed 's/-lhakuban//') && env -u LD_LIBRARY_PATH '$work/static'"

# cmake_outside <name> <argument...>
cmake_outside() {
    local name=$1
    shift
    quiet "$name" bash -c 'set -e; work=$1 source=$2 cc=$3; shift 3
        cmake -S "$source" -B "$work" -DCMAKE_C_COMPILER="$cc" "$@"
        cmake --build "$work" -j 2
        "$work"/outside' - "$work/$name" "$outside" "$cc" "$@"
}
built=()
for pair in tcp=TRANSPORT_TCP unix=TRANSPORT_TCP ws=TRANSPORT_WS inproc=TRANSPORT_INPROC zmq=TRANSPORT_ZMQ \
    tls=TLS json=SERIALIZER_JSON msgpack=SERIALIZER_MSGPACK zstd=COMPRESSOR_ZSTD; do
    component=${pair%=*} option=HAKUBAN_${pair#*=}
    if on "$option"; then
        built+=("$component")
    elif cmake -S "$outside" -B "$work/none" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" \
        "-DCOMPONENTS=$component" >"$work/log" 2>&1; then
        fail "find_package finds the component $component, which was not built"
    else
        tr -s ' \n' ' ' <"$work/log" | grep -q "$option=ON" ||
            fail "find_package does not name $option for $component"
    fi
done
components=$(IFS=';' && echo "${built[*]}")
cmake_outside find_package "-DCMAKE_PREFIX_PATH=$prefix" "-DCOMPONENTS=$components"
cmake_outside find_package_static "-DCMAKE_PREFIX_PATH=$prefix" "-DCOMPONENTS=$components;static"
if cmake -S "$outside" -B "$work/none" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$cc" \
    -DCOMPONENTS=telepathy >"$work/log" 2>&1; then
    fail "find_package finds a component that does not exist"
fi
choices=()
for option in "${options[@]}"; do
    [[ $option == HAKUBAN_BUILD_* ]] || choices+=("-D$option")
done
cmake_outside add_subdirectory "-DHAKUBAN_SOURCE=$source" "${choices[@]}"

# ---- the programs meet over what they have, without being told where the library is ----
unset LD_LIBRARY_PATH
if on HAKUBAN_BUILD_TOOLS && { on HAKUBAN_TRANSPORT_TCP || on HAKUBAN_TRANSPORT_ZMQ; }; then
    url=unix://$work/socket
    on HAKUBAN_TRANSPORT_TCP || url=zmq+ipc://$work/socket
    mkfifo "$work/listening"
    "$prefix/bin/hakuban-router" -b "$url" >"$work/listening" 2>"$work/router" </dev/null &
    router=$!
    read -r -t 20 line <"$work/listening" || fail "the router does not listen: $(cat "$work/router")"
    echo '{"n":1}' | "$prefix/bin/hakuban" expose -c "$url" --keep '"there"' &
    exposer=$!
    got=$("$prefix/bin/hakuban" get -c "$url" --for 20s --raw '"there"')
    [ "$got" = '{"n":1}' ] || fail "over $url hakuban get says: $got"
    kill $exposer $router
    wait $exposer || fail "hakuban expose ended with $?"
    wait $router || fail "the router ended with $?"
fi

# ---- the programs say what they have, and what would build what they have not ----
if on HAKUBAN_BUILD_TOOLS; then
    said=$("$prefix/bin/hakuban" --version)
    for pair in tcp=TRANSPORT_TCP unix=TRANSPORT_TCP ws=TRANSPORT_WS inproc=TRANSPORT_INPROC \
        'zmq+tcp=TRANSPORT_ZMQ' tls=TLS json=SERIALIZER_JSON msgpack=SERIALIZER_MSGPACK \
        zstd=COMPRESSOR_ZSTD; do
        name=${pair%=*} option=HAKUBAN_${pair#*=}
        if tr ':; ' '\n\n\n' <<<"$said" | grep -qxF "$name"; then
            on "$option" || fail "--version lists $name though $option is OFF"
        elif on "$option"; then
            fail "--version does not list $name though $option is ON"
        fi
        on "$option" && continue
        url=$name://127.0.0.1:1
        # A codec is asked for over whatever can be reached from here.
        for scheme in tcp ws inproc zmq+tcp tls; do
            [[ " ${said//[:;]/ } " == *" $scheme "* ]] || continue
            case $name in
            json | msgpack) url="$scheme://127.0.0.1:1#serializer=$name" ;;
            zstd) url="$scheme://127.0.0.1:1#compressor=$name" ;;
            esac
        done
        "$prefix/bin/hakuban" get -c "$url" '"x"' >"$work/log" 2>&1
        grep -q "$option" "$work/log" || fail "$url: $(cat "$work/log") does not name $option"
    done
fi

# ---- back again: what was installed goes, what was changed stays ----
conf=$prefix/etc/hakuban/router.conf
if on HAKUBAN_BUILD_TOOLS; then
    echo "# changed" >>"$conf"
    quiet "cmake --install once more" cmake --install "$build" --prefix "$prefix"
    [ "$(tail -n 1 "$conf")" = "# changed" ] || fail "installing once more replaced a router.conf that was changed"
    quiet "uninstall" cmake --build "$build" --target uninstall
    [ "$(find "$prefix" ! -type d)" = "$conf" ] || fail "uninstalling leaves: $(find "$prefix" ! -type d)"
    cp "$source/packaging/router.conf" "$conf"
fi
quiet "cmake --install after uninstalling" cmake --install "$build" --prefix "$prefix"
quiet "uninstall" cmake --build "$build" --target uninstall
[ -z "$(find "$prefix" ! -type d -o -path '*/hakuban*')" ] || fail "uninstalling leaves: $(find "$prefix" ! -type d -o -path '*/hakuban*')"
exit $failed
