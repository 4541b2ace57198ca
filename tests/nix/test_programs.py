"""The shells of the flake have every program that the Makefile, the scripts and the docs call, or a list has the reason."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from support import command_words, makefiles

REPOSITORY = Path(__file__).resolve().parents[2]
NAMES = json.loads((REPOSITORY / "tests/nix/stub/names.json").read_text(encoding="utf-8"))

# fmt: off
BUILTINS = {
    ".", ":", "[", "}", "break", "cd", "command", "continue", "declare", "done", "echo", "esac", "eval", "exec", "exit", "export",
    "false", "fi", "for", "kill", "local", "printf", "pwd", "read", "return", "set", "shift", "test", "trap", "true", "type",
    "umask", "unset", "wait",
}
# fmt: on
OF_THE_VENV = {"bitbloom", "bentoml", "codespell", "dvc", "pytest", "ruff", "mypy", "lint-imports", "python", "uv", "torchrun"}
OF_THE_VENV |= {"mkdocs", "pre-commit"}
"""Installed from a lock into .venv, which make puts first on PATH."""
OF_THE_HOST = {
    "apt-get": "installs Debian's packages: .ci/run and the startup of a VM",
    "docker": "one of two engines for `make monitor`; the shell has podman",
    "gh": "the workflows' comments and updates, on a runner of GitHub",
    "hostname": "the startup of a VM, which is outside the shells of the flake",
    "mmdebstrap": "makes a base image of Debian's packages, as root",
    "shutdown": "ends a VM",
    "sudo": "`make ci-packages` and `make ci-slow`, on a runner of GitHub",
}


INDIRECTLY = {
    "cacert": "certificates, no program",
    "openssh": "git and DVC call it for their remotes",
    "xz": "tar calls it",
}
"""Packages of the shells whose programs no file of the repository names, with the reason."""
OUTSIDE = {
    "kaggle": "Kaggle's command line, optional, of a venv of the user",
    "py-spy": "in the venv of the lock",
    "nvidia-smi": "belongs to the driver of the machine",
    "setpriv": "only root can become another user, and the shell is not for root",
}
"""Programs that the code looks for, and that no shell has, with the reason."""


def sources() -> dict[str, set[str]]:
    """The command words of each file, by its path."""
    found = {
        str(path.relative_to(REPOSITORY)): command_words.of_makefile(path.read_text(encoding="utf-8"))
        for path in makefiles.MAKEFILES
    }
    scripts = [
        *REPOSITORY.glob("scripts/*.sh"),
        *REPOSITORY.glob("deploy/**/*.sh"),
        *REPOSITORY.glob("nix/*.sh"),
        REPOSITORY / ".ci/run",
    ]
    documents = [
        path for pattern in ("*.md", "docs/*.md", "deploy/**/*.md", "bentos/**/*.md") for path in REPOSITORY.glob(pattern)
    ]
    common = (REPOSITORY / "deploy/common.sh").read_text(encoding="utf-8")
    for path in scripts:
        found[str(path.relative_to(REPOSITORY))] = command_words.of_script(path.read_text(encoding="utf-8"), common)
    for path in documents:
        found[str(path.relative_to(REPOSITORY))] = command_words.of_markdown(path.read_text(encoding="utf-8"))
    return found


def packages() -> set[str]:
    """The packages that nix/tools.nix names."""
    tools = re.sub(r"#.*", "", (REPOSITORY / "nix/tools.nix").read_text(encoding="utf-8"))
    found = set(re.findall(r"\bpkgs\.([\w.-]+)", tools))
    return {name for name in found if name.split(".")[0] not in ("lib", "stdenv", "zlib")}


def in_the_shells() -> set[str]:
    """The programs of these packages."""
    return {program for name in packages() for program in NAMES["packages"][name]}


def python_code() -> str:
    """The Python code of the repository, except the tests of this folder, which name every package."""
    found = [
        path for folder in ("src", "tests", "scripts", "benchmarks", "deploy") for path in REPOSITORY.glob(f"{folder}/**/*.py")
    ]
    return "\n".join(path.read_text(encoding="utf-8") for path in found if path.parent != Path(__file__).parent)


def looked_for() -> set[str]:
    """The programs without which a test is skipped, or a command stops: those that Python looks for, and those of .ci/run."""
    ci = re.search(r'^tools="(.*)"$', (REPOSITORY / ".ci/run").read_text(encoding="utf-8"), re.MULTILINE)
    assert ci
    return set(re.findall(r'\bwhich\("([\w-]+)"', python_code())) | set(ci[1].split())


def test_every_called_program_is_in_a_shell():
    known = in_the_shells() | BUILTINS | OF_THE_VENV | OF_THE_HOST.keys()
    lacking = {path: sorted(word for word in words - known if "/" not in word) for path, words in sources().items()}
    lacking = {path: words for path, words in lacking.items() if words}
    assert not lacking, f"add these to nix/tools.nix and tests/nix/stub/names.json, or give the reason above: {lacking}"


def test_every_program_that_a_test_needs_is_in_a_shell():
    assert looked_for() - in_the_shells() == OUTSIDE.keys()


def test_every_package_of_a_shell_is_called():
    code, checks = python_code(), (REPOSITORY / "nix/checks.nix").read_text(encoding="utf-8")
    called = set.union(*sources().values()) | {
        program for program in in_the_shells() if f'"{program}"' in code or program in checks
    }
    idle = {name for name in packages() if not called & set(NAMES["packages"][name])}
    assert idle == INDIRECTLY.keys(), "remove these from nix/tools.nix, or give the reason above"


def test_every_exception_is_needed():
    called = set.union(*sources().values())
    assert set(OF_THE_HOST) <= called


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("a=1 jq . | sort >out 2>&1 && rm x", {"jq", "sort", "rm"}),
        ("if ! grep -q 'rm x' f; then cp a b; fi # mv", {"grep", "cp", "fi"}),
        ('x="$(curl "$(git a)")" ${y:-$(seq 3)} <<E\nnot here\nE\ntar x', {"curl", "git", "seq", "tar"}),
        ("case $x in a | b) az go ;; *) exec -a n java ;; esac; wc", {"az", "exec", "wc", "n"}),
        ("f() { uname; }; f; trap 'rm -f x; sync' EXIT", {"uname", "rm", "sync"}),
        ("find . -exec sha256sum {} + ; run gcloud x; diff <(ls a) b", {"find", "sha256sum", "run", "gcloud", "diff", "ls"}),
        ("for x in a b; do head \\\n  tail; done; (cd x; make) || 2>/dev/null id", {"for", "head", "cd", "make", "id", "done"}),
    ],
)
def test_finds_command_words(script, words):
    assert command_words.of_script(script) == words


def test_reads_expansions_of_a_makefile():
    makefile = "A = $(shell printf '%s' '$(B)' | sha256sum)\nall: x\n"
    makefile += "\t@mkdir -p $(@D) && $(if $(C),$(D)) tool\n\t@for f in $$(ls); do wc $$f; done\n"
    assert command_words.of_makefile(makefile) == {"printf", "sha256sum", "mkdir", "for", "ls", "wc", "done"}


def test_ignores_blocks_of_other_languages():
    assert command_words.of_markdown(
        "text\n\n    make all    # 'x\n\n```yaml\nmodel: cnn\n```\n\n    from a import b\n    b()\n"
    ) == {"make"}
