# The locked packages as store paths: the downloads, a venv of them, and the service's image.
{ pkgs }:
let
  inherit (pkgs) lib;
  inherit (pkgs.stdenv.hostPlatform) system;
  python = "${pkgs.python311}/bin/python3.11";

  # requirements*.lock are for x86_64 Linux. Another platform needs its own locks, compiled and hashed on such a machine.
  platform = if system == "x86_64-linux" then "" else "-${system}";
  locks = {
    wheelhouse = ../. + "/requirements${platform}.lock";
    serve-wheelhouse = ../. + "/requirements-serve${platform}.lock";
  };
  known = (lib.importJSON ./hashes.json).${system} or { };

  # A derivation that fails with a message when it is built, so that `nix flake show` and `check` work on every platform.
  refuse =
    message:
    pkgs.runCommand "bitbloom-refused" { inherit message; } ''
      echo "error: $message" >&2
      exit 1
    '';

  # Nix checks only the hash of the output, and reuses a stored output of this name. The name contains the lock's hash, so a
  # changed lock is downloaded again. hashes.json contains it too, so a changed lock is rejected before the download.
  wheelhouse =
    what:
    let
      lock = locks.${what};
      found = builtins.hashFile "sha256" lock;
    in
    if !known ? ${what} then
      refuse "nix/hashes.json has no ${what} for ${system}: on such a machine, run `make nix-hashes`"
    else if found != known.${what}.lock then
      refuse "${baseNameOf lock} is not the one that nix/hashes.json was written for: run `make nix-hashes`"
    else
      pkgs.runCommand "bitbloom-${what}-${builtins.substring 0 12 found}"
        {
          nativeBuildInputs = [
            pkgs.python311
            pkgs.uv
          ];
          SSL_CERT_FILE = "${pkgs.cacert}/etc/ssl/certs/ca-bundle.crt";
          # A fixed-output derivation may use the network and these variables of the caller.
          impureEnvVars = lib.fetchers.proxyImpureEnvVars ++ [
            "NIX_SSL_CERT_FILE"
            "PIP_EXTRA_INDEX_URL"
            "PIP_FIND_LINKS"
            "PIP_INDEX_URL"
          ];
          outputHashMode = "recursive";
          outputHashAlgo = "sha256";
          outputHash = known.${what}.hash;
        }
        ''
          sh ${./wheelhouse.sh} ${system} ${python} ${lock} "$out"
        '';

  venv =
    what:
    if known ? ${what} then
      pkgs.runCommand "bitbloom-venv" { nativeBuildInputs = [ pkgs.python311 ]; } ''
        sh ${./venv.sh} ${python} ${locks.${what}} ${wheelhouse what} "$out"
      ''
    else
      wheelhouse what;
in
{
  wheelhouse = wheelhouse "wheelhouse";
  serve-wheelhouse = wheelhouse "serve-wheelhouse";
  venv = venv "wheelhouse";
}
// lib.optionalAttrs pkgs.stdenv.hostPlatform.isLinux {
  image = import ./image.nix {
    inherit pkgs;
    inherit (import ./tools.nix { inherit pkgs; }) libraries;
    venv = venv "serve-wheelhouse";
  };
}
