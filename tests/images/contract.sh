#!/bin/sh
# contract.sh IMAGE: shows that a PostgreSQL or Redis image, official or stand-in, does what this project relies on.
#
# One line a point: "ok - ..." or "not ok - ...", then what was wanted and found. Exit code: 0 all hold, 1 some do not,
# 2 it could not be tried. Works on any engine `docker` reaches: nothing is mounted from this machine, no port is published.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
export LC_ALL=C
# Seconds until a server has to answer or to have ended.
patience=60

fail() {
    echo "circlepay: contract of $image: $1" >&2
    echo "  -> $2" >&2
    exit 2
}

# POINT WANTED FOUND
same() {
    if [ "$2" = "$3" ]; then
        echo "ok - $1"
    else
        not_ok "$1" "$2" "$3"
    fi
}

# POINT PATTERN FOUND: some line of FOUND matches the extended regular expression.
holds() {
    if printf '%s\n' "$3" | grep -qE -- "$2"; then
        echo "ok - $1"
    else
        not_ok "$1" "a line like $2" "$3"
    fi
}

not_ok() {
    failures=$((failures + 1))
    printf 'not ok - %s\n#   wanted: %s\n#   found:  %s\n' "$1" "$2" "$(printf '%s' "$3" | tail -n 3 | tr '\n' ' ')"
}

inspect() {
    docker image inspect --format "$1" "$image"
}

# The variable NAME of the image's environment.
variable() {
    inspect '{{range .Config.Env}}{{println .}}{{end}}' | sed -n "s/^$1=//p"
}

# The folders the image declares as volumes, one a line.
volumes() {
    # shellcheck disable=SC2016  # the engine's template, not the shell's
    inspect '{{range $path, $nothing := .Config.Volumes}}{{println $path}}{{end}}' | sed '/^$/d'
}

# ARGUMENT...: what `docker run` of them says, both streams, and the exit code where it is not 0. Ends by itself, or is ended.
once() {
    timeout "$patience" docker run --rm --name "$prefix-once" --label "$prefix" "$@" 2>&1 || echo "exit code $?"
    docker rm --force --volumes "$prefix-once" >/dev/null 2>&1 || true
}

# NAME ARGUMENT...: makes a container, not started, so that files can be put into it first.
create() {
    name=$1
    shift
    docker create --name "$prefix-$name" --label "$prefix" "$@" >/dev/null || fail 'a container could not be made' 'see above'
}

start() {
    docker start "$prefix-$1" >/dev/null || true
}

# NAME USER MODE PATH: puts standard input there, readable by that number only where MODE says so.
put() {
    folder=$(mktemp -d)
    cat >"$folder/$(basename "$4")"
    chmod "$3" "$folder/$(basename "$4")"
    tar -C "$folder" --owner="$2" --group="$2" -cf - "$(basename "$4")" | docker cp - "$prefix-$1:$(dirname "$4")"
    rm -rf "$folder"
}

# NAME COMMAND...: what it says inside the container, both streams; nothing where the container is gone.
inside() {
    name=$1
    shift
    timeout "$patience" docker exec "$prefix-$name" "$@" 2>&1 || true
}

# NAME COMMAND...: until the command succeeds inside. A container that has ended is not waited for.
until_it_answers() {
    name=$1
    shift
    deadline=$(($(date +%s) + patience))
    until timeout "$patience" docker exec "$prefix-$name" "$@" >/dev/null 2>&1; do
        [ "$(docker inspect --format '{{.State.Running}}' "$prefix-$name")" = true ] || return 0
        [ "$(date +%s)" -lt "$deadline" ] || return 0
        sleep 0.3
    done
}

address() {
    docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$prefix-$1"
}

# NAME: stops it as `docker stop` does; says the server's exit code.
stopped_with() {
    docker stop --time "$patience" "$prefix-$1" >/dev/null
    docker inspect --format '{{.State.ExitCode}}' "$prefix-$1"
}

# NAME: "PROGRAM UID" of the first process.
first_process() {
    inside "$1" cat /proc/1/status | awk '$1 == "Name:" { name = $2 } $1 == "Uid:" { print name, $2 }'
}

# NAME: a volume of our own, removed at the end.
volume() {
    docker volume create --label "$prefix" "$prefix-$1"
}

# Where programs of the image look things up in it: POSIX only, the image may be Alpine.
look() {
    once --entrypoint sh "$@"
}

clean_up() {
    docker ps --all --quiet --filter "label=$prefix" | xargs -r docker rm --force --volumes >/dev/null
    docker volume ls --quiet --filter "label=$prefix" | xargs -r docker volume rm >/dev/null
}

if [ $# -ne 1 ]; then
    echo "usage: $0 IMAGE" >&2
    exit 2
fi
image=$1
failures=0
docker version >/dev/null 2>&1 || fail 'no Docker engine answers' 'as root: tools/prepare-ci-machine.sh'
docker image inspect "$image" >/dev/null 2>&1 || fail 'no such image' "docker pull $image, or tests/images/make.sh"
prefix=circlepay-contract-$$
trap clean_up EXIT
trap 'exit 2' INT TERM
# shellcheck disable=SC2016  # the engine's template, not the shell's
case $(inspect '{{range $port, $nothing := .Config.ExposedPorts}}{{println $port}}{{end}}') in
    *5432/tcp*) product=postgres ;;
    *6379/tcp*) product=redis ;;
    *) fail 'neither PostgreSQL nor Redis: it exposes neither 5432/tcp nor 6379/tcp' 'give another image' ;;
esac
same 'starts by docker-entrypoint.sh' docker-entrypoint.sh "$(inspect '{{range .Config.Entrypoint}}{{.}}{{end}}' | sed 's|.*/||')"
# shellcheck source=/dev/null
. "$here/$product/contract.sh"
[ "$failures" -eq 0 ] || echo "circlepay: contract of $image: $failures points do not hold" >&2
[ "$failures" -eq 0 ]
