#!/bin/sh
# Makes the certificates of a class: a CA, and what it signs for the server and for a client.
#
#   certs/make-certs.sh [-d DIR] [-c NAME ...] [HOST ...]
#
# Files: ca.pem ca.key, server.pem server.key, client.pem client.key, and NAME.pem NAME.key for each
# student; keys are ECDSA P-256, mode 0600. The server's certificate is for localhost, 127.0.0.1, ::1
# and every HOST. What is there and still good is kept: running this twice changes nothing.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
dir=$here
CA_DAYS=1095
LEAF_DAYS=365

# Hangul, as UTF-8: syllables (가 to 힣) and letters (ㄱ to ㅣ). In bytes, as not every system has a
# locale in which grep knows them in order.
SYLLABLE='\xEA[\xB0-\xBF][\x80-\xBF]|[\xEB\xEC][\x80-\xBF]{2}|\xED[\x80-\x9D][\x80-\xBF]|\xED\x9E[\x80-\xA3]'
LETTER='\xE3\x84[\xB1-\xBF]|\xE3\x85[\x80-\xA3]'

# check_name NAME: will the relay take it (relay/names.rs), and is it no file of ours?
check_name() {
    if ! printf %s "$1" | LC_ALL=C grep -zqxP "(?!-)(?:[-A-Za-z0-9_]|$SYLLABLE|$LETTER){1,20}"; then
        echo "이름은 한글, 영문자, 숫자, _, -로 이루어진 1자 이상 20자 이하여야 하며, -로 시작할 수 없습니다: '$1'" >&2
        exit 2
    fi
    case $1 in
        손님*) echo "'손님'으로 시작하는 이름은 쓸 수 없습니다: '$1'" >&2 ;;
        [Cc][Aa] | [Ss][Ee][Rr][Vv][Ee][Rr] | [Cc][Ll][Ii][Ee][Nn][Tt])
            echo "수업용 인증서의 파일 이름과 같아서 쓸 수 없습니다: '$1'" >&2 ;;
        *) return ;;
    esac
    exit 2
}

names=
while getopts d:c: option; do
    case $option in
        d) dir=$OPTARG ;;
        c) check_name "$OPTARG" && names="$names $OPTARG" ;;
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

# sign_or_refuse: without its key a CA is somebody else's, or locked away: nothing new is signed, and it is
# not replaced, as everybody who trusts it would then be locked out.
sign_or_refuse() {
    [ ! -e ca.pem ] || [ -e ca.key ] || {
        echo "$dir/ca.key가 없어서 인증서를 만들 수 없습니다. $dir/ca.pem은 다른 컴퓨터에서 만든 CA의 인증서로 보입니다." >&2
        echo "인증서는 그 컴퓨터에서 만드십시오. 이 컴퓨터에서 서버를 실행하려면 ca.pem을 다른 곳으로 옮기고 다시 실행하십시오." >&2
        exit 1
    }
}

make_ca() {
    new_key ca
    SAN="" openssl req -new -x509 -config "$here/openssl.cnf" -extensions ca -key "$work/ca.key" \
        -subj "/CN=sockstep class CA" -days "$CA_DAYS" -out "$work/ca.pem"
    keep ca
}

# make_leaf NAME COMMON_NAME SECTION: a key and a certificate with the extensions of that section
make_leaf() {
    sign_or_refuse
    new_key "$1"
    openssl req -new -utf8 -config "$here/openssl.cnf" -key "$work/$1.key" -subj "/CN=$2" -out "$work/$1.csr"
    openssl x509 -req -in "$work/$1.csr" -CA ca.pem -CAkey ca.key -set_serial "0x$(openssl rand -hex 16)" \
        -days "$LEAF_DAYS" -extfile "$here/openssl.cnf" -extensions "$3" -out "$work/$1.pem" 2>"$work/log" ||
        { cat "$work/log" >&2; exit 1; }
    keep "$1"
}

SAN=$(san "$@")
export SAN

[ -e ca.pem ] && [ ! -e ca.key ] || good ca || make_ca
good client || make_leaf client student client

good_server() {
    good server || return 1
    for host in "$@"; do
        covers server.pem "$host" || return 1
    done
}
good_server "$@" || make_leaf server "${1:-localhost}" server

# A certificate for each student, and what that student then types.
case ${1:-} in
    '') reached=서버주소:7000 ;;
    *:*) reached="[$1]:7000" ;;
    *) reached=$1:7000 ;;
esac
for name in $names; do
    good "$name" || make_leaf "$name" "$name" client
    echo "$name: ca.pem, $name.pem, $name.key를 certs/에 넣고 이렇게 접속합니다:"
    echo "  make run-client SERVER=$reached CLIENT=$name"
done
