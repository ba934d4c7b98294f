#!/bin/sh
# Puts on a bare Debian or Ubuntu machine what the tests look for beyond what a user needs: the distribution's PostgreSQL and
# Redis, beside the wheels' own. Needs root; starts no service; does nothing where everything is there.
set -eu

missing() {
    command -v make >/dev/null || echo make
    command -v git >/dev/null || echo git
    command -v python3 >/dev/null || echo python3
    command -v ps >/dev/null || echo procps
    [ -e /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
    command -v redis-server >/dev/null || echo redis-server
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || echo postgresql
}

packages=$(missing)
if [ -z "$packages" ]; then
    echo 'everything is here'
    exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "circlepay: not installed: $(echo "$packages" | tr '\n' ' ')" >&2
    echo '  -> installing packages needs root: run this as root once, then go on as yourself' >&2
    exit 1
fi

# dpkg asks this before a package starts its service: 101 means no. One that is there already is somebody's: leave it.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
# postgresql-common makes a cluster at installation unless told not to.
mkdir -p /etc/postgresql-common
[ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086  # one package a word
apt-get install -y -qq --no-install-recommends $packages >/dev/null
echo "installed: $(echo "$packages" | tr '\n' ' ')"
