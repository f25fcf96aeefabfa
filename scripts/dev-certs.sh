#!/usr/bin/env bash
# Makes throw-away certificates for first steps and tests with tls:// and wss://: an authority (ca.crt), a certificate for servers on
# this machine (server.crt, server.key: localhost, 127.0.0.1, ::1), and one for each client that is named (NAME.crt, NAME.key). What is
# in the folder already stays, so that clients can be added later. Not for production: the authority's key lies beside the others.
#
#   scripts/dev-certs.sh DIR [NAME]...
set -euo pipefail

case "${1:-}" in
'' | -*)
    sed -n '2,6s/^# \{0,1\}//p' "$0"
    [[ ${1:-} =~ ^(-h|--help)$ ]] && exit 0
    exit 2
    ;;
esac
command -v openssl >/dev/null || { echo "dev-certs: the program openssl is missing: apt-get install openssl" >&2; exit 1; }
folder=$1
shift
for name in "$@"; do
    if [[ ! $name =~ ^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$ || $name =~ ^(ca|server)$ ]]; then
        echo "dev-certs: $name is no name for a client: letters, digits, dots and dashes; neither ca nor server" >&2
        exit 2
    fi
done
umask 077 # keys are for their owner
mkdir -p "$folder"
cd "$folder"

# The system's configuration would add extensions of its own.
config=$(mktemp)
trap 'rm -f "$config"' EXIT
printf '%s\n' '[req]' 'distinguished_name = name' '[name]' >"$config"

# make <name> <days> <extension...>: a key and a certificate, of itself for the authority.
make() {
    local name=$1 days=$2 extension arguments=()
    shift 2
    for extension in "$@"; do
        arguments+=(-addext "$extension")
    done
    [ "$name" = ca ] || arguments+=(-CA ca.crt -CAkey ca.key)
    openssl req -x509 -config "$config" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout "$name.key" -out "$name.crt" \
        -days "$days" -subj "/CN=hakuban dev $name" -addext subjectKeyIdentifier=hash "${arguments[@]}" 2>"$config.log" ||
        { cat "$config.log" >&2; rm -f "$name.key" "$name.crt" "$config.log"; exit 1; }
    rm -f "$config.log"
    chmod 644 "$name.crt"
    echo "made $folder/$name.crt"
}

[ -e ca.crt ] || make ca 3650 basicConstraints=critical,CA:TRUE keyUsage=critical,keyCertSign,cRLSign
[ -e server.crt ] || make server 365 basicConstraints=critical,CA:FALSE authorityKeyIdentifier=keyid extendedKeyUsage=serverAuth \
    subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1
for name in "$@"; do
    [ -e "$name.crt" ] || make "$name" 365 basicConstraints=critical,CA:FALSE authorityKeyIdentifier=keyid \
        extendedKeyUsage=clientAuth "subjectAltName=DNS:$name"
done
