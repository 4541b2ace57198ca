#!/bin/sh
# Resolve once and write four locks from that resolution, then the separate locks of tools: versions and hashes, no addresses.
# UPGRADE=1 takes the newest versions that the inputs allow; otherwise locked versions stay.
set -eu
uv=.venv/bin/uv
python=.venv/bin/python
. scripts/torch_source.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

ours='requirements.lock requirements-dev.lock requirements-serve.lock requirements-cuda.lock'
apart='.github/requirements.lock deploy/requirements.lock
    deploy/cloud-functions/requirements.lock deploy/torchserve/requirements.lock
    benchmarks/rivals/evidently/requirements.lock benchmarks/rivals/loading/requirements.lock
    benchmarks/rivals/snakemake/requirements.lock benchmarks/rivals/tables/requirements.lock'
for rival in evidently loading snakemake tables; do mkdir -p "$work/benchmarks/rivals/$rival"; done
mkdir -p "$work/.github" "$work/deploy/cloud-functions" "$work/deploy/torchserve"
for lock in $ours $apart; do # uv keeps the versions of an existing lock
    [ "${UPGRADE:-0}" = 1 ] || [ ! -f "$lock" ] || cp "$lock" "$work/$lock"
done

compile() { # compile OUTPUT INPUT [OPTION …]
    output=$1 input=$2
    shift 2
    "$uv" pip compile --quiet --python-version 3.11 --python-platform x86_64-manylinux_2_28 --no-header --no-annotate \
        --no-strip-extras --generate-hashes "$@" "$input" -o "$work/$output"
}
only_locked_torch() { # only the wheel for CPython 3.11 on x86_64, from any source
    sed -i "/^torch==/,/[^\\\\]\$/c torch==2.13.0+cpu \\\\\n    --hash=sha256:6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b" "$work/$1"
}

echo 'torch==2.13.0+cpu' > "$work/cpu.txt"
# shellcheck disable=SC2086 # the option and its value are two words
compile requirements-dev.lock requirements-dev.in --override "$work/cpu.txt" $torch_source
sed '/--hash/d; s/ \\$//; /^torch==/d' "$work/requirements-dev.lock" > "$work/resolution.txt"
# shellcheck disable=SC2086 # several words
compile requirements.lock requirements.in --override "$work/cpu.txt" -c "$work/resolution.txt" $torch_source
compile requirements-serve.lock requirements-serve.in -c "$work/resolution.txt"
(unset UV_FIND_LINKS; compile requirements-cuda.lock requirements.in -c "$work/resolution.txt")
only_locked_torch requirements-dev.lock
only_locked_torch requirements.lock
compile benchmarks/rivals/requirements.lock benchmarks/rivals/requirements.in -c "$work/resolution.txt"
compile deploy/cloud-functions/requirements.lock deploy/cloud-functions/requirements.in -c "$work/resolution.txt"
compile deploy/torchserve/requirements.lock deploy/torchserve/requirements.in -c "$work/resolution.txt"
compile deploy/requirements.lock deploy/requirements.in
compile benchmarks/rivals/evidently/requirements.lock benchmarks/rivals/evidently/requirements.in
printf '%s\n' 'torch==2.13.0+cpu' 'torchvision; sys_platform == "none"' > "$work/loading.txt" # litdata's torchvision needs another torch
# shellcheck disable=SC2086 # several words
compile benchmarks/rivals/loading/requirements.lock benchmarks/rivals/loading/requirements.in --override "$work/loading.txt" $torch_source
only_locked_torch benchmarks/rivals/loading/requirements.lock
compile benchmarks/rivals/snakemake/requirements.lock benchmarks/rivals/snakemake/requirements.in
compile benchmarks/rivals/tables/requirements.lock benchmarks/rivals/tables/requirements.in
compile .github/requirements.lock .github/requirements.in
for lock in $ours benchmarks/rivals/requirements.lock $apart; do
    cmp -s "$work/$lock" "$lock" || { mv "$work/$lock" "$lock"; echo "$lock"; }
done
"$python" scripts/export_lock.py
