"""`bitbloom diff`: the first step, field and op that differ between two runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from bitbloom import cli
from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.numerics import pins, trace
from bitbloom.provenance import compare
from support.tiny import write_workspace

LINES = [
    {"step": number, "batch": f"b{number}", "loss": 1.0 / (1 + number), "gradient": f"g{number}", "weights": f"w{number}"}
    for number in range(6)
]


def write(folder, lines):
    folder.mkdir(parents=True)
    canonical.write_text(folder / "ledger.jsonl", "".join(canonical.json_line(line) for line in lines))
    return folder


@pytest.mark.parametrize("field", ["batch", "loss", "gradient", "weights"])
def test_reports_first_different_step_and_field(field, tmp_path):
    changed = [dict(line) for line in LINES]
    for line in changed[3:]:
        line.update({"weights": "other", field: "other"})
    here, there = write(tmp_path / "a", LINES), write(tmp_path / "b", changed)
    found = compare.first_difference(compare.read(here), compare.read(there))
    assert (found.step, found.field) == (3, field)
    result = CliRunner().invoke(cli.app, ["diff", str(here), str(there)])
    assert result.exit_code == 1
    assert f"first difference: step 3, {field}" in result.output


def test_reports_equal_runs(tmp_path):
    here, there = write(tmp_path / "a", LINES), write(tmp_path / "b", LINES)
    result = CliRunner().invoke(cli.app, ["diff", str(here), str(there / "ledger.jsonl")])
    assert result.exit_code == 0
    assert "the runs are equal: 6 steps" in result.output


def test_shorter_run_differs_at_its_end(tmp_path):
    found = compare.first_difference(LINES, LINES[:4])
    assert (found.step, found.field) == (4, "length")
    assert "one run ends at step 4" in compare.explain(found, 6)


def test_compares_digests_at_checkpoints():
    sealed = [*LINES[:5], LINES[5] | {"weights_sha256": "1" * 64}]
    assert compare.first_difference(LINES, sealed).field == "weights_sha256"


@pytest.mark.parametrize("text", ["no json\n", '{"loss": 1}\n', "[]\n"])
def test_rejects_file_that_is_not_a_ledger(text, tmp_path):
    (tmp_path / "ledger.jsonl").write_text(text)
    with pytest.raises(BitBloomError, match=r"ledger.jsonl is not a ledger"):
        compare.read(tmp_path)
    with pytest.raises(BitBloomError, match="is missing"):
        compare.read(tmp_path / "nowhere")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Train in two workspaces with the same data; in the second, a bug changes the learning rate at the third step."""
    folders = []
    for name in ("here", "there"):
        folder = write_workspace(tmp_path_factory.mktemp(name))
        if name == "there":
            shutil.copytree("src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
            code = folder / "src/bitbloom/training/optimiser.py"
            old = 'group["lr"] = rate * factor'
            assert old in code.read_text()
            code.write_text(code.read_text().replace(old, f"{old} * (1 if step < 2 else 1.0001)"))
        python("-m", "bitbloom.stages.train", "petals-tiny", cwd=folder)
        folders.append(folder)
    return folders


def python(*arguments, cwd, check=True):
    import os

    source = cwd / "src"
    environment = os.environ | pins.environment("portable") | {"WORKERS": "1"}
    environment |= {"PYTHONPATH": str(source)} if source.exists() else {}
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stderr[-2000:]
    return done


@pytest.mark.slow
def test_records_and_compares_ops_of_first_different_step(runs):
    here, there = runs
    shutil.copytree("conf", here / "conf", dirs_exist_ok=True)
    shutil.copytree("conf", there / "conf", dirs_exist_ok=True)
    bitbloom = ("-c", "from bitbloom.cli import main; main()")
    theirs, mine = (folder / "models/petals-tiny" for folder in (there, here))
    first = python(*bitbloom, "diff", "models/petals-tiny", str(mine), "--ops", cwd=there, check=False)
    assert first.returncode == 1
    assert "first difference: step 2, weights" in first.stdout, first.stdout + first.stderr
    assert "run this command on the other machine" in first.stdout
    second = python(*bitbloom, "diff", "models/petals-tiny", str(theirs), "--ops", cwd=here, check=False)
    assert "first different op" in second.stdout, second.stdout + second.stderr
    assert "'_fused_adamw_'" in second.stdout
    assert second.stdout.count('"c_library"') == 2


def test_rejects_record_of_another_step(tmp_path):
    for name, step in (("a", 1), ("b", 2)):
        trace.write(tmp_path / name, [], {"target": "petals", "step": step})
    with pytest.raises(BitBloomError, match="different steps"):
        compare.explain_ops(trace.read(tmp_path / "a"), trace.read(tmp_path / "b"))


def test_rejects_file_that_is_not_a_record(tmp_path):
    (tmp_path / "record").write_text(json.dumps({"op": "mm"}) + "\n")
    with pytest.raises(BitBloomError, match="not a record of ops"):
        trace.read(tmp_path / "record")
