# shellcheck shell=sh
# Scripts that make the venv source this file: settings of another Python, of pip or of uv that lead packages elsewhere do not
# apply, and a user without a writable home gets one in the project. Indexes, mirrors, proxies and certificates stay.
unset PYTHONHOME PYTHONPATH PYTHONSTARTUP PYTHONPLATLIBDIR VIRTUAL_ENV CONDA_PREFIX \
    PIP_TARGET PIP_PREFIX PIP_ROOT PIP_PYTHON PIP_DRY_RUN PIP_NO_BINARY PIP_ONLY_BINARY PIP_NO_DEPS \
    UV_PYTHON UV_SYSTEM_PYTHON UV_BREAK_SYSTEM_PACKAGES UV_CONSTRAINT UV_OVERRIDE UV_BUILD_CONSTRAINT UV_EXCLUDE_NEWER \
    UV_REQUIRE_HASHES UV_NO_BINARY UV_ONLY_BINARY UV_NO_BUILD UV_NO_BUILD_ISOLATION UV_PROJECT UV_WORKING_DIR
export PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 # also against pip's configuration files

project=$(pwd -P)
[ -w . ] || {
    echo "error: uid $(id -u) may not write to $project: change its owner, or copy it to a folder of yours" >&2
    exit 1
}
if [ ! -w "${HOME:-/nonexistent}" ]; then
    export HOME="$project/.bitbloom/home"
    mkdir -p "$HOME"
fi
