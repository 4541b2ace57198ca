"""Packaging: equal inputs give equal bytes on every machine and at any time, with a version from their content."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time

import pytest

from bitbloom.core.errors import BitBloomError
from bitbloom.core.imports import ROOT
from bitbloom.data.sources import garden
from bitbloom.serving import archive, bento, build
from bitbloom.serving.settings import LOCK, SETTINGS
from bitbloom.serving.store import install
from bitbloom.stages import package
from support.standin import REPOSITORY, make_target, write_workspace

ELSEWHERE = """
import os, sys, time
os.umask(0o077)
time.tzset()
sys.path.insert(0, sys.argv[1])
from support.standin import make_target, package
package.run(make_target())
"""


def names(path):
    with tarfile.open(path, "r:xz") as packed:
        return packed.getnames()


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_bytes_do_not_depend_on_folder_umask_zone_language_or_user(workspace, tmp_path):
    other = write_workspace(tmp_path / "a longer name, with spaces" / "and depth")
    variables = {"TZ": "Asia/Kathmandu", "LC_ALL": "C", "USER": "somebody", "HOME": str(tmp_path), "PYTHONHASHSEED": "7"}
    variables |= {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "BENTOML_HOME": str(tmp_path / "nowhere"),
        "TMPDIR": str(tmp_path),
    }
    subprocess.run([sys.executable, "-c", ELSEWHERE, str(REPOSITORY / "tests")], cwd=other, env=variables, check=True)
    for output in ("dist/petals.bento", "reports/petals/bento.json"):
        assert (other / output).read_bytes() == (workspace / output).read_bytes()


def test_bento_contains_no_path_host_or_date_of_its_build(workspace):
    with tarfile.open(workspace / "dist/petals.bento", "r:xz") as packed:
        content = {name: packed.extractfile(name).read() for name in packed.getnames()}
    traces = [str(workspace), str(REPOSITORY), sys.prefix, os.uname().nodename, time.strftime("%Y-%m-%d")]
    words = {trace: re.compile(rb"(?<!\w)" + re.escape(trace.encode()) + rb"(?!\w)") for trace in traces}
    assert [(name, trace) for name, data in content.items() for trace, word in words.items() if word.search(data)] == []


def test_bento_contains_only_what_serving_needs(workspace):
    members = set(names(workspace / "dist/petals.bento"))
    assert {
        "bento.yaml",
        "src/service.py",
        "src/model.onnx",
        "src/reference.parquet",
        "src/familiar.npy",
        "src/page/index.html",
        "src/bitbloom/serving/image_app.py",
    } <= members
    assert not members & {
        "src/bitbloom/pipeline/composition.py",
        "src/bitbloom/serving/pages.py",
        "src/bitbloom/config/target.py",
        "src/bitbloom/serving/build.py",
        "src/models",
    }


def test_report_lists_every_file_and_the_digest(workspace, tmp_path):
    report = package.canonical.read_json(workspace / "reports/petals/bento.json")
    with tarfile.open(workspace / "dist/petals.bento", "r:xz") as packed:
        packed.extractall(tmp_path)
    assert {name: facts["sha256"] for name, facts in report["files"].items()} == bento.files(tmp_path)
    assert report["digest"] == bento.digest(tmp_path)
    assert report["version"] == report["digest"][:16]


def test_requirements_of_the_image_are_the_lock_with_hashes(workspace):
    lock = (workspace / "requirements-serve.lock").read_bytes()
    assert archive.read(workspace / "dist/petals.bento", "env/python/requirements.txt") == lock


@pytest.mark.parametrize("changed", ["requirements.lock", "models/petals/model.onnx", "models/petals/config.json"])
def test_provenance_changes_with_lock_model_and_data(workspace, tmp_path, changed):
    shutil.copytree(workspace, tmp_path / "changed")
    file = tmp_path / "changed" / changed
    file.write_text('{"data_digest": "e"}' if changed.endswith("json") else "changed")
    with contextlib.chdir(workspace):
        before = package.provenance(make_target())
    with contextlib.chdir(tmp_path / "changed"):
        assert package.provenance(make_target()) != before


def assembled(folder, task, kind, **settings):
    """The service of a task from the layers of this repository, without a model."""
    with contextlib.chdir(REPOSITORY):
        build.assemble(folder, task, kind, {}, {SETTINGS: {"title": "Our plants"} | settings})
    return folder


@pytest.mark.parametrize("kind", ["image", "text", "caption"])
def test_task_without_a_folder_has_the_service_and_page_of_its_kind(tmp_path, kind):
    folder = assembled(tmp_path, "leaves", kind, title="Roses & <thorns>")
    assert (folder / "service.py").read_bytes() == (REPOSITORY / "bentos/common" / kind / "service.py").read_bytes()
    page = (folder / "page/index.html").read_text()
    assert "<h1>Roses &amp; &lt;thorns&gt;</h1>" in page
    for name in re.findall(r"(?:src|href)=\"(page/[^\"]+)\"", page):
        assert (folder / name).is_file()


@pytest.mark.parametrize(("task", "kind"), [("petals", "image"), ("tweets", "text"), ("captions", "caption")])
def test_task_replaces_texts_in_the_page_of_its_kind(tmp_path, task, kind):
    (tmp_path / "own").mkdir()
    (tmp_path / "neutral").mkdir()
    own = assembled(tmp_path / "own", task, kind) / "page/index.html"
    neutral = assembled(tmp_path / "neutral", "leaves", kind) / "page/index.html"
    found = [set(re.findall(r'id="([^"]+)"', page.read_text())) for page in (own, neutral)]
    assert found[1] <= found[0]
    assert "Our plants" in neutral.read_text()
    assert "Our plants" not in own.read_text()
    assert (own.parent / "page.js").read_bytes() == (neutral.parent / "page.js").read_bytes()


@pytest.mark.parametrize(("task", "kind"), [("petals", "image"), ("captions", "caption")])
def test_page_for_photos_offers_a_sample_photo_that_the_garden_draws(tmp_path, task, kind):
    folder = assembled(tmp_path, task, kind)
    [address] = re.findall(r'id="sample"[^>]* data-photo="([^"]+)"', (folder / "page/index.html").read_text())
    assert (folder / address).read_bytes() == garden.draw(garden.Config(seed=2, size=384), 10)[0]


@pytest.mark.parametrize("kind", ["image", "caption"])
def test_page_of_a_task_without_a_sample_photo_offers_none(tmp_path, kind):
    assert 'id="sample"' not in (assembled(tmp_path, "leaves", kind) / "page/index.html").read_text()


def test_service_contains_no_templates_and_no_layers_of_other_kinds(tmp_path):
    folder = assembled(tmp_path, "petals", "image")
    assert [path for path in folder.rglob("*") if path.suffix == ".j2"] == []
    assert not (folder / "page/texts.css").exists()
    assert "{%" not in (folder / "page/index.html").read_text()


@pytest.mark.parametrize("task", ["petals", "leaves"])
def test_readme_joins_those_of_task_kind_and_base(tmp_path, task):
    text = (assembled(tmp_path, task, "image") / "README.md").read_text()
    own = REPOSITORY / "bentos" / task / "README.md"
    files = [own] * own.exists() + [REPOSITORY / "bentos/common" / name / "README.md" for name in ("image", "base")]
    assert text == "\n".join(file.read_text() for file in files)


@pytest.fixture
def layers(tmp_path, monkeypatch):
    """A function that writes a workspace with only these layers: files by their path in bentos/. It returns the context."""

    def write(**files):
        for name, text in files.items():
            path = tmp_path / "bentos" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        monkeypatch.chdir(tmp_path)
        (tmp_path / "context").mkdir()
        return tmp_path / "context"

    return write


def test_later_layer_replaces_files_of_earlier_ones(layers):
    files = {f"{folder}/page/{name}": folder for folder in ("common/base", "common/image") for name in ("a.css", "b.css")}
    context = layers(**files, **{"common/base/page/c.css": "base", "leaves/page/a.css": "leaves", "leaves/service.py": ""})
    build.assemble(context, "leaves", "image", {}, {SETTINGS: {}})
    found = {path.name: path.read_text() for path in (context / "page").iterdir()}
    assert found == {"a.css": "leaves", "b.css": "common/image", "c.css": "base"}


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ('{% extends "tweets/page/index.html" %}', "no template 'tweets/page/index.html'"),
        ("{{ service.subtitle }}", "no attribute 'subtitle'"),
        ("{% block open %}", "leaves/page/index.html, line 1"),
        ('{% extends "common/base/page/shell.html.j2" %}', "block 'words'"),
    ],
)
def test_rendering_error_names_the_file_and_the_reason(layers, page, reason):
    shell = "{% block words required %}{% endblock %}"
    context = layers(
        **{
            "leaves/page/index.html": page,
            "leaves/service.py": "",
            "tweets/page/index.html": "",
            "common/base/page/shell.html.j2": shell,
        }
    )
    with pytest.raises(BitBloomError, match=re.escape(reason)) as error:
        build.assemble(context, "leaves", "image", {}, {SETTINGS: {"title": "Leaves"}})
    assert "bentos/leaves/page/index.html" in str(error.value)


def test_missing_service_error_names_the_layers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BitBloomError, match=r"bentos/nothing/service\.py is missing, and bentos/common/image has none"):
        build.assemble(tmp_path, "nothing", "image", {}, {})


def test_missing_input_error_names_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(BitBloomError, match=r"gone\.onnx is missing"):
        build.assemble(tmp_path, "petals", "image", {"model.onnx": tmp_path / "gone.onnx"}, {})


def test_error_of_a_broken_service_has_the_message_of_its_import(tmp_path):
    (tmp_path / "service.py").write_text("import nowhere_to_be_found\n")
    (tmp_path / LOCK).write_text("")
    with pytest.raises(BitBloomError, match="nowhere_to_be_found"), build.built(tmp_path, "broken", {}):
        pass


def test_installs_as_latest_and_a_second_install_changes_nothing(workspace, home):
    tag = install(workspace / "dist/petals.bento")
    version = tag.partition(":")[2]
    folder = home / "bentos" / "petals" / version
    before = (folder / "bento.yaml").stat().st_mtime_ns
    assert install(workspace / "dist/petals.bento") == tag
    assert (folder / "bento.yaml").stat().st_mtime_ns == before
    assert (home / "bentos/petals/latest").read_text() == version


def test_installing_an_older_bento_makes_it_the_latest(workspace, home):
    tag = install(workspace / "dist/petals.bento")
    (home / "bentos/petals/latest").write_text("another")
    install(workspace / "dist/petals.bento")
    assert (home / "bentos/petals/latest").read_text() == tag.partition(":")[2]


def test_install_replaces_an_installed_bento_with_changed_files(workspace, home):
    version = install(workspace / "dist/petals.bento").partition(":")[2]
    folder = home / "bentos" / "petals" / version
    (folder / "src/service.py").write_text("changed")
    install(workspace / "dist/petals.bento")
    assert bento.version(bento.digest(folder)) == version


def test_digest_ignores_bytecode_and_dockerfile(workspace, home):
    version = install(workspace / "dist/petals.bento").partition(":")[2]
    folder = home / "bentos" / "petals" / version
    (folder / "src/__pycache__").mkdir()
    (folder / "src/__pycache__/service.cpython-311.pyc").write_bytes(b"bytecode")
    (folder / "env/docker/Dockerfile").write_text("FROM elsewhere")
    assert bento.version(bento.digest(folder)) == version


def test_bentoml_import_accepts_the_archive(workspace, home):
    environment = os.environ | {"BENTOML_DO_NOT_TRACK": "True"}
    command = [sys.executable, "-m", "bentoml", "import", str(workspace / "dist/petals.bento")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    version = package.canonical.read_json(workspace / "reports/petals/bento.json")["version"]
    assert version in done.stdout
    assert bento.version(bento.digest(home / "bentos" / "petals" / version)) == version


def test_rejects_file_that_is_not_a_bento(tmp_path, home):
    (tmp_path / "words.bento").write_bytes(b"words")
    with pytest.raises(BitBloomError, match="not an archive of a Bento"):
        install(tmp_path / "words.bento")
    with pytest.raises(BitBloomError, match="make package"):
        install(tmp_path / "nothing.bento")


def test_rejects_archive_of_another_digest_and_leaves_no_file(workspace, tmp_path, home):
    folder = tmp_path / "forged"
    with tarfile.open(workspace / "dist/petals.bento", "r:xz") as packed:
        packed.extractall(folder)
    (folder / "src/service.py").write_text("import os\n")
    archive.write(folder, tmp_path / "forged.bento")
    with pytest.raises(BitBloomError, match="holds other files"):
        install(tmp_path / "forged.bento")
    assert [path for path in (home / "bentos").rglob("*") if path.is_file()] == []
