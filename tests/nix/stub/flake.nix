# A stand-in for nixpkgs, for tests on a machine that has Nix and cannot reach nixpkgs.
#
# A package is a folder of links to the host's own programs, so shells open and derivations build. Only names in names.json
# exist. The stand-in cannot test that a name exists in the real nixpkgs, nor its content there.
{
  outputs =
    { self }:
    let
      names = builtins.fromJSON (builtins.readFile ./names.json);

      # nixpkgs rejects older versions by this condition, of its lib/minfeatures.nix. The file, which only tests write, is for
      # Debian 12's Nix 2.8: docs/status.md.
      oldest = "2.18";
      accepts = builtins ? nixVersion && builtins.compareVersions oldest builtins.nixVersion != 1;
      supported =
        packages:
        if accepts || builtins.pathExists ./accept-older-nix then
          packages
        else
          abort "This version of Nixpkgs requires Nix ${oldest} or later; this is ${builtins.nixVersion}";
      hostPath = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

      lib = {
        genAttrs =
          keys: make:
          builtins.listToAttrs (
            map (name: {
              inherit name;
              value = make name;
            }) keys
          );
        importJSON = file: builtins.fromJSON (builtins.readFile file);
        makeBinPath = joined "bin";
        makeLibraryPath = joined "lib";
        optionalAttrs = condition: set: if condition then set else { };
        optionalString = condition: text: if condition then text else "";
        optionals = condition: list: if condition then list else [ ];
        fetchers.proxyImpureEnvVars = [
          "http_proxy"
          "https_proxy"
          "all_proxy"
          "no_proxy"
        ];
      };
      joined = folder: packages: builtins.concatStringsSep ":" (map (p: "${p}/${folder}") packages);

      packagesOf =
        system:
        let
          isLinux = builtins.match ".*-linux" system != null;

          # A command of the host's bash, with the programs of `nativeBuildInputs` first.
          command =
            name: attributes: text:
            derivation (
              attributes
              // {
                inherit name system;
                builder = "/bin/bash";
                args = [
                  "-euc"
                  ''
                    export PATH="$programs:${hostPath}"
                    eval "$text"
                    exit 0
                  ''
                ];
                programs = lib.makeBinPath (attributes.nativeBuildInputs or [ ]);
                inherit text;
              }
            );

          # Links to the host's programs. Another program is missing in the shell.
          package =
            name: programs:
            command "stub-${name}" { host = builtins.getEnv "STUB_HOST_PATH"; } ''
              PATH=''${host:-$PATH}
              mkdir -p "$out/bin" "$out/lib" "$out/etc/ssl/certs"
              for program in ${toString programs}; do
                if found=$(type -P "$program"); then ln -s "$found" "$out/bin/$program"; fi
              done
              ln -s /etc/ssl/certs/ca-certificates.crt "$out/etc/ssl/certs/ca-bundle.crt"
            '';

          # `nix develop` needs only a file to source from stdenv.
          setup = command "stub-stdenv" { } ''
            mkdir "$out"
            echo 'export PATH="$programs"' > "$out/setup"
          '';

          packages = builtins.mapAttrs package names.packages;
        in
        packages
        // {
          inherit lib;

          prometheus = packages.prometheus // {
            cli = packages."prometheus.cli"; # another output of the package
          };

          runCommand = command;
          mkShellNoCC =
            {
              name,
              packages,
              shellHook,
            }:
            command name {
              inherit shellHook;
              nativeBuildInputs = packages;
              outputs = [ "out" ];
              stdenv = setup;
            } ''export > "$out"'';
          writeShellApplication =
            {
              name,
              runtimeInputs,
              text,
            }:
            command name {
              script = ''
                #!/bin/bash
                set -euo pipefail
                export PATH=${lib.makeBinPath runtimeInputs}:$PATH
                ${text}
              '';
            } ''
              mkdir -p "$out/bin"
              printf '%s' "$script" > "$out/bin/${name}"
              chmod +x "$out/bin/${name}"
            '';
          requireFile =
            {
              name,
              sha256,
              message,
            }:
            command name {
              inherit message;
              outputHashMode = "flat";
              outputHashAlgo = "sha256";
              outputHash = sha256;
            } ''echo "$message" >&2; exit 1'';
          dockerTools.buildLayeredImage =
            image: command "stub-image" { config = builtins.toJSON image; } ''echo "$config" > "$out"'';

          stdenv = {
            hostPlatform = {
              inherit system isLinux;
            };
            cc.cc.lib = package "gcc-lib" [ ];
            cc.bintools.dynamicLinker = "/lib64/ld-linux-x86-64.so.2";
          };
        };
    in
    {
      inherit lib;
      legacyPackages = supported (
        lib.genAttrs [ "x86_64-linux" "aarch64-linux" "aarch64-darwin" ] packagesOf
      );
    };
}
