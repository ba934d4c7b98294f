#!/bin/sh
# What makes a PostgreSQL root file system of a Debian one. CIRCLEPAY_VERSION is PostgreSQL's major version.
set -eu
version=$CIRCLEPAY_VERSION

# Before Debian's packages come, which would give the user another number than the official image does.
accounts() {
    echo 'postgres:x:999:' >>"$1/etc/group"
    echo 'postgres:x:999:999::/var/lib/postgresql:/bin/bash' >>"$1/etc/passwd"
    mkdir -p "$1/etc/postgresql-common"
    echo 'create_main_cluster = false' >"$1/etc/postgresql-common/createcluster.conf"
}

finish() {
    chroot "$1" localedef -i en_US -c -f UTF-8 -A /usr/share/locale/locale.alias en_US.UTF-8
    rm -rf "$1/usr/share/i18n"
    # A container that listens to itself only is of no use.
    sed -i "s/^#listen_addresses = 'localhost'/listen_addresses = '*'/" "$1/usr/share/postgresql/$version/postgresql.conf.sample"
    grep -q "^listen_addresses = '\*'" "$1/usr/share/postgresql/$version/postgresql.conf.sample"
    mkdir "$1/docker-entrypoint-initdb.d"
}

case $1 in
    packages) echo "postgresql-$version,locales" ;;
    accounts | finish) "$1" "$2" ;;
esac
