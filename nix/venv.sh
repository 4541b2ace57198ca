#!/bin/sh
# Make a venv from a wheelhouse, without a network, with equal bytes each time: sh nix/venv.sh PYTHON LOCK WHEELHOUSE VENV
#
# The venv has no pip: the pip of a second venv fills it. It has no bytecode, because a .pyc depends on more than its source
# (on interned objects): start its Python with -B, or from the read-only store.
set -eu
python=$1 lock=$2 wheelhouse=$3 venv=$4

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME="$work" PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0 SOURCE_DATE_EPOCH=315532800
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_CONFIG_FILE=/dev/null

"$python" -m venv --without-pip "$venv"
"$python" -m venv "$work/tools"
# The locked setuptools builds source archives, so pip installs it first.
sed -n '/^setuptools==/,/[^\\]$/p' "$lock" > "$work/setuptools.txt"
for requirements in "$work/setuptools.txt" "$lock"; do
    "$work/tools/bin/python" -m pip --quiet --python "$venv/bin/python" install --no-index --find-links "$wheelhouse" \
        --require-hashes --no-deps --use-pep517 --no-build-isolation --no-compile --no-warn-script-location -r "$requirements"
done
