# `nix run .#verify -- TARGET`: build the commit that is checked out again, in a fresh clone, and compare every digest.
# Python and the tools are Nix's, the packages come from the wheelhouse; the rest is `make verify`, as without Nix.
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
    clone=$(mktemp -d)
    trap 'rm -rf "$clone"' EXIT
    [ -z "$(git status --porcelain)" ] || echo "note: this verifies the commit; files here that are not committed have no part in it" >&2
    git clone --quiet "$(git rev-parse --show-toplevel)" "$clone/bitbloom"
    cd "$clone/bitbloom"
    unset PYTHONPATH PYTHONHOME
    export PYTHON=${pkgs.python311}/bin/python3.11
    export LD_LIBRARY_PATH=${pkgs.lib.makeLibraryPath tools.libraries}
    PIP_NO_INDEX=1 PIP_FIND_LINKS=${wheelhouse} UV_OFFLINE=1 make setup
    make verify "TARGET=$target"
  '';
}
