# Usage: sh -c "$(cat machine.sh)" observe SCOPE [SERVER PID DATA LOGS CONFIG SECRETS]...
# Prints tab-separated facts about each server's process and files, and every listening TCP socket; see machine.py.
# SCOPE is `own` in a container of one server: then it also prints every running program; else `shared`.
# Uses only what minimal images have: a shell, sed, tr, stat, find, ls, id, cat; those of busybox too.
[ -r /proc/self/stat ] || { echo no-proc; exit 0; }
tab=$(printf '\t')
printf 'whoami\t%s\n' "$(id -un)"
scope=$1
shift
while [ $# -ge 6 ]; do
    server=$1 pid=$2 data=$3 logs=$4 config=$5 secrets=$6
    shift 6
    # For PostgreSQL the pid is that of a backend; its parent is the server.
    if [ "$server" = postgres ]; then
        pid=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$pid/status")
    fi
    printf 'process\t%s\t%s\t%s\t%s\n' "$server" "$pid" "$(stat -c %U "/proc/$pid")" "$(cat "/proc/$pid/comm")"
    tr '\0' '\n' < "/proc/$pid/cmdline" | sed "s/^/argument$tab$server$tab/"
    if sockets=$(ls -l "/proc/$pid/fd" 2>/dev/null); then
        printf 'sockets\t%s\t%s\n' "$server" "$(printf '%s\n' "$sockets" | sed -n 's/.*socket:\[\([0-9]*\)\].*/\1/p' | tr '\n' ' ')"
    fi
    for name in 'Cap[A-Z][a-z]*' NoNewPrivs Seccomp; do
        sed -n "s/^\\($name\\):[[:space:]]*/status$tab$server$tab\\1$tab/p" "/proc/$pid/status"
    done
    find "$data" "$logs" -maxdepth 0 -exec stat -c "entry$tab%a$tab%U$tab%F$tab%n" {} + 2>/dev/null
    find "$config" "$secrets" -exec stat -c "entry$tab%a$tab%U$tab%F$tab%n" {} + 2>/dev/null
done
if [ "$scope" = own ]; then
    for program in /proc/[0-9]*/comm; do
        # A process may have ended in the meantime.
        read -r name 2>/dev/null < "$program" && printf 'program\t%s\n' "$name"
    done
fi
cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | while read -r number local remote state queues timer retransmits uid timeout inode rest; do
    [ "$state" = 0A ] && printf 'listener\t%s\t%s\n' "$local" "$inode"
done
exit 0
