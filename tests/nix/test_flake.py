"""The flake parses, locks one input, evaluates on every platform, and its shell has nothing of the host."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
REVISION = "21a67dc470149f337cecafbe965d8d252a390518"
EXPRESSIONS = [REPOSITORY / "flake.nix", *sorted(REPOSITORY.glob("nix/*.nix"))]
SYSTEMS = ("x86_64-linux", "aarch64-linux", "aarch64-darwin")
NAMES = json.loads((REPOSITORY / "tests/nix/stub/names.json").read_text(encoding="utf-8"))


def code(path: Path) -> str:
    """An expression without its comments."""
    return re.sub(r"(?m)(^|\s)#.*", "", path.read_text(encoding="utf-8"))


def names(text: str) -> set[str]:
    """The names that an expression uses from nixpkgs."""
    functions = {f"lib.{name}" for name in re.findall(r"\blib\.([A-Za-z][\w.]*)", text)}
    rest = set(re.findall(r"\bpkgs\.([A-Za-z][\w-]*(?:\.[A-Za-z][\w-]*)*)", text))
    return functions | {
        re.sub(r"^(stdenv\.hostPlatform)\..*", r"\1", name) for name in rest if name != "lib" and not name.startswith("lib.")
    }


def test_every_expression_parses(flake):
    for path in [*EXPRESSIONS, REPOSITORY / "tests/nix/stub/flake.nix"]:
        done = subprocess.run(["nix-instantiate", "--parse", str(path)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_lock_has_one_input_at_one_revision():
    lock = json.loads((REPOSITORY / "flake.lock").read_text(encoding="utf-8"))
    assert lock["nodes"].keys() == {"root", "nixpkgs"}
    nixpkgs = lock["nodes"]["nixpkgs"]
    assert nixpkgs["locked"]["rev"] == REVISION
    assert nixpkgs["locked"]["narHash"] == "sha256-ugpsyk3NM2s87vXfUiIIiibbJ4Pp0JPS5p/3mfs+q+c="
    assert nixpkgs["original"]["ref"] == "nixos-26.05"
    assert re.findall(r"(\w+)\.url", code(REPOSITORY / "flake.nix")) == ["nixpkgs"]


def test_nix_accepts_the_lock(flake):
    done = flake.run("flake", "metadata", "path:.", "--json", "--no-update-lock-file", stub=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["locks"] == json.loads((REPOSITORY / "flake.lock").read_text(encoding="utf-8"))


def test_names_from_nixpkgs_are_listed():
    used = set().union(*(names(code(path)) for path in EXPRESSIONS))
    assert used == set(NAMES["functions"]) | NAMES["packages"].keys()


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_platform_evaluates(flake, system):
    expected = {
        "devShells": {"default", "deploy", "tests"},
        "packages": {"wheelhouse", "serve-wheelhouse", "venv"} | ({"image"} if system.endswith("linux") else set()),
        "checks": {"lock", "format", "scripts"} | ({"imports"} if system == "x86_64-linux" else set()),
    }
    for kind, members in expected.items():
        paths = flake.evaluate(f"{kind}.{system}", "--apply", "builtins.mapAttrs (name: value: value.drvPath)")
        assert paths.keys() == members
    assert flake.evaluate(f"apps.{system}.verify.program").endswith("/bin/bitbloom-verify")
    assert "nixfmt" in flake.evaluate(f"formatter.{system}.drvPath")


def test_containers_are_for_linux_only(flake):
    linux, darwin = (flake.evaluate(f"devShells.{system}.default.shellHook") for system in ("x86_64-linux", "aarch64-darwin"))
    assert all(f"stub-{tool}" in linux for tool in ("podman", "strace", "python311", "uv", "google-cloud-sdk"))
    assert not any(f"stub-{tool}/" in darwin for tool in ("podman", "strace"))
    assert "LD_LIBRARY_PATH" not in darwin


@pytest.mark.parametrize(("oldest", "opts_out", "accepted"), [("99.0", False, False), ("99.0", True, True), ("2.0", False, True)])
def test_stub_rejects_older_nix_as_nixpkgs_does(flake, oldest, opts_out, accepted):
    expression = flake.stub / "flake.nix"
    expression.write_text(expression.read_text(encoding="utf-8").replace('"2.18"', f'"{oldest}"'), encoding="utf-8")
    opt_out = flake.stub / "accept-older-nix"
    opt_out.touch() if opts_out else opt_out.unlink(missing_ok=True)
    done = flake.run("eval", "--raw", "path:.#devShells.x86_64-linux.default.name")
    assert (done.returncode == 0) == accepted, done.stderr
    assert accepted or f"requires Nix {oldest} or later" in done.stderr


def test_shell_has_nothing_of_the_host(flake):
    script = 'echo "$PATH"; for name in PYTHONPATH VIRTUAL_ENV SOURCE_DATE_EPOCH; do echo "$name=${!name-unset}"; done; '
    script += "command -v python3.11 make git"
    done = flake.run(
        "develop", "path:.", "--command", "bash", "-c", script, environment={"PYTHONPATH": "/theirs", "VIRTUAL_ENV": "/theirs"}
    )
    assert done.returncode == 0, done.stderr
    path, *variables, python, make, git = done.stdout.splitlines()
    venv, *others = path.split(":")
    assert venv == str(flake.folder / ".venv/bin")
    own = str(flake.folder / ".bitbloom/setuid")
    assert all(entry.startswith("/nix/store/") for entry in others if entry != own)
    assert variables == ["PYTHONPATH=unset", "VIRTUAL_ENV=unset", "SOURCE_DATE_EPOCH=unset"]
    assert all(found.startswith("/nix/store/") for found in (python, make, git))


def test_shell_of_a_subfolder_has_the_venv_of_the_checkout(flake):
    done = flake.run("develop", f"path:{flake.folder}", "--command", "bash", "-c", 'echo "$PATH"', below="nix")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{flake.folder}/.venv/bin:/nix/store/")


def test_platform_without_hashes_is_named(flake):
    hashes = flake.folder / "nix/hashes.json"
    hashes.write_text("{}", encoding="utf-8")
    done = flake.build("venv")
    assert done.returncode != 0
    assert "nix/hashes.json has no wheelhouse for x86_64-linux" in done.stderr
    assert "make nix-hashes" in done.stderr


def test_rejects_changed_lock_before_a_download(flake):
    with (flake.folder / "requirements.lock").open("a", encoding="utf-8") as lock:
        lock.write("\n")
    done = flake.build("wheelhouse")
    assert done.returncode != 0
    assert "is not the one that nix/hashes.json was written for" in done.stderr


def test_hashes_match_the_committed_locks():
    entry = json.loads((REPOSITORY / "nix/hashes.json").read_text(encoding="utf-8"))["x86_64-linux"]
    for what, lock in {"wheelhouse": "requirements.lock", "serve-wheelhouse": "requirements-serve.lock"}.items():
        found = hashlib.sha256((REPOSITORY / lock).read_bytes()).hexdigest()
        assert entry[what]["lock"] == found, f"{lock} has changed: make nix-hashes"
        assert re.fullmatch(r"sha256-[A-Za-z0-9+/]{43}=", entry[what]["hash"])


def test_image_takes_only_the_expected_bento(flake):
    other = hashlib.sha256(b"").hexdigest()  # the committed one may be in this store
    expected = {"dist/petals.bento": {"sha256": other}}
    (flake.folder / "digests/petals.json").write_text(json.dumps(expected), encoding="utf-8")
    done = flake.build("image")
    assert done.returncode != 0
    assert "nix-store --add-fixed sha256 dist/petals.bento" in done.stderr


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a==1 \\\n    --hash=sha256:" + 64 * "0" + "\n", None),
        ("a[b, c]==1+cpu \\\n    --hash=sha256:" + 64 * "0" + " \\\n    --hash=sha256:" + 64 * "1" + "\n", None),
        ("a==1\n", "not a name with a version"),
        ("a==1 \\\n", "has no end"),
        ("a>=1 \\\n    --hash=sha256:" + 64 * "0" + "\n", "not a name with a version"),
        ("a @ https://example.org/a.whl \\\n    --hash=sha256:" + 64 * "0" + "\n", "not a name with a version"),
        ("--find-links x\na==1 \\\n    --hash=sha256:" + 64 * "0" + "\n", "not a name with a version"),
        ("a==1 \\\n    --hash=md5:" + 32 * "0" + "\n", "is not a hash"),
        ("", "empty"),
    ],
)
def test_accepts_only_versions_and_hashes_in_a_lock(tmp_path, text, fault):
    lock = tmp_path / "requirements.lock"
    lock.write_text(text, encoding="utf-8")
    checker = [sys.executable, str(REPOSITORY / "nix/check_locks.py"), str(lock)]
    done = subprocess.run(checker, capture_output=True, text=True)
    assert done.returncode == (fault is not None), done.stdout
    assert (fault or "versions and SHA-256 only") in done.stdout


def test_committed_locks_have_only_versions_and_hashes():
    locks = sorted(map(str, REPOSITORY.glob("requirements*.lock")))
    done = subprocess.run([sys.executable, str(REPOSITORY / "nix/check_locks.py"), *locks], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
