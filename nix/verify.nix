# `nix run .#verify -- TARGET`: rebuild the checked-out commit in a fresh clone and compare every digest.
# Nix provides Python and the tools, the wheelhouse the packages; `make verify` does the rest.
{
  pkgs,
  tools,
  wheelhouse,
}:
pkgs.writeShellApplication {
  name = "bitbloom-verify";
  runtimeInputs = tools.default;
  text = ''
    target=''${1:-petals}
    checkout=$(git rev-parse --show-toplevel)
    clone=$(mktemp -d)
    trap 'rm -rf "$clone"' EXIT
    if [ -n "$(git status --porcelain)" ]; then
      echo "note: uncommitted changes are ignored" >&2
    fi
    git clone --quiet "$checkout" "$clone/bitbloom"
    cd "$clone/bitbloom"
    unset PYTHONPATH PYTHONHOME
    export PYTHON=${pkgs.python311}/bin/python3.11
    export LD_LIBRARY_PATH=${pkgs.lib.makeLibraryPath tools.libraries}
    PIP_NO_INDEX=1 PIP_FIND_LINKS=${wheelhouse} UV_OFFLINE=1 make setup
    make verify "TARGET=$target"
  '';
}
