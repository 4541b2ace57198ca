"""Sources of tweets: Kaggle's files, and the chatter."""

from __future__ import annotations

import collections
import csv
import gzip
import io
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
    "a row is cut short": ([("1", "", "")], HEADER, "row 2: it has 3 fields, and the header 5"),
    "a comma outside quotes": ([("1", "", "", "a", "b", "1")], HEADER, "row 2: it has 6 fields, and the header 5"),
    "a header only": ([], HEADER, "holds a header and no rows"),
    "no target": ([("1", "", "", "a", "")], HEADER, "row 2: target is ''"),
    "a column twice": ([(*ROWS[0], "x")], (*HEADER, "Text"), "several columns text"),
    "ids that are equal as numbers": ([ROWS[0], ("4.0", *ROWS[1][1:])], HEADER, "row 3: the id '4' is empty or repeated"),
    "ids that differ in zeros": ([("1", "", "", "a", "1"), ("000001", "", "", "b", "0")], HEADER, "row 3: the id '000001' is"),
    "ids that differ in blanks": ([("1", "", "", "a", "1"), (" 1", "", "", "b", "0")], HEADER, "row 3: the id ' 1' is"),
    "an id twice": ([ROWS[0], ROWS[0]], HEADER, "row 3: the id '4' is empty or repeated"),
    "no id": ([("", "", "", "a", "1")], HEADER, "row 2: the id '' is empty"),
}


@pytest.mark.parametrize(("rows", "header", "says"), BAD.values(), ids=BAD)
def test_rejects_file_of_another_form(tmp_path, destination, rows, header, says) -> None:
    with pytest.raises(BitBloomError, match=says):
        import_data(write(tmp_path / "train.csv", rows, header), destination, tweets_csv)
    assert not destination.exists()


FORMS = {
    "utf-8 with a mark": ("utf-8-sig", ",", "\n"),
    "utf-16": ("utf-16", ",", "\n"),
    "utf-16 without a mark": ("utf-16-le", "\t", "\r\n"),
    "utf-16, big-endian": ("utf-16-be", ";", "\n"),
    "utf-32": ("utf-32", ",", "\n"),
    "windows-1252": ("cp1252", ",", "\r\n"),
    "semicolons": ("utf-8", ";", "\r\n"),
    "tabs": ("utf-8", "\t", "\n"),
    "bars": ("utf-8", "|", "\n"),
    "old line ends": ("utf-8", ",", "\r"),
}
TYPED = [("4", "body%20bag", "Zürich, Genève", "a “flood” – café;\nsecond line\t|", "1"), ("10", "", "Leeds", 'a "party"', "0")]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_reads_other_forms_where_they_are_unambiguous(tmp_path, destination, form) -> None:
    encoding, delimiter, end = form
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([HEADER, *TYPED])
    file = tmp_path / "tweets.csv"
    file.write_bytes(text.getvalue().encode(encoding))
    import_data(file, destination, tweets_csv)
    assert [tuple(row.values()) for row in tweets_csv.rows(destination / "train.csv")] == TYPED
    canonical = destination / "train.csv"
    assert tweets_csv.rows(file) == tweets_csv.rows(canonical)
    with canonical.open(encoding="utf-8-sig", newline="") as stream:
        assert tuple(next(csv.reader(stream))) == HEADER


def test_reads_separator_hint_and_empty_rows_and_columns(tmp_path) -> None:
    file = tmp_path / "train.csv"
    file.write_text("sep=;\n ID;Keyword;location;text;Target;;\n4;;;a flood;1;;\n\n;;;;;;\n10;;;a party;0;;\n", encoding="utf-8")
    assert [(row["id"], row["target"]) for row in tweets_csv.rows(file)] == [("4", "1"), ("10", "0")]


LABELLED = {
    "1": ["1", "1.0", "1.", " 1 ", "True", "TRUE", "t", "yes", "Y", "real", "Real", "disaster", "Relevant"],
    "0": ["0", "0.0", "0.00", "False", "f", "no", "N", "fake", "not real", "not_disaster", "Not Disaster", "non-disaster"],
    None: ["", "2", "-1", "0.5", "1.5", "nan", "None", "maybe", "positive", "10", "1,0", "can't decide", "one"],
}


