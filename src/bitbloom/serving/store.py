"""BentoML's local store of Bentos, from which `bentoml serve petals:latest` starts one."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.serving import archive, bento


def folder() -> Path:
    """Return the folder of the Bentos: `bentos/` in BENTOML_HOME."""
    home = os.environ.get("BENTOML_HOME", "")
    return (Path(home) if home else Path.home() / "bentoml") / "bentos"


def install(path: Path, commit: str | None = None) -> str:
    """Install the Bento of an archive into the store, as `<name>:latest`. Returns its tag.

    A Bento that is installed already stays, unless its files were changed.

    Args:
        path: the archive.
        commit: the commit of its build, for the service's provenance; None when it is unknown.

    Raises:
        BitBloomError: the archive is missing or is not one of a Bento, or its content differs from its version.
    """
    import yaml

    if not path.is_file():
        raise BitBloomError(f"{path} is missing: build it with `make package`")
    try:
        manifest = yaml.safe_load(archive.read(path, bento.MANIFEST))
        name, version = str(manifest["name"]), str(manifest["version"])
    except (KeyError, TypeError, tarfile.TarError, yaml.YAMLError) as error:
        raise BitBloomError(f"{path} is not an archive of a Bento ({error}): build it again with `make package`") from error
    place = folder() / name / version
    if not _is_whole(place):
        _replace(path, place)
    canonical.write_text(place.parent / "latest", version)
    if commit:
        canonical.write_text(place / bento.COMMIT, commit)
    else:
        (place / bento.COMMIT).unlink(missing_ok=True)
    return f"{name}:{version}"


def _is_whole(place: Path) -> bool:
    return place.is_dir() and bento.version(bento.digest(place)) == place.name


def _replace(path: Path, place: Path) -> None:
    """Unpack in a temporary folder, check, then move: a broken archive does not change the store."""
    with canonical.replacing_folder(place) as temporary:
        archive.unpack(path, temporary)
        if bento.version(bento.digest(temporary)) != place.name:
            raise BitBloomError(
                f"{path} holds other files than its version {place.name} says: build it again with `make package`"
            )
