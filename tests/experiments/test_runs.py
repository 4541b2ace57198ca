"""Records of runs: a build adds its run and never fails because of it; `bitbloom runs` lists them without a server."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.reasons import reason
from bitbloom.experiments.runs import collect, find, listing, record, store
from bitbloom.pipeline import build, graph
from support import runs as support
from support.command_line import run
from support.runs import NAME


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with the outputs of one build and its configuration committed."""
    support.write(tmp_path)
    (tmp_path / ".gitignore").write_text(".bitbloom/\nmodels/\nreports/\n")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@t"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "start"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def variant(checkout, name="petals-tiny-123456789abc", **changes):
    """The workspace of a build with overrides."""
    overrides = tuple(f"{key.replace('__', '.')}={value}" for key, value in changes.items())
    return support.write(find.VARIANTS / name, support.config(**changes), overrides=overrides, accuracy=0.5, day=1)


def test_build_adds_its_run(checkout):
    path = store.add(NAME, checkout, 12.34)
    found = record.read(path)
    assert path.name == f"{found.id}.json"
    assert (found.target, found.origin, found.workspace, found.seconds) == (NAME, "build", ".", 12.3)
    assert (found.committed, found.dirty, found.configured) == (True, False, "committed config")
    assert found.commit == subprocess.check_output(["git", "rev-parse", "HEAD"], text=True).strip()
    assert found.metrics == {"accuracy": 0.75, "log_loss": 0.25, "samples": 45}
    assert found.code == {**support.CODE, "src/bitbloom/stages/evaluate.py": "5" * 32}
    assert (found.locks, found.data) == ({"requirements.lock": "3" * 32}, {support.DATA: "4" * 32})
    assert set(found.digests) == {"data", "weights"}
    assert [row["epoch"] for row in found.curves] == [1, 2, 3]


def test_edited_configuration_and_uncommitted_changes_are_named(checkout):
    support.write(checkout, support.config(train__epochs=2))
    found = record.read(store.add(NAME, checkout, None))
    assert (found.configured, found.committed_as[-1], found.seconds) == ("edited config", "+", None)


def test_equal_build_leaves_the_record_as_it_is(checkout):
    path = store.add(NAME, checkout, 100)
    before = path.read_bytes()
    assert store.add(NAME, checkout, 1) == path
    assert path.read_bytes() == before


def test_evaluation_after_the_training_completes_its_record(checkout):
    support.write(checkout, accuracy=None)
    path = store.add(NAME, checkout, 100)
    assert record.read(path).metrics == {}
    support.write(checkout)
    assert store.add(NAME, checkout, 5) == path
    assert (record.read(path).metrics["accuracy"], record.read(path).seconds) == (0.75, 100)


def test_build_with_another_configuration_has_another_record(checkout):
    first = store.add(NAME, checkout, 1)
    support.write(checkout, support.config(evaluate__worst=8))
    assert store.add(NAME, checkout, 1) != first
    assert len(store.files()) == 2


def test_model_of_an_earlier_configuration_is_not_recorded(checkout):
    """`make prepare` after an edit leaves the model of the earlier configuration."""
    lock = (checkout / graph.lock(NAME)).read_bytes()
    support.write(checkout, support.config(train__epochs=9))
    (checkout / graph.lock(NAME)).write_bytes(lock)
    assert store.add(NAME, checkout, 1) is None
    assert store.files() == []


@pytest.mark.parametrize("lock", [b"", b"stages: [", b"\xff", b"- a\n", b"stages: {train: 1}\n"])
def test_damaged_records_of_dvc_never_fail_a_build(checkout, capsys, lock):
    (checkout / graph.lock(NAME)).write_bytes(lock)
    store.observe(NAME, checkout, 1)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("warning: this run is not in .bitbloom/runs: ")


