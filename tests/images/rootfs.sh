#!/bin/sh
# rootfs.sh RELEASE PRODUCT VERSION OUTPUT: makes OUTPUT, a tar of Debian RELEASE with PRODUCT in it.
#
# Mirrors and proxies are those of this machine's own apt. PRODUCT/rootfs.sh says which packages and what else belongs in it.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
release=$1 product=$2 version=$3 output=$4

# Debian's archive and its security archive, as this machine reaches them: "main ADDRESS", "security ADDRESS".
archives() {
    # shellcheck disable=SC2016  # apt-get fills these in
    apt-get indextargets --format '$(ORIGIN) $(COMPONENT) $(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
        awk '$1 == "Debian" && $2 == "main" {
            kind = ($3 ~ /-security$/) ? "security" : ($3 ~ /-/) ? "" : "main"
            if (kind != "" && !(kind in seen)) { seen[kind] = 1; print kind, $4 }
        }'
}

sources() {
    archives | while read -r kind address; do
        if [ "$kind" = main ]; then
            echo "deb $address $release main"
            echo "deb $address $release-updates main"
        else
            echo "deb $address $release-security main"
        fi
    done
}

# What this machine's apt needs to get through: proxies, certificates, a frozen archive's dates.
transport() {
    apt-config dump | grep -E '^Acquire::(https?|Check-(Date|Valid-Until)|Retries)(::[^ ]+)? ' || true
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
sources >"$scratch/debian.list"
transport >"$scratch/transport.conf"
set -- "$scratch/debian.list"
if [ ! -s "$scratch/debian.list" ]; then
    if grep -q '^ID=debian$' /etc/os-release; then
        echo "circlepay: this machine's apt knows no Debian archive" >&2
        echo '  -> as root: apt-get update' >&2
        exit 1
    fi
    # Elsewhere mmdebstrap knows where Debian is.
    set --
fi

export CIRCLEPAY_VERSION="$version"
# shellcheck disable=SC2016  # $1 is the folder, which mmdebstrap hands to each hook
mmdebstrap --variant=minbase --format=tar \
    --include="$("$here/$product/rootfs.sh" packages)" \
    --aptopt="$scratch/transport.conf" \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*/LC_MESSAGES/*' \
    --essential-hook="'$here/$product/rootfs.sh' accounts \"\$1\"" \
    --customize-hook="'$here/$product/rootfs.sh' finish \"\$1\"" \
    --customize-hook='rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap" "$1/etc/apt/sources.list" "$1"/etc/apt/sources.list.d/*' \
    "$release" "$output" "$@"
