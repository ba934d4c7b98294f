# Usage: sh -c "$(cat machine.sh)" look [SERVER PID FOLDER]...
# Prints tab-separated facts about each server's process and files, and every listening TCP socket; see machine.py.
[ -r /proc/self/stat ] || { echo no-proc; exit 0; }
tab=$(printf '\t')
printf 'whoami\t%s\n' "$(id -un)"
while [ $# -ge 3 ]; do
    server=$1 pid=$2 folder=$3
    shift 3
    # PostgreSQL can only name the backend that answers; its parent is the server.
    if [ "$server" = postgres ]; then
        pid=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$pid/status")
    fi
    printf 'process\t%s\t%s\t%s\t%s\n' "$server" "$pid" "$(stat -c %U "/proc/$pid")" "$(cat "/proc/$pid/comm")"
    tr '\0' '\n' < "/proc/$pid/cmdline" | sed "s/^/argument$tab$server$tab/"
    if sockets=$(ls -l "/proc/$pid/fd" 2>/dev/null); then
        printf 'sockets\t%s\t%s\n' "$server" "$(printf '%s\n' "$sockets" | sed -n 's/.*socket:\[\([0-9]*\)\].*/\1/p' | tr '\n' ' ')"
    fi
    find "$folder" -maxdepth 0 -exec stat -c "entry$tab%a$tab%U$tab%F$tab%n" {} +
    find "$folder" -mindepth 1 -maxdepth 1 -exec stat -c "entry$tab%a$tab%U$tab%F$tab%n" {} +
    find "$folder/config" "$folder/secrets" -mindepth 1 -exec stat -c "entry$tab%a$tab%U$tab%F$tab%n" {} + 2>/dev/null
done
cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | while read -r number local remote state queues timer retransmits uid timeout inode rest; do
    [ "$state" = 0A ] && printf 'listener\t%s\t%s\n' "$local" "$inode"
done
exit 0
