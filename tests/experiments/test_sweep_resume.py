"""What a search takes from an earlier run: results of the same inputs alone, and never fewer trials than there were."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.sweep import history, inputs, records, study, trial
from bitbloom.experiments.sweep.history import History
from bitbloom.experiments.sweep.study import Progress, Row, Task
from bitbloom.pipeline import composition
from bitbloom.training import loop
from support import sweeps
from support.sweeps import begun
from support.tiny import OVERRIDES, REPOSITORY, write_workspace

GIVEN = {
    "target": "petals-tiny",
    "set": list(OVERRIDES),
    "parameters": {"train.learning_rate": {"log": [0.001, 0.01]}, "augment": {"choice": ["garden", "strong"]}},
}
TASK = Task(0, (*OVERRIDES, "augment=strong", "train.learning_rate=0.005"), None)


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A folder with the configuration and prepared data, in which a search began."""
    monkeypatch.chdir(tmp_path)
    sweeps.write(tmp_path, GIVEN)
    begun()
    return tmp_path


def with_key(path: str, section: str, **values: object) -> None:
    tree = yaml.safe_load(Path(path).read_text())
    tree.setdefault(section, {}).update(values) if section else tree.update(values)
    Path(path).write_text(yaml.safe_dump(tree, sort_keys=False))


def other(name: str):
    """Digests where one file is another."""
    return lambda path: "0" * 64 if path.name == name else "1" * 64


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda patch: with_key("conf/petals-tiny.yaml", "train", label_smoothing=0.07), "config"),
        (lambda patch: with_key("conf/augment/strong.yaml", "", crop=0.123), "config"),  # only some trials have it
        (lambda patch: patch.setattr(inputs, "version", lambda _: "1.0"), "optuna"),
        (lambda patch: patch.setattr(inputs, "digest", other("loop.py")), "code, lock"),
        (lambda patch: patch.setattr(inputs, "digest", other("garden.py")), "code, lock"),
    ],
)
def test_refuses_to_go_on_with_other_inputs(workspace, monkeypatch, change, named):
    change(monkeypatch)
    with pytest.raises(BitBloomError, match=rf"has trials with other {named}: a search has one of each. .* rm -r ") as error:
        begun()
    assert "\n" not in str(error.value)


def test_weights_of_a_searched_model_belong_to_the_inputs(monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    plain, pretrained = composition.compose("petals-tiny"), composition.compose("petals-tiny", ["model=dinov2-small"])
    one, both = (inputs.Inputs().of_search(trees) for trees in ([plain], [plain, pretrained]))
    assert inputs.changed(one, both) == ["config", "weights"]
    captioner = inputs.Inputs().of_search([plain, composition.compose("captions-tiny")])  # another kind of model
    assert "code" in inputs.changed(one, captioner)
    monkeypatch.setattr(inputs.weights, "identity", lambda spec: f"another {spec}")
    assert inputs.changed(inputs.Inputs().of_search([plain, pretrained]), both) == ["weights"]


def test_record_of_other_inputs_is_ignored_and_an_equal_configuration_has_one_folder(workspace, monkeypatch):
    sweep = begun()
    sweep._prepare(TASK)
    place = sweep.place(TASK)
    done = Progress((0.5,), True, 0.5, {"model.safetensors": "0"}, "")
    records.write(place, done, sweep.inputs.of_trial(place, "petals-tiny"))
    assert sweep.known(TASK) == done
    with monkeypatch.context() as edited:
        edited.setattr(inputs, "digest", other("loop.py"))
        poisoned = inputs.Inputs().of_trial(place, "petals-tiny")
    records.write(place, done, poisoned)  # by a process that began while a module was edited
    assert sweep.known(TASK) == Progress()
    again = Task(1, (*TASK.overrides, "train.seed=2026"), None)
    assert composition.compose("petals-tiny", again.overrides) == composition.compose("petals-tiny", TASK.overrides)
    assert sweep.place(again) == place


def rows(count: int) -> list[Row]:
    return [Row(number, 0, (f"train.seed={number}",), {}, study.COMPLETE, 0.5, (0.5,), {}, "") for number in range(count)]


def test_history_is_not_replaced_by_its_own_beginning(workspace):
    head = begun().head
    long, shorter = History(head, rows(8), whole=True), {**head, "space": {**head["space"], "trials": 4}}
    assert history.write(long) is long
    kept = history.write(History(shorter, rows(4), whole=True))
    assert kept.text() == long.text() == (history.folder("small") / history.FILE).read_text()
    changed = History(head, [*rows(3), *rows(1)])
    assert history.write(changed) is changed
    assert history.write(long) is long  # it grows
    edited = History({**head, "inputs": {**head["inputs"], "code": "0"}}, rows(4))
    assert history.write(edited) is edited


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The folder of a trial."""
    monkeypatch.chdir(REPOSITORY)
    write_workspace(tmp_path / "trial", ["train.epochs=2", "train.part=50"])
    monkeypatch.chdir(tmp_path / "trial")
    return tmp_path / "trial"


def advance(until: int | None) -> Progress:
    return trial.advance("petals-tiny", "val_accuracy", until)


def test_trial_starts_again_after_a_damaged_checkpoint_and_returns_what_is_reached(place, monkeypatch, capsys):
    expected = advance(None)
    assert expected.ended
    (place / records.RECORD).unlink()
    assert not advance(1).ended
    (state,) = place.glob(".bitbloom/checkpoints/*/step-*/state.json")
    state.write_text(state.read_text()[:50])
    assert advance(None) == expected
    assert "the checkpoint is damaged" in capsys.readouterr().err
    monkeypatch.setattr(loop, "Run", None)
    assert advance(None) == advance(1) == expected  # as after the wait for the lock of another process


@pytest.mark.parametrize(
    ("error", "own"),
    [
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied (4x8 and 6x2)"), True),
        (ValueError("The hidden size 33 is not a multiple of the number of attention heads 2."), True),
        (FloatingPointError("the loss of step 3 is nan"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"), False),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), False),
        (MemoryError(), False),
        (OSError("no space left on device"), False),
    ],
)
def test_only_errors_of_its_values_are_a_failure_of_the_trial(place, monkeypatch, error, own):
    def fit(*_: object) -> None:
        raise error

    monkeypatch.setattr(loop.Run, "fit", fit)
    if own:
        assert advance(None) == Progress(ended=True, failure=str(error))
        return
    with pytest.raises(type(error)):
        advance(None)
    assert not (place / records.RECORD).exists()


def test_trial_whose_inputs_change_meanwhile_has_no_record(place, monkeypatch):
    def edit(*_: object) -> None:
        canonical.write_text(place / "requirements.lock", "torch==0\n")
        raise trial.Paused

    monkeypatch.setattr(loop.Run, "fit", edit)
    with pytest.raises(BitBloomError, match="changed while the trial ran"):
        advance(1)
    assert not (place / records.RECORD).exists()