def test_store_that_cannot_be_written_never_fails_a_build(checkout, capsys):
    (checkout / ".bitbloom").write_text("a file")
    store.observe(NAME, checkout, 1)
    assert capsys.readouterr().err == "warning: this run is not in .bitbloom/runs: Not a directory\n"


def test_keeps_the_newest_records(checkout, monkeypatch):
    monkeypatch.setattr(store, "KEPT", 3)
    paths = []
    for layers in range(6):
        support.write(checkout, support.config(model__layers=layers))
        paths.append(store.add(NAME, checkout, 1))
        os.utime(paths[-1], (layers, layers))
    assert set(store.files()) == set(paths[3:])


def test_lists_records_workspaces_and_variants(checkout, capsys):
    store.add(NAME, checkout, 12)
    support.write(checkout, support.config(model__layers=4), accuracy=None, day=2)
    variant(checkout, train__epochs=5)
    code, out, err = run(capsys, "runs")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines() if NAME in line]
    assert len(rows) == 3
    assert all(len(row[0]) == record.SHORT for row in rows)
    assert "committed config" in out
    assert "train.epochs=5" in out
    assert "accuracy 0.75" in out
    assert "val accuracy 0.75" in out  # of the training that is not evaluated
    newest_first = [row[1] for row in rows]
    assert newest_first == sorted(newest_first, reverse=True)


def test_a_workspace_with_a_record_is_one_run(checkout):
    store.add(NAME, checkout, 12)
    [found] = find.every().runs
    assert (found.origin, found.seconds) == ("build", 12)


def test_sorts_by_a_metric_with_the_best_first(checkout, capsys):
    variant(checkout, train__epochs=5)
    for metric, best in (("accuracy", 0.75), ("log_loss", 0.25)):
        code, out, _ = run(capsys, "runs", "--sort", metric, "--json")
        assert (code, json.loads(out)[0]["metrics"][metric]) == (0, best)
    code, _, err = run(capsys, "runs", "--sort", "f1")
    assert (code, err) == (1, "error: no run has the metric 'f1': sort by when, seconds, accuracy, log_loss, samples\n")


def test_filters_by_target(checkout, capsys):
    support.write(checkout, target="tweets-tiny")
    code, out, _ = run(capsys, "runs", "tweets-tiny", "--json")
    assert (code, [each["target"] for each in json.loads(out)]) == (0, ["tweets-tiny"])
    code, _, err = run(capsys, "runs", "captions")
    assert (code, err) == (1, f"error: no run of 'captions' is here, only of {NAME}, tweets-tiny\n")


def test_says_how_many_runs_it_leaves_out(checkout, capsys):
    variant(checkout, train__epochs=5)
    _, out, _ = run(capsys, "runs", "--last", "1")
    assert out.splitlines()[-1] == "1 more: --last 2"


def test_checkout_without_a_run_says_how_to_make_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "runs") == (0, "no run is here yet: make all\n", "")
    assert list(tmp_path.iterdir()) == []


