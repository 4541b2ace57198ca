"""Models on the hub, against a local stand-in: push, check, and what they refuse."""

from __future__ import annotations

import functools
import subprocess

import pytest
from huggingface_hub import ModelCard, constants

from bitbloom.config.sections.dataset import Dataset
from bitbloom.core import canonical
from bitbloom.core.digests import digest, file_digest, size
from bitbloom.evaluation.report import card
from bitbloom.evaluation.report.content import Content, DataFacts
from bitbloom.hub import files
from bitbloom.pipeline import claim, composition
from bitbloom.provenance import attestation
from support import hub as standin
from support.command_line import run
from support.tiny import REPOSITORY

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")  # of the client's upload by LFS

TARGET, REPO = "captions-tiny", "org/name"
"""A target with a folder among its files: the search index."""
COPIED = ("conf", "params", "pipelines", "bentos", "expectations", "LICENSE", "NOTICE")
CONTENT = Content(
    TARGET,
    "captions",
    "Captions",
    "garden_captions",
    "portable",
    metrics={"cider_d": 0.5},
    pictures=[],
    tables={},
    history={},
    model={"kind": "caption", "architecture": "captioner"},
    splits={"test": 3},
    data=DataFacts(Dataset(licence="apache-2.0", language="en")),
)


def write_outputs(target):
    """Write a small file for every output of the target, and its digests."""
    for path in claim.artifacts(target):
        file = files.Path(path)
        file = file / "one" if path.endswith("index") else file
        canonical.write_bytes(file, f"content of {path}".encode())
    canonical.write_text(files.Path(f"reports/{target}/model_card.md"), card.render(CONTENT))
    current = {path: {"sha256": digest(files.Path(path)), "bytes": size(files.Path(path))} for path in claim.artifacts(target)}
    canonical.write_json(files.Path(f"digests/{target}.json"), current)


