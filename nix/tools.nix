# The programs of the shells. tests/nix/test_programs.py compares them with the programs that the Makefile, the scripts and the
# docs call. Names have the form `pkgs.name`, because the tests list the names in these files.
{ pkgs }:
let
  inherit (pkgs) lib;

  # The basic tools of shell scripts. With these, PATH needs no folder of the host.
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
    pkgs.openssh # remotes of git and DVC
    pkgs.curl
    pkgs.jq
    pkgs.cacert
    pkgs.nix
    pkgs.openssl
    pkgs.nginx # `make deploy-proxy`, and its tests
    pkgs.prometheus # `make monitor`, as the next three
    pkgs.prometheus.cli # promtool
    pkgs.prometheus-alertmanager
    pkgs.grafana
    pkgs.google-cloud-sdk
  ];

  containers = lib.optionals pkgs.stdenv.hostPlatform.isLinux [ pkgs.podman ];

  # `make hermetic` watches a stage with strace, in a namespace without a network.
  hermetic = lib.optionals pkgs.stdenv.hostPlatform.isLinux [
    pkgs.strace
    pkgs.util-linux
  ];
in
{
  default = base ++ build ++ containers ++ hermetic;

  # Additional tools, in a separate shell because they are large.
  deploy = [
    pkgs.azure-cli
    pkgs.kubectl
    pkgs.jre_headless # TorchServe
  ];

  # For the tests that .ci/run does not skip, and for benchmarks.
  tests = [
    pkgs.jre_headless
    pkgs.nixfmt
    pkgs.shellcheck
  ]
  ++ lib.optionals pkgs.stdenv.hostPlatform.isLinux [
    pkgs.chromium
    pkgs.chromedriver
    pkgs.mmdebstrap
    pkgs.qemu-user
    pkgs.runc
    pkgs.wrk
  ];

  # Wheels are built for an ordinary Linux: torch, pyarrow and ONNX Runtime load libstdc++ and zlib from folders that Nix lacks.
  libraries = lib.optionals pkgs.stdenv.hostPlatform.isLinux [
    pkgs.stdenv.cc.cc.lib
    pkgs.zlib
  ];
}
