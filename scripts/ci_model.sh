#!/bin/sh
# Compare a model with the one of another commit, by DVC's commands: sh scripts/ci_model.sh BASE TARGET FOLDER
# TARGET is already built up to its evaluation. The script builds BASE in a git worktree, with its own venv and this checkout's
# DVC cache, because DVC compares what its cache holds. Writes FOLDER/comment.md, and FOLDER/plots for a browser.
set -eu
base=$1 target=$2 folder=$3
beside=.bitbloom/base

git worktree remove --force "$beside" 2>/dev/null || rm -rf "$beside"
git worktree prune
if git cat-file -e "$base:conf/$target.yaml" 2>/dev/null; then
    git worktree add --quiet --detach "$beside" "$base"
    (cd "$beside" && printf '[cache]\n    dir = %s\n' "$OLDPWD/.dvc/cache" > .dvc/config.local)
    make -C "$beside" evaluate TARGET="$target" >&2
fi

mkdir -p "$folder/plots"
training=models/$target/training.json figures=reports/$target/figures
outputs=$(jq -r 'keys[]' "digests/$target.json" | while read -r output; do [ ! -e "$output" ] || echo "$output"; done)
{
    printf '## %s, compared with the main branch\n\n### Parameters\n\n' "$target"
    dvc params diff "$base" --md
    printf '\n### Metrics\n\n'
    dvc metrics diff "$base" --md --no-path --targets "reports/$target/metrics.json"
    printf '\n### Outputs with other bytes\n\n'
    # shellcheck disable=SC2086 # several words
    dvc diff "$base" --md --hide-missing --targets $outputs
} > "$folder/comment.md"

for quantity in $(jq -r '.epochs[-1] // {} | keys - ["epoch", "step", "learning_rate"] | .[]' "$training"); do
    dvc plots diff "$base" --targets "$training" -x epoch -y "$quantity" -o "$folder/plots/$quantity" >/dev/null
done
dvc plots diff "$base" --targets "$figures" -o "$folder/plots/figures" >/dev/null
cat "$folder/comment.md" | tee -a "${GITHUB_STEP_SUMMARY:-/dev/null}"
