"""The garden: reproducible pictures with complete attributes, and species that differ by shape."""

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

from bitbloom.data.sources import garden
from bitbloom.data.sources.garden.species import SPECIES

ATTRIBUTES = {"background", "centre", "colour", "count", "light", "occluded", "size", "species", "view"}
# Functions whose last bit differs between C libraries or SIMD levels, or whose order of summation is not defined.
FORBIDDEN = {
    *("sin", "cos", "tan", "arcsin", "arccos", "arctan", "arctan2", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh"),
    *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "power", "pow", "cbrt", "hypot"),
    *("normal", "standard_normal", "gamma", "beta", "exponential", "poisson", "gauss"),
    *("dot", "matmul", "einsum", "inner", "tensordot", "linalg", "sum", "mean", "std", "var"),
}
# SHA-256 of the JPEG of one picture of every species. A change of the drawing code changes them. This is
# a new data set, so change them in the same commit as digests/petals.json.
PINNED = {
    0: "6c7813d45492ebc882920cdbeb01df44c99024ddf5307af75a259cebbf5cf66d",
    13: "f70ea74b09921e9e2791415d5dbe0acffe07134569bb34500d3d705db334ef90",
    26: "f317bd5ee99a2ae5ea786be6b19e57d31c65e79dc1f5660e7f264304b3d32a68",
    39: "99e1847b6439e17fa9c4aff1537c8d529293b0c8d207b0c8c313adeb476c9a9c",
    52: "6d86f1124600414252c6bc6d4f6186cbeb4dc1e0a3dfaae7c727e81b1d725e60",
    65: "372693b27d55729921db538d7a902ad7040ccbcac3cd9ef9d25baffa680937ee",
    78: "bfedf1974d473336a82a562d85529e7c801f04808202bdaf04a097a8722f5ddf",
    91: "95bd2564a2b957c195429f31f6f47d139e090a1120e0ffae22b4fc66fbd31ec6",
    104: "9ea490155653d8670df111c6a4b440424a32b99c1113c101c699003eacd28723",
    117: "5ee4d54f5b567ab08b579c6a2e15ea92e6551f931feb6cd5f0db22683240a9a8",
    130: "b8d56926914b0b84a0086c6ef77f7d914eda9a1dfdbe049ea2b357f15a72adbf",
    143: "f090b8c7ac23be995a2a2b611de5bbe232bbc75e3ec68a592257741c1a382742",
}


def digest(jpeg: bytes) -> str:
    return hashlib.sha256(jpeg).hexdigest()


@pytest.mark.parametrize("index", PINNED)
def test_pictures_have_pinned_bytes(index: int) -> None:
    jpeg, _, _ = garden.draw(garden.Config(), index)
    assert digest(jpeg) == PINNED[index]


def test_drawing_is_reproducible() -> None:
    assert garden.draw(garden.Config(), 77) == garden.draw(garden.Config(), 77)


def test_seed_changes_picture() -> None:
    assert garden.draw(garden.Config(), 5) != garden.draw(garden.Config(seed=1), 5)


def test_pictures_do_not_depend_on_number_of_workers(tmp_path: Path) -> None:
    config = garden.Config(images=60)
    alone = garden.fetch(config, tmp_path / "alone", workers=1)
    shared = garden.fetch(config, tmp_path / "shared", workers=2)
    assert alone == shared
    for file in alone:
        assert (tmp_path / "alone" / file.path).read_bytes() == (tmp_path / "shared" / file.path).read_bytes()


@pytest.mark.parametrize(
    "environment",
    [
        {"NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR"},
        {"NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"},
        {"JSIMD_FORCENONE": "1"},
    ],
    ids=["numpy without AVX-512", "numpy without AVX2", "JPEG without SIMD"],
)
def test_pictures_do_not_depend_on_instruction_set(environment: dict[str, str]) -> None:
    indices = list(range(0, 120, 11))
    code = (
        "import hashlib; from bitbloom.data.sources import garden\n"
        f"for i in {indices}: print(hashlib.sha256(garden.draw(garden.Config(), i)[0]).hexdigest())"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    run = subprocess.run(command, env=os.environ | environment, check=True, capture_output=True, text=True)
    assert run.stdout.split() == [digest(garden.draw(garden.Config(), index)[0]) for index in indices]


@given(index=st.integers(0, 100_000))
@settings(max_examples=40)
def test_every_picture_has_all_attributes(index: int) -> None:
    _, label, attributes = garden.draw(garden.Config(), index)
    assert set(attributes) == ATTRIBUTES
    assert json.loads(json.dumps(attributes)) == attributes
    assert attributes["species"] == label
    assert attributes["count"] in {1, 2, 3, 4}


def test_pictures_do_not_depend_on_size_of_garden() -> None:
    assert garden.draw(garden.Config(images=24), 13) == garden.draw(garden.Config(images=5000), 13)


@pytest.mark.parametrize("size", [48, 96, 160])
def test_pictures_have_configured_size(size: int) -> None:
    jpeg, _, _ = garden.draw(garden.Config(size=size), 3)
    picture = Image.open(io.BytesIO(jpeg))
    assert (picture.size, picture.mode, picture.format) == ((size, size), "RGB", "JPEG")


def test_files_are_sorted_and_balanced(tmp_path: Path) -> None:
    files = garden.fetch(garden.Config(images=36, size=48), tmp_path)
    paths = [file.path for file in files]
    assert paths == sorted(paths)
    assert paths[0] == "bellflower/bellflower-00000.jpg"
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.jpg")) == paths
    assert Counter(file.label for file in files) == {species.name: 3 for species in SPECIES}


def test_every_colour_occurs_in_three_species() -> None:
    sharing = Counter(colour for species in SPECIES for colour in species.colours)
    assert all(count >= 3 for count in sharing.values()), sharing


@pytest.mark.parametrize("module", sorted(Path(garden.__file__).parent.glob("*.py")), ids=lambda path: path.stem)
def test_uses_only_exact_arithmetic(module: Path) -> None:
    tree = ast.parse(module.read_text())
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names}
    operators = {type(node) for node in ast.walk(tree)} & {ast.Pow, ast.MatMult}
    assert not used & FORBIDDEN
    assert not imported & {"math", "cmath", "random", "scipy"}
    assert not operators
