"""Packaging: the same inputs give the same bytes wherever and whenever, named by their content."""

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


def test_two_builds_in_other_folders_with_other_umask_zone_language_and_user_give_the_same_bytes(workspace, tmp_path):
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


def test_no_byte_of_the_bento_knows_where_or_by_which_python_it_was_built(workspace):
    with tarfile.open(workspace / "dist/petals.bento", "r:xz") as packed:
        content = {name: packed.extractfile(name).read() for name in packed.getnames()}
    places = [str(workspace), str(REPOSITORY), sys.prefix, os.uname().nodename, time.strftime("%Y-%m-%d")]
    assert [(name, place) for name, data in content.items() for place in places if place.encode() in data] == []


def test_the_bento_holds_what_serving_needs_and_nothing_else(workspace):
    held = set(names(workspace / "dist/petals.bento"))
    assert {"bento.yaml", "src/service.py", "src/model.onnx", "src/page/index.html", "src/bitbloom/serving/image_app.py"} <= held
    assert not held & {
        "src/bitbloom/pipeline/composition.py",
        "src/bitbloom/serving/pages.py",
        "src/bitbloom/config/target.py",
        "src/bitbloom/serving/build.py",
        "src/models",
    }


def test_the_report_names_every_file_and_the_digest_they_make(workspace, tmp_path):
    report = package.canonical.read_json(workspace / "reports/petals/bento.json")
    with tarfile.open(workspace / "dist/petals.bento", "r:xz") as packed:
        packed.extractall(tmp_path)
    assert {name: facts["sha256"] for name, facts in report["files"].items()} == bento.files(tmp_path)
    assert report["digest"] == bento.digest(tmp_path)
    assert report["version"] == report["digest"][:16]


def test_the_requirements_of_the_image_are_the_lock_with_its_hashes(workspace):
    lock = (workspace / "requirements-serve.lock").read_bytes()
    assert archive.read(workspace / "dist/petals.bento", "env/python/requirements.txt") == lock


@pytest.mark.parametrize("changed", ["requirements.lock", "models/petals/model.onnx", "models/petals/config.json"])
def test_another_lock_model_or_data_gives_another_provenance(workspace, tmp_path, changed):
    shutil.copytree(workspace, tmp_path / "changed")
    file = tmp_path / "changed" / changed
    file.write_text('{"data_digest": "e"}' if changed.endswith("json") else "changed")
    with contextlib.chdir(workspace):
        before = package.provenance(make_target())
    with contextlib.chdir(tmp_path / "changed"):
        assert package.provenance(make_target()) != before


def assembled(folder, task, kind, **settings):
    """The service of a task by the layers of this repository, without a model."""
    with contextlib.chdir(REPOSITORY):
        build.assemble(folder, task, kind, {}, {SETTINGS: {"title": "Our plants"} | settings})
    return folder


@pytest.mark.parametrize("kind", ["image", "text", "caption"])
def test_a_task_without_a_folder_has_the_service_and_page_of_its_kind(tmp_path, kind):
    folder = assembled(tmp_path, "leaves", kind, title="Roses & <thorns>")
    assert (folder / "service.py").read_bytes() == (REPOSITORY / "bentos/common" / kind / "service.py").read_bytes()
    page = (folder / "page/index.html").read_text()
    assert "<h1>Roses &amp; &lt;thorns&gt;</h1>" in page
    for name in re.findall(r"(?:src|href)=\"(page/[^\"]+)\"", page):
        assert (folder / name).is_file()


@pytest.mark.parametrize(("task", "kind"), [("petals", "image"), ("tweets", "text"), ("captions", "caption")])
def test_a_task_has_its_own_words_in_the_page_of_its_kind(tmp_path, task, kind):
    (tmp_path / "own").mkdir()
    (tmp_path / "neutral").mkdir()
    own = assembled(tmp_path / "own", task, kind) / "page/index.html"
    neutral = assembled(tmp_path / "neutral", "leaves", kind) / "page/index.html"
    found = [set(re.findall(r'id="([^"]+)"', page.read_text())) for page in (own, neutral)]
    assert found[1] <= found[0]
    assert "Our plants" in neutral.read_text()
    assert "Our plants" not in own.read_text()
    assert (own.parent / "page.js").read_bytes() == (neutral.parent / "page.js").read_bytes()


def test_templates_of_pages_and_layers_of_other_kinds_stay_out_of_a_service(tmp_path):
    folder = assembled(tmp_path, "petals", "image")
    assert [path for path in folder.rglob("*") if path.suffix == ".j2"] == []
    assert not (folder / "page/texts.css").exists()
    assert "{%" not in (folder / "page/index.html").read_text()