@pytest.mark.parametrize(("target", "value"), [(target, value) for target, values in LABELLED.items() for value in values])
def test_reads_labels_where_they_are_unambiguous(tmp_path, destination, target, value) -> None:
    file = write(tmp_path / "train.csv", [("1.0", "", "", "a", value), ("2.0", "", "", "b", "0")])
    if target is None:
        with pytest.raises(BitBloomError, match=r"row 2: target is .*; it has to be 0 or 1"):
            import_data(file, destination, tweets_csv)
        return
    import_data(file, destination, tweets_csv)
    found = tweets_csv.rows(destination / "train.csv")
    assert [(row["id"], row["target"]) for row in found] == [("1", target), ("2", "0")]


def lines(*texts: str) -> str:
    return "\n".join(["id,keyword,location,text,target", *texts, ""])


PLAIN = [f"{number},flood,Leeds,text {number},{number % 2}" for number in range(10, 60)]
SWALLOWING = {
    "a quote opens a text, and another one ends a later text": (['1,,,"he said hi,1', *PLAIN, '2,,,it is 5",0'], "row 2.*line 3"),
    "a quote opens a place, and a later one is closed": (['1,,"Leeds,a,1', '2,,London",b,0', *PLAIN], "row 2.*line 3"),
    "a quote opens and nothing closes it": ([*PLAIN, '1,,,"he said hi,1', "2,,,b,0"], "row 52"),
    "the next quoted field closes it": ([*PLAIN, '1,,,"he said hi,1', '2,,"Leeds, UK",b,0'], "row 52"),
    "quotes within a quoted text": ([*PLAIN, '1,,,"he said "hi" to me, and left",1'], "row 52.*not doubled"),
    "backslashes before quotes": ([*PLAIN, r'1,,,"he said \"hi\" to me",1'], "row 52.*not doubled"),
    "other labels and ids": (['a1,,,"he said hi,True', "b2,,,b,False", 'c3,,,it is 5",True'], "row 2.*line 3"),
    "a quote after valid texts of several lines": (
        ['1,,,"two\nlines",1', '2,,,"he said,0', "3,,,b,1", '4,,,c",0'],
        r"row 3 \(line 4\).*line 5",
    ),
    "a blank after each comma": (
        [f"{number}, flood, Leeds, text, 1" for number in range(20)]
        + ['20, flood, Leeds,"text, 1']
        + [f"{number}, flood, Leeds, text, 1" for number in range(21, 40)]
        + ['40, flood, Leeds, text", 1'],
        "row 22.*line 23",
    ),
    "a blank before a keyword": (['1,,,"he said,1', "2, flood,,b,0", '3,,,c",0'], "row 2.*line 3"),
    "blanks after some commas": (["1, flood, Leeds,a,1", '2,,,"he said,1', "3, fire, York,b,0", '4,,,c",0'], "row 3.*line 4"),
    "a blank after the target": (['1,,,"he said,1', "2,,,b,0 ", '3,,,c",0'], "row 2.*line 3"),
    "unknown labels": (['1,,,"he said,maybe', "2,,,b,maybe", '3,,,c",maybe'], "row 2.*line 3"),
    "unquoted commas": (['1,,,"he said,1', "2,,,b,c,0", '3,,,c",0'], "row 2.*line 3"),
    "long gap": (['1,,,"he said', *["word"] * 80, '2",1'], "goes on for 81 lines"),
}


@pytest.mark.parametrize(("rows", "says"), SWALLOWING.values(), ids=SWALLOWING)
def test_names_first_row_that_swallows_others(tmp_path, destination, rows, says) -> None:
    file = tmp_path / "train.csv"
    file.write_text(lines(*rows), encoding="utf-8")
    with pytest.raises(BitBloomError, match=says) as error:
        import_data(file, destination, tweets_csv)
    assert "\n" not in str(error.value)
    assert not destination.exists()


LINES = {
    "a quote is not doubled": (
        '1,,,a,1\n2,,,b,0\n3,,,"two\nlines",1\n4,,,"he "said" so",1\n',
        r"row 5 \(line 6\): a quote within",
    ),
    "after empty lines": ('1,,,a,1\n\n\n2,,,"he "said" so",1\n', r"row 3 \(line 5\): a quote within"),
    "no closing quote": ('1,,,a,1\n2,,,"open,1\n', r"row 3: a quote opens and is never closed"),
    "a long field": ("1,,,a,1\n2,,," + "a" * 200_000 + ",1\n", r"row 3: a field is longer than 131,072 characters: shorten it"),
    "no closing quote in a long file": ('1,,,"a,1\n' + "word\n" * 40_000, r"row 2: a quote opens and is never closed"),
}


