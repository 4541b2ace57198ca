# shellcheck shell=sh disable=SC2034 # sourced: scripts use what it sets
# Sourced: where uv finds the CPU build of torch. Sets UV_FIND_LINKS when pip knows a folder of wheels, else $torch_source.
links=${UV_FIND_LINKS:-${PIP_FIND_LINKS:-$("${python:-python3.11}" -m pip config get global.find-links 2>/dev/null || true)}}
torch_source=
if [ -n "$links" ]; then
    UV_FIND_LINKS=$links
    export UV_FIND_LINKS
elif [ "${ACCEL:-cpu}" = cpu ]; then
    torch_source="--torch-backend cpu"
fi
