#!/bin/sh
# What makes a Redis root file system of a Debian one. CIRCLEPAY_VERSION is Redis's major version.
set -eu

# The official images' numbers: redis:7-alpine has 999:1000, redis:8, made of Debian, 999:999.
group=999
[ "$CIRCLEPAY_VERSION" != 7 ] || group=1000

accounts() {
    echo "redis:x:$group:" >>"$1/etc/group"
    echo "redis:x:999:$group::/home/redis:/usr/sbin/nologin" >>"$1/etc/passwd"
}

finish() {
    # The release decides the version: say so here rather than in a test that wonders.
    chroot "$1" redis-server --version | grep -q "v=$CIRCLEPAY_VERSION\."
    chroot "$1" install -d -o redis -g redis -m 755 /data
}

case $1 in
    packages) echo redis-server ;;
    accounts | finish) "$1" "$2" ;;
esac
