#!/bin/sh
# Starts Docker Engine where none answers, and waits until it does. An engine that answers is used as it is, whoever's it is.
#
# Needs root to start one. The engine outlives this script; it is found again by its own pid file. ENGINE_PATIENCE: seconds.
set -eu
patience=${ENGINE_PATIENCE:-90}
log=/var/log/circlepay-dockerd.log
pid_file=/var/run/docker.pid

fail() {
    echo "circlepay: $1" >&2
    [ ! -s "$log" ] || tail -n 8 "$log" | cut -c1-300 >&2
    echo "  -> $2" >&2
    exit 1
}

answers() {
    timeout 10 docker version >/dev/null 2>&1
}

# PID: its command line.
command_line() {
    tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline" || true
}

# PID: is it a dockerd? A number that a file has kept may be another program's by now.
is_engine() {
    [ -n "$1" ] && command_line "$1" | grep -q '^[^ ]*dockerd '
}

# PID: has it ended, waited for or not? Not by its command line: that is empty for a moment while it becomes another program.
has_ended() {
    [ -n "$1" ] && { [ ! -e "/proc/$1/status" ] || grep -q '^State:[^A-Z]*[ZX]' "/proc/$1/status" 2>/dev/null; }
}

start() {
    if [ -d /run/systemd/system ]; then
        timeout "$patience" systemctl start docker >/dev/null 2>&1 || fail 'systemd could not start docker' 'journalctl -u docker'
        return
    fi
    # A socket without an engine does not disturb it; a pid file with somebody else's number in it does.
    rm -f "$pid_file"
    # A session of its own and nothing inherited: neither the end of this script nor a closed pipe may end it.
    setsid dockerd --pidfile "$pid_file" </dev/null >"$log" 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &
    engine=$!
}

wait_for_it() {
    waited=0
    until answers; do
        ! has_ended "$engine" || fail 'dockerd ended at once' "its log: $log"
        [ "$waited" -lt "$patience" ] || fail "no Docker engine answers after $patience s" "its log: $log"
        sleep 1
        waited=$((waited + 1))
        [ $((waited % 15)) -ne 0 ] || echo "docker engine: waiting, $waited s"
    done
}

! answers || exit 0
[ -z "${DOCKER_HOST:-}" ] || fail "DOCKER_HOST names an engine that does not answer: $DOCKER_HOST" 'start it, or unset DOCKER_HOST'
[ "$(id -u)" -eq 0 ] || fail 'no Docker engine answers' 'starting one needs root: run this as root once, then go on as yourself'
engine=$(cat "$pid_file" 2>/dev/null) || engine=
if ! is_engine "$engine"; then
    engine=
    start
fi
wait_for_it
echo "docker engine: started"
