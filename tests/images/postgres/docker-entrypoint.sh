#!/usr/bin/env bash
# Stand-in for the official PostgreSQL image's entry point: what that image documents, written from its documentation.
# Differences: no xz or zstd init files, and a user without an entry in /etc/passwd is refused by initdb.
set -Eeuo pipefail
shopt -s nullglob

refuse() {
    printf 'Error: %s\n' "$@" >&2
    exit 1
}

# NAME DEFAULT: the variable, or the content of the file that NAME_FILE names, or the default.
take() {
    local name=$1 file_name=${1}_FILE value=$2
    if [[ -n ${!name:-} && -n ${!file_name:-} ]]; then
        refuse "$name and $file_name are both set; they exclude each other"
    fi
    if [[ -n ${!name:-} ]]; then
        value=${!name}
    elif [[ -n ${!file_name:-} ]]; then
        value=$(<"${!file_name}")
    fi
    export "$name=$value"
    unset "$file_name"
}

take_environment() {
    take POSTGRES_PASSWORD ''
    take POSTGRES_USER postgres
    take POSTGRES_DB "$POSTGRES_USER"
    take POSTGRES_INITDB_ARGS ''
    : "${POSTGRES_HOST_AUTH_METHOD:=}"
    if [[ -z $POSTGRES_PASSWORD && $POSTGRES_HOST_AUTH_METHOD != trust ]]; then
        refuse 'the database is not initialised and no superuser password is given' \
            'set POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE to a value that is not empty'
    fi
}

# The modes are the official image's. As another user than root they may already be right and not ours to change.
prepare_folders() {
    mkdir -p "$PGDATA" /var/run/postgresql
    chmod 0700 "$PGDATA" || true
    chmod 3775 /var/run/postgresql || true
    if [[ -n ${POSTGRES_INITDB_WALDIR:-} ]]; then
        mkdir -p "$POSTGRES_INITDB_WALDIR"
        chmod 0700 "$POSTGRES_INITDB_WALDIR"
    fi
    [[ $(id -u) -eq 0 ]] || return 0
    find "$PGDATA" /var/run/postgresql ${POSTGRES_INITDB_WALDIR:+"$POSTGRES_INITDB_WALDIR"} \
        ! -user postgres -exec chown postgres {} +
}

make_cluster() {
    local arguments=()
    # The documentation shows quoted arguments in it: only a shell takes those apart.
    eval "arguments=($POSTGRES_INITDB_ARGS)"
    [[ -z ${POSTGRES_INITDB_WALDIR:-} ]] || arguments+=("--waldir=$POSTGRES_INITDB_WALDIR")
    initdb --pgdata="$PGDATA" --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") "${arguments[@]}"
    local method=${POSTGRES_HOST_AUTH_METHOD:-$(postgres -C password_encryption)}
    printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
}

query() {
    psql --no-psqlrc --no-password --quiet --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" "$@"
}

make_database() {
    local known
    known=$(query --dbname=postgres --set=name="$POSTGRES_DB" --tuples-only --no-align \
        <<<"SELECT 1 FROM pg_database WHERE datname = :'name'")
    [[ -n $known ]] || query --dbname=postgres --set=name="$POSTGRES_DB" <<<'CREATE DATABASE :"name"'
}

run_init_files() {
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        printf '%s: running %s\n' "${0##*/}" "$file"
        case $file in
            *.sh)
                if [[ -x $file ]]; then
                    "$file"
                else
                    # shellcheck disable=SC1090  # whatever the user put there
                    . "$file"
                fi
                ;;
            *.sql) query --dbname="$POSTGRES_DB" --file="$file" ;;
            *.sql.gz) gunzip -c "$file" | query --dbname="$POSTGRES_DB" ;;
            *) printf '%s: ignoring %s\n' "${0##*/}" "$file" ;;
        esac
    done
}

# Arguments: the server's own. It listens on its socket only, so that nobody takes the half-made server for the real one.
initialise() {
    take_environment
    make_cluster
    export PGPASSWORD=${PGPASSWORD:-$POSTGRES_PASSWORD}
    local options
    options=$(printf '%q ' "$@" -c listen_addresses= -p "${PGPORT:-5432}")
    PGUSER=$POSTGRES_USER pg_ctl --pgdata="$PGDATA" --options="$options" --wait start
    make_database
    run_init_files
    PGUSER=$POSTGRES_USER pg_ctl --pgdata="$PGDATA" --mode=fast --wait stop
    unset PGPASSWORD
    printf '\nPostgreSQL init process complete; ready for start up.\n\n'
}

only_asks() {
    local argument
    for argument in "$@"; do
        case $argument in
            -\? | --help | --describe-config | -V | --version | -C) return 0 ;;
        esac
    done
    return 1
}

if [[ ${1:-} == -* ]]; then
    set -- postgres "$@"
fi
if [[ ${1:-} == postgres ]] && ! only_asks "$@"; then
    prepare_folders
    if [[ $(id -u) -eq 0 ]]; then
        HOME=/var/lib/postgresql exec setpriv --reuid=postgres --regid=postgres --init-groups -- "${BASH_SOURCE[0]}" "$@"
    fi
    if [[ -s $PGDATA/PG_VERSION ]]; then
        printf '\nPostgreSQL Database directory appears to contain a database; Skipping initialization\n\n'
    else
        initialise "${@:2}"
    fi
fi
exec "$@"