@pytest.mark.parametrize(("text", "says"), LINES.values(), ids=LINES)
def test_names_the_line_of_an_error(tmp_path, text, says) -> None:
    file = tmp_path / "train.csv"
    file.write_text(",".join(HEADER) + "\n" + text, encoding="utf-8")
    with pytest.raises(BitBloomError, match=says):
        tweets_csv.rows(file)


@pytest.mark.parametrize("first", ["  ", "\t", ",,,,", " \n\n "])
def test_reads_file_with_empty_first_lines(tmp_path, first) -> None:
    file = tmp_path / "train.csv"
    file.write_text(f"{first}\n{lines('1,,,a,1')}", encoding="utf-8")
    assert [row["id"] for row in tweets_csv.rows(file)] == ["1"]


@pytest.mark.parametrize("text", ["ÀÉÈÙ", "café naïve", "“rock’n’roll” – fin…", "l’œuvre à Žilina • a", "a—b €5", "Ångström Øst"])
def test_reads_western_texts(tmp_path, text) -> None:
    file = write(tmp_path / "train.csv", [("1", "", "", text, "1")], encoding="cp1252")
    assert tweets_csv.rows(file)[0]["text"] == text


SEVERAL_LINES = [
    "first\nsecond",
    "\n\nlist:\n1, 2, 3\n4, 5, 6, 7, 1\n",
    'he said "go"\r\nand went, 10,000 times',
    "1,2\n3,4",
    '"',
    "a\n\n\nb",
]


@pytest.mark.parametrize("text", SEVERAL_LINES)
def test_reads_quoted_texts_of_several_lines(tmp_path, destination, text) -> None:
    file = write(tmp_path / "train.csv", [("1", "", "", text, "1"), ("2", "", "", "b", "0")])
    import_data(file, destination, tweets_csv)
    assert [row["text"] for row in tweets_csv.rows(destination / "train.csv")] == [text, "b"]
    assert (destination / "train.csv").read_bytes() == file.read_bytes()


OTHERS = {
    "nothing": (b"", "is empty"),
    "blank lines": (b"\n \n", "is empty"),
    "a workbook of old Excel": (b"\xd0\xcf\x11\xe0\xa1\xb1", "Excel workbook: save the sheet as CSV"),
    "compressed": (gzip.compress(b"id,keyword"), "compressed by gzip: unpack it"),
    "Parquet": (b"PAR1\x15\x04", "a Parquet file"),
    "a page": (b"<!DOCTYPE html><html>", "lacks the columns id, keyword, location, text, target"),
    "no header": (b"1,,,a,1\n2,,,b,0\n", "lacks the columns"),
    "Cyrillic": (lines("1,,,потоп в городе,1").encode("cp1251"), "line 2 is not valid.*save the file as UTF-8"),
    "Shift-JIS": (lines("1,,,洪水です,1").encode("shift-jis"), "line 2 is not valid"),
    "GBK": (lines("1,,,洪水来了,1").encode("gbk"), "line 2 is not valid"),
    "Polish": (lines("1,,,powódź w mieście zażółć gęślą,1").encode("cp1250"), "line 2 is not valid"),
    "Turkish": (lines("1,,,yangın çıktı,1").encode("cp1254"), "line 2 is not valid.*save the file as UTF-8"),
    "Turkish capitals": (lines("1,,,İZMİR YAĞIŞ,1").encode("cp1254"), "line 2 is not valid"),
    "Mac Roman": (lines("1,,,café naïve,1").encode("mac-roman"), "line 2 is not valid.*save the file as UTF-8"),
    "Mac Roman, one word": (lines("1,,,naïve,1").encode("mac-roman"), "line 2 is not valid"),
    "Mac Roman, at the end of a word": (lines("1,,,voilà,1").encode("mac-roman"), "line 2 is not valid"),
    "Cyrillic capitals": (lines("1,,,ПОТОП В ГОРОДЕ,1").encode("cp1251"), "line 2 is not valid"),
    "UTF-8 and Windows-1252": (lines("1,,,café,1").encode() + "2,,,café,0\n".encode("cp1252"), "line 3 is not valid"),
    "UTF-16, cut": (lines(*PLAIN).encode("utf-16")[:-1], "cannot be read as text in UTF-16-LE"),
    "bytes": (b"id,keyword,location,text,target\n1,,,a\0b,1\n", "is not text"),
    "one long line": (b"id,keyword,location,text,target\n1,,," + b"a" * 200_000 + b",1\n", "row 2"),
}


