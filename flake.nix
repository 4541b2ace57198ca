{
  description = "BitBloom's toolchain, pinned: shells to build in, the locked packages as store paths, the service's image";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "aarch64-darwin"
      ];
      forEachSystem =
        make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
      toolsFor = pkgs: import ./nix/tools.nix { inherit pkgs; };
      packagesFor = pkgs: import ./nix/packages.nix { inherit pkgs; };
    in
    {
      devShells = forEachSystem (
        pkgs:
        import ./nix/shells.nix {
          inherit pkgs;
          tools = toolsFor pkgs;
        }
      );

      packages = forEachSystem packagesFor;

      apps = forEachSystem (pkgs: {
        verify = {
          type = "app";
          program = "${
            import ./nix/verify.nix {
              inherit pkgs;
              tools = toolsFor pkgs;
              inherit (packagesFor pkgs) wheelhouse;
            }
          }/bin/bitbloom-verify";
        };
      });

      checks = forEachSystem (
        pkgs:
        import ./nix/checks.nix {
          inherit pkgs;
          source = self;
          inherit (packagesFor pkgs) venv;
        }
      );

      formatter = forEachSystem (pkgs: pkgs.nixfmt);
    };
}
