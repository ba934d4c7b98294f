# shellcheck shell=sh disable=SC2154
# The points of a Redis image. Read by ../contract.sh, whose words it uses.

# NAME COMMAND...: Redis's answer.
ask() {
    name=$1
    shift
    inside "$name" redis-cli "$@"
}

points_of_the_configuration() {
    same 'runs redis-server where nothing else is asked for' '[redis-server]' "$(inspect '{{.Config.Cmd}}')"
    same 'works in /data' /data "$(inspect '{{.Config.WorkingDir}}')"
    # Later official images declare no volume at all; one elsewhere would be left behind by every container.
    same 'declares no volume but /data' '' "$(volumes | grep -v '^/data$' || true)"
    holds 'is stopped by SIGTERM' '^(SIGTERM)?$' "$(inspect '{{.Config.StopSignal}}')"
}

points_of_the_files() {
    # shellcheck disable=SC2016  # the image's shell is to expand it
    found=$(look --volume "$(volume fresh):/data" "$image" -c 'id redis; stat -c "%u" /data
        for program in redis-server redis-cli; do command -v "$program" >/dev/null && echo "has $program"; done')
    holds 'user redis is 999, its group 999 or 1000' '^uid=999\(redis\) gid=(999|1000)\(redis\)' "$found"
    same 'has its programs on PATH' 2 "$(printf '%s\n' "$found" | grep -c '^has ')"
    holds 'a new volume belongs to redis' '^999$' "$found"
    same 'another command runs as it is, as root' 0 "$(once "$image" id -u)"
    group=$(printf '%s\n' "$found" | sed -n 's/.* gid=\([0-9]*\).*/\1/p')
}

points_of_the_first() {
    kept=$(volume kept)
    look --user 0:0 --volume "$kept:/data" "$image" -c 'touch /data/left.rdb && chown 0:0 /data/left.rdb && chmod 600 /data/left.rdb'
    create first --volume "$kept:/data" "$image"
    start first
    until_it_answers first redis-cli ping
    same 'the server is the first process, and not root' 'redis-server 999' "$(first_process first)"
    same 'what root left in /data is handed to redis' 999 "$(inside first stat -c '%u' /data/left.rdb)"
    same 'keeps its data in /data' /data "$(ask first config get dir | tail -n 1)"
    holds 'saves by default' '^[0-9]+ [0-9]+' "$(ask first config get save)"
    same 'other containers reach it without a password' PONG "$(ask first -h "$(address first)" ping)"
    ask first set kept yes >/dev/null
    same 'stops cleanly' 0 "$(stopped_with first)"
}

# The same data under another container, as this project runs it.
points_of_the_second() {
    # The engine copies nothing into a read-only root, but into a volume it does.
    create second --volume "$prefix-kept:/data" --volume "$(volume settings):/settings" --user "999:$group" --read-only --tmpfs /tmp --cap-drop ALL \
        --security-opt no-new-privileges "$image" /settings/redis.conf
    printf 'port 6390\nprotected-mode yes\ndir /data\n' | put second 999 400 /settings/redis.conf
    start second
    until_it_answers second redis-cli -p 6390 ping
    same 'data outlives its container; read-only root, no capability, user 999' yes "$(ask second -p 6390 get kept)"
    same 'a configuration file as first argument is read, and its word stands' yes \
        "$(ask second -p 6390 config get protected-mode | tail -n 1)"
}

points_of_the_third() {
    create third "$image" --port 6391 --appendonly yes
    start third
    until_it_answers third redis-cli -p 6391 ping
    same 'an option as first argument is an option of the server' yes "$(ask third -p 6391 config get appendonly | tail -n 1)"
    same 'what it writes is for the server alone' 600 "$(inside third sh -c 'stat -c %a /data/appendonlydir/*.manifest')"
}

points_of_the_configuration
points_of_the_files
points_of_the_first
points_of_the_second
points_of_the_third