@pytest.mark.parametrize(("data", "says"), OTHERS.values(), ids=OTHERS)
def test_rejects_other_files_in_one_line(tmp_path, destination, data, says) -> None:
    file = tmp_path / "train.csv"
    file.write_bytes(data)
    with pytest.raises(BitBloomError, match=says) as error:
        import_data(file, destination, tweets_csv)
    assert "\n" not in str(error.value)
    assert not destination.exists()


WRAPPED = {
    "a folder in it": ["nlp-getting-started/train.csv", "nlp-getting-started/test.csv"],
    "a folder of macOS": ["data/train.csv", "data/test.csv", "__MACOSX/data/._train.csv", "__MACOSX/data/train.csv"],
    "two folders": ["a/b/train.csv", "a/b/test.csv", "a/.ipynb_checkpoints/train.csv"],
    "bins of disks": ["train.csv", "test.csv", "#recycle/train.csv", "RECYCLER/train.csv", "lost+found/train.csv"],
    "snapshots": ["train.csv", "test.csv", "~snapshot/train.csv", "#snapshot/x/train.csv", "@eaDir/train.csv"],
    "capitals": ["Train.csv", "TEST.CSV"],
    "another name": ["disaster_tweets.csv", "test.csv", "sample_submission.csv"],
}


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize("names", WRAPPED.values(), ids=WRAPPED)
def test_imports_wrapped_files(tmp_path, destination, names, archived) -> None:
    for name in names:
        header, rows = (HEADER[:4], [row[:4] for row in ROWS]) if "test" in name.lower() else (HEADER, ROWS)
        write(tmp_path / "mine" / name, rows, header)
    source = Path(shutil.make_archive(str(tmp_path / "made"), "zip", tmp_path / "mine")) if archived else tmp_path / "mine"
    import_data(source, destination, tweets_csv)
    assert list(folder_files(destination)) == ["test.csv", "train.csv"]
    assert len(tweets_csv.rows(destination / "train.csv")) == len(ROWS)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["a/train.csv", "b/train.csv"], r"holds several tables \(a/train.csv, b/train.csv\)"),
        (["one.csv", "two.tsv"], r"holds several tables \(one.csv, two.tsv\)"),
        (["photo.jpg"], "holds no train.csv: TWEETS= takes"),
        (["tweets.xlsx"], "is or holds an Excel workbook: save its sheet as CSV"),
        (["[Content_Types].xml", "xl/workbook.xml", "xl/worksheets/sheet1.xml"], "is or holds an Excel workbook"),
    ],
)
@pytest.mark.parametrize("archived", [False, True])
def test_rejects_folder_without_one_table(tmp_path, destination, names, says, archived) -> None:
    for name in names:
        write(tmp_path / "mine" / name)
    source = Path(shutil.make_archive(str(tmp_path / "made"), "zip", tmp_path / "mine")) if archived else tmp_path / "mine"
    if archived:
        source = source.rename(tmp_path / "made.xlsx")
    with pytest.raises(BitBloomError, match=says) as error:
        import_data(source, destination, tweets_csv)
    assert str(error.value).startswith(str(source))
    assert not destination.exists()


def test_writes_unlabelled_file_of_another_form_as_kaggle_does(tmp_path, destination) -> None:
    write(tmp_path / "mine/train.csv", encoding="utf-16")
    write(tmp_path / "mine/test.csv", [("1", "", "Zürich", "a\nb")], HEADER[:4], encoding="utf-16")
    import_data(tmp_path / "mine", destination, tweets_csv)
    assert (destination / "test.csv").read_text(encoding="utf-8") == 'id,keyword,location,text\n1,,Zürich,"a\nb"\n'


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
