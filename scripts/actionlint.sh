#!/bin/sh
# actionlint on .github/workflows. Its package downloads the program when it is installed, so it stands apart from the other
# checkers: without that download it is not run, which is said, and is an error where CI is set.
set -eu
venv=.bitbloom/actionlint-venv
if command -v actionlint >/dev/null; then
    actionlint=actionlint
elif sh deploy/venv.sh .github/actionlint.lock "$venv" 2>"$venv.log"; then
    actionlint=$venv/bin/actionlint
else
    echo "actionlint was not run: it is not on PATH, and its release could not be downloaded (see $venv.log)" >&2
    [ -z "${CI:-}" ]
    exit
fi
"$actionlint" -shellcheck= -pyflakes=
echo "actionlint finds nothing"
