#!/usr/bin/env bash
# packages.sh <source> <option=value>...: checks that the Debian packages contain what they should, that dpkg installs them into an
# empty root, that the installed router serves the installed tool, and that removing them leaves nothing. 77: not Debian.
set -uo pipefail
source=$1
shift
for tool in cmake dpkg dpkg-deb dpkg-shlibdeps readelf gzip; do
    command -v $tool >/dev/null || exit 77
done

# CMake takes Make by default, which may be missing.
command -v make >/dev/null || export CMAKE_GENERATOR=Ninja

work=$(mktemp -d)
router=
trap '[ -z "$router" ] || kill "$router" 2>/dev/null; rm -rf "$work"' EXIT
failed=0
fail() {
    echo "FAILED: $*"
    failed=1
}
quiet() {
    local what=$1
    shift
    "$@" >"$work/log" 2>&1 && return
    fail "$what"
    tail -n 30 "$work/log"
    return 1
}

choices=()
for option in "$@"; do
    choices+=("-D$option")
done
build=$work/build
quiet configure cmake -S "$source" -B "$build" -DCMAKE_INSTALL_PREFIX=/usr -DHAKUBAN_BUILD_TESTS=OFF \
    -DHAKUBAN_BUILD_EXAMPLES=OFF -DHAKUBAN_BUILD_BENCH=OFF "${choices[@]}" || exit 1
quiet build cmake --build "$build" -j 2 || exit 1
quiet "cpack -G DEB" bash -c "cd '$build' && cpack -G DEB" || exit 1

# ---- what is in them ----
packages=(libhakuban0 libhakuban-dev hakuban-router hakuban-tools)
debs=()
for package in "${packages[@]}"; do
    deb=$(find "$build" -maxdepth 1 -name "${package}_*.deb")
    [ -f "$deb" ] || { fail "$package was not made"; continue; }
    debs+=("$deb")
    dpkg-deb -c "$deb" | awk '{print $6}' >"$work/$package"
    dpkg-deb -c "$deb" | awk '$2 != "root/root" {print; exit 1}' || fail "$package: not root's"
done
[ ${#debs[@]} = ${#packages[@]} ] || exit 1
holds() { grep -qE "^\\./$2\$" "$work/$1" || fail "$1 has no $2"; }
holds libhakuban0 'usr/lib/.*/libhakuban\.so\.0'
holds libhakuban-dev 'usr/lib/.*/libhakuban\.so'
holds libhakuban-dev 'usr/lib/.*/libhakuban\.a'
holds libhakuban-dev 'usr/include/hakuban/hakuban\.h'
holds libhakuban-dev 'usr/lib/.*/pkgconfig/hakuban\.pc'
holds hakuban-router usr/bin/hakuban-router
holds hakuban-router usr/lib/systemd/system/hakuban-router.service
holds hakuban-router etc/hakuban/router.conf
holds hakuban-router usr/share/man/man1/hakuban-router.1.gz
holds hakuban-tools usr/bin/hakuban
holds hakuban-tools usr/share/man/man1/hakuban.1.gz
field() { dpkg-deb -f "$build/$1"_*.deb "$2"; }
for package in hakuban-router hakuban-tools; do
    for needed in 'libhakuban0 (= ' 'libc6 '; do
        [[ $(field $package Depends) == *"$needed"* ]] || fail "$package does not depend on $needed"
    done
done
[[ $(field libhakuban0 Depends) == *libuv1* ]] || fail "libhakuban0 does not depend on libuv1"
[ "$(dpkg-deb -I "$build"/hakuban-router_*.deb conffiles)" = /etc/hakuban/router.conf ] ||
    fail "the router's conffiles are $(dpkg-deb -I "$build"/hakuban-router_*.deb conffiles)"

# ---- installed, used, removed ----
root=$work/root
mkdir -p "$root/var/lib/dpkg/"{info,updates} "$root/etc"
touch "$root/var/lib/dpkg/status"
# The libraries are this system's, and the maintainer's scripts are told where the root is instead of going there.
as_dpkg() {
    dpkg --root="$root" --force-not-root --force-depends --force-script-chrootless --log="$work/dpkg" "$@"
}
if [ "$(id -u)" != 0 ]; then
    command -v fakeroot >/dev/null || exit 77
    as_dpkg() {
        fakeroot dpkg --root="$root" --force-depends --force-script-chrootless --log="$work/dpkg" "$@"
    }
fi
find "$root" -not -path "*/var/lib/dpkg*" | sort >"$work/before"
quiet "dpkg -i" as_dpkg -i "${debs[@]}" || exit 1
export LD_LIBRARY_PATH
LD_LIBRARY_PATH=$(dirname "$(find "$root" -name libhakuban.so.0)")
[ ! -e "$root/etc/systemd/system/multi-user.target.wants/hakuban-router.service" ] ||
    fail "the service was enabled"
! "$root/usr/bin/hakuban-router" --version | grep -qw unix && exit $failed

socket=$work/router.sock
echo "bind unix://$socket" >"$work/conf"
mkfifo "$work/listening"
"$root/usr/bin/hakuban-router" --config "$work/conf" >"$work/listening" 2>"$work/router" </dev/null &
router=$!
read -r -t 10 line <"$work/listening" || fail "the router does not listen: $(cat "$work/router")"
[ "$line" = "listening unix://$socket" ] || fail "the router says: $line"
export HAKUBAN_URL=unix://$socket
echo '{"n":1}' | "$root/usr/bin/hakuban" expose --keep '"deb"' &
exposer=$!
got=$("$root/usr/bin/hakuban" get --raw '"deb"')
[ "$got" = '{"n":1}' ] || fail "hakuban get says: $got"
kill $exposer $router
wait $exposer || fail "hakuban expose ended with $?"
wait $router || fail "the router ended with $?"
router=
# The distribution's file is read as well as ours.
grep -q "ExecStart=/usr/bin/hakuban-router --config /etc/hakuban/router.conf" \
    "$root/usr/lib/systemd/system/hakuban-router.service" || fail "the unit starts something else"
# A port may be in use here; what the file says must be understood all the same.
timeout 1 "$root/usr/bin/hakuban-router" --config "$root/etc/hakuban/router.conf" </dev/null >"$work/log" 2>&1
[ $? != 2 ] || fail "the router does not understand its own file: $(cat "$work/log")"

quiet "dpkg --remove" as_dpkg --remove hakuban-router || exit 1
[ -e "$root/etc/hakuban/router.conf" ] || fail "removing took the configuration away"
quiet "dpkg --purge" as_dpkg --purge "${packages[@]}" || exit 1
find "$root" -not -path "*/var/lib/dpkg*" | sort >"$work/after"
left=$(comm -13 "$work/before" "$work/after")
[ -z "$left" ] || fail "this is left: $left"
exit $failed
