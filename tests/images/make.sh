#!/bin/sh
# make.sh [NAME...]: makes the images the tests run on, stand-ins for the official ones, of Debian's packages.
#
# Names are circlepay-stand-in/postgres:17 and so on; without a name, all of them. What is there and up to date is left alone.
# What Debian gave is kept below the user's cache folder, so that another time takes seconds.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/circlepay/test-images
patience=1800

# product, version, Debian release, volume, and where in it PostgreSQL's data is. An 18 is one line more, once a release has it:
#   postgres 18 RELEASE /var/lib/postgresql /var/lib/postgresql/18/docker
rows() {
    cat <<'ROWS'
postgres 15 bookworm /var/lib/postgresql/data /var/lib/postgresql/data
postgres 17 trixie   /var/lib/postgresql/data /var/lib/postgresql/data
redis    7  bookworm /data                    -
redis    8  trixie   /data                    -
ROWS
}

digest() {
    sha256sum | cut -c1-64
}

say() {
    echo "test images: $*"
}

fail() {
    echo "circlepay: test image $1: $2" >&2
    echo "  -> $3" >&2
    exit 1
}

# LOG COMMAND...: runs it with a line every 15 s, and shows the end of its log when it fails.
with_progress() {
    log=$1
    shift
    "$@" >"$log" 2>&1 &
    running=$!
    began=$(date +%s)
    told=0
    while kill -0 "$running" 2>/dev/null; do
        sleep 0.1
        waited=$(($(date +%s) - began))
        [ "$waited" -lt $((told + 15)) ] || {
            told=$waited
            say "$name: $waited s: $(tail -n 1 "$log" | cut -c1-100)"
        }
    done
    wait "$running" || {
        tail -n 20 "$log" >&2
        fail "$name" "$1 did not finish" "its log: $log"
    }
}

# The tar of Debian's files; its key is everything it was made from.
rootfs() {
    key=$(cat "$here/rootfs.sh" "$here/$product/rootfs.sh" - <<ROW | digest
$product $version $release
ROW
    )
    file=$cache/$product-$version-$key.tar
    [ ! -e "$file" ] || return 0
    rm -f "$cache/$product-$version-"*.tar
    say "$name: from Debian $release's packages, about a minute"
    with_progress "$cache/$product-$version.log" \
        timeout "$patience" "$here/rootfs.sh" "$release" "$product" "$version" "$file.part"
    mv "$file.part" "$file"
}

environment() {
    path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    case $product in
        postgres)
            printf '"PATH=%s:/usr/lib/postgresql/%s/bin","LANG=en_US.utf8",' "$path" "$version"
            printf '"PG_MAJOR=%s","PGDATA=%s"' "$version" "$data"
            ;;
        redis) printf '"PATH=%s"' "$path" ;;
    esac
}

# The image's configuration: https://github.com/moby/docker-image-spec. Arguments: the layers' digests.
configuration() {
    case $product in
        postgres) server=postgres port=5432 folder=/ stop=SIGINT ;;
        redis) server=redis-server port=6379 folder=/data stop=SIGTERM ;;
    esac
    cat <<JSON
{"architecture":"$(dpkg --print-architecture)","os":"linux","created":"$(date -u +%Y-%m-%dT%H:%M:%SZ)",
 "config":{"Entrypoint":["docker-entrypoint.sh"],"Cmd":["$server"],"WorkingDir":"$folder","StopSignal":"$stop",
  "Env":[$(environment)],"ExposedPorts":{"$port/tcp":{}},"Volumes":{"$volume":{}},
  "Labels":{"circlepay.stand-in":"for the official image $product:$version, made of Debian $release packages",
   "circlepay.stand-in.recipe":"$recipe"}},
 "history":[{"created_by":"Debian $release"},{"created_by":"entry point"}],
 "rootfs":{"type":"layers","diff_ids":["sha256:$1","sha256:$2"]}}
JSON
}

# NUMBER MODE PATH: appends to the second layer. A folder that a layer holds only as somebody's parent would be root's.
entry() {
    chmod "$2" "$scratch/own/$3"
    tar -C "$scratch/own" --owner="$1" --group="$1" --mtime=@0 --no-recursion -rf "$scratch/own.tar" "$3"
}

# The second layer: what is ours, and the folders that mmdebstrap empties or whose place is the image's own affair.
own_layer() {
    mkdir -p "$scratch/own/usr/local/bin" "$scratch/own/var/lib/postgresql/data" "$scratch/own/run/postgresql"
    cp "$here/$product/docker-entrypoint.sh" "$scratch/own/usr/local/bin/"
    for path in usr usr/local usr/local/bin usr/local/bin/docker-entrypoint.sh; do
        entry 0 755 "$path"
    done
    [ "$product" = postgres ] || return 0
    entry 0 755 var
    entry 0 755 var/lib
    entry 999 1777 var/lib/postgresql
    [ "$volume" = /var/lib/postgresql ] || entry 999 1777 "${volume#/}"
    entry 0 755 run
    entry 999 3777 run/postgresql
}

load() {
    scratch=$(mktemp -d "$cache/load.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    own_layer
    ln "$file" "$scratch/debian.tar"
    configuration "$(digest <"$scratch/debian.tar")" "$(digest <"$scratch/own.tar")" >"$scratch/configuration.json"
    echo "[{\"Config\":\"configuration.json\",\"RepoTags\":[\"$name\"],\"Layers\":[\"debian.tar\",\"own.tar\"]}]" \
        >"$scratch/manifest.json"
    tar -C "$scratch" -cf - manifest.json configuration.json debian.tar own.tar |
        timeout "$patience" docker load --quiet >/dev/null || fail "$name" 'the engine did not take it' 'docker info'
    rm -rf "$scratch"
    trap - EXIT
    # Only where no container is left of it.
    [ -z "$replaced" ] || docker image rm "$replaced" >/dev/null 2>&1 || true
}

make_image() {
    recipe=$(cat "$here/make.sh" "$here/rootfs.sh" "$here/$product/rootfs.sh" "$here/$product/docker-entrypoint.sh" | digest)
    present=$(docker image inspect --format '{{index .Config.Labels "circlepay.stand-in.recipe"}}' "$name" 2>/dev/null) || present=
    if [ "$present" = "$recipe" ]; then
        say "$name: there"
        return
    fi
    replaced=$(docker image inspect --format '{{.Id}}' "$name" 2>/dev/null) || replaced=
    rootfs
    load
    say "$name: made"
}

docker version >/dev/null 2>&1 || fail "$*" 'no Docker engine answers' 'as root: tools/prepare-ci-machine.sh'
mkdir -p "$cache"
# Two at once would make everything twice. What a killed run had begun holds the lock too, until it ends.
exec 9>"$cache/lock"
flock -n 9 || {
    say 'waiting: another run is making them'
    flock -w "$patience" 9 || fail "$*" "somebody else has been making them for $patience s" "$cache/lock"
}
rows | while read -r product version release volume data; do
    name=circlepay-stand-in/$product:$version
    case " $* " in
        '  ' | *" $name "*) make_image ;;
    esac
done
