#!/bin/sh
# Install a pinned Nix for one user, without a daemon: sh nix/install.sh
# For .devcontainer/nix and the VM of deploy/compute-engine, because nixpkgs needs Nix 2.18 and Debian 12 has 2.8.
#
# The user must own /nix or be root. Nix is then in /nix/var/nix/profiles/default/bin.
set -eu
version=2.35.2
machine=$(uname -m)
case $machine in # the checksums of https://releases.nixos.org/nix/nix-2.35.2/install
    x86_64) sha256=0c3960a9792331a22081c3c7a5d8465db9b17c50b3acdf18587fa4c6f2cb1158 ;;
    aarch64) sha256=4d0302a2910f5eec1c33b8deef634f04899a75737e7001ec49908d003ae5efda ;;
    *) echo "error: no checksum of Nix $version for $machine is known here: install Nix 2.18 or later yourself" >&2; exit 1 ;;
esac
release=nix-$version-$machine-linux

work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
curl --fail --silent --show-error --location --retry 5 --output "$work/nix.tar.xz" \
    "https://releases.nixos.org/nix/nix-$version/$release.tar.xz"
if [ "$(sha256sum "$work/nix.tar.xz" | cut -d' ' -f1)" != "$sha256" ]; then
    echo "error: $release.tar.xz has another SHA-256 than nix/install.sh: nothing is installed" >&2
    exit 1
fi
tar -xJf "$work/nix.tar.xz" --no-same-owner -C "$work"

mkdir -p /nix/store /nix/var/nix/profiles
for path in "$work/$release/store"/*; do
    [ -e "/nix/store/${path##*/}" ] || cp -RPp "$path" /nix/store/
done
nix=$(echo "$work/$release/store"/*-nix-"$version")
nix=/nix/store/${nix##*/}
"$nix/bin/nix-store" --load-db < "$work/$release/.reginfo"
ln -sfn "$nix" /nix/var/nix/profiles/default
"$nix/bin/nix" --version
