# shellcheck shell=sh disable=SC2034 # scripts source this file and use its variables
# The source of the CPU build of torch: sets UV_FIND_LINKS if pip's configuration has a folder of wheels, else $torch_source.
pip_links() { # a venv may lack pip
    for program in "${python:-python3}" python3; do
        "$program" -m pip config get global.find-links 2>/dev/null && return
    done
    true
}
links=${UV_FIND_LINKS:-${PIP_FIND_LINKS:-$(pip_links)}}
torch_source=
if [ -n "$links" ]; then
    UV_FIND_LINKS=$links
    export UV_FIND_LINKS
elif [ "${ACCEL:-cpu}" = cpu ]; then
    torch_source="--torch-backend cpu"
fi
