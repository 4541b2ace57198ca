"""Sources of tweets: Kaggle's files, and the chatter."""

from __future__ import annotations

import collections
import csv
import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from bitbloom.core.digests import folder_files
from bitbloom.core.errors import BitBloomError
from bitbloom.data import kaggle, splits, texts
from bitbloom.data.importing import import_data
from bitbloom.data.sources import chatter, tweets_csv

TWEETS = Path(__file__).parents[3] / "shared/data/disaster_tweets.csv"
HEADER = ("id", "keyword", "location", "text", "target")
ROWS = [("4", "body%20bag", "", "a flood", "1"), ("10", "", "Leeds", "a party", "0")]


def write(path: Path, rows=ROWS, header=HEADER, encoding="utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding=encoding) as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "data/external/tweets-kaggle"


@pytest.mark.parametrize("given_as", ["file", "folder", "zip"])
def test_imports_file_folder_or_zip(tmp_path, destination, given_as) -> None:
    file = write(tmp_path / "mine/train.csv")
    write(tmp_path / "mine/test.csv", [("1", "", "", "a")], HEADER[:4])
    source = {"file": file, "folder": file.parent, "zip": tmp_path / "mine.zip"}[given_as]
    if given_as == "zip":
        shutil.make_archive(str(tmp_path / "mine"), "zip", file.parent)
    import_data(source, destination, tweets_csv)
    wanted = ["train.csv"] if given_as == "file" else ["test.csv", "train.csv"]
    assert list(folder_files(destination)) == wanted
    assert (destination / "train.csv").read_bytes() == file.read_bytes()


def test_rows_become_samples_with_their_ids(tmp_path) -> None:
    file = write(tmp_path / "in/train.csv", encoding="utf-8-sig")
    (tmp_path / "out").mkdir()
    found = tweets_csv.fetch(tweets_csv.Config(path=str(file.parent)), tmp_path / "out")
    assert [(one.id, one.label) for one in found] == [("000004", "disaster"), ("000010", "not disaster")]
    assert json.loads(found[0].content) == {"text": "a flood", "keyword": "body%20bag", "location": ""}


BAD = {
    "a column is missing": ([row[:4] for row in ROWS], HEADER[:4], "lacks the columns target"),
    "another target": ([("1", "", "", "a", "2")], HEADER, "row 2: target is '2'"),
    "a row is cut short": ([("1", "", "")], HEADER, "row 2: target is None"),
    "an id twice": ([ROWS[0], ROWS[0]], HEADER, "row 3: the id '4' is empty or repeated"),
    "no id": ([("", "", "", "a", "1")], HEADER, "row 2: the id '' is empty"),
}


@pytest.mark.parametrize(("rows", "header", "says"), BAD.values(), ids=BAD)
def test_rejects_file_of_another_form(tmp_path, destination, rows, header, says) -> None:
    with pytest.raises(BitBloomError, match=says):
        import_data(write(tmp_path / "train.csv", rows, header), destination, tweets_csv)
    assert not destination.exists()


def test_rejects_file_in_another_encoding(tmp_path, destination) -> None:
    file = write(tmp_path / "train.csv", [("1", "", "", "café", "1")], encoding="latin-1")
    with pytest.raises(BitBloomError, match="cannot be read as CSV in UTF-8"):
        import_data(file, destination, tweets_csv)


def test_rejects_missing_path(destination) -> None:
    with pytest.raises(BitBloomError, match=r"TWEETS= takes Kaggle's train.csv, or a folder"):
        import_data(Path("gone"), destination, tweets_csv)


def stand_in_client(folder: Path, script: str) -> None:
    """Write a program `kaggle` to the folder."""
    program = folder / "kaggle"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_downloads_competition_with_kaggle_client(tmp_path, destination, monkeypatch) -> None:
    with zipfile.ZipFile(tmp_path / "made.zip", "w") as archive:
        archive.write(write(tmp_path / "train.csv"), "train.csv")
    stand_in_client(tmp_path, f'echo "$@" > {tmp_path}/asked; cp {tmp_path}/made.zip "$6/nlp-getting-started.zip"')
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with kaggle.opened("kaggle:nlp-getting-started") as given:
        import_data(given, destination, tweets_csv)
    assert list(folder_files(destination)) == ["train.csv"]
    assert (tmp_path / "asked").read_text().startswith("competitions download -c nlp-getting-started -p ")


def test_reports_error_of_kaggle_client(tmp_path, monkeypatch) -> None:
    stand_in_client(tmp_path, "echo 403 - accept the rules first; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(BitBloomError, match="cannot download 'x': 403 - accept the rules first"), kaggle.opened("kaggle:x"):
        pass


def test_rejects_missing_kaggle_client(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BitBloomError, match="pip install kaggle"), kaggle.opened("kaggle:x"):
        pass


@given(st.integers(0, 10**6))
def test_message_is_pure_function_of_its_number(index) -> None:
    assert chatter.write(chatter.Config(), index) == chatter.write(chatter.Config(), index)


@pytest.fixture(scope="module")
def messages():
    config = chatter.Config()
    return [chatter.write(config, index) for index in range(config.messages)]


def test_messages_do_not_depend_on_their_count(messages, tmp_path) -> None:
    found = chatter.fetch(chatter.Config(messages=5), tmp_path)
    assert [(one.label, json.loads(one.content)["text"]) for one in found] == [
        (one.label, one.content["text"]) for one in messages[:5]
    ]


def test_half_of_messages_are_about_disasters(messages) -> None:
    counts = collections.Counter(message.label for message in messages)
    assert max(counts.values()) / min(counts.values()) < 1.1


def test_labels_are_noisy_except_in_test_split(messages) -> None:
    noisy = collections.defaultdict(list)
    for message in messages:
        noisy[splits.split_of(texts.key(message.content["text"]), [70, 10, 20])].append(message.attributes["noisy"])
    assert sum(noisy["test"]) == 0
    fraction = sum(noisy["train"] + noisy["val"]) / len(noisy["train"] + noisy["val"])
    assert 0.04 < fraction < 0.06


def test_messages_have_marks_of_typed_texts(messages) -> None:
    everything = " ".join(message.content["text"] for message in messages)
    for mark in ("http://t.co/", "@", "#", "!"):
        assert mark in everything
    assert {bool(message.content["keyword"]) for message in messages} == {True, False}
    assert {bool(message.content["location"]) for message in messages} == {True, False}


@pytest.mark.parametrize("words", [1, 2])
def test_word_counts_do_not_solve_the_task(messages, words) -> None:
    rows = {"train": [], "val": [], "test": []}
    for message in messages:
        rows[splits.split_of(texts.key(message.content["text"]), [70, 10, 20])].append(message)
    vectors = TfidfVectorizer(ngram_range=(1, words))
    known = vectors.fit_transform([texts.clean(one.content["text"]) for one in rows["train"]])
    model = LogisticRegression(max_iter=1000).fit(known, [one.label for one in rows["train"]])
    found = model.predict(vectors.transform([texts.clean(one.content["text"]) for one in rows["test"]]))
    assert f1_score([one.label for one in rows["test"]], found, pos_label="disaster") < 0.85


@pytest.mark.realdata
@pytest.mark.skipif(not TWEETS.is_file(), reason="Kaggle's disaster tweets are not available beside this checkout")
def test_imports_real_tweets(destination) -> None:
    import_data(TWEETS, destination, tweets_csv)
    assert len(tweets_csv.rows(destination / "train.csv")) == 6083
