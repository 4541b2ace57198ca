#!/bin/sh
# Install exactly the packages of a lock into .venv: sh scripts/venv.sh requirements.lock
# pip installs uv by the lock's hash; uv installs the rest, hashes required.
set -eu
lock=$1
python=${PYTHON:-python3.11}

command -v "$python" >/dev/null || {
    echo "error: $python is not installed: install Python 3.11, or set PYTHON=path" >&2
    exit 1
}
[ -x .venv/bin/python ] || "$python" -m venv .venv

bootstrap=$(mktemp)
trap 'rm -f "$bootstrap"' EXIT
sed -n '/^uv==/,/[^\\]$/p' requirements.lock > "$bootstrap"
if [ "$(.venv/bin/uv --version 2>/dev/null | cut -d' ' -f2)" != "$(sed -n 's/^uv==\([^ ]*\).*/\1/p' "$bootstrap")" ]; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r "$bootstrap"
fi

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
