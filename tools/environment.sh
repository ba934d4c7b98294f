#!/bin/sh
# Runs a command at the project's root, in the project's environment: locked Python packages, Pulumi, its backend and
# passphrase. All of it is made when missing, and found again at once when there.
#
#   tools/environment.sh COMMAND [ARGUMENT...]
#   tools/environment.sh --no-toolchain COMMAND [ARGUMENT...]    without Pulumi
#   tools/environment.sh --bare MODULE [ARGUMENT...]             a module on bare Python, nothing made
#   eval "$(tools/environment.sh --export)"                      the same environment in your own shell
#
# CIRCLEPAY_BUILD_DOCKER_PLUGIN=1: also builds Pulumi's Docker plugin, for networks from which it cannot be downloaded.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
cd "$root"

runs_this_package() {
    "$1" -E -s -S -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    # The project's own first: it starts fastest, and is new enough by construction.
    for candidate in "$root/.venv/bin/python" python3 python3.14 python3.13 python3.12 python3.11; do
        if runs_this_package "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    command -v uv >/dev/null 2>&1 && uv python find --no-project '>=3.11' 2>/dev/null
}

if ! python=$(find_python); then
    found=$(python3 -V 2>&1) || found='no python3'
    cat >&2 <<MESSAGE
circlepay: Python 3.11 or later is needed; found on PATH: $found
  -> Debian 12, Ubuntu 23.04 or later: apt-get install python3
  -> Ubuntu 22.04: apt-get install python3.11
  -> macOS: brew install python@3.12
  -> anywhere with uv: uv python install 3.12
MESSAGE
    exit 1
fi
if [ "${1:-}" = --bare ]; then
    shift
    exec "$python" -B -E -s -S -m "$@"
fi
exec "$python" -E -s -S -m tools.environment "$@"
