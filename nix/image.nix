# The service's image from the Bento of `petals`, without a Dockerfile, a base image or a network:
#
#     make package && nix-store --add-fixed sha256 dist/petals.bento
#     nix build .#image && podman load < result
#
# Nix cannot build the Bento, because a training takes minutes on all cores. It takes the Bento whose hash is in
# digests/petals.json from the store. So evaluation is pure: no path or variable has an effect, and a Bento that differs in one
# bit is rejected.
{
  pkgs,
  libraries,
  venv,
}:
let
  claim = (pkgs.lib.importJSON ../digests/petals.json)."dist/petals.bento";

  archive = pkgs.requireFile {
    name = "petals.bento";
    inherit (claim) sha256;
    message = ''
      The Bento that digests/petals.json names is not in the Nix store. Build it and add it:

          make package && nix-store --add-fixed sha256 dist/petals.bento
    '';
  };

  bento = pkgs.runCommand "bitbloom-petals-bento" { nativeBuildInputs = [ pkgs.xz ]; } ''
    mkdir "$out"
    tar -xJf ${archive} -C "$out"
  '';
in
pkgs.dockerTools.buildLayeredImage {
  name = "bitbloom/petals";
  tag = "nix-${builtins.substring 0 12 claim.sha256}";
  # A container of this image writes to /tmp only.
  extraCommands = "mkdir -m 1777 tmp";
  config = {
    Cmd = [
      "${venv}/bin/python"
      "-m"
      "bentoml"
      "serve"
      "${bento}"
      "--host"
      "0.0.0.0"
      "--port"
      "3000"
    ];
    Env = [
      "BENTOML_DO_NOT_TRACK=True"
      "BENTOML_HOME=/tmp/bentoml"
      "HOME=/tmp"
      "LD_LIBRARY_PATH=${pkgs.lib.makeLibraryPath libraries}"
      "PATH=${venv}/bin"
      "PYTHONDONTWRITEBYTECODE=1"
    ];
    ExposedPorts."3000/tcp" = { };
    Labels."bitbloom.bento.sha256" = claim.sha256;
    User = "1034:1034";
  };
}
