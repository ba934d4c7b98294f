# shellcheck shell=sh disable=SC2154
# The points of a PostgreSQL image. Read by ../contract.sh, whose words it uses.
data=$(variable PGDATA)
major=$(variable PG_MAJOR)
mount=$(volumes | head -n 1)
mount=${mount:-$data}
hardened='--user 999:999 --read-only --tmpfs /var/run/postgresql --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges'

# NAME QUERY OPTION...: the answer, over the socket unless the options say otherwise.
query() {
    name=$1 sql=$2
    shift 2
    inside "$name" psql --no-psqlrc --no-password --tuples-only --no-align --command "$sql" "$@"
}

points_of_the_configuration() {
    same 'runs postgres where nothing else is asked for' '[postgres]' "$(inspect '{{.Config.Cmd}}')"
    same 'is stopped by SIGINT, a fast shutdown' SIGINT "$(inspect '{{.Config.StopSignal}}')"
    # From 18 on the volume is a folder above, so that a major upgrade has both versions' data in it.
    case $major in
        9 | 1[0-7]) wanted="/var/lib/postgresql/data in /var/lib/postgresql/data" ;;
        *) wanted="/var/lib/postgresql/$major/docker in /var/lib/postgresql" ;;
    esac
    same 'keeps its data where its major version does' "$wanted" \
        "$data in $(volumes)"
    same 'speaks UTF-8 English' en_US.utf8 "$(variable LANG)"
}

points_of_the_files() {
    # shellcheck disable=SC2016  # the image's shell is to expand it
    found=$(look "$image" -c 'id postgres; locale -a
        for program in postgres initdb pg_ctl pg_isready psql pg_dump pg_controldata; do
            command -v "$program" >/dev/null && echo "has $program"
        done')
    holds 'user postgres is 999:999' '^uid=999\(postgres\) gid=999\(postgres\)' "$found"
    same 'has its programs on PATH' 7 "$(printf '%s\n' "$found" | grep -c '^has ')"
    holds 'has the locale en_US.UTF-8' '^en_US\.utf8$' "$found"
    # shellcheck disable=SC2016
    found=$(look --user 999:999 --volume "$(volume fresh):$mount" "$image" -c \
         'mkdir -p "$PGDATA" && touch "$PGDATA/written" && touch /var/run/postgresql/written && echo writable')
    same 'a new volume and the socket folder can be written to by 999:999' writable "$found"
    same 'another command runs as it is, as root' 0 "$(once "$image" id -u)"
}

points_of_the_refusals() {
    found=$(once "$image" | tr '\n' ' ')
    holds 'refuses to make a database without a password' 'POSTGRES_PASSWORD.*exit code 1 $' "$found"
    found=$(once --env POSTGRES_PASSWORD=one --env POSTGRES_PASSWORD_FILE=/two "$image" | tr '\n' ' ')
    holds 'refuses a password given twice' 'POSTGRES_PASSWORD.*POSTGRES_PASSWORD_FILE.*exit code 1 $' "$found"
}

make_the_first() {
    create first --volume "$(volume kept):$mount" --env POSTGRES_USER=keeper --env POSTGRES_DB=ledger \
        --env POSTGRES_PASSWORD_FILE=/password --env POSTGRES_INITDB_ARGS='--data-checksums --no-sync' \
        "$image" -c max_connections=37
    echo 'p@ss word' | put first 999 400 /password
    echo "CREATE TABLE steps (step text); INSERT INTO steps VALUES ('sql')" | put first 0 644 /docker-entrypoint-initdb.d/10.sql
    echo "INSERT INTO steps VALUES ('gz')" | gzip | put first 0 644 /docker-entrypoint-initdb.d/30.sql.gz
    put first 0 755 /docker-entrypoint-initdb.d/20.sh <<'SCRIPT'
#!/bin/sh
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -c "INSERT INTO steps SELECT 'sh after ' || step FROM steps"
pg_isready -q -h 127.0.0.1 || psql -U "$POSTGRES_USER" -d "$POSTGRES_DB" -c "INSERT INTO steps VALUES ('no network')"
SCRIPT
    start first
    until_it_answers first pg_isready --quiet --host 127.0.0.1
}

points_of_the_first() {
    same 'the server is the first process, and not root' 'postgres 999' "$(first_process first)"
    same 'its data is for the server alone' '700 999:999' "$(inside first stat -c '%a %u:%g' "$data")"
    as_keeper='--username keeper --dbname ledger'
    # shellcheck disable=SC2086  # options, one a word
    {
        same 'POSTGRES_USER is the superuser' keeper,t \
            "$(query first "SELECT rolname || ',' || left(rolsuper::text, 1) FROM pg_roles WHERE rolname = user" $as_keeper)"
        same 'POSTGRES_DB is the database' ledger "$(query first 'SELECT current_database()' $as_keeper)"
        same 'POSTGRES_INITDB_ARGS reach initdb' on "$(query first 'SHOW data_checksums' $as_keeper)"
        same 'an option as first argument is an option of the server' 37 "$(query first 'SHOW max_connections' $as_keeper)"
        same 'databases are in en_US.utf8' en_US.utf8 \
            "$(query first 'SELECT datcollate FROM pg_database WHERE datname = current_database()' $as_keeper)"
        found=$(query first 'SELECT step FROM steps' $as_keeper)
        holds 'files in /docker-entrypoint-initdb.d: SQL' '^sql$' "$found"
        holds 'files in /docker-entrypoint-initdb.d: shell, in the order of their names' '^sh after sql$' "$found"
        holds 'files in /docker-entrypoint-initdb.d: compressed SQL' '^gz$' "$found"
        holds 'no network before the database is ready' '^no network$' "$found"
        over_network="--host $(address first) $as_keeper"
        same 'the network asks for the password, which POSTGRES_PASSWORD_FILE gave' 1 \
            "$(docker exec --env PGPASSWORD='p@ss word' "$prefix-first" psql -XtAc 'SELECT 1' $over_network 2>&1)"
        holds 'another password is refused' 'password authentication failed' \
            "$(docker exec --env PGPASSWORD=wrong "$prefix-first" psql -XtAc 'SELECT 1' $over_network 2>&1)"
        holds 'passwords are kept as SCRAM' '^SCRAM-SHA-256' \
            "$(query first 'SELECT rolpassword FROM pg_authid WHERE rolname = user' $as_keeper)"
    }
    same 'stops cleanly' 0 "$(stopped_with first)"
}

# The same data under another container, as this project runs it; no password given, none needed.
points_of_the_second() {
    # shellcheck disable=SC2086  # options, one a word
    create second --volume "$prefix-kept:$mount" $hardened "$image"
    start second
    until_it_answers second pg_isready --quiet --host 127.0.0.1
    same 'data outlives its container; read-only root, no capability, user 999:999' 4 \
        "$(query second 'SELECT count(*) FROM steps' --username keeper --dbname ledger)"
}

points_of_the_third() {
    # shellcheck disable=SC2086
    create third --volume "$(volume own):$mount" $hardened \
        --env POSTGRES_PASSWORD=third --env POSTGRES_INITDB_ARGS=--no-sync "$image"
    start third
    until_it_answers third pg_isready --quiet --host 127.0.0.1
    same 'makes a database as user 999:999; superuser and database are called postgres' 'postgres postgres' \
        "$(query third "SELECT user || ' ' || current_database()" --username postgres)"
}

points_of_the_configuration
points_of_the_files
points_of_the_refusals
make_the_first
points_of_the_first
points_of_the_second
points_of_the_third
