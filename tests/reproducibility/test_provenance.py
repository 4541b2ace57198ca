"""Unit tests of verification, attestation and explanation; `test_verify.py` tests them on a whole build."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from bitbloom.core import canonical
from bitbloom.core.digests import digest, file_digest
from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import build, claim, composition, graph, why
from bitbloom.provenance import attestation, hermetic, rebuild

TARGET = "petals-tiny"
OUTPUTS = {"data/raw/t": "ingest", "models/t/model.safetensors": "train", "models/t/ledger.jsonl": "train"}


def rows(different: tuple[str, ...] = ()) -> list[rebuild.Row]:
    return [rebuild.Row(path, stage, "a" * 64, ("b" if path in different else "a") * 64) for path, stage in OUTPUTS.items()]


def test_prints_table_of_equal_rows(capsys):
    rebuild.show("t", rows())
    assert "t: all 3 are the same" in capsys.readouterr().out


def test_reports_first_different_stage(capsys):
    with pytest.raises(BitBloomError, match="2 of 3 differ, stage 'ingest' first"):
        rebuild.show("t", rows(("data/raw/t", "models/t/ledger.jsonl")))
    assert capsys.readouterr().out.count("NO") == 2
    with pytest.raises(BitBloomError, match=r"stage 'train' first; where: bitbloom diff models/t .bitbloom/verify/t/models/t"):
        rebuild.show("t", rows(("models/t/model.safetensors",)))


def test_compares_rebuilt_workspace_with_expected_digests_and_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(claim, "artifacts", lambda *_: OUTPUTS)
    for path in OUTPUTS:
        canonical.write_text(tmp_path / path, path)
    claimed = {path: {"sha256": digest(tmp_path / path)} for path in OUTPUTS}
    record = {"cmd": "x", "deps": [{"path": "a", "md5": "1"}]}
    canonical.write_text(tmp_path / graph.lock("t"), yaml.safe_dump({"stages": {"ingest": record, "train": record}}))
    found = rebuild.compare("t", "all", claimed, {"ingest": record, "train": record | {"cmd": "y"}}, tmp_path)
    assert [(row.artifact, row.same) for row in found] == [
        ("data/raw/t", True),
        ("dvc.lock: ingest", True),
        ("models/t/model.safetensors", True),
        ("models/t/ledger.jsonl", True),
        ("dvc.lock: train", False),
    ]
    assert rebuild.records(tmp_path / "nowhere", "t") == {}


def test_fresh_workspace_has_copies_and_no_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(rebuild, "workspace", lambda *_: tmp_path / "fresh")
    place = rebuild.fresh(TARGET)
    assert file_digest(place / "src/bitbloom/cli/__init__.py") == file_digest(Path("src/bitbloom/cli/__init__.py"))
    assert not (place / "src").is_symlink()
    assert "dir = cache" in (place / ".dvc/config").read_text()
    assert (place / f"params/{TARGET}.yaml").read_bytes() == Path(f"params/{TARGET}.yaml").read_bytes()


def test_rejects_unknown_stage_and_target_without_expected_digests(tmp_path, monkeypatch):
    with pytest.raises(BitBloomError, match="no stage 'bake'"):
        rebuild.verify(TARGET, "bake")
    with pytest.raises(BitBloomError, match="no stage 'bake'"):
        why.why("bake", TARGET)
    monkeypatch.setattr(claim, "path", lambda _: tmp_path / "none.json")
    with pytest.raises(BitBloomError, match=r"'petals-tiny' has no expected digests yet.*make all TARGET=petals-tiny"):
        rebuild.verify(TARGET)


def test_changes_are_the_different_leaves():
    before, now = {"a": 1, "b": {"c": 2, "d": 3}}, {"a": 1, "b": {"c": 5}, "e": 6}
    assert list(why.changes("k", before, now)) == [("k.b.c", 2, 5), ("k.b.d", 3, "nothing"), ("k.e", "nothing", 6)]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("src/a.py", "code"),
        ("requirements.lock", "lock"),
        ("data/raw/t", "data"),
        ("expectations/a.json", "suite"),
        ("x", "file"),
    ],
)
def test_names_kind_of_input(path, kind):
    assert why.kind_of(path) == kind


def repository(folder: Path) -> Path:
    """Create a DVC repository with a target and this project's configuration."""
    for name in ("src", "conf", "params", "bentos"):
        (folder / name).symlink_to(Path(name).resolve())
    tree = composition.compose(TARGET)
    stage = {stage.stage: stage for stage in graph.stages(TARGET, tree)}["train"]
    build.create_workspace(folder / "place", TARGET, tree, cache=None)
    return folder / "place", stage


