# The programs of the shells. tests/nix/test_programs.py holds every program that the Makefile, the scripts and the docs call
# against them. A name is always written `pkgs.name`: the tests list the names from these files.
{ pkgs }:
let
  inherit (pkgs) lib;

  # What a shell script takes for granted. With these, PATH needs nothing of the host.
  base = [
    pkgs.bashInteractive
    pkgs.coreutils
    pkgs.diffutils
    pkgs.findutils
    pkgs.gawk
    pkgs.gnugrep
    pkgs.gnused
    pkgs.gnutar
    pkgs.gzip
    pkgs.xz
  ];

  build = [
    pkgs.python311
    pkgs.uv
    pkgs.gnumake
    pkgs.git
    pkgs.openssh
    pkgs.curl
    pkgs.jq
    pkgs.cacert
    pkgs.nix
    pkgs.openssl
    pkgs.nginx # `make deploy-proxy`, and its tests
    pkgs.shellcheck
    pkgs.prometheus.cli # promtool; the package's own bin/ has the server
    pkgs.google-cloud-sdk
  ];

  containers = lib.optionals pkgs.stdenv.hostPlatform.isLinux [
    pkgs.podman
    pkgs.buildah
    pkgs.skopeo
  ];

  # `make hermetic` watches a stage with strace, in a namespace without a network.
  hermetic = lib.optionals pkgs.stdenv.hostPlatform.isLinux [
    pkgs.strace
    pkgs.util-linux
  ];
in
{
  default = base ++ build ++ containers ++ hermetic;

  # Beside the default ones; apart from them, because they are large and most people deploy to one place.
  deploy = [
    pkgs.azure-cli
    pkgs.kubectl
    pkgs.jre_headless # TorchServe
  ];

  # Wheels are built for an ordinary Linux: torch, pyarrow and ONNX Runtime look for libstdc++ and zlib where Nix has none.
  libraries = lib.optionals pkgs.stdenv.hostPlatform.isLinux [
    pkgs.stdenv.cc.cc.lib
    pkgs.zlib
  ];
}
