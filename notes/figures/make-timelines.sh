#!/usr/bin/env bash
# Draws timeline-echo.svg and timeline-tls.svg from two real runs: one client, one line, its echo.
#
# usage: make-timelines.sh SOCKSTEP [DIRECTORY]   (the directory of this script, when none is given)
set -euo pipefail

bin=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
out=$(realpath "${2:-$here}")
dir=$(mktemp -d)
server= client=
trap finish EXIT

finish() {
    local status=$?
    [ "$status" = 0 ] || cat "$dir/log" >&2
    # shellcheck disable=SC2086 # those that still run
    kill $server $client 2>/dev/null || true
    rm -rf "$dir"
    exit "$status"
}

# Waits until a file has come to where a condition holds.
until_true() {
    for _ in {1..200}; do
        ! "$@" || return 0
        sleep 0.05
    done
    "$@"
}

# Both ends wait for something to read. Over TLS the child has sent its half of the handshake, a ticket and a word to its
# parent by then, and the parent has heard that.
is_at_rest() {
    [ "$(grep -c $'\tc1\t[0-9]*\tsend(' "$1")" = 3 ] &&
        grep -q $'\tserver\t[0-9]*\trecv(.*"J"' "$1" &&
        grep $'\tclient\t[0-9]*/' "$1" | tail -n 1 | grep -q EAGAIN
}

# The last calls of the child and of the parent for this client are in the trace.
is_told() {
    [ "$(grep -c $'\tc1\t[0-9]*\tclose(' "$1")" = 2 ] &&
        sed -n $'/\tserver\t.*MSG_TRUNC) = 0/,$p' "$1" | grep -q $'\tserver\t[0-9]*\tclose('
}

# draw NAME, then the options of the server and of the client, each as one word
draw() {
    local trace=$dir/$1.trace ready keys screen line
    mkfifo "$dir/$1.ready" "$dir/$1.keys" "$dir/$1.screen"
    # shellcheck disable=SC2086 # options are several words
    "$bin" server --listen 127.0.0.1:0 --trace="$trace" $2 >"$dir/$1.ready" 2>>"$dir/log" &
    server=$!
    exec {ready}<"$dir/$1.ready"
    read -r -t 10 -u "$ready" line
    # shellcheck disable=SC2086
    "$bin" client --connect "${line%%에서*}" --trace="$trace" $3 {ready}<&- \
        <"$dir/$1.keys" >"$dir/$1.screen" 2>>"$dir/log" &
    client=$!
    exec {keys}>"$dir/$1.keys" {screen}<"$dir/$1.screen"
    [ "$1" != tls ] || until_true is_at_rest "$trace"
    echo 안녕 >&"$keys"
    read -r -t 10 -u "$screen" line
    [ "$line" = 안녕 ]
    exec {keys}>&-
    wait "$client"
    client=
    until_true is_told "$trace"
    kill -TERM "$server"
    wait "$server"
    server=
    exec {ready}<&- {screen}<&-
    "$bin" timeline "$trace" -o "$out/timeline-$1.svg"
    echo "$out/timeline-$1.svg"
}

"$here/../../certs/make-certs.sh" -d "$dir" >>"$dir/log" 2>&1
draw echo "" ""
draw tls "--tls --cert $dir/server.pem --key $dir/server.key" "--tls --ca $dir/ca.pem"
