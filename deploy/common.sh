# shellcheck shell=sh
# Sourced by the scripts of deploy/, from the root of the repository: what they ask for, how they run commands, and templates.
#
#   DRY_RUN=1 or --dry-run    print each command instead of running it, quoted so that it can be pasted
set -eu

# shellcheck disable=SC2034 # the scripts use it
rendered=.bitbloom/deploy
DRY_RUN=${DRY_RUN:-0}
for argument in "$@"; do
    case $argument in
        --dry-run) DRY_RUN=1 ;;
        *) echo "error: $0 knows no '$argument': only --dry-run; everything else is a variable" >&2; exit 2 ;;
    esac
done

# need NAME 'what it is' [NAME 'what it is' …]: stop unless each has a value; say all that are missing at once.
need() {
    absent=
    while [ $# -gt 0 ]; do
        eval "value=\${$1:-}"
        # shellcheck disable=SC2154 # set by eval
        if [ -z "$value" ]; then
            echo "error: $1 is not set: $2" >&2
            absent=1
        fi
        shift 2
    done
    [ -z "$absent" ] || exit 2
}

# run COMMAND [ARGUMENT …]: run it, or print it in a dry run.
run() {
    if [ "$DRY_RUN" = 1 ]; then
        show "$@"
    else
        "$@"
    fi
}

# show COMMAND [ARGUMENT …]: one line that a shell would read as this command.
show() {
    line=
    for word in "$@"; do
        case $word in
            '' | *[!A-Za-z0-9_./:@=,+-]*) word="'$(printf '%s' "$word" | sed "s/'/'\\\\''/g")'" ;;
        esac
        line="$line${line:+ }$word"
    done
    printf '%s\n' "$line"
}

# fill TEMPLATE FILE: write the template, filled from the environment, to a file; the dry run does it too, for you to read.
fill() {
    mkdir -p "$(dirname "$2")"
    "${PYTHON:-python3}" deploy/render.py "$1" > "$2.part"
    mv "$2.part" "$2"
}

# commit: the commit that is checked out, and nothing when the working tree has changes: then no commit has these files.
commit() {
    if [ -z "$(git status --porcelain 2>&1)" ]; then
        git rev-parse HEAD
    fi
}
