"""Container images of a target's Bento and of the training.

BentoML builds the image from the Bento (`bentoml containerize`). Its base image gets the locked uv and, as options, a CA and an
index. The final image gets a numbered user, labels with its provenance, and a health check (in docker's image format; podman's
has none). With podman, two builds from one commit and one base image give one image id: every time in them is TIMESTAMP.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from bitbloom.core import canonical, git
from bitbloom.core.errors import BitBloomError
from bitbloom.serving import bento, store
from bitbloom.serving.settings import PROVENANCE, SETTINGS

BACKENDS = ("podman", "docker")
RECIPES = Path("deploy/container")
LOCK = Path("requirements.lock")
PYTHON_IMAGE = "python:3.11-slim-bookworm"
"""The default base of the training image."""
CA_BUNDLE = "etc/ssl/certs/bitbloom.pem"
TIMESTAMP = 315_532_800
"""1980-01-01, the time in a Bento: the oldest that a zip file can hold."""


@dataclass(frozen=True)
class Options:
    """Options of a build.

    Attributes:
        backend: one of BACKENDS, a program on PATH.
        image: name of the image, without a tag; it gets the Bento's version and `latest`.
        base_image: the base, with Python 3.11, pip and a shell; "" for the one that the service names.
        ca: certificates to trust while packages are installed, PEM.
        index: address of the package index; "" for pip's and uv's default.
    """

    backend: str
    image: str
    base_image: str = ""
    ca: Path | None = None
    index: str = ""


@dataclass(frozen=True)
class Builder:
    """Builds images with podman or docker, from recipes, with every time fixed."""

    backend: str

    def build(
        self, recipe: Path, context: Path, tags: Sequence[str], values: Mapping[str, str], labels: Mapping[str, str]
    ) -> None:
        """Build a Containerfile with build arguments and labels. Raises BitBloomError when it fails."""
        named = [word for tag in tags for word in ("--tag", tag)]
        given = [word for name, value in values.items() for word in ("--build-arg", f"{name}={value}")]
        labelled = [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
        timed = [f"--{option}" for option in self.timing()]
        self.run([self.backend, "build", *timed, "--file", str(recipe), *named, *given, *labelled, str(context)], recipe.name)

    def containerize(self, tag: str, image: str, base: str, instead_of: str) -> None:
        """Run `bentoml containerize` for an installed Bento, with another base image than it names."""
        replaced = {"podman": f"from={base}", "docker": f"build-context={instead_of}=docker-image://{base}"}
        # Debian's useradd notes the day, and pip the time of each module that it compiles, unless they are told one.
        timed = [*self.timing(), *([f"env=SOURCE_DATE_EPOCH={TIMESTAMP}"] if self.backend == "podman" else [])]
        options = [word for option in (replaced[self.backend], *timed) for word in ("--opt", option)]
        self.run(
            ["bentoml", "containerize", tag, "--backend", self.backend, "--image-tag", image, *options], "BentoML's Dockerfile"
        )

    def timing(self) -> list[str]:
        """Return options that fix the times in an image, as `name=value`. In docker's format podman would store random names."""
        if self.backend == "podman":
            return ["format=oci", f"timestamp={TIMESTAMP}"]
        return [f"build-arg=SOURCE_DATE_EPOCH={TIMESTAMP}"]

    def run(self, command: Sequence[str], what: str) -> None:
        """Run a command with its output on stderr, so that stdout has the result alone."""
        if subprocess.run(command, stdout=sys.stderr, check=False).returncode != 0:
            raise BitBloomError(f"{self.backend} could not build {what}: its output is above")

    def id(self, image: str) -> str:
        """Return the id of an image, SHA-256."""
        command = [self.backend, "image", "inspect", "--format", "{{.Id}}", image]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().removeprefix("sha256:")


def containerize(archive: Path, options: Options) -> tuple[str, str]:
    """Build the image of a Bento's archive. Returns its name with the Bento's version, and its id.

    Raises:
        BitBloomError: the backend or the CA is missing, the index has a password, or a step fails.
    """
    _check(options)
    name, version = store.install(archive).split(":")
    folder = store.folder() / name / version
    builder, image, inner = Builder(options.backend), f"{options.image}:{version}", f"{options.image}:{version}-bento"
    named = str(yaml.safe_load((folder / bento.MANIFEST).read_bytes())["image"]["base_image"])
    builder.containerize(f"{name}:{version}", inner, _base(builder, options, image, named), named)
    commit = git.clean_commit() or ""
    with tempfile.TemporaryDirectory(prefix="bitbloom-image-") as empty:
        values, tags = {"BENTO_IMAGE": inner, "REVISION": commit}, [image, f"{options.image}:latest"]
        builder.build(RECIPES / "service.Containerfile", Path(empty), tags, values, labels(folder, commit))
    return image, builder.id(image)


