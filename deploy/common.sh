# shellcheck shell=sh
# The scripts of deploy/ source this file from the root of the repository: variables, commands, templates.
#
#   DRY_RUN=1 or --dry-run    print each command instead of running it, quoted for a shell
set -eu

# shellcheck disable=SC2034 # the scripts use it
rendered=.bitbloom/deploy
DRY_RUN=${DRY_RUN:-0}
for argument in "$@"; do
    case $argument in
        --dry-run) DRY_RUN=1 ;;
        *) echo "error: $0: unknown argument '$argument': use --dry-run or none; everything else is a variable" >&2; exit 2 ;;
    esac
done

# need NAME 'what it is' [NAME 'what it is' …]: stop unless each has a value; list all missing ones at once.
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

# bucket NAME SCHEME [SCHEME …]: stop unless the value of a variable is an address in a bucket, with one of these beginnings.
bucket() {
    variable=$1
    eval "value=\$$1"
    shift
    for scheme in "$@"; do
        case $value in
            "$scheme"[!/]*) return ;;
        esac
    done
    echo "error: $variable is '$value': it has to begin with $* and the name of a bucket" >&2
    exit 2
}

# run COMMAND [ARGUMENT …]: run it; in a dry run, print it.
run() {
    if [ "$DRY_RUN" = 1 ]; then
        show "$@"
    else
        "$@"
    fi
}

# show COMMAND [ARGUMENT …]: print one line that a shell reads as this command.
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

# fill TEMPLATE FILE: fill the template from the environment and write it to a file, also in a dry run.
fill() {
    mkdir -p "$(dirname "$2")"
    "${PYTHON:-python3}" deploy/render.py "$1" > "$2.part"
    mv "$2.part" "$2"
}

# commit: print the commit that is checked out; nothing when the working tree has changes, because no commit has these files.
commit() {
    if [ -z "$(git status --porcelain 2>&1)" ]; then
        git rev-parse HEAD
    fi
}
