#!/bin/sh
# Makes the certificates of a class: a CA, and what it signs for the server and for a client.
#
#   certs/make-certs.sh [-d DIR] [HOST ...]
#
# Files: ca.pem ca.key, server.pem server.key, client.pem client.key; keys are ECDSA P-256, mode
# 0600. The server's certificate is for localhost, 127.0.0.1, ::1 and every HOST. What is there
# and still good is kept: running this twice changes nothing.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
dir=$here
CA_DAYS=1095
LEAF_DAYS=365

while getopts d: option; do
    case $option in
        d) dir=$OPTARG ;;
        *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))

umask 077
mkdir -p "$dir"
cd "$dir"
work=$(mktemp -d "$PWD/.making.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# san HOST ...: the subjectAltName line
san() {
    list="DNS:localhost,IP:127.0.0.1,IP:::1"
    for host in "$@"; do
        case $host in
            localhost | 127.0.0.1 | ::1) ;;
            *:*) list="$list,IP:$host" ;;
            *[!0-9.]*) list="$list,DNS:$host" ;;
            *) list="$list,IP:$host" ;;
        esac
    done
    echo "$list"
}

# covers FILE HOST: is the certificate good for this host?
covers() {
    case $2 in
        *:*) check=-checkip ;;
        *[!0-9.]*) check=-checkhost ;;
        *) check=-checkip ;;
    esac
    openssl x509 -in "$1" -noout "$check" "$2" | grep -q 'does match'
}

# good NAME: are certificate and key there, a pair, signed by this CA, and valid for another day?
good() {
    [ -r "$1.pem" ] && [ -r "$1.key" ] || return 1
    openssl x509 -in "$1.pem" -noout -checkend 86400 >/dev/null 2>&1 || return 1
    openssl verify -CAfile ca.pem "$1.pem" >/dev/null 2>&1 || return 1
    [ "$(openssl x509 -in "$1.pem" -noout -pubkey)" = "$(openssl pkey -in "$1.key" -pubout 2>/dev/null)" ]
}

new_key() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/$1.key"
}

# keep NAME: both files appear together, when both are whole
keep() {
    chmod 644 "$work/$1.pem"
    mv "$work/$1.key" "$1.key"
    mv "$work/$1.pem" "$1.pem"
    echo "만들었습니다: $dir/$1.pem, $dir/$1.key"
}

make_ca() {
    new_key ca
    SAN="" openssl req -new -x509 -config "$here/openssl.cnf" -extensions ca -key "$work/ca.key" \
        -subj "/CN=sockstep class CA" -days "$CA_DAYS" -out "$work/ca.pem"
    keep ca
}

# make_leaf NAME COMMON_NAME: a key and a certificate with the extensions of section NAME
make_leaf() {
    new_key "$1"
    openssl req -new -config "$here/openssl.cnf" -key "$work/$1.key" -subj "/CN=$2" -out "$work/$1.csr"
    openssl x509 -req -in "$work/$1.csr" -CA ca.pem -CAkey ca.key -set_serial "0x$(openssl rand -hex 16)" \
        -days "$LEAF_DAYS" -extfile "$here/openssl.cnf" -extensions "$1" -out "$work/$1.pem" 2>"$work/log" ||
        { cat "$work/log" >&2; exit 1; }
    keep "$1"
}

SAN=$(san "$@")
export SAN

good ca || make_ca
good client || make_leaf client student

good_server() {
    good server || return 1
    for host in "$@"; do
        covers server.pem "$host" || return 1
    done
}
good_server "$@" || make_leaf server "${1:-localhost}"