@pytest.fixture(scope="module", autouse=True)
def _graph_once():
    """Compose a target and read its graph once: neither changes during the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(composition, "compose", functools.cache(composition.compose))
        patch.setattr(claim, "artifacts", functools.cache(claim.artifacts))
        yield


def git(*words):
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """A built and committed checkout of one target."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in COPIED:
        (folder / name).symlink_to(REPOSITORY / name)
    (folder / ".gitignore").write_text("/data/\n/models/\n/dist/\n/reports/\n/.bitbloom/\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_outputs(TARGET)
        git("init", "--quiet")
        git("add", "--all")
        git("commit", "--quiet", "--message", "all")
    return folder


@pytest.fixture
def checkout(pristine, tmp_path, monkeypatch):
    subprocess.run(["cp", "--archive", str(pristine), str(tmp_path / "checkout")], check=True)
    monkeypatch.chdir(tmp_path / "checkout")
    return tmp_path / "checkout"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with standin.serving(monkeypatch, tmp_path) as server:
        monkeypatch.setenv("HF_TOKEN", standin.TOKEN)
        yield server


@pytest.fixture
def pushed(checkout, hub, capsys):
    """The commit of a push to the hub."""
    code, out, err = run(capsys, "hub", "push", TARGET, REPO)
    assert code == 0, err
    return out.rpartition("@")[2].strip()


def published():
    models = {"model.safetensors", "config.json", "training.json", "ledger.jsonl", "parity.json"}
    models |= {"image.onnx", "text.onnx", "decoder.onnx", "index/one"}
    return models | {"README.md", "metrics.json", "bento.json", f"digests/{TARGET}.json", "LICENSE", "NOTICE"}


def test_push_commits_every_file_of_the_model_at_once(pushed, hub):
    found = hub.repositories[REPO].files(pushed)
    assert set(found) == published() | {".gitattributes"}
    assert found["model.safetensors"] == f"content of models/{TARGET}/model.safetensors".encode()
    assert hub.summaries == [f"{TARGET} of BitBloom {git('rev-parse', 'HEAD')}"]
    assert len([line for line in hub.requests if line.startswith("PUT /storage/")]) == 4  # the weights and three graphs


def test_published_card_has_metadata_commit_and_commands(pushed, hub, tmp_path):
    (tmp_path / "README.md").write_bytes(hub.repositories[REPO].files(pushed)["README.md"])
    found = ModelCard.load(tmp_path / "README.md")
    assert (found.data.pipeline_tag, found.data.license) == ("image-to-text", "apache-2.0")
    assert f"git checkout {git('rev-parse', 'HEAD')}\n    make verify TARGET={TARGET}" in found.text


def test_check_finds_every_file_equal(pushed, capsys):
    code, out, err = run(capsys, "hub", "check", f"{REPO}@{pushed}")
    assert (code, " NO " in out) == (0, False), err
    assert f"all {len(published())} files are as the digests say" in out


def test_push_of_the_same_files_makes_no_commit(pushed, hub, capsys):
    code, out, _ = run(capsys, "hub", "push", TARGET, REPO)
    assert (code, out.rpartition("@")[2].strip()) == (0, pushed)
    assert len(hub.summaries) == 1


def test_dry_run_lists_size_and_digest_and_calls_no_hub(checkout, hub, capsys):
    code, out, _ = run(capsys, "hub", "push", TARGET, REPO, "--dry-run")
    lines = {words[0]: words[1:] for line in out.splitlines() if (words := line.split())}
    assert code == 0
    assert published() <= set(lines)
    weights = checkout / f"models/{TARGET}/model.safetensors"
    assert lines["model.safetensors"] == [str(weights.stat().st_size), file_digest(weights)]
    assert f"{len(published())} files" in out and f"one commit in {REPO}" in out
    assert hub.requests == []


@pytest.mark.parametrize(
    ("name", "content", "row"),
    [
        ("model.safetensors", b"other weights", "model.safetensors"),
        ("index/two", b"one file more in a folder", "index"),
        ("NOTICE", b"", "NOTICE"),
        (f"digests/{TARGET}.json", b"{}", f"digests/{TARGET}.json"),
        ("pickle.bin", b"surplus", "pickle.bin"),
    ],
)
def test_check_names_the_different_file(pushed, hub, capsys, name, content, row):
    commit = hub.repositories[REPO].add({name: content})
    code, out, err = run(capsys, "hub", "check", f"{REPO}@{commit}")
    assert code == 1
    assert f"1 of {len(published()) + (name == 'pickle.bin')} files differ, the first is {row}" in err
    assert [line for line in out.splitlines() if row in line and " NO " in line]


def test_check_names_a_missing_file(pushed, hub, capsys):
    del hub.repositories[REPO].files(pushed)["decoder.onnx"]
    code, out, err = run(capsys, "hub", "check", f"{REPO}@{pushed}")
    assert (code, "the first is decoder.onnx" in err) == (1, True)
    assert "missing" in out


@pytest.mark.parametrize(
    ("old", "new"), [("Captions", "Better captions"), ("make verify", "curl | sh"), ("bento.json", "b.json")]
)
def test_check_compares_card_and_its_last_section(pushed, hub, capsys, old, new):
    readme = hub.repositories[REPO].files(pushed)["README.md"].decode()
    commit = hub.repositories[REPO].add({"README.md": readme.replace(old, new).encode()})
    code, _, err = run(capsys, "hub", "check", f"{REPO}@{commit}")
    assert (code, "the first is README.md" in err) == (1, True)


def test_check_reads_past_the_cache_of_earlier_downloads(pushed, hub, capsys):
    assert run(capsys, "hub", "check", f"{REPO}@{pushed}")[0] == 0
    hub.repositories[REPO].files(pushed)["config.json"] = b"changed under the same commit"
    assert run(capsys, "hub", "check", f"{REPO}@{pushed}")[0] == 1


@pytest.mark.parametrize("name", [REPO, f"{REPO}@main", f"{REPO}@0123abc", f"{REPO}@{'A' * 40}", f"@{'a' * 40}"])
def test_check_refuses_a_name_without_a_commit(checkout, hub, capsys, name):
    code, _, err = run(capsys, "hub", "check", name)
    assert (code, "org/name" in err) == (1, True)
    assert hub.requests == []


def test_check_refuses_a_path_that_leaves_the_folder(pushed, hub, capsys, tmp_path):
    commit = hub.repositories[REPO].add({"../outside": b"x"})
    code, _, err = run(capsys, "hub", "check", f"{REPO}@{commit}")
    assert (code, "leaves the folder" in err) == (1, True)


def test_check_needs_a_target_where_the_repository_names_none(checkout, hub, capsys):
    hub.repositories[REPO] = standin.Repository()
    commit = hub.repositories[REPO].add({"model.bin": b"x"})
    code, _, err = run(capsys, "hub", "check", f"{REPO}@{commit}")
    assert (code, "--target petals" in err) == (1, True)
    code, _, err = run(capsys, "hub", "check", f"{REPO}@{commit}", "--target", TARGET)
    assert (code, "files differ" in err) == (1, True)


def test_push_refuses_a_changed_checkout(checkout, hub, capsys):
    (checkout / "new.py").write_text("")
    code, _, err = run(capsys, "hub", "push", TARGET, REPO)
    assert (code, "uncommitted changes" in err) == (1, True)
    assert hub.requests == []


def test_push_refuses_a_model_with_other_digests(checkout, hub, capsys):
    (checkout / f"models/{TARGET}/decoder.onnx").write_bytes(b"other")
    code, _, err = run(capsys, "hub", "push", TARGET, REPO)
    assert code == 1
    assert f"outputs differ from digests/{TARGET}.json, the first is models/{TARGET}/decoder.onnx" in err
    assert hub.requests == []


def test_push_names_a_missing_output(checkout, hub, capsys):
    (checkout / f"models/{TARGET}/decoder.onnx").unlink()
    code, _, err = run(capsys, "hub", "push", TARGET, REPO)
    assert (code, f"make all TARGET={TARGET}" in err and "decoder.onnx is missing" in err) == (1, True)


@pytest.mark.parametrize("name", ["", "name", "a/b/c", "org/na me", f"{REPO}@main"])
def test_push_refuses_a_name_that_is_not_a_repository(checkout, hub, capsys, name):
    code, _, err = run(capsys, "hub", "push", TARGET, name)
    assert (code, "give org/name (REPO=org/name)" in err) == (1, True)


@pytest.mark.parametrize("token", [None, "hf_wrong"])
def test_push_without_rights_names_the_token_and_does_not_print_it(checkout, hub, capsys, monkeypatch, token):
    monkeypatch.delenv("HF_TOKEN")
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    code, out, err = run(capsys, "hub", "push", TARGET, REPO)
    assert (code, "set HF_TOKEN" in err) == (1, True)
    assert "hf_wrong" not in out + err
    assert hub.repositories == {}


def test_private_repository_is_created_private(checkout, hub, capsys):
    assert run(capsys, "hub", "push", TARGET, REPO, "--private")[0] == 0
    assert hub.repositories[REPO].private


def test_files_of_others_stay_and_are_named(pushed, hub, capsys):
    hub.repositories[REPO].add({"photo.jpg": b"x"})
    code, out, _ = run(capsys, "hub", "push", TARGET, REPO)
    assert (code, "photo.jpg" in out) == (0, True)


def test_unreachable_hub_is_an_error_of_one_line(checkout, hub, capsys):
    hub.lose()
    code, _, err = run(capsys, "hub", "push", TARGET, REPO)
    assert (code, err.count("\n")) == (1, 1)
    assert f"error: {REPO}: the hub cannot be reached" in err


def test_check_in_offline_mode_is_an_error(checkout, hub, capsys, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    code, _, err = run(capsys, "hub", "check", f"{REPO}@{'a' * 40}")
    assert (code, "the hub cannot be reached" in err) == (1, True)
    assert hub.requests == []


def test_refused_upload_is_an_error_of_one_line(checkout, hub, capsys, monkeypatch):
    def refuse(self, body, oid):
        raise standin.Refused(403, message="no space left")

    monkeypatch.setattr(standin.Handler, "store", refuse)
    code, _, err = run(capsys, "hub", "push", TARGET, REPO)
    assert (code, "Error while uploading" in err) == (1, True)
    assert hub.summaries == []


def attest(bento: str):
    """Write a statement about a Bento, and something in place of its signature."""
    folder = attestation.place(TARGET, "local")
    canonical.write_json(folder / attestation.STATEMENT, {"subject": [{"digest": {"sha256": bento}}]})
    canonical.write_bytes(folder / f"{TARGET}.bento", b"a copy")
    canonical.write_json(attestation.signature(TARGET, "local"), {})


def test_attestations_are_published_without_the_bento_and_not_compared(checkout, hub, capsys):
    attest(file_digest(checkout / f"dist/{TARGET}.bento"))
    code, out, err = run(capsys, "hub", "push", TARGET, REPO)
    assert code == 0, err
    commit = out.rpartition("@")[2].strip()
    extra = {"attestations/local/provenance.intoto.json", "attestations/local.sigstore.json"}
    assert set(hub.repositories[REPO].files(commit)) == published() | extra | {".gitattributes"}
    assert run(capsys, "hub", "check", f"{REPO}@{commit}")[0] == 0


def test_push_refuses_an_attestation_of_another_bento(checkout, hub, capsys):
    attest("0" * 64)
    code, _, err = run(capsys, "hub", "push", TARGET, REPO)
    assert (code, "is about another Bento" in err) == (1, True)


def test_target_without_committed_digests_says_so(checkout, capsys):
    target = "captions-folder"
    write_outputs(target)
    (checkout / ".bitbloom/digests").mkdir(parents=True)
    (checkout / f"digests/{target}.json").rename(checkout / f".bitbloom/digests/{target}.json")
    code, out, err = run(capsys, "hub", "push", target, REPO, "--dry-run")
    assert code == 0, err
    assert f"'{target}' has no committed digests" in out
    assert f"digests/{target}.json" in out
