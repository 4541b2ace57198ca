#!/bin/sh
# A base image with Python 3.11 from Debian's packages alone, for a machine that reaches no registry of images:
#     sh deploy/container/debian-base.sh localhost/bitbloom-base:3.11 [podman|docker] [more packages]
# Needs root, mmdebstrap and the mirror that the machine itself has. Prints the id of the image.
set -eu
image=$1
backend=${2:-podman}
more=${3:+,$3}

root=$(mktemp)
trap 'rm -f "$root"' EXIT
export SOURCE_DATE_EPOCH=315532800
# shellcheck disable=SC2016 -- the hook's own $1 is the new root
mmdebstrap --quiet --mode=root --variant=minbase --include="python3,python3-pip,python3-venv,ca-certificates,libgomp1$more" \
    --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Check-Valid-Until "false"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --customize-hook='rm -f "$1/etc/hostname" "$1/etc/resolv.conf"; ln -sf python3 "$1/usr/bin/python"' \
    bookworm "$root" >&2
"$backend" import --change 'CMD ["python3"]' "$root" "$image"