def test_reports_stage_that_never_ran(tmp_path, monkeypatch):
    place, stage = repository(tmp_path)
    monkeypatch.chdir(place)
    assert [reason.before for reason in why._reasons(why.known_to_dvc()[stage.name])] == ["never built here"]


TRACE = """
12 openat(AT_FDCWD, "declared.txt", O_RDONLY) = 3
12 newfstatat(AT_FDCWD, "hidden.txt", 0x7ffd, 0) = -1 ENOENT (No such file or directory)
12 newfstatat(AT_FDCWD, "never-there.txt", 0x7ffd, 0) = -1 ENOENT (No such file or directory)
12 openat(AT_FDCWD, "{checkout}/conf/petals.yaml", O_RDONLY) = 4
12 openat(AT_FDCWD, "{checkout}/src", O_RDONLY|O_DIRECTORY) = 5
12 openat(AT_FDCWD, "/usr/lib/libc.so", O_RDONLY) = 6
"""


def test_finds_undeclared_files_in_trace(tmp_path):
    cell, checkout = tmp_path / "cell", tmp_path / "checkout"
    for path in (cell / "declared.txt", checkout / "declared.txt", checkout / "hidden.txt"):
        canonical.write_text(path, "")
    canonical.write_text(tmp_path / "trace.12", TRACE.format(checkout=checkout))
    assert list(hermetic.undeclared_files(tmp_path / "trace", cell, checkout)) == ["hidden.txt", "conf/petals.yaml"]


def test_cell_has_only_declared_keys_and_files(tmp_path):
    stages = {stage.stage: stage for stage in graph.stages("petals-folder", composition.compose("petals-folder"))}
    stage = stages["train"]
    inputs = tuple(path for path in stage.inputs if not path.startswith("data/"))
    hermetic.copy_inputs(tmp_path, graph.Stage(**{**vars(stage), "inputs": inputs}))
    assert set(yaml.safe_load((tmp_path / "params/petals-folder.yaml").read_text())) == set(stage.sections)
    assert list(yaml.safe_load((tmp_path / "weights.lock").read_text())) == ["vit-s-dinov2"]
    assert {path.relative_to(tmp_path).as_posix() for path in (tmp_path / "src").rglob("*.py")} <= set(inputs)


def test_rejects_missing_tool(monkeypatch):
    monkeypatch.setattr(hermetic.shutil, "which", lambda _: None)
    with pytest.raises(BitBloomError, match="apt-get install strace"):
        hermetic.check(TARGET)


def write_key(path: Path, private: object) -> Path:
    bare = serialization.NoEncryption()
    path.write_bytes(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, bare))
    public = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    path.with_suffix(".pub").write_bytes(public)
    return path


