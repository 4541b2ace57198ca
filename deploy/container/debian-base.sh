#!/bin/sh
# Make a base image with Python 3.11 from Debian's packages alone, for a machine without a registry of images:
#     sh deploy/container/debian-base.sh localhost/bitbloom-base:3.11 [podman|docker] [more packages]
# Needs root, mmdebstrap and the machine's own mirror. Prints the id of the image.
set -eu
image=$1
backend=${2:-podman}
more=${3:+,$3}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root.tar # mmdebstrap chooses the format by the suffix
export SOURCE_DATE_EPOCH=315532800
# shellcheck disable=SC2016 # the hook has a $1 of its own: the new root
mmdebstrap --quiet --mode=root --variant=minbase --include="python3,python3-pip,python3-venv,ca-certificates,libgomp1$more" \
    --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Check-Valid-Until "false"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --customize-hook='rm -f "$1/etc/hostname" "$1/etc/resolv.conf"; ln -sf python3 "$1/usr/bin/python"' \
    bookworm "$root" >&2
"$backend" import --change 'CMD ["python3"]' "$root" "$image"
