"""The generated pages of the site, compared with what they describe."""

from __future__ import annotations

import dataclasses
import re

import pytest
import yaml

from bitbloom.config import models, sections
from bitbloom.config.target import params_path
from bitbloom.data import sources
from bitbloom.pipeline import composition
from docsite import commands, config_reference, make_targets, mirror, modules
from support import documents, makefiles
from support.tiny import REPOSITORY


@pytest.fixture(autouse=True)
def in_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


def test_every_make_target_has_a_row():
    shown = re.findall(r"^\| `make ([\w-]+)` \| (.+?) \|", make_targets.page(REPOSITORY), re.MULTILINE)
    assert sorted(name for name, _ in shown) == sorted(makefiles.targets())
    assert all(words.strip() for _, words in shown)


def test_sections_of_make_are_those_of_the_help():
    written = [line.partition(" (")[0] for line in re.findall(r"^##@ (.*)$", makefiles.text(), re.MULTILINE)]
    assert sorted(section.title for section in make_targets.sections(REPOSITORY)) == sorted(written)


def test_every_key_of_a_composed_target_is_in_the_reference():
    described = {key.name for _, _, keys in config_reference.tables(REPOSITORY) for key in keys}
    for target in composition.targets():
        for name in leaves(yaml.safe_load(params_path(target).read_text(encoding="utf-8"))):
            assert name in described or re.sub(r"^model\.(image|text)\.", "model.", name) in described, (target, name)


def leaves(tree: object, prefix: str = "") -> list[str]:
    """The dotted keys of a composed tree; a mapping of files or counts by name is one key."""
    if not isinstance(tree, dict) or prefix in ("source.zips.", "source.counts."):
        return [prefix.rstrip(".")]
    return [name for key, value in tree.items() for name in leaves(value, f"{prefix}{key}.")]


def test_every_key_has_a_meaning():
    silent = [key.name for _, _, keys in config_reference.tables(REPOSITORY) for key in keys if not key.meaning]
    assert silent == []


def test_each_meaning_beside_the_code_is_of_a_key_without_a_docstring():
    written = yaml.safe_load((REPOSITORY / config_reference.KEYS).read_text(encoding="utf-8"))
    kinds = [("", composition.Base)]
    kinds += [(f"{name}.", sections.section_type(name)) for name in sections.names()]
    kinds += [("model.", models.model_type(name)) for name in models.kinds()]
    kinds += [("source.", sources.load(name).Config) for name in sources.kinds()]
    nested = [
        (f"{prefix}{each.name}.", type(config_reference.default(each)))
        for prefix, kind in kinds
        for each in dataclasses.fields(kind)
    ]
    silent = {
        f"{prefix}{each.name}"
        for prefix, kind in [*kinds, *nested]
        if dataclasses.is_dataclass(kind)
        for each in dataclasses.fields(kind)
        if each.name not in config_reference.meanings(kind)
    }
    assert set(written) <= silent


def test_default_is_that_of_the_dataclass():
    rows = {key.name: key for _, _, keys in config_reference.tables(REPOSITORY) for key in keys}
    assert rows["train.learning_rate"].default == "`0.001`"
    assert rows["train.head_learning_rate"].type == r"float \| None"
    assert rows["source.url"].default == "required"
    assert rows["source.favourite"].meaning == "Probability that a flower has the most common colour of its species."
    assert rows["model.stem"].meaning.endswith("One of `patch`, `conv`.")
    assert rows["service.max_batch"].meaning.endswith("At least 1.")


def test_every_command_has_a_section():
    page = commands.page()
    for name in ("build", "predict", "verify", "check-attestation"):
        assert f"## `bitbloom {name}`" in page


def test_every_public_module_has_a_page():
    pages = modules.pages(REPOSITORY)
    assert "docs/reference/code/core/canonical.md" in pages
    assert "docs/reference/code/tasks/petals.model.md" in pages
    assert "::: bitbloom.numerics\n" in pages["docs/reference/code/numerics/index.md"]
    linked = str(modules.navigation(REPOSITORY))
    assert all(page in linked for page in pages)


def test_pages_that_others_link_to_are_reached():
    reached = mirror.reachable(REPOSITORY)
    assert {"CONTRIBUTING.md", "LICENSE", "deploy/proxy/nginx.conf", "bentos/common/image/README.md"} <= reached
    assert {page for page in documents.pages() if page.startswith("docs/")} <= reached


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("1. a\n\n   ```sh\n   make\n   ```\n\n2. b\n", "1. a\n\n    ```sh\n    make\n    ```\n\n2. b\n"),
        ("- a\n  b\n  - c\n    d\n\ne\n", "- a\n    b\n    - c\n        d\n\ne\n"),
        ("```text\n- a\n  b\n```\n  c\n", "```text\n- a\n  b\n```\n  c\n"),
        ("a\n\n| b |\n| - |\n", "a\n\n| b |\n| - |\n"),
    ],
)
def test_lists_are_indented_as_mkdocs_reads_them(given, wanted):
    assert mirror.reindented(given) == wanted
