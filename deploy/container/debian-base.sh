#!/bin/sh
# A base image with Python 3.11 from Debian's packages alone, for a machine that reaches no registry of images:
#     sh deploy/container/debian-base.sh localhost/bitbloom-base:3.11 [podman|docker] [more packages]
# Needs root, mmdebstrap and the mirror that the machine itself has. Prints the id of the image.
set -eu
image=$1
backend=${2:-podman}
more=${3:+,$3}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root.tar # by its ending mmdebstrap knows what to write
export SOURCE_DATE_EPOCH=315532800
# shellcheck disable=SC2016 # the hook has a $1 of its own: the new root
mmdebstrap --quiet --mode=root --variant=minbase --include="python3,python3-pip,python3-venv,ca-certificates,libgomp1$more" \
    --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Check-Valid-Until "false"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --customize-hook='rm -f "$1/etc/hostname" "$1/etc/resolv.conf"; ln -sf python3 "$1/usr/bin/python"' \
    bookworm "$root" >&2
"$backend" import --change 'CMD ["python3"]' "$root" "$image"
