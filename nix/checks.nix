# `nix flake check`.
{
  pkgs,
  source,
  venv,
}:
let
  inherit (pkgs) lib;
  known = lib.importJSON ./hashes.json;
  check =
    name: programs: command:
    pkgs.runCommand "bitbloom-check-${name}" { nativeBuildInputs = programs; } ''
      cd ${source}
      ${command}
      touch "$out"
    '';
in
{
  lock = check "lock" [ pkgs.python311 ] "python3.11 -B nix/check_locks.py requirements*.lock";
  format = check "format" [ pkgs.nixfmt ] "nixfmt --check flake.nix nix/*.nix";
  scripts = check "scripts" [ pkgs.shellcheck ] "shellcheck nix/*.sh";
}
// lib.optionalAttrs (known ? ${pkgs.stdenv.hostPlatform.system}) {
  imports = check "imports" [ ] ''
    export HOME=$TMPDIR ORT_DISABLE_TELEMETRY=1
    export LD_LIBRARY_PATH=${lib.makeLibraryPath (import ./tools.nix { inherit pkgs; }).libraries}
    ${venv}/bin/python -B nix/check_imports.py
  '';
}
