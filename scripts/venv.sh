#!/bin/sh
# Install exactly the packages of a lock into .venv: sh scripts/venv.sh requirements.lock
# pip, or an installed uv, installs uv by the lock's hash; that uv installs the rest, hashes required.
set -eu
lock=$1
. scripts/environment.sh

if grep -n '^<<<<<<< ' "$lock" requirements.lock pyproject.toml /dev/null >&2; then
    echo "error: merge conflicts: resolve pyproject.toml by hand, git checkout --ours -- 'requirements*.lock', then make lock" >&2
    exit 1
fi

# Two first builds side by side: one makes the venv, the other waits for it.
if command -v flock >/dev/null; then
    mkdir -p .bitbloom
    exec 9>.bitbloom/venv.lock
    flock 9
fi

# A venv belongs to its folder: after a move, a copy or the loss of its Python it is made again.
is_ours() {
    [ "$(readlink .venv/itself 2>/dev/null)" = "$(cd .venv 2>/dev/null && pwd -P)/pyvenv.cfg" ] \
        && .venv/bin/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null
}
base=.venv/bin/python
if ! is_ours; then
    rm -rf .venv
    base=$(sh scripts/python.sh)
    seed=
    "$base" -c 'import ensurepip' 2>/dev/null || seed=--without-pip # Debian has a separate package for it
    # shellcheck disable=SC2086 # one word or none
    "$base" -m venv $seed .venv
    ln -s "$(cd .venv && pwd -P)/pyvenv.cfg" .venv/itself
fi

bootstrap=$(mktemp)
trap 'rm -f "$bootstrap"' EXIT
sed -n '/^uv==/,/[^\\]$/p' requirements.lock > "$bootstrap"
install="--quiet --require-hashes --no-deps -r $bootstrap"
if [ "$(.venv/bin/uv --version 2>/dev/null | cut -d' ' -f2)" != "$(sed -n 's/^uv==\([^ ]*\).*/\1/p' "$bootstrap")" ]; then
    # shellcheck disable=SC2086 # several words
    if .venv/bin/python -c 'import pip' 2>/dev/null; then
        .venv/bin/python -m pip --disable-pip-version-check install $install
    elif "$base" -c 'import pip' 2>/dev/null; then
        "$base" -m pip --disable-pip-version-check --python .venv/bin/python install $install
    else
        uv pip install --python .venv/bin/python $install
    fi
    [ -x .venv/bin/uv ] || {
        echo "error: pip installed uv in another place than .venv: \`pip config list\` shows the setting that moves it" >&2
        exit 1
    }
fi

python=$base
. scripts/torch_source.sh
echo "installing $(grep -c '==' "$lock") packages from $lock"
# shellcheck disable=SC2086 # the option and its value are two words
.venv/bin/uv pip sync --quiet --require-hashes --compile-bytecode $torch_source --python .venv/bin/python "$lock"
.venv/bin/uv pip install --quiet --no-deps --no-build-isolation --python .venv/bin/python --editable .

# Every tool of this venv keeps its files in the project and sends no telemetry, whether make, a person or an activated shell
# starts it. Variables that are set already stay. BentoML reads no file below a hidden folder.
site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
cp scripts/project_environment.py "$site/bitbloom_project_environment.py"
echo 'import bitbloom_project_environment' > "$site/bitbloom_project_environment.pth"
