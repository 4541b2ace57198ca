"""Real photos through the stages before training, which synthetic photos cannot test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf

from bitbloom.config.target import Target, params_path
from bitbloom.core import canonical
from bitbloom.data.dataset import Dataset
from bitbloom.data.importing import import_data
from bitbloom.data.sources import folder as class_folders
from bitbloom.pipeline import composition
from bitbloom.stages import ingest, prepare, validate

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("BITBLOOM_REAL_DATA", ROOT.parent / "shared" / "data"))

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not (DATA / "flowers.tar").exists(), reason=f"no flowers.tar in BITBLOOM_REAL_DATA ({DATA.name})"),
]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """petals-folder on flowers.tar, ingested, in a separate workspace."""
    folder = tmp_path_factory.mktemp("real")
    composed = OmegaConf.to_container(composition.compose("petals-folder"))
    before = Path.cwd()
    os.chdir(folder)
    try:
        (folder / "expectations").symlink_to(ROOT / "expectations")
        canonical.write_text(params_path("petals-folder"), OmegaConf.to_yaml(OmegaConf.create(composed)))
        import_data(DATA / "flowers.tar", Path("data/external/petals-folder"), class_folders)
        loaded = Target.load("petals-folder")
        ingest.run(loaded)
        yield loaded
    finally:
        os.chdir(before)


def test_every_photo_has_a_row(target: Target) -> None:
    manifest = pd.read_parquet(target.manifest)
    assert manifest["label"].value_counts().to_dict() == {
        "dandelion": 765,
        "tulips": 693,
        "sunflowers": 596,
        "roses": 535,
        "daisy": 528,
    }
    assert manifest["decodable"].all()


def test_photos_pass_the_gate(target: Target) -> None:
    validate.run(target)
    assert canonical.read_json(target.reports / "validation.json")["success"]


def test_recoloured_copies_share_a_split(target: Target) -> None:
    prepare.run(target)
    dataset = Dataset.open(target.processed)
    assert len(dataset.samples) == 3117
    assert dataset.arrays["images"].shape == (3117, 3, 144, 144)
    fractions = dataset.samples["split"].value_counts(normalize=True)
    assert fractions["train"] == pytest.approx(0.7, abs=0.03)
