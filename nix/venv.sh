#!/bin/sh
# Make a venv from a wheelhouse, without a network, the same bytes each time: sh nix/venv.sh PYTHON LOCK WHEELHOUSE VENV
#
# It has no pip: a second venv's pip fills it from outside. It has no bytecode either: a .pyc depends on more than its source
# (what was interned while it was compiled), so whoever starts Python in it says -B, or lets the store refuse to write.
set -eu
python=$1 lock=$2 wheelhouse=$3 venv=$4

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME="$work" PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0 SOURCE_DATE_EPOCH=315532800
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_CONFIG_FILE=/dev/null

"$python" -m venv --without-pip "$venv"
"$python" -m venv "$work/tools"
# A source archive is built with the locked setuptools, which is therefore installed first.
sed -n '/^setuptools==/,/[^\\]$/p' "$lock" > "$work/setuptools.txt"
for requirements in "$work/setuptools.txt" "$lock"; do
    "$work/tools/bin/python" -m pip --quiet --python "$venv/bin/python" install --no-index --find-links "$wheelhouse" \
        --require-hashes --no-deps --use-pep517 --no-build-isolation --no-compile --no-warn-script-location -r "$requirements"
done
