#!/bin/sh
# Download every package of a lock, unchanged, hashes required: sh nix/wheelhouse.sh SYSTEM PYTHON LOCK FOLDER
#
# The choice of files depends on the lock and the system alone: pip gets the platform as an option, because otherwise the C library
# of the machine selects other wheels. A package without a wheel stays a source archive.
set -eu
system=$1 python=$2 lock=$3 folder=$4

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME="$work" PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
if [ -r "${NIX_SSL_CERT_FILE:-}" ]; then SSL_CERT_FILE=$NIX_SSL_CERT_FILE; fi
if [ -n "${SSL_CERT_FILE:-}" ]; then export SSL_CERT_FILE PIP_CERT="$SSL_CERT_FILE"; fi

tags() { # tags FORMAT NEWEST … OLDEST: platform tags, the newest first, which pip prefers
    format=$1
    shift
    # shellcheck disable=SC2059 # the format is ours
    for version in "$@"; do printf -- "--platform=$format " "$version"; done
}
manylinux='28 27 26 25 24 23 22 21 20 19 18 17'
# shellcheck disable=SC2086 # several words
case $system in
    x86_64-linux) platforms="$(tags manylinux_2_%s_x86_64 $manylinux 12 5) $(tags manylinux%s_x86_64 2014 2010 1) --platform=linux_x86_64" ;;
    aarch64-linux) platforms="$(tags manylinux_2_%s_aarch64 $manylinux) --platform=manylinux2014_aarch64 --platform=linux_aarch64" ;;
    aarch64-darwin) platforms=--platform=macosx_14_0_arm64 ;; # includes older releases
    *) echo "error: no wheelhouse for $system: nix/wheelhouse.sh has no platform tags for it" >&2; exit 1 ;;
esac

"$python" -m venv "$work/tools"
pip="$work/tools/bin/python -m pip --quiet"

# PyTorch's CPU builds are on a separate index, whose address uv has. A folder of wheels in PIP_FIND_LINKS takes precedence.
torch=$(sed -n 's/^\(torch==[^ ]*+cpu\).*/\1/p' "$lock")
if [ -n "$torch" ] && [ -z "${PIP_FIND_LINKS:-}" ]; then
    found=$(echo "$torch" | uv pip compile --quiet --no-cache --no-deps --python "$python" --torch-backend cpu --emit-index-annotation - |
        sed -n 's/^ *# from //p')
    export PIP_EXTRA_INDEX_URL="$found ${PIP_EXTRA_INDEX_URL:-}"
fi

# pip reads the name and version of a source archive with the locked setuptools and downloads nothing else.
sed -n '/^setuptools==/,/[^\\]$/p' "$lock" > "$work/setuptools.txt"
if [ -s "$work/setuptools.txt" ]; then $pip install --require-hashes --no-deps -r "$work/setuptools.txt"; fi
# shellcheck disable=SC2086 # several words
$pip download --require-hashes --no-deps --no-build-isolation --dest "$folder" \
    --implementation cp --python-version 3.11 --abi cp311 --abi abi3 --abi none $platforms -r "$lock"
