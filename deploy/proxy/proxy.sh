#!/bin/sh
# Run nginx in front of a service, in the foreground: sh deploy/proxy/proxy.sh [--dry-run]
# Everything has a default: UPSTREAM=127.0.0.1:3000, HTTP_PORT=8080; deploy/proxy/README.md has the others.
set -eu
cd "$(dirname "$0")/../.."
. deploy/common.sh

state=$PWD/.bitbloom/proxy
if [ "$(id -u)" = 0 ]; then
    state=/var/lib/bitbloom-proxy # root's workers run as another user, who may not enter every checkout
fi
fill deploy/proxy/nginx.conf "$rendered/nginx.conf"
run mkdir -p "$state"
PATH=$PATH:/usr/sbin # where Debian has it
run nginx -e stderr -p "$state/" -c "$PWD/$rendered/nginx.conf" -g 'daemon off;'