@pytest.fixture
def bento(tmp_path, monkeypatch):
    """Create a working tree with a Bento and a material; return a key."""
    materials = attestation.materials(TARGET)
    assert {"requirements.lock", "src/bitbloom/stages/train.py", f"params/{TARGET}.yaml"} <= set(materials)
    assert not any(name.startswith(("models/", "data/")) for name in materials)
    tree = composition.compose(TARGET)
    stages = graph.stages(TARGET, tree)
    monkeypatch.chdir(tmp_path)
    canonical.write_text(Path(f"dist/{TARGET}.bento"), "a Bento")
    canonical.write_text(Path("loop.py"), "code")
    outputs = {f"dist/{TARGET}.bento": {"sha256": digest(Path(f"dist/{TARGET}.bento")), "bytes": 7}}
    claimed = dict(outputs)
    monkeypatch.setattr(claim, "current", lambda *_: outputs)
    monkeypatch.setattr(composition, "compose", lambda _: tree)
    monkeypatch.setattr(graph, "stages", lambda *_: stages)
    monkeypatch.setattr(attestation, "materials", lambda *_: {"loop.py": digest(Path("loop.py"))})
    monkeypatch.setattr(claim, "read", lambda _: claimed)
    monkeypatch.setattr(attestation, "changed_stages", lambda _: [])
    return write_key(tmp_path / "key.pem", ec.generate_private_key(ec.SECP256R1()))


def test_signed_statement_is_valid_until_a_change(bento):
    folder = attestation.attest(TARGET, bento, "me")
    public = bento.with_suffix(".pub")
    assert "signed by urn:bitbloom:builder:me; the Bento and 1 materials are as stated" in attestation.check(TARGET, public, "me")
    canonical.write_text(Path("loop.py"), "other code")
    with pytest.raises(BitBloomError, match=r"is about other files: loop.py \(1 differ\)"):
        attestation.check(TARGET, public, "me")
    canonical.write_text(folder / attestation.STATEMENT, "{}")
    with pytest.raises(BitBloomError, match="refused"):
        attestation.check(TARGET, public, "me")


def test_does_not_sign_changed_or_unexpected_builds(bento, monkeypatch):
    monkeypatch.setattr(attestation, "changed_stages", lambda _: ["train"])
    with pytest.raises(BitBloomError, match="inputs of train changed since the build"):
        attestation.attest(TARGET, bento, "me")
    monkeypatch.setattr(claim, "read", lambda _: {f"dist/{TARGET}.bento": {"sha256": "0" * 64, "bytes": 7}})
    with pytest.raises(BitBloomError, match=r"petals-tiny.bento .* differs from .*: build again"):
        attestation.attest(TARGET, bento, "me")


def test_rejects_statement_of_another_target_or_builder(bento, monkeypatch):
    attestation.attest(TARGET, bento, "me")
    public = bento.with_suffix(".pub")
    for target, builder in (("petals", "me"), (TARGET, "you")):
        shutil.copytree(attestation.place(TARGET, "me"), attestation.place(target, builder))
        shutil.copyfile(attestation.signature(TARGET, "me"), attestation.signature(target, builder))
        with pytest.raises(BitBloomError, match=r"refused: the statement is (on|of) .*, not (on|of) "):
            attestation.check(target, public, builder)


def test_rejects_bundle_that_is_not_canonical(bento):
    attestation.attest(TARGET, bento, "me")
    bundle = attestation.signature(TARGET, "me")
    canonical.write_text(bundle, bundle.read_text() + " ")
    with pytest.raises(BitBloomError, match="not in its canonical form"):
        attestation.check(TARGET, bento.with_suffix(".pub"), "me")


def test_rejects_missing_statement_bento_and_unsuitable_key(bento, tmp_path):
    with pytest.raises(BitBloomError, match="no statement of 'other'"):
        attestation.check(TARGET, bento.with_suffix(".pub"), "other")
    with pytest.raises(BitBloomError, match="make all TARGET=other"):
        attestation.attest("other", bento, "me")
    with pytest.raises(BitBloomError, match=r"cannot sign with .*prime256v1"):
        attestation.attest(TARGET, write_key(tmp_path / "ed.pem", ed25519.Ed25519PrivateKey.generate()), "me")


def test_equal_builds_have_equal_statements_with_commit(bento):
    first = attestation.statement(TARGET, "me")
    assert first == attestation.statement(TARGET, "me")
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", "add", "-A"], check=True)
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "x"], check=True)
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], text=True).strip()
    named = attestation.statement(TARGET, "me")["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert {"name": "git", "digest": {"gitCommit": head}} in named
