#!/bin/sh
# Print the path of a Python 3.11 that can make a venv: sh scripts/python.sh
# The first of: PYTHON; a Python of PATH; the build of python.lock, which any Python 3 or uv downloads to .bitbloom/python.
# Python 3 downloads it with its standard library, because it needs neither pip nor the address of a package index for that.
set -eu
. scripts/environment.sh

fail() {
    echo "error: $*" >&2
    exit 1
}
has() { # has PYTHON MODULE …
    program=$1
    shift
    for module in "$@"; do "$program" -c "import $module" >/dev/null 2>&1 || return 1; done
}
is_311() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; }
can_make_a_venv() { # with its own pip, the system's pip, or uv
    has "$1" venv && { has "$1" ensurepip || has "$1" pip || command -v uv >/dev/null; }
}

if [ -n "${PYTHON:-}" ]; then
    command -v "$PYTHON" >/dev/null || fail "$PYTHON is not installed: install Python 3.11, or set PYTHON=path"
    is_311 "$PYTHON" || fail "PYTHON=$PYTHON is not Python 3.11: name another one, or omit PYTHON"
    can_make_a_venv "$PYTHON" || fail "$PYTHON cannot make a venv: apt-get install python3.11-venv, or omit PYTHON"
    command -v "$PYTHON"
    exit
fi

for name in python3.11 python3 python; do # a name of PATH may be a stub that only prints an error
    if command -v "$name" >/dev/null && is_311 "$name" && can_make_a_venv "$name"; then
        command -v "$name"
        exit
    fi
done

folder=$project/.bitbloom/python/$(cksum < python.lock | cut -d' ' -f1)
fetched() {
    for found in "$folder"/*/bin/python3.11; do
        [ ! -x "$found" ] || { echo "$found"; break; }
    done
}
if [ -z "$(fetched)" ]; then
    echo "no Python 3.11 here: downloading the build of python.lock" >&2
    if has python3 hashlib ssl; then
        python3 scripts/fetch_python.py "$folder"
    elif command -v uv >/dev/null; then
        uv python install --no-progress --no-bin --install-dir "$folder" --python-downloads-json-url python.lock 3.11 >&2 || {
            rm -rf "$folder"
            fail "uv installed no Python: install Python 3.11, set PYTHON=path, or name a mirror with UV_PYTHON_INSTALL_MIRROR"
        }
    else
        fail "neither Python 3 nor uv is installed: install one of them, or Python 3.11"
    fi
fi
is_311 "$(fetched)" || fail "the Python in $folder does not run here: install Python 3.11, or set PYTHON=path"
fetched
