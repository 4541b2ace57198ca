"""Predictions for many inputs: folders, tables, restarts and refusals."""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.batch import listing, outputs, sources, work
from bitbloom.experiments.batch import run as batch_run
from bitbloom.experiments.batch.listing import Photo
from bitbloom.experiments.batch.run import Request, Summary, run
from bitbloom.experiments.batch.threads import ordered
from bitbloom.serving.files import predict_files, print_predictions
from bitbloom.serving.rows import Row
from support import caption_standin, text_standin
from support.standin import COLOURS, LIMITS, REPOSITORY, photo, write_model

SECONDS_TO_A_PART = 60


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "model.onnx")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with ten files that a user's folder can have: photos in folders, odd names, files that are not photos."""
    root = tmp_path / "photos"
    (root / "deep/er").mkdir(parents=True)
    names = ("a.jpg", "deep/b [1].jpg", "deep/er/c\n.png", "deep/er/ü.jpg", os.fsdecode(b"\xff.jpg"))
    for name, colour in zip(names, COLOURS.values(), strict=False):
        (root / name).write_bytes(photo(colour))
    (root / "damaged.jpg").write_bytes(photo(COLOURS["fern"])[:200])
    (root / "empty.jpg").touch()
    (root / "large.jpg").write_bytes(b"\xff\xd8\xff" + bytes(LIMITS.max_bytes))
    (root / "gone.jpg").symlink_to("nowhere")
    os.mkfifo(root / "pipe")
    (root / "deep/again").symlink_to(root)
    (root / ".DS_Store").touch()
    (root / "Thumbs.db").touch()
    return root


IN_ORDER = ["a.jpg", "damaged.jpg", "deep/b [1].jpg", "deep/er/c\n.png", "deep/er/ü.jpg", "empty.jpg", "gone.jpg", "large.jpg"]
IN_ORDER += ["pipe", "\ufffd.jpg"]
BAD = {"damaged.jpg", "empty.jpg", "gone.jpg", "large.jpg", "pipe"}


def request(model: Path, source: Path | str, out: Path, **more: object) -> Request:
    return Request(model, str(source), out, LIMITS, **more)  # type: ignore[arg-type]


def content(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def lines(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for path in sorted(out.glob("part-*.jsonl")) for line in path.read_text("utf-8").splitlines()]


def test_every_file_of_a_folder_has_one_prediction_in_order(model, photos, tmp_path):
    summary = run(request(model, photos, tmp_path / "out", format="jsonl", part_size=4))
    found = lines(tmp_path / "out")
    assert [one["path"] for one in found] == IN_ORDER
    assert {one["path"] for one in found if "error" in one} == BAD
    assert summary == Summary(parts=3, predictions=10, errors=5)
    assert sorted(content(tmp_path / "out")) == ["_manifest.json", *(f"part-0000{number}.jsonl" for number in range(3))]


def test_lines_have_the_bytes_of_bitbloom_predict(model, photos, tmp_path, monkeypatch):
    (photos / "pipe").unlink()  # `bitbloom predict` would wait for it
    run(request(model, photos, tmp_path / "out", format="jsonl"))
    monkeypatch.chdir(photos)
    printed = io.StringIO()
    names = [os.fsdecode(b"\xff.jpg") if name.startswith("\ufffd") else name for name in IN_ORDER if name != "pipe"]
    print_predictions(predict_files(model, map(Path, names), LIMITS), printed)
    assert (tmp_path / "out/part-00000.jsonl").read_text("utf-8") == printed.getvalue()


def test_parquet_keeps_every_bit(model, photos, tmp_path):
    for name in outputs.FORMATS:
        run(request(model, photos, tmp_path / name, format=name, part_size=3))
    table = pq.read_table(tmp_path / "parquet")  # a reader skips the manifest
    assert table.schema.remove_metadata() == outputs.SCHEMAS["image"]
    rows = [{key: value for key, value in row.items() if value is not None} for row in table.to_pylist()]
    assert rows == lines(tmp_path / "jsonl")


def test_number_of_workers_does_not_change_a_byte(model, photos, tmp_path, monkeypatch):
    found = []
    for workers in ("1", "3"):
        monkeypatch.setenv("WORKERS", workers)
        run(request(model, photos, tmp_path / workers, part_size=3))
        found.append(content(tmp_path / workers))
    assert found[0] == found[1]


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.text(st.characters(exclude_characters="\0", codec="utf-8")), st.integers(-1, 1 << 40))),
    st.integers(1, 7),
)
def test_parts_are_consecutive_inputs_and_contain_each_once(tmp_path_factory, given_entries, size):
    path = tmp_path_factory.mktemp("list") / "list.parquet"
    entries = [Photo(name, length, str(length)) for name, length in given_entries]
    listed = listing.write(path, iter(entries), texts=False, size=size)
    cut = [listing.read(path, number) for number in range(listing.parts(len(entries), size))]
    assert [entry for part in cut for entry in part] == entries
    assert [len(part) for part in cut[:-1]] == [size] * (len(cut) - 1)
    assert all(cut)
    assert [entry for piece in work.pieces_of(entries) for entry in piece] == entries
    other = listing.write(path, [*entries[1:], *entries[:1]], texts=False, size=size)
    assert listed.inputs == len(entries)
    assert (other.digest == listed.digest) == (entries[1:] + entries[:1] == entries)


