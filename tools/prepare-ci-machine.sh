#!/bin/sh
# Puts on a bare Debian or Ubuntu machine what the tests look for beyond what a user needs: the distribution's PostgreSQL and
# Redis, beside the wheels' own, and Docker Engine with the images that containers are made of.
#
# Needs root where something is missing; starts no service but Docker Engine, and that only where none answers.
# CI_OFFICIAL_IMAGES=1 pulls the official images instead of making stand-ins.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
# Seconds for one download: beyond it the network, not this script, is what needs looking at.
patience=900

answers() {
    timeout 10 docker version >/dev/null 2>&1
}

# The engine, or only its client where an engine already answers: from Debian 13 on that is a package of its own.
docker_packages() {
    # Where there is no client it is unknown whether an engine answers.
    if command -v docker >/dev/null && { answers || command -v dockerd >/dev/null; }; then
        return
    fi
    echo docker.io iptables iproute2
    command -v docker >/dev/null || ! apt-cache show docker-cli >/dev/null 2>&1 || echo docker-cli
}

missing() {
    command -v make >/dev/null || echo make
    command -v git >/dev/null || echo git
    command -v python3 >/dev/null || echo python3
    command -v ps >/dev/null || echo procps
    [ -e /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
    command -v redis-server >/dev/null || echo redis-server
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || echo postgresql
    command -v mmdebstrap >/dev/null || echo mmdebstrap
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || echo debian-archive-keyring
    command -v docker-registry >/dev/null || echo docker-registry
    [ -e /usr/sbin/sshd ] || echo openssh-server
    docker_packages
}

update() {
    timeout "$patience" apt-get update -qq || {
        echo "circlepay: apt-get update failed, or took more than $patience s" >&2
        echo '  -> check the apt sources and the proxy of this machine' >&2
        exit 1
    }
}

install() {
    # dpkg asks this before a package starts its service: 101 means no. One that is there already is kept.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    # postgresql-common makes a cluster at installation unless disabled.
    mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    DEBIAN_FRONTEND=noninteractive timeout "$patience" apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    echo "installed: $*"
}

install_missing() {
    # shellcheck disable=SC2046  # one package a word
    set -- $(missing)
    if [ $# -ne 0 ] && [ "$(id -u)" -ne 0 ]; then
        echo "circlepay: not installed: $*" >&2
        echo '  -> installing packages needs root: run this as root once, then continue as yourself' >&2
        exit 1
    fi
    if [ $# -ne 0 ]; then
        update
        # What there is to install may only be known now.
        # shellcheck disable=SC2046
        install $(missing)
    fi
}

# What is there stays as it is, so that a second run changes nothing; `docker pull` brings a newer one.
pull_official() {
    images=$("$here/environment.sh" --bare tests.images.references)
    for image in $images; do
        ! docker image inspect "$image" >/dev/null 2>&1 || continue
        timeout "$patience" docker pull --quiet "$image" >/dev/null || {
            echo "circlepay: $image could not be pulled" >&2
            echo '  -> without CI_OFFICIAL_IMAGES=1 stand-ins are made of the distribution'"'"'s packages' >&2
            exit 1
        }
        echo "pulled: $image"
    done
}

install_missing
"$here/../tests/images/engine.sh"
if [ "${CI_OFFICIAL_IMAGES:-}" = 1 ]; then
    pull_official
else
    # The stand-ins are made of what Debian's archive has: apt must have seen it once.
    find /var/lib/apt/lists -name '*Release' 2>/dev/null | grep -q . || update
    "$here/../tests/images/make.sh"
fi
echo 'everything is here'
