"""`make verify`, `bitbloom why`, `make hermetic` and attestations, on a build of petals-tiny."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from support.checkouts import TARGET, changes, run

pytestmark = pytest.mark.slow
NAME = "petals-tiny"


@pytest.fixture
def changed(built: Path) -> Iterator[Path]:
    """Yield the built checkout, and restore all files of git afterwards."""
    yield built
    run(built, "git", "checkout", "-q", ".")
    for stamp in built.glob(".bitbloom/venv-*"):
        stamp.touch()  # the locks are unchanged, with a new time


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def verified(built: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Run `make verify` on the built checkout; return its output, and the rebuilt workspace, moved away."""
    output = run(built, "make", "verify", TARGET)
    return output, (built / f".bitbloom/verify/{NAME}").rename(tmp_path_factory.mktemp("rebuilt") / NAME)


def test_rebuild_without_cache_has_same_artifacts(verified: tuple[str, Path], built: Path) -> None:
    output, _ = verified
    claimed = json.loads((built / f"digests/{NAME}.json").read_text())
    assert f"all {len(claimed) + 7} are the same" in output
    assert "epoch 12" in output
    assert changes(built) == ""


def test_verifies_one_stage(built: Path) -> None:
    output = run(built, "make", "verify", TARGET, "STAGE=validate")
    assert "all 4 are the same" in output
    assert "stage 2 of 2, " in output
    assert ": validate: " in output
    assert ": train: " not in output


def test_reports_first_stage_with_different_digest(changed: Path) -> None:
    claim = changed / f"digests/{NAME}.json"
    claimed = json.loads(claim.read_text())
    for path in (f"reports/{NAME}/validation.json", f"data/raw/{NAME}"):
        claimed[path]["sha256"] = "0" * 64
    claim.write_text(json.dumps(claimed))
    output = run(changed, "bitbloom", "verify", NAME, "--until", "validate", fails=True)
    assert "2 of 4 differ, stage 'ingest' first" in output
    assert "0000000000000000" in output


def test_rejects_target_without_expected_digests(changed: Path) -> None:
    (changed / f"digests/{NAME}.json").unlink()
    assert f"'{NAME}' has no expected digests yet" in run(changed, "bitbloom", "verify", NAME, fails=True)


def test_reports_no_reason_without_changes(built: Path) -> None:
    assert "nothing changed: train of petals-tiny would not run" in run(built, "bitbloom", "why", "train", NAME)


def test_reports_changed_module_with_both_digests(changed: Path) -> None:
    with (changed / "src/bitbloom/training/sampler.py").open("a") as stream:
        stream.write("\n# a comment\n")
    [line] = run(changed, "bitbloom", "why", "train", NAME).splitlines()
    assert line.startswith("code src/bitbloom/training/sampler.py: ")
    assert len({*line.rpartition(": ")[2].split(" → ")}) == 2
    assert "nothing changed" in run(changed, "bitbloom", "why", "prepare", NAME)
    assert "stage train: done → runs first" in run(changed, "bitbloom", "why", "evaluate", NAME)


def test_reports_changed_key_with_both_values(changed: Path) -> None:
    edit(changed / f"conf/{NAME}.yaml", "epochs: 12", "epochs: 13")
    assert "run `make graph`" in run(changed, "bitbloom", "why", "train", NAME)
    run(changed, "bitbloom", "graph")
    assert run(changed, "bitbloom", "why", "train", NAME).strip() == "config key train.epochs: 12 → 13"


def test_reports_changed_profile_lock_and_missing_output(changed: Path) -> None:
    edit(changed / f"params/{NAME}.yaml", "profile: portable", "profile: fast")
    edit(changed / f"conf/{NAME}.yaml", "\nevaluate:", "\nnumerics:\n  profile: fast\nevaluate:")
    with (changed / "requirements.lock").open("a") as stream:
        stream.write("# another\n")
    (changed / f"models/{NAME}/training.json").rename(changed / "aside")
    try:
        output = run(changed, "bitbloom", "why", "train", NAME)
    finally:
        (changed / "aside").rename(changed / f"models/{NAME}/training.json")
    assert "profile numerics.profile: portable → fast" in output
    assert "lock requirements.lock: " in output
    assert f"output models/{NAME}/training.json: " in output
    assert "missing" in output


