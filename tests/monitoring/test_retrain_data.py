"""From the prediction log to data: labels joined by id, a new version of the data, a target, the comparison of two models."""

from __future__ import annotations

import hashlib
import io
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bitbloom.core.errors import BitBloomError
from bitbloom.data import imaging
from bitbloom.data.sources import folder as folder_source
from bitbloom.data.sources import tweets_csv
from bitbloom.monitoring.retrain import compare, labelled, target, version
from bitbloom.monitoring.retrain.compare import Part, Rule
from bitbloom.monitoring.retrain.labelled import Labelled
from bitbloom.monitoring.retrain.version import Base
from bitbloom.pipeline import composition
from bitbloom.serving.files import OpenModel
from support.tiny import REPOSITORY

DATES = pd.Timestamp("2026-11-01", tz="UTC")


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def log(*contents: bytes | None, kind: str = "image") -> pd.DataFrame:
    rows = [(DATES, str(number), digest(content or b""), kind, "tulip", content) for number, content in enumerate(contents)]
    return pd.DataFrame(rows, columns=list(labelled.LOG_COLUMNS))


def feedback(*rows: tuple[int, str, str]) -> pd.DataFrame:
    found = [(DATES + pd.Timedelta(seconds=second), name, label) for second, name, label in rows]
    return pd.DataFrame(found, columns=list(labelled.FEEDBACK_COLUMNS))


def test_latest_label_of_a_prediction_counts():
    joined = labelled.join(log(b"a"), feedback((2, "0", "rose"), (1, "0", "daisy")))
    assert [sample.label for sample in joined.samples] == ["rose"]


def test_latest_label_of_a_repeated_input_counts():
    joined = labelled.join(log(b"a", b"a"), feedback((1, "1", "daisy"), (2, "0", "rose")))
    assert ([sample.label for sample in joined.samples], joined.repeated) == (["rose"], 1)


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("0123x"), st.sampled_from(["rose", "daisy"])), min_size=1))
def test_every_label_is_used_or_counted(rows):
    joined = labelled.join(log(b"a", b"b", b"a", None), feedback(*rows))
    assert len({name for _, name, _ in rows}) == len(joined.samples) + joined.repeated + joined.without_content + joined.unknown
    assert [sample.digest for sample in joined.samples] == sorted(sample.digest for sample in joined.samples)
    shuffled = labelled.join(log(b"a", b"b", b"a", None), feedback(*reversed(rows)))
    assert shuffled == joined  # the order in which parts are read does not matter


def test_rejects_content_that_differs_from_its_digest():
    damaged = log(b"a")
    damaged.loc[0, "content"] = b"other"
    with pytest.raises(BitBloomError, match="the log is damaged"):
        labelled.join(damaged, feedback((1, "0", "rose")))


def test_reads_parts_of_a_folder(tmp_path):
    place = tmp_path / "log/date=2026-11-01"
    place.mkdir(parents=True)
    pq.write_table(pa.Table.from_pandas(log(b"a", b"b"), preserve_index=False), place / "1.parquet")
    (place / ".2.parquet.partial").write_bytes(b"half")
    with pytest.raises(BitBloomError, match="has no feedback"):
        labelled.read(str(tmp_path))
    (tmp_path / "feedback/date=2026-11-01").mkdir(parents=True)
    table = pa.Table.from_pandas(feedback((1, "0", "rose")), preserve_index=False)
    pq.write_table(table, tmp_path / "feedback/date=2026-11-01/1.parquet")
    joined = labelled.read(str(tmp_path))
    assert (joined.predictions, [sample.content for sample in joined.samples]) == (2, [b"a"])


def test_names_a_damaged_part(tmp_path):
    (tmp_path / "log").mkdir()
    (tmp_path / "log/1.parquet").write_bytes(b"words")
    with pytest.raises(BitBloomError, match="cannot be read"):
        labelled.read(str(tmp_path))


