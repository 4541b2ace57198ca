# `nix develop`: the tools of a build. `.#deploy`: also the command-line tools of the other clouds. `.#tests`: also
# those of slow tests and benchmarks.
{ pkgs, tools }:
let
  inherit (pkgs) lib;
  inherit (pkgs.stdenv.hostPlatform) isLinux;
  libraryPath = lib.makeLibraryPath tools.libraries;

  linuxHook = ''
    export LD_LIBRARY_PATH=${libraryPath}
    # On NixOS, programs in wheels (uv, ruff) start through nix-ld, if it is enabled.
    export NIX_LD=${pkgs.stdenv.cc.bintools.dynamicLinker} NIX_LD_LIBRARY_PATH=${libraryPath}
    # Rootless podman needs two setuid programs. The Nix store cannot hold setuid files, so these are the host's.
    if [ -f flake.nix ]; then
      mkdir -p .bitbloom/setuid
      for helper in newuidmap newgidmap; do
        found=$(PATH=$host_path; command -v "$helper") || continue
        found=$(readlink -f "$found") # a nested shell finds the link
        ln -sf "$found" ".bitbloom/setuid/$helper"
      done
      PATH=$PWD/.bitbloom/setuid:$PATH
    fi
  '';

  shell =
    packages:
    pkgs.mkShellNoCC {
      name = "bitbloom";
      inherit packages;
      shellHook = ''
        # `nix develop` appends the host's PATH. Here a program that is missing in the shell is an error.
        host_path=$PATH
        export PATH=${lib.makeBinPath packages}
        export PYTHON=${pkgs.python311}/bin/python3.11
        export PYTHONNOUSERSITE=1
        # SOURCE_DATE_EPOCH is for Nix's own builds. BitBloom sets the times of its outputs, as without Nix.
        unset PYTHONPATH PYTHONHOME PYTHONSTARTUP VIRTUAL_ENV CONDA_PREFIX LD_PRELOAD SOURCE_DATE_EPOCH
        case ''${SSL_CERT_FILE:-/no-cert-file.crt} in # the value in Nix's builds
          /no-cert-file.crt) SSL_CERT_FILE=${pkgs.cacert}/etc/ssl/certs/ca-bundle.crt ;;
        esac
        export SSL_CERT_FILE NIX_SSL_CERT_FILE=$SSL_CERT_FILE
        ${lib.optionalString isLinux linuxHook}
        unset host_path
        # The project's venv comes first, as in make. `make setup` or `make all` may make it later, so it need not exist yet.
        checkout=$PWD
        while [ -n "$checkout" ] && [ ! -f "$checkout/flake.nix" ]; do checkout=''${checkout%/*}; done
        [ -z "$checkout" ] || PATH=$checkout/.venv/bin:$PATH
        unset checkout
        if [ -x .venv/bin/python ] && [ "$(readlink -f .venv/bin/python)" != "$(readlink -f "$PYTHON")" ]; then
          echo "note: .venv has another Python than this shell: rm -rf .venv .bitbloom/venv-* lets make build it again" >&2
        fi
      '';
    };
in
{
  default = shell tools.default;
  deploy = shell (tools.default ++ tools.deploy);
  tests = shell (tools.default ++ tools.tests);
}