def training(options: Options, wheels: Path | None) -> tuple[str, str]:
    """Build an image with the commit and all requirements of its build. Returns its name and id.

    Args:
        options: options of the build.
        wheels: a folder with the locked build of torch, for a machine that cannot reach PyTorch's own index.

    Raises:
        BitBloomError: as `containerize`, or a file is not committed.
    """
    _check(options)
    commit = git.clean_commit()
    if commit is None:
        raise BitBloomError("a training image holds a commit, and files here are not committed: commit them, or remove them")
    builder, image = Builder(options.backend), f"{options.image}:{commit[:12]}"
    base = _base(builder, options, image, PYTHON_IMAGE)
    with tempfile.TemporaryDirectory(prefix="bitbloom-image-") as temporary:
        subprocess.run(["git", "clone", "--quiet", "--depth", "1", Path.cwd().as_uri(), f"{temporary}/tree"], check=True)
        (Path(temporary) / "wheels").mkdir()
        for wheel in wheels.glob("torch-*.whl") if wheels else ():
            shutil.copy2(wheel, Path(temporary) / "wheels")
        labelled = {"org.opencontainers.image.title": "BitBloom training", "org.opencontainers.image.revision": commit}
        tags = [image, f"{options.image}:latest"]
        values = {"BASE_IMAGE": base, "ACCEL": os.environ.get("ACCEL", "cpu")}
        builder.build(RECIPES / "training.Containerfile", Path(temporary), tags, values, labelled)
    return image, builder.id(image)


def _base(builder: Builder, options: Options, image: str, default: str) -> str:
    """Build the base of an image. Returns its name."""
    base = f"{image}-base"
    with tempfile.TemporaryDirectory(prefix="bitbloom-image-") as temporary:
        values = _write_base(Path(temporary), options) | {"BASE_IMAGE": options.base_image or default}
        builder.build(RECIPES / "base.Containerfile", Path(temporary), [base], values, {})
    return base


def labels(folder: Path, commit: str) -> dict[str, str]:
    """Return the labels of an image: those of the OCI, and the digests of the inputs of the Bento in `folder`."""
    facts, settings = canonical.read_json(folder / "src" / PROVENANCE), canonical.read_json(folder / "src" / SETTINGS)
    digest = bento.digest(folder)
    standard = {
        "title": settings["title"],
        "version": bento.version(digest),
        "revision": commit,
        "licenses": "Apache-2.0",
    }
    ours = {
        "target": facts["target"],
        "task": facts["task"],
        "data.digest": facts["data_digest"],
        "lock.digest": facts["lock_digest"],
        "model.digest": facts["model_digest"],
        "bento.digest": digest,
        "rebuild": facts["rebuild"],
    }
    found = {f"org.opencontainers.image.{key}": value for key, value in standard.items()}
    return {key: value for key, value in (found | {f"bitbloom.{key}": value for key, value in ours.items()}).items() if value}


def _check(options: Options) -> None:
    if options.backend not in BACKENDS:
        raise BitBloomError(f"BACKEND is '{options.backend}': it has to be {' or '.join(BACKENDS)}")
    if shutil.which(options.backend) is None:
        raise BitBloomError(f"{options.backend} is not on PATH: install it, or choose the other with BACKEND=")
    if options.ca and not options.ca.is_file():
        raise BitBloomError(f"CA: {options.ca} is missing: it has to be a file of certificates, PEM")
    if "@" in urlsplit(options.index).netloc:
        raise BitBloomError("INDEX has a name or a password in it, which would stay in the image: use an index that needs none")


def _write_base(context: Path, options: Options) -> dict[str, str]:
    """Write the files that base.Containerfile copies. Returns its build arguments."""
    pip = ["[global]", "break-system-packages = true", "disable-pip-version-check = true", "no-cache-dir = true"]
    pip += ["root-user-action = ignore", *([f"index-url = {options.index}"] if options.index else [])]
    uv = f'[[index]]\nurl = "{options.index}"\ndefault = true\n' if options.index else ""
    for name, text in {"pip.conf": "\n".join(pip) + "\n", "uv/uv.toml": uv, "uv/uv.txt": _locked_uv()}.items():
        (context / "etc" / name).parent.mkdir(parents=True, exist_ok=True)
        canonical.write_text(context / "etc" / name, text)
    if not options.ca:
        return {}
    (context / CA_BUNDLE).parent.mkdir(parents=True)
    shutil.copyfile(options.ca, context / CA_BUNDLE)
    return {"CA_BUNDLE": f"/{CA_BUNDLE}"}


def _locked_uv() -> str:
    """Return the lines of the lock that name uv and its hashes."""
    found = re.search(r"^uv==.*?[^\\]$", LOCK.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    if found is None:
        raise BitBloomError(f"{LOCK} has no uv: write it with `make lock`")
    return found[0] + "\n"