DAMAGED = {
    "empty": lambda _: "",
    "part": lambda text: text[: len(text) // 2],
    "list": lambda _: "[]",
    "format": lambda text: text.replace('"format": 1', '"format": 2'),
    "field": lambda text: text.replace('"metrics"', '"metric"'),
    "type": lambda text: text.replace(f'"target": "{NAME}"', '"target": 3'),
    "number": lambda text: text.replace('"accuracy": 0.75', '"accuracy": "high"'),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_record_hides_no_other(checkout, capsys, damage):
    path = store.add(NAME, checkout, 12)
    text = DAMAGED[damage](path.read_text())
    path.write_text(text)
    variant(checkout, train__epochs=5)
    code, out, err = run(capsys, "runs", "--json")
    assert code == 0
    assert len(json.loads(out)) == 2  # of the workspaces
    assert err.startswith(f"warning: {path} ")
    assert err.endswith(": remove the file\n")
    assert err.count("\n") == 1
    assert record.read(store.add(NAME, checkout, 1)).target == NAME  # the next build replaces it


def test_lists_records_while_a_build_runs(checkout, capsys):
    store.add(NAME, checkout, 12)
    variant(checkout, train__epochs=5)
    with build.build_lock():
        code, out, err = run(capsys, "runs", "--json")
    assert (code, len(json.loads(out)), err) == (0, 1, f"warning: {find.BUSY}\n")


numbers = st.integers(-(10**6), 10**6).map(lambda number: number / 1000)
texts = st.text(st.characters(codec="utf-8"), max_size=8)
trees = st.dictionaries(texts, st.one_of(numbers, texts, st.booleans(), st.lists(numbers, max_size=3)), max_size=3)
found_runs = st.builds(
    record.Run,
    id=st.from_regex(r"[0-9a-f]{16}", fullmatch=True),
    training=texts,
    target=texts,
    origin=st.sampled_from([record.BUILD, record.WORKSPACE, record.WANDB]),
    workspace=texts,
    when=st.just("2026-11-30T01:17:19Z"),
    seconds=st.none() | numbers,
    overrides=st.none() | st.lists(texts, max_size=2),
    committed=st.none() | st.booleans(),
    commit=st.none() | texts,
    dirty=st.none() | st.booleans(),
    stages=st.none() | st.lists(texts, max_size=2),
    config=trees,
    code=st.none() | st.dictionaries(texts, texts, max_size=3),
    locks=st.none() | st.dictionaries(texts, texts, max_size=3),
    data=st.none() | st.dictionaries(texts, texts, max_size=3),
    outputs=st.none() | st.dictionaries(texts, texts, max_size=3),
    digests=st.dictionaries(texts, texts, max_size=3),
    metrics=st.dictionaries(st.sampled_from(["accuracy", "f1", "log_loss"]), numbers),
    curves=st.lists(st.fixed_dictionaries({"epoch": st.integers(1, 99), "val_loss": numbers}), max_size=3),
)


@settings(max_examples=30)
@given(found_runs)
def test_record_holds_the_whole_run(tmp_path_factory, found):
    path = tmp_path_factory.mktemp("record") / "run.json"
    record.write(path, found)
    assert record.read(path) == found
    assert len(listing.cells(found)) == len(listing.COLUMNS)


@settings(max_examples=20)
@given(st.lists(found_runs, unique_by=lambda each: each.id, max_size=6))
def test_order_by_a_metric_keeps_every_run_and_puts_those_without_it_last(found):
    try:
        ordered = listing.ordered(found, "log_loss")
    except BitBloomError:
        assert not any("log_loss" in each.metrics for each in found)
        return
    assert sorted(each.id for each in ordered) == sorted(each.id for each in found)
    values = [each.metrics.get("log_loss") for each in ordered]
    with_value = [value for value in values if value is not None]
    assert values == sorted(with_value) + [None] * (len(values) - len(with_value))


def test_metrics_of_a_number_that_is_not_one_are_damaged(tmp_path):
    content = record.as_json(record.Run("a" * 16, "b" * 16, NAME, record.BUILD, "."))
    canonical.write_text(tmp_path / "run.json", json.dumps({**content, "metrics": {"accuracy": float("nan")}}))
    with pytest.raises(BitBloomError, match="a number of metrics or curves"):
        record.read(tmp_path / "run.json")


def test_run_of_a_workspace_is_the_same_from_another_folder(checkout, monkeypatch):
    here = collect.collect(NAME, checkout)
    monkeypatch.chdir(checkout.parent)
    there = collect.collect(NAME, checkout)
    assert there == dataclasses.replace(here, workspace=checkout.name)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("first\nsecond"), "first"),
        (ValueError("\nfirst"), "first"),
        (ValueError(), "ValueError"),
        (FileNotFoundError(2, "No such file", "/a/path"), "No such file"),
    ],
)
def test_reason_is_one_line(error, expected):
    assert reason(error) == expected
