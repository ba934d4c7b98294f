#!/bin/sh
# up, preview and down of one stack, in the environment that tools/environment.sh has made.
#
#   tools/environment.sh tools/stack.sh up|preview|down
#
# STACK: the stack. DATA=delete: `down` deletes the data and the secrets generated for it as well; on a terminal it asks
# for the word first, which CONFIRM=delete answers.
set -eu
: "${STACK:?run this through tools/environment.sh}"
DATA=${DATA:-keep}
case $DATA in
    keep | delete) ;;
    *)
        echo "circlepay: DATA=$DATA is neither keep nor delete; nothing was done" >&2
        exit 1
        ;;
esac

# A stack in this clone's own state is a file: looking is a hundred times faster than asking Pulumi.
own_state=$PWD/.circlepay/state
state_file=$own_state/.pulumi/stacks/circlepay/$STACK.json

stack_exists() {
    case ${PULUMI_BACKEND_URL:-} in
        "file://$own_state") test -f "$state_file" || test -f "$state_file.gz" ;;
        *) pulumi stack ls --json | python -m tools.stack_names | grep -Fqx -- "$STACK" ;;
    esac
}

# Asked first: `stack init` writes to the stack's file, and an empty stack stays behind where nothing can be brought up.
# A bare `pulumi` means the stack `local`; making another one must not change that.
make_stack() {
    if stack_exists; then return; fi
    python -m infra.settings_check "$STACK"
    case $STACK in local) set -- ;; *) set -- --no-select ;; esac
    # Of two at once the second fails here, and finds that the stack is there.
    said=$(pulumi stack init "$STACK" "$@" 2>&1) || stack_exists || {
        case $said in
            *"incorrect passphrase"*)
                echo "circlepay: make stack $STACK: Pulumi.$STACK.yaml: its encryptionsalt belongs to another passphrase" >&2
                echo "  -> put that passphrase into .circlepay/passphrase, or name its file in PULUMI_CONFIG_PASSPHRASE_FILE;" \
                    "or take the line out for a stack of your own: docs/state-backends.md" >&2
                ;;
            *) printf '%s\n' "$said" >&2 ;;
        esac
        exit 1
    }
}

# What a killed run left behind: its lock, and the creates it had begun. Resources here have fixed ids, so the next `up`
# finds what was begun and goes on from there; Pulumi only has to be told that nobody is at it any more.
recover() {
    python -m tools.dead_lock "$STACK"
    case ${PULUMI_BACKEND_URL:-} in
        "file://$own_state") nothing_begun || forget_pending_creates ;;
    esac
}

# The shell looks first, because one run in a thousand leaves something behind.
nothing_begun() {
    if [ -s "$state_file" ] && ! is_torn && ! grep -q pending_operations "$state_file"; then return; fi
    python -m tools.stack_state "$state_file"
}

# A run that was killed in the middle of a write leaves its file empty.
is_torn() {
    for attributes in "$state_file.attrs" "$state_file.bak.attrs"; do
        if [ -e "$attributes" ] && [ ! -s "$attributes" ]; then return; fi
    done
    return 1
}

forget_pending_creates() {
    echo "circlepay: the last run of $STACK was cut short: reading what is there" >&2
    # Where this fails, the `up` or `down` that follows fails on the same thing and says so better.
    output=$(pulumi refresh --yes --skip-preview --clear-pending-creates --suppress-progress --stack "$STACK" 2>&1) ||
        printf '%s\n' "$output" >&2
}

# Data is protected in the state. While a deletion is under way it is not, so until that deletion has ended, or an `up` has
# protected the data again, a plain `down` would delete it too.
deleting=$PWD/.circlepay/deleting-$STACK
case $STACK in local) suffix= ;; *) suffix=" STACK=$STACK" ;; esac

keep_data() {
    if [ -e "$deleting" ]; then
        echo "circlepay: DATA=delete of $STACK was cut short, and what is left of the data is unprotected; nothing was done" >&2
        echo "  -> finish it: make down DATA=delete$suffix; or keep what is left: make up$suffix first" >&2
        exit 1
    fi
    clear_engines halves
    python -m tools.pulumi_run "$STACK" destroy --exclude-protected
    places=$(data_places)
    echo "circlepay: the servers of stack $STACK are stopped; kept: ${places:-no data, since there was none}"
    echo "  -> \`make up$suffix\` goes on from there"
}

delete_data() {
    places=$(data_places)
    is_agreed
    engines=$(engines_used)
    printf '%s\n' "$engines" >"$deleting"
    clear_engines halves
    pulumi state unprotect --all --yes --stack "$STACK" >/dev/null
    python -m tools.pulumi_run "$STACK" destroy
    clear_engines stack
    rm -f "$deleting"
    echo "circlepay: stack $STACK is down; deleted: ${places:-no data, since there was none}"
}

# The data folders or volumes and the env file, in words; a stack in this clone's own state is a file here too.
data_places() {
    case ${PULUMI_BACKEND_URL:-} in
        "file://$own_state") python -m tools.stack_places "$@" "$state_file" ;;
        *) pulumi stack export --stack "$STACK" | python -m tools.stack_places "$@" - ;;
    esac
}

# The container engines the stack has something on. A deletion that was cut short may have taken them from the state.
engines_used() {
    data_places --engines
    if [ -e "$deleting" ]; then cat "$deleting"; fi
}

# What killed runs left on those engines and no state knows, so that Pulumi could neither delete it nor what it uses.
clear_engines() {
    engines=${engines-$(engines_used)}
    # shellcheck disable=SC2086 # one word an engine
    test -z "$engines" || python -m infra.operations.leftovers "$1" "$STACK" $engines
}

is_agreed() {
    case ${CONFIRM:-} in
        delete) return ;;
        '') if [ ! -t 0 ]; then return; fi ;;
        *)
            echo "circlepay: CONFIRM=$CONFIRM is not the word, which is delete; nothing was deleted" >&2
            exit 1
            ;;
    esac
    echo "This deletes for good: ${places:-what is left of stack $STACK}" >&2
    printf 'Type delete to go on: ' >&2
    read -r word || word=
    if [ "$word" != delete ]; then
        echo "circlepay: nothing was deleted" >&2
        exit 1
    fi
}

case ${1:-} in
    up)
        make_stack
        recover
        python -m tools.pulumi_run "$STACK" up
        rm -f "$deleting"
        circlepay summary
        ;;
    preview)
        make_stack
        # 2 says that there is something to change, which is no failure here.
        circlepay preview --stack "$STACK" || test $? -eq 2
        ;;
    down)
        if ! stack_exists; then
            echo "circlepay: there is no stack $STACK: nothing to take down" >&2
            exit 0
        fi
        recover
        "${DATA}_data"
        ;;
    *)
        echo "usage: tools/environment.sh tools/stack.sh up|preview|down" >&2
        exit 2
        ;;
esac
