#!/bin/bash
# Startup script of a VM: rebuild a target from a commit in the flake's environment, upload the results, shut down.
# Its parameters are in the instance's metadata; verify.sh puts them there. The VM also shuts down after a failure.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive HOME=/root
work=${BITBLOOM_WORK:-/var/lib/bitbloom}

attribute() {
    curl --silent --show-error --fail --retry 5 --header 'Metadata-Flavor: Google' \
        "http://metadata.google.internal/computeMetadata/v1/instance/attributes/$1"
}

# shellcheck disable=SC2329 # the trap calls it
finish() { # upload the log with the exit code, and shut the machine down
    status=$?
    set +e
    echo "exit $status" >> "$work/log"
    [ -z "${to:-}" ] || gcloud storage cp "$work/log" "$to/log.txt"
    shutdown -h now
}

mkdir -p "$work"
exec > >(tee -a "$work/log") 2>&1
trap finish EXIT

commit=$(attribute bitbloom-commit)
source=$(attribute bitbloom-source)
target=$(attribute bitbloom-target)
bucket=$(attribute bitbloom-bucket)
remote=$(attribute bitbloom-remote || true) # none: verify
to=gs://$bucket/verify/$target/$commit/$(hostname)

apt-get update -qq
apt-get install -qq -y --no-install-recommends ca-certificates curl git xz-utils
git clone --quiet "$source" "$work/checkout"
cd "$work/checkout"
git checkout --quiet "$commit"

export NIX_CONFIG='build-users-group =' # root builds, without a daemon
sh nix/install.sh
PATH=$PATH:/nix/var/nix/profiles/default/bin

verdict=0
develop() {
    nix --extra-experimental-features 'nix-command flakes' develop --command "$@"
}
if [ -n "$remote" ]; then
    { develop make remote "BUCKET=$remote" && develop make all "TARGET=$target" \
        && git diff --exit-code -- digests && develop make push "TARGET=$target"; } || verdict=$?
else
    develop make verify "TARGET=$target" || verdict=$?
fi

grep -m1 'model name' /proc/cpuinfo > "$work/cpu.txt" || true
gcloud storage cp "$work/cpu.txt" "$to/cpu.txt"
# The expected digests, and DVC's record of the rebuild: equal lines are equal bytes.
gcloud storage cp "digests/$target.json" "$to/claimed.json"
built=.bitbloom/verify/$target/pipelines/$target/dvc.lock
[ -z "$remote" ] || built=pipelines/$target/dvc.lock
[ ! -f "$built" ] || gcloud storage cp "$built" "$to/built-dvc.lock"
find ".bitbloom/verify/$target" "models/$target" -path '*models/*' -type f -exec sha256sum {} + | sort -k2 > "$work/built.sha256" || true
gcloud storage cp "$work/built.sha256" "$to/built.sha256"
exit "$verdict"
