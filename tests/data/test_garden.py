"""The garden: the same bytes everywhere, told apart by shape, described in full."""

import ast
import hashlib
import io
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bitbloom.sources import garden
from bitbloom.sources.garden.species import SPECIES

ATTRIBUTES = {"background", "centre", "colour", "count", "light", "occluded", "size", "species", "view"}
# What may differ in the last bit between C libraries or SIMD levels, or sums in an order of its own.
FORBIDDEN = {
    *("sin", "cos", "tan", "arcsin", "arccos", "arctan", "arctan2", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh"),
    *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "power", "pow", "cbrt", "hypot"),
    *("normal", "standard_normal", "gamma", "beta", "exponential", "poisson", "gauss"),
    *("dot", "matmul", "einsum", "inner", "tensordot", "linalg", "sum", "mean", "std", "var"),
}
# SHA-256 of the JPEG of one picture of every species. Drawing anything differently changes them:
# that is a new data set, so change them in the same commit as digests/petals.json.
PINNED = {}


def digest(jpeg: bytes) -> str:
    return hashlib.sha256(jpeg).hexdigest()


@pytest.mark.parametrize("index", PINNED)
def test_a_picture_has_the_bytes_it_always_had(index: int) -> None:
    jpeg, _, _ = garden.draw(garden.Config(), index)
    assert digest(jpeg) == PINNED[index]


def test_drawing_twice_gives_the_same_picture() -> None:
    assert garden.draw(garden.Config(), 77) == garden.draw(garden.Config(), 77)


def test_another_seed_gives_another_picture() -> None:
    assert garden.draw(garden.Config(), 5) != garden.draw(garden.Config(seed=1), 5)


def test_two_workers_draw_what_one_draws(tmp_path: Path) -> None:
    config = garden.Config(images=60)
    alone = garden.fetch(config, tmp_path / "alone", workers=1)
    shared = garden.fetch(config, tmp_path / "shared", workers=2)
    assert alone == shared
    for file in alone:
        assert (tmp_path / "alone" / file.path).read_bytes() == (tmp_path / "shared" / file.path).read_bytes()


@pytest.mark.parametrize(
    "disabled", ["AVX512F AVX512CD AVX512_SKX X86_V4", "AVX512F AVX512CD AVX512_SKX X86_V4 AVX2 FMA3 X86_V3"]
)
def test_numpy_without_wide_registers_draws_the_same(disabled: str) -> None:
    indices = list(range(0, 120, 11))
    code = (
        "import hashlib; from bitbloom.sources import garden\n"
        f"for i in {indices}: print(hashlib.sha256(garden.draw(garden.Config(), i)[0]).hexdigest())"
    )
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": disabled, "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", code]
    lines = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()
    assert lines == [digest(garden.draw(garden.Config(), index)[0]) for index in indices]


@given(index=st.integers(0, 100_000))
@settings(max_examples=40, deadline=None)
def test_every_picture_is_described_in_full(index: int) -> None:
    _, label, attributes = garden.draw(garden.Config(), index)
    assert set(attributes) == ATTRIBUTES
    assert json.loads(json.dumps(attributes)) == attributes
    assert attributes["species"] == label
    assert attributes["count"] in {1, 2, 3, 4}


def test_a_larger_garden_begins_with_the_smaller_one() -> None:
    assert garden.draw(garden.Config(images=24), 13) == garden.draw(garden.Config(images=5000), 13)


@pytest.mark.parametrize("size", [48, 96, 160])
def test_pictures_have_the_size_asked_for(size: int) -> None:
    jpeg, _, _ = garden.draw(garden.Config(size=size), 3)
    picture = Image.open(io.BytesIO(jpeg))
    assert (picture.size, picture.mode, picture.format) == ((size, size), "RGB", "JPEG")


def test_files_are_named_sorted_and_balanced(tmp_path: Path) -> None:
    files = garden.fetch(garden.Config(images=36, size=48), tmp_path)
    paths = [file.path for file in files]
    assert paths == sorted(paths)
    assert paths[0] == "bellflower/bellflower-00000.jpg"
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.jpg")) == paths
    assert Counter(file.label for file in files) == {species.name: 3 for species in SPECIES}


def test_every_colour_is_shared_by_three_species() -> None:
    sharing = Counter(colour for species in SPECIES for colour in species.colours)
    assert all(count >= 3 for count in sharing.values()), sharing


@pytest.mark.parametrize("module", sorted(Path(garden.__file__).parent.glob("*.py")), ids=lambda path: path.stem)
def test_only_exact_arithmetic_is_used(module: Path) -> None:
    tree = ast.parse(module.read_text())
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names}
    operators = {type(node) for node in ast.walk(tree)} & {ast.Pow, ast.MatMult}
    assert not used & FORBIDDEN
    assert not imported & {"math", "cmath", "random", "scipy"}
    assert not operators
