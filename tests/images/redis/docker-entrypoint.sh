#!/usr/bin/env bash
# Stand-in for the official Redis image's entry point: what that image documents, written from its documentation.
set -euo pipefail

# The official image's server is compiled with protected mode off; Debian's is not. Where nobody says which, it is off.
says_protected_mode() {
    local argument
    for argument in "$@"; do
        [[ $argument != --protected-mode* ]] || return 0
    done
    [[ ${1:-} == *.conf ]] && grep -qiE '^[[:space:]]*protected-mode[[:space:]]' "$1" 2>/dev/null
}

if [[ ${1:-} == -* || ${1:-} == *.conf ]]; then
    set -- redis-server "$@"
fi
if [[ ${1:-} == redis-server ]]; then
    if [[ $(id -u) -eq 0 ]]; then
        find . ! -user redis -exec chown redis {} +
        exec setpriv --reuid=redis --regid=redis --clear-groups -- "${BASH_SOURCE[0]}" "$@"
    fi
    says_protected_mode "${@:2}" || set -- "$@" --protected-mode no
    # Dumps and append-only files are for the server alone, unless the container was given another mask.
    [[ $(umask) != 0022 ]] || umask 0077
fi
exec "$@"