def picture(number: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(number).integers(0, 255, (96, 96, 3), np.uint8)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Base:
    """The data of a built target: six photos of two classes, two in each split."""
    monkeypatch.chdir(tmp_path)
    rows, samples = [], []
    for number in range(6):
        name, label = f"{'rose' if number % 2 else 'tulip'}/{number}.png", "rose" if number % 2 else "tulip"
        path = Path("data/raw/petals") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))
        rows.append({"id": name, "path": name, "label": label, "sha256": digest(picture(number))})
        samples.append(
            {"id": name, "key": str(imaging.facts(picture(number))["key"]), "split": ("train", "val", "test")[number // 2]}
        )
    pd.DataFrame(rows).to_parquet("data/raw/petals/manifest.parquet")
    Path("data/processed/petals").mkdir(parents=True)
    pd.DataFrame(samples).to_parquet("data/processed/petals/samples.parquet")
    return Base("petals", "petals", [70, 15, 15])


def of_log(*numbers: int, label: str = "daisy") -> list[Labelled]:
    return [Labelled(digest(picture(number)), picture(number), label, "rose") for number in numbers]


def test_old_samples_keep_their_splits_and_new_ones_get_that_of_their_key(built):
    made = version.write(Path("new"), built, "image", of_log(*range(100, 140)), Path("none"))
    found = folder_source.collect(Path("new"), Path("imported"), "given")
    old = {file.path: file.attributes["split"] for file in found if "log-" not in file.path}
    assert old == {
        f"{split}/{label}/{number}.png": split
        for number in range(6)
        for split, label in [(("train", "val", "test")[number // 2], "rose" if number % 2 else "tulip")]
    }
    assert (made.old, sum(made.new.values())) == (6, 40)
    assert all(made.new.values())
    assert {file.label for file in found if "log-" in file.path} == {"daisy"}


def test_equal_inputs_give_equal_versions_in_any_order(built):
    one = version.write(Path("one"), built, "image", of_log(100, 101, 102), Path("none"))
    other = version.write(Path("other"), built, "image", of_log(102, 100, 101), Path("none"))
    assert one.digest == other.digest


def test_later_version_keeps_inputs_that_the_log_lost_and_takes_new_labels(built):
    version.write(Path("first"), built, "image", of_log(100, 101), Path("none"))
    made = version.write(Path("second"), built, "image", of_log(101, 102, label="rose"), Path("first"))
    labels = {path.name[4:36]: path.parent.name for path in Path("second").rglob("log-*")}
    assert sum(made.new.values()) == 3
    assert labels == {digest(picture(100))[:32]: "daisy", **{digest(picture(number))[:32]: "rose" for number in (101, 102)}}


def test_known_photos_and_damaged_ones_are_not_added(built):
    samples = [*of_log(0), Labelled(digest(b"words"), b"words", "rose", "rose")]
    made = version.write(Path("new"), built, "image", samples, Path("none"))
    assert (made.known, sum(made.new.values())) == (1, 0)


def test_texts_become_rows_of_a_table_that_the_source_reads(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("data/raw/tweets").mkdir(parents=True)
    Path("data/processed/tweets").mkdir(parents=True)
    old = {"id": "000001", "text": "a flood", "keyword": "", "location": "", "label": "disaster", "sha256": "x"}
    pd.DataFrame([old]).to_parquet("data/raw/tweets/manifest.parquet")
    pd.DataFrame([{"id": "000001", "split": "train"}]).to_parquet("data/processed/tweets/samples.parquet")
    texts = ['fire, in\nthe "hills"', "a party"]
    samples = [
        Labelled(digest(text.encode()), text.encode(), label, "")
        for text, label in zip(texts, ["disaster", "not disaster"], strict=True)
    ]
    base = Base("tweets", "tweets", [70, 15, 15])
    version.write(Path("new"), base, "text", samples, Path("none"))
    rows = tweets_csv.rows(Path("new/train.csv"))
    assert {(row["text"], row["target"]) for row in rows} == {("a flood", "1"), (texts[0], "1"), (texts[1], "0")}
    again = version.write(Path("again"), base, "text", [], Path("new"))
    assert sum(again.new.values()) == 2
    with pytest.raises(BitBloomError, match="has the label 'tulip'"):
        version.write(Path("wrong"), base, "text", [Labelled(digest(b"x y z"), b"x y z", "tulip", "")], Path("none"))
    assert not Path("wrong").exists()


def test_unbuilt_target_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BitBloomError, match="make all TARGET=petals"):
        version.write(Path("new"), Base("petals", "petals", [70, 15, 15]), "image", of_log(1), Path("none"))


@pytest.mark.parametrize(("name", "kind"), [("petals-tiny", "folder"), ("petals", "folder"), ("tweets-tiny", "tweets_csv")])
def test_written_target_has_the_same_model_and_training(name, kind, tmp_path, monkeypatch):
    shutil.copytree(REPOSITORY / "conf", tmp_path / "conf")
    monkeypatch.chdir(tmp_path)
    path = target.write(name)
    ours, old = composition.compose(path.stem), composition.compose(name)
    assert (ours.source.kind, ours.source.path) == (kind, f"data/external/{name}-log")
    assert not ours.embedded
    for section in ("model", "train", "augment", "numerics", "prepare", "service", "evaluate", "export"):
        assert ours[section] == old[section]
    assert ours.gate.labels == old.gate.labels
    path.write_text(path.read_text().replace("(with feedback)", "(mine)"))
    target.write(name)
    assert "(mine)" in path.read_text()  # an edited file stays
    with pytest.raises(BitBloomError, match=f"TARGET={name}"):
        target.write(f"{name}-log")


def test_captions_are_rejected(monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(BitBloomError, match="cannot learn from feedback"):
        target.write("captions-tiny")


def write_test_split(old: int, new: int) -> None:
    """A built target with only a test split; the bytes of each photo are its number."""
    names = [f"test/rose/{number}.png" for number in range(old)] + [f"test/rose/log-{number}.png" for number in range(new)]
    for number, name in enumerate(names):
        path = Path("data/raw/petals-log") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(str(number).encode())
    Path("data/processed/petals-log").mkdir(parents=True)
    pd.DataFrame({"id": names, "path": names, "label": "rose"}).to_parquet("data/raw/petals-log/manifest.parquet")
    frame = pd.DataFrame({"id": names, "split": "test", "excluded": False})
    frame.to_parquet("data/processed/petals-log/samples.parquet")


def model(right: range) -> OpenModel:
    return OpenModel("image", "d", lambda photo: {"label": "rose" if int(photo) in right else "tulip"})


@pytest.mark.parametrize(
    ("serving", "candidate", "better"),
    [
        (range(25), range(40), True),
        (range(40), range(40), False),  # as good is not better
        (range(37), range(40), False),  # three wins are chance
        (range(25), range(3, 40), False),  # it forgets three of 20 old ones
    ],
)
def test_only_a_better_model_that_forgets_nothing_is_better(serving, candidate, better, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_test_split(20, 20)
    found = compare.compare("petals-log", model(serving), model(candidate), Rule())
    assert found.better is better
    assert bool(found.reasons) is not better
    assert (found.old.samples, found.new.samples) == (20, 20)


def test_too_few_new_samples_are_an_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_test_split(20, 9)
    with pytest.raises(BitBloomError, match="only 9 labelled inputs"):
        compare.compare("petals-log", model(range(0)), model(range(29)), Rule())


@given(st.integers(0, 30), st.integers(0, 30))
def test_p_value_is_that_of_the_exact_sign_test(losses, wins):
    from scipy.stats import binomtest

    expected = binomtest(wins, wins + losses, alternative="greater").pvalue if wins + losses else 1.0
    assert Part(100, 0.5, 0.5, losses, wins).p_value == pytest.approx(expected)