@pytest.mark.parametrize("task", ["petals", "leaves"])
def test_the_readme_of_a_bento_is_that_of_the_task_its_kind_and_all_services(tmp_path, task):
    text = (assembled(tmp_path, task, "image") / "README.md").read_text()
    own = REPOSITORY / "bentos" / task / "README.md"
    files = [own] * own.exists() + [REPOSITORY / "bentos/common" / name / "README.md" for name in ("image", "base")]
    assert text == "\n".join(file.read_text() for file in files)


@pytest.fixture
def layers(tmp_path, monkeypatch):
    """A workspace with layers of its own: files by their path in bentos/."""

    def write(**files):
        for name, text in files.items():
            path = tmp_path / "bentos" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        monkeypatch.chdir(tmp_path)
        (tmp_path / "context").mkdir()
        return tmp_path / "context"

    return write


def test_a_file_of_a_later_layer_stands_in_for_that_of_an_earlier_one(layers):
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
def test_a_page_that_cannot_be_rendered_is_an_error_that_says_where_and_why(layers, page, reason):
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


def test_a_kind_without_a_service_is_an_error_that_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BitBloomError, match=r"bentos/nothing/service\.py is missing, and bentos/common/image has none"):
        build.assemble(tmp_path, "nothing", "image", {}, {})


def test_a_missing_input_is_an_error_that_names_it(tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(BitBloomError, match=r"gone\.onnx is missing"):
        build.assemble(tmp_path, "petals", "image", {"model.onnx": tmp_path / "gone.onnx"}, {})


def test_a_service_that_does_not_import_is_an_error_with_the_words_of_bentoml(tmp_path):
    (tmp_path / "service.py").write_text("import nowhere_to_be_found\n")
    (tmp_path / LOCK).write_text("")
    with pytest.raises(BitBloomError, match="nowhere_to_be_found"), build.built(tmp_path, "broken", {}):
        pass


def test_an_installed_bento_is_the_latest_and_installing_again_changes_nothing(workspace, home):
    tag = install(workspace / "dist/petals.bento")
    version = tag.partition(":")[2]
    place = home / "bentos" / "petals" / version
    before = (place / "bento.yaml").stat().st_mtime_ns
    assert install(workspace / "dist/petals.bento") == tag
    assert (place / "bento.yaml").stat().st_mtime_ns == before
    assert (home / "bentos/petals/latest").read_text() == version


def test_an_older_bento_becomes_the_latest_again_when_it_is_installed(workspace, home):
    tag = install(workspace / "dist/petals.bento")
    (home / "bentos/petals/latest").write_text("another")
    install(workspace / "dist/petals.bento")
    assert (home / "bentos/petals/latest").read_text() == tag.partition(":")[2]


def test_an_installed_bento_whose_files_were_changed_is_replaced(workspace, home):
    version = install(workspace / "dist/petals.bento").partition(":")[2]
    place = home / "bentos" / "petals" / version
    (place / "src/service.py").write_text("changed")
    install(workspace / "dist/petals.bento")
    assert bento.version(bento.digest(place)) == version


def test_bytecode_and_a_dockerfile_written_anew_do_not_change_the_digest(workspace, home):
    version = install(workspace / "dist/petals.bento").partition(":")[2]
    place = home / "bentos" / "petals" / version
    (place / "src/__pycache__").mkdir()
    (place / "src/__pycache__/service.cpython-311.pyc").write_bytes(b"bytecode")
    (place / "env/docker/Dockerfile").write_text("FROM elsewhere")
    assert bento.version(bento.digest(place)) == version


def test_bentoml_imports_the_archive_by_itself(workspace, home):
    environment = os.environ | {"BENTOML_DO_NOT_TRACK": "True"}
    command = [sys.executable, "-m", "bentoml", "import", str(workspace / "dist/petals.bento")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    version = package.canonical.read_json(workspace / "reports/petals/bento.json")["version"]
    assert version in done.stdout
    assert bento.version(bento.digest(home / "bentos" / "petals" / version)) == version


def test_a_file_that_is_no_bento_is_refused(tmp_path, home):
    (tmp_path / "words.bento").write_bytes(b"words")
    with pytest.raises(BitBloomError, match="not an archive of a Bento"):
        install(tmp_path / "words.bento")
    with pytest.raises(BitBloomError, match="make package"):
        install(tmp_path / "nothing.bento")


def test_an_archive_whose_content_is_not_its_version_is_refused_and_leaves_nothing(workspace, tmp_path, home):
    folder = tmp_path / "forged"
    with tarfile.open(workspace / "dist/petals.bento", "r:xz") as packed:
        packed.extractall(folder)
    (folder / "src/service.py").write_text("import os\n")
    archive.write(folder, tmp_path / "forged.bento")
    with pytest.raises(BitBloomError, match="holds other files"):
        install(tmp_path / "forged.bento")
    assert [path for path in (home / "bentos").rglob("*") if path.is_file()] == []