def test_pieces_have_bounded_bytes_unless_one_photo_has_more():
    entries = [
        Photo("a", work.CHUNK_BYTES // 2 + 1),
        Photo("b", work.CHUNK_BYTES // 2),
        Photo("c", 3 * work.CHUNK_BYTES),
        Photo("d"),
    ]
    assert [[entry.name for entry in piece] for piece in work.pieces_of(entries)] == [["a"], ["b"], ["c"], ["d"]]
    assert [len(piece) for piece in work.pieces_of([Photo("x", 1)] * 40)] == [16, 16, 8]


def test_threads_take_few_items_ahead():
    begun = 0

    def items():
        nonlocal begun
        while begun < 100:
            begun += 1
            yield begun

    for number, result in enumerate(ordered(lambda item: -item, items(), threads=3, ahead=5), start=1):
        assert result == -number
        assert begun <= number + 4


@pytest.mark.parametrize("name", ["paths.csv", "paths.parquet"])
def test_table_of_paths_keeps_its_order_and_repetitions(model, photos, tmp_path, name):
    names = ["deep/er/ü.jpg", "a.jpg", "nowhere.jpg", "a.jpg", str(photos / "deep/b [1].jpg")]
    if name.endswith("csv"):
        (photos / name).write_text("number,file\n" + "".join(f"{at},{one}\n" for at, one in enumerate(names)), "utf-8")
    else:
        pq.write_table(pa.table({"number": range(5), "file": names}), photos / name)
    run(request(model, photos / name, tmp_path / "out", column="file", format="jsonl"))
    found = lines(tmp_path / "out")
    assert [one["path"] for one in found] == names
    assert [one.get("label") for one in found] == ["sunflower", "poppy", None, "poppy", "fern"]


ROWS = [("7", "fire", "Leeds", "a flood & a fire"), ("9", "", "", "what a party"), ("12", "", "", " ")]


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_table_of_texts(tmp_path, name):
    text_standin.write_model(tmp_path / "model.onnx")
    columns = ("id", "keyword", "location", "text")
    if name.endswith("csv"):
        (tmp_path / name).write_text("\n".join(",".join(row) for row in (columns, *ROWS)), "utf-8")
    else:
        pq.write_table(pa.table({column: [row[at] for row in ROWS] for at, column in enumerate(columns)}), tmp_path / name)
    run(request(tmp_path / "model.onnx", tmp_path / name, tmp_path / "out", part_size=2))
    rows = pq.read_table(tmp_path / "out").to_pylist()
    assert [(row["id"], row["label"]) for row in rows] == [("7", "disaster"), ("9", "not disaster"), ("12", None)]
    assert "nothing is left" in rows[2]["error"]


def test_lines_of_text_are_numbered(tmp_path):
    text_standin.write_model(tmp_path / "model.onnx")
    (tmp_path / "lines.txt").write_text("a flood\nno party\n", "utf-8")
    assert list(sources.open_source(str(tmp_path / "lines.txt"), True, "text").entries) == [
        Row("1", "a flood"),
        Row("2", "no party"),
    ]
    assert run(request(tmp_path / "model.onnx", tmp_path / "lines.txt", tmp_path / "out")).predictions == 2


def test_captions_of_a_folder(tmp_path, caption_model):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/red.jpg").write_bytes(caption_standin.photo("red"))
    run(request(caption_model, tmp_path / "photos", tmp_path / "out"))
    (row,) = pq.read_table(tmp_path / "out").to_pylist()
    (expected,) = predict_files(caption_model, [tmp_path / "photos/red.jpg"])
    assert row == {**expected, "path": "red.jpg", "error": None}


def many(folder: Path, count: int) -> Path:
    """A folder of many photos: hard links to six."""
    folder.mkdir()
    for name, colour in COLOURS.items():
        (folder / f"0-{name}.jpg").write_bytes(photo(colour))
    for number in range(count - len(COLOURS)):
        os.link(folder / f"0-{list(COLOURS)[number % len(COLOURS)]}.jpg", folder / f"{number:06}.jpg")
    return folder


def test_killed_run_continues_with_the_missing_parts(tmp_path, photos):
    project, out = tmp_path / "project", tmp_path / "out"
    write_model(project / "models/petals/model.onnx")
    many(project / "photos", 2000)
    command = [sys.executable, "-m", "bitbloom", "predict", "petals", "photos", "--part-size", "50", "--out"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src"), "WORKERS": "1"}  # slow enough to be seen at work
    killed = subprocess.Popen([*command, str(out)], cwd=project, env=environment, start_new_session=True)
    end = time.monotonic() + SECONDS_TO_A_PART
    while not (out / "part-00002.parquet").exists():
        assert killed.poll() is None
        assert time.monotonic() < end
        time.sleep(0.001)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    finished = {path: path.stat().st_ino for path in out.glob("part-*.parquet")}
    assert 3 <= len(finished) < 40
    done = subprocess.run([*command, str(out)], cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(line.startswith(("list inputs: ", "predict: ")) for line in done.stderr.splitlines()), done.stderr
    assert done.stdout == f"{out}: 2,000 predictions in 40 files, 0 of them an error\n"
    assert {path: path.stat().st_ino for path in finished} == finished
    run(Request(project / "models/petals", str(project / "photos"), tmp_path / "again", part_size=50))
    assert content(out) == content(tmp_path / "again")


def test_repeats_damaged_parts_and_removes_what_a_kill_left(model, photos, tmp_path):
    run(request(model, photos, tmp_path / "out", part_size=2))
    before = content(tmp_path / "out")
    (tmp_path / "out/part-00001.parquet").write_bytes(b"PAR1")
    (tmp_path / "out/part-00003.parquet").unlink()
    (tmp_path / "out/.part-00003.parquet.77.tmp").touch()
    run(request(model, photos, tmp_path / "out", part_size=2))
    assert content(tmp_path / "out") == before


def test_rejects_folder_of_another_request(model, photos, tmp_path):
    out = tmp_path / "out"
    run(request(model, photos, out))
    for changed, message in (
        ({"part_size": 9}, "another --part-size"),
        ({"format": "jsonl"}, "another --format"),
        ({"model": write_model(tmp_path / "other" / "model.onnx")}, "another model"),
    ):
        if "model" in changed:
            changed["model"].write_bytes(changed["model"].read_bytes() + b"\x72\x00")  # an empty field of the graph's description
        with pytest.raises(BitBloomError, match=message):
            run(Request(**{**vars(request(model, photos, out)), **changed}))
    (photos / "a.jpg").write_bytes(photo(COLOURS["daisy"]))
    with pytest.raises(BitBloomError, match=r"predictions of other inputs .*choose another --out"):
        run(request(model, photos, out))
    (photos / "more.jpg").touch()
    with pytest.raises(BitBloomError, match="inputs 10, now 11"):
        run(request(model, photos, out))


def test_rejects_folder_with_other_files(model, photos, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").touch()
    with pytest.raises(BitBloomError, match=r"holds other files \(mine.txt\)"):
        run(request(model, photos, tmp_path / "out"))
    assert sorted(content(tmp_path / "out")) == ["mine.txt"]


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_rejects_file_in_place_of_the_folder(model, photos, tmp_path, out):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BitBloomError, match=r"file.* cannot be a folder \(.+\): --out takes a new folder"):
        run(request(model, photos, tmp_path / out))
    assert (tmp_path / "file").read_text() == "mine"


def test_blocked_call_of_a_run_keeps_its_error(model, photos, tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(batch_run, "_listed", fail)
    with pytest.raises(BlockingIOError, match="temporarily unavailable"):
        run(request(model, photos, tmp_path / "out"))


def test_rejects_folder_that_another_run_holds(model, photos, tmp_path):
    (tmp_path / "out").mkdir()
    held = os.open(tmp_path / "out", os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(BitBloomError, match="another run writes to"):
            run(request(model, photos, tmp_path / "out"))
    finally:
        os.close(held)


def test_failing_disk_stops_the_run_instead_of_giving_errors(model, photos, tmp_path, monkeypatch):
    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(sources.files, "read_photo", fail)
        with pytest.raises(BitBloomError, match="cannot be read: Input/output error"):
            run(request(model, photos, tmp_path / "out"))
    assert not list((tmp_path / "out").glob("part-*"))
    assert run(request(model, photos, tmp_path / "out")).predictions == 10


@pytest.mark.parametrize(
    ("source", "message"),
    [("nowhere", "no such folder or file"), ("a.jpg", "with --out give a folder"), ("bare", "holds no inputs")],
)
def test_rejects_source(model, photos, tmp_path, monkeypatch, source, message):
    monkeypatch.chdir(photos)
    Path("bare").mkdir()
    with pytest.raises(BitBloomError, match=message):
        run(request(model, source, tmp_path / "out"))


def test_rejects_sources_that_do_not_fit_texts(tmp_path):
    text_standin.write_model(tmp_path / "model.onnx")
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "numbers.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1PAR1")
    for source, column, message in (
        (tmp_path, "", "the model takes texts"),
        ("gs://bucket", "", "the model takes texts"),
        (tmp_path / "numbers.parquet", "words", "lacks the column 'words': it has text"),
        (tmp_path / "numbers.parquet", "", "has the type int64, not string"),
        (tmp_path / "broken.parquet", "", "cannot be read as Parquet"),
    ):
        with pytest.raises(BitBloomError, match=message):
            run(request(tmp_path / "model.onnx", source, tmp_path / "out", column=column))


def test_engine_needs_a_known_name_and_its_package(model, photos, tmp_path, monkeypatch):
    with pytest.raises(BitBloomError, match="--engine 'spark' is none of local, ray"):
        run(request(model, photos, tmp_path / "out", engine="spark"))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BitBloomError, match=r"needs Ray of requirements-dev\.lock"):
        run(request(model, photos, tmp_path / "out", engine="ray"))