tools = pytest.mark.skipif(not shutil.which("strace"), reason="needs strace: apt-get install strace")


@tools
def test_stages_need_only_declared_inputs(built: Path) -> None:
    output = run(built, "make", "hermetic")
    assert output.count("no other files opened, expected digests") == 7


@tools
def test_reports_undeclared_file(changed: Path) -> None:
    edit(changed / "src/bitbloom/pipeline/graph.py", ', "expectations/{task}.json")', ",)")
    output = run(changed, "bitbloom", "hermetic", NAME, fails=True)
    assert "validate of petals-tiny opens undeclared files: expectations/petals.json" in output


def write_keys(folder: Path) -> tuple[Path, Path]:
    """Write a new private and public key."""
    private = ec.generate_private_key(ec.SECP256R1())
    pem, spki = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    bare = serialization.NoEncryption()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "key.pem").write_bytes(private.private_bytes(pem, serialization.PrivateFormat.PKCS8, bare))
    (folder / "key.pub").write_bytes(private.public_key().public_bytes(pem, spki))
    return folder / "key.pem", folder / "key.pub"


@pytest.fixture(scope="module")
def attested(built: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the built checkout with a signed statement, and the public key."""
    private, public = write_keys(tmp_path_factory.mktemp("keys"))
    run(built, "bitbloom", "attest", NAME, "--key", str(private))
    return built, public


def check(folder: Path, key: Path, builder: str = "local", fails: bool = False) -> str:
    return run(folder, "bitbloom", "check-attestation", NAME, "--key", str(key), "--builder", builder, fails=fails)


def test_statement_has_bento_and_materials_and_no_time(attested) -> None:
    folder, public = attested
    assert "signed by urn:bitbloom:builder:local" in check(folder, public)
    stated = json.loads((folder / f"dist/attestations/{NAME}/local/provenance.intoto.json").read_text())
    materials = {item["name"] for item in stated["predicate"]["buildDefinition"]["resolvedDependencies"]}
    files = {"requirements.lock", "requirements-serve.lock", "src/bitbloom/training/loop.py", f"params/{NAME}.yaml"}
    assert files | {"git"} <= materials
    assert not any(word in json.dumps(stated) for word in ("startedOn", "finishedOn", str(folder)))


@pytest.mark.parametrize("name", [f"local/{NAME}.bento", "local/provenance.intoto.json", "local.sigstore.json"])
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.97])
def test_rejects_one_changed_bit(attested, name: str, fraction: float) -> None:
    folder, public = attested
    path = folder / f"dist/attestations/{NAME}" / name
    whole = path.read_bytes()
    position = int(len(whole) * fraction)
    path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
    try:
        assert "refused" in check(folder, public, fails=True)
    finally:
        path.write_bytes(whole)


def test_rejects_changed_material_and_bento(attested) -> None:
    folder, public = attested
    for name in ("src/bitbloom/core/canonical.py", f"dist/{NAME}.bento"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole + b"\n")
        try:
            assert f"is about other files: {name} (1 differ)" in check(folder, public, fails=True)
        finally:
            (folder / name).write_bytes(whole)


def test_rejects_another_key(attested, tmp_path) -> None:
    folder, _ = attested
    assert "refused" in check(folder, write_keys(tmp_path)[1], fails=True)


def test_statement_of_rebuilder_differs_only_in_builder(attested, verified, tmp_path) -> None:
    (folder, _), (_, rebuilt), (private, public) = attested, verified, write_keys(tmp_path)
    second = ["--key", str(private), "--builder", "https://example.org/second", "--workspace", str(rebuilt)]
    run(folder, "bitbloom", "attest", NAME, *second)
    assert "signed by https://example.org/second" in check(folder, public, "https://example.org/second")
    first, second = (
        json.loads((folder / f"dist/attestations/{NAME}" / name / "provenance.intoto.json").read_text())
        for name in ("local", "https-example.org-second")
    )
    first["predicate"]["runDetails"].pop("builder"), second["predicate"]["runDetails"].pop("builder")
    assert first == second
