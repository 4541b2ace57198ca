# shellcheck shell=sh disable=SC2034 # scripts source this file and use its variables
# The source of the CPU build of torch: sets UV_FIND_LINKS if pip's configuration has a folder of wheels, else $torch_source.
links=${UV_FIND_LINKS:-${PIP_FIND_LINKS:-$("${python:-python3.11}" -m pip config get global.find-links 2>/dev/null || true)}}
torch_source=
if [ -n "$links" ]; then
    UV_FIND_LINKS=$links
    export UV_FIND_LINKS
elif [ "${ACCEL:-cpu}" = cpu ]; then
    torch_source="--torch-backend cpu"
fi
