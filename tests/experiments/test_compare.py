"""`bitbloom compare`: runs by name, what differs between them, curves, the page."""

from __future__ import annotations

import html.parser
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitbloom.experiments.runs import compare, curves, find, page, record, store, terminal
from support import runs as support
from support.browser import chromium
from support.command_line import run
from support.runs import NAME

OTHER = "petals-tiny-123456789abc"


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A build and a variant of it: other epochs, another code file, lock and data."""
    monkeypatch.chdir(tmp_path)
    support.write(tmp_path)
    tree = support.config(train__epochs=5)
    changes = {"code": {"src/bitbloom/stages/train.py": "9" * 32, "src/bitbloom/models/new.py": "8" * 32}}
    place = find.VARIANTS / OTHER
    support.write(place, tree, overrides=("train.epochs=5",), lock="a" * 32, data="b" * 32, accuracy=0.5, **changes)
    return tmp_path


def pair():
    return compare.compare(find.named([NAME, OTHER]).runs)


@pytest.mark.parametrize(
    "name", [OTHER, f".bitbloom/variants/{OTHER}", f".bitbloom/variants/{OTHER}/models/{NAME}", "id", "training"]
)
def test_run_has_several_names(checkout, name):
    [expected] = [each for each in find.every().runs if each.overrides]
    names = {"id": expected.id[:6], "training": expected.training[:10]}
    assert find.named([names.get(name, name)]).runs == [expected]


def test_name_of_a_target_is_its_build_in_the_main_workspace(checkout):
    support.write(checkout, support.config(model__layers=4), day=9)
    store.add(NAME, checkout, 1)
    support.write(checkout)  # an older build, from the cache
    [found] = find.named([NAME]).runs
    assert found.config["model"]["layers"] == 2


def test_name_of_a_target_whose_outputs_are_gone_is_its_newest_record(checkout):
    store.add(NAME, checkout, 1)
    (checkout / "models" / NAME / "training.json").unlink()
    [found] = find.named([NAME]).runs
    assert found.config == support.CONFIG


ERRORS = {
    "unknown": (["petals-tini", NAME], "there is no run 'petals-tini': did you mean 'petals-tiny'? `bitbloom runs` lists all"),
    "id": (["0" * 16, NAME], f"there is no run '{'0' * 16}': `bitbloom runs` lists all"),
    "path": (["nowhere/at-all", NAME], "there is no run 'nowhere/at-all': the path does not exist"),
    "alone": ([NAME], "name at least two runs: `bitbloom runs` lists them"),
    "none": ([], "name at least two runs: `bitbloom runs` lists them"),
    "many": ([NAME] * 9, "9 runs are too many for one comparison: name at most 8"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_wrong_name_is_one_line_and_leaves_no_page(checkout, capsys, case):
    names, message = ERRORS[case]
    assert run(capsys, "compare", *names) == (1, "", f"error: {message}\n")
    assert not page.FOLDER.exists()


def test_same_run_twice_is_an_error(checkout, capsys):
    [found] = find.named([NAME]).runs
    assert run(capsys, "compare", NAME, found.id)[2] == f"error: run {found.id} is named twice\n"


def test_start_of_several_ids_is_an_error_that_lists_them(checkout, capsys, monkeypatch):
    found = find.every().runs
    for number, each in enumerate(found):
        record.write(store.STORE / f"abc{number:013}.json", record.Run(**{**vars(each), "id": f"abc{number:013}"}))
    code, _, err = run(capsys, "compare", "abc", NAME)
    assert code == 1
    assert err.startswith(f"error: 'abc' is the start of 2 runs: abc0000000000000 ({NAME}, ")
    assert f"; abc0000000000001 ({NAME}, " in err


def test_folder_with_several_targets_is_an_error_that_lists_them(checkout, capsys):
    support.write(checkout, target="tweets-tiny")
    code, _, err = run(capsys, "compare", ".", OTHER)
    expected = f"'.' holds runs of 2 targets: name one of models/{NAME}, models/tweets-tiny"
    assert (code, err) == (1, f"error: {expected}\n")


def test_damaged_record_of_a_named_run_is_in_the_error(checkout, capsys):
    (store.STORE).mkdir()
    (store.STORE / f"{'f' * 16}.json").write_text("{")
    _, _, err = run(capsys, "compare", "f" * 16, NAME)
    assert err.startswith(f"error: there is no run '{'f' * 16}': ")
    assert f".bitbloom/runs/{'f' * 16}.json is not the record of a run" in err


def test_finds_what_differed(checkout):
    found = {section.title: section for section in (pair().inputs + pair().outputs)}
    [epochs] = found["Configuration"].changed
    assert (epochs.name, epochs.cells) == ("train.epochs", ("3", "5"))
    [train] = found["Code files"].changed
    assert (train.name, train.cells) == ("src/bitbloom/stages/train.py", ("1" * 12, "9" * 12))
    assert [line.name for line in found["Code files"].partial["B"]] == ["src/bitbloom/models/new.py"]
    assert found["Code files"].verdict == "1 of 3 differ, 1 only in B"
    assert [line.name for line in found["Locks"].changed] == ["requirements.lock"]
    assert [line.name for line in found["Data"].changed] == [support.DATA]
    assert [line.name for line in found["Digests"].changed] == ["data", "weights"]


def test_stage_that_one_run_has_not_reached_is_not_a_change(checkout, capsys):
    support.write(checkout, accuracy=None)
    _, out, _ = run(capsys, "compare", NAME, OTHER)
    assert "only in B: src/bitbloom/models/new.py, src/bitbloom/stages/evaluate.py" in out
    assert "up to train" in out


def test_equal_inputs_have_equal_digests(checkout):
    support.write(find.VARIANTS / "again", overrides=("evaluate.worst=16",))
    found = compare.compare(find.named([NAME, "again"]).runs)
    assert [section.verdict for section in found.inputs] == ["all 9 equal", "all 3 equal", "1 equal", "1 equal"]
    assert all(line.equal for section in found.outputs for line in section.lines)
    assert {metric.differences[1] for metric in found.metrics} == {0}


def test_metrics_have_the_difference_from_the_first_run(checkout):
    [accuracy] = [metric for metric in pair().metrics if metric.name == "accuracy"]
    assert (accuracy.values, accuracy.differences) == ((0.75, 0.5), (None, -0.25))
    assert terminal.metric_cells(accuracy) == ["0.75", "0.5 (-0.25)"]


def test_run_that_records_no_code_is_named(checkout):
    runs = find.named([NAME, OTHER]).runs
    without = record.Run(**{**vars(runs[1]), "code": None, "outputs": None})
    found = compare.compare([runs[0], without])
    assert (found.inputs[1].unknown, found.inputs[1].changed) == ("B", [])
    assert "Code files: all 3 equal, not recorded in B" in terminal.text(found)


def test_prints_all_parts_and_writes_the_page(checkout, capsys):
    code, out, err = run(capsys, "compare", NAME, OTHER)
    assert (code, err) == (0, "")
    for part in (
        "train.epochs",
        "Code files: 1 of 3 differ, 1 only in B",
        "accuracy",
        "0.5 (-0.25)",
        "train loss: at the end A 0.3333, B 0.2",
    ):
        assert part in out
    written = checkout / out.splitlines()[-1]
    assert written.parent == checkout / page.FOLDER
    assert "train.epochs" in written.read_text()


class Elements(html.parser.HTMLParser):
    """All start tags with their attributes, and a balance of tags that are not void."""

    VOID = ("meta", "link", "path", "circle", "br")

    def __init__(self) -> None:
        super().__init__()
        self.tags, self.open = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_is_self_contained_and_equal_runs_make_equal_bytes(checkout):
    text = page.render(pair())
    assert text == page.render(pair())
    found = Elements()
    found.feed(text)
    assert found.open == []
    assert {tag for tag, _ in found.tags} & {"script", "img", "iframe"} == set()
    assert [attributes["href"] for tag, attributes in found.tags if "href" in attributes] == ["data:,"]
    assert not re.search(r"https?:|url\(|@import", text)
    drawn = [attributes["class"] for tag, attributes in found.tags if tag == "path" and attributes["d"].count("L") > 1]
    assert sorted(drawn) == ["r0"] * 2 + ["r1"] * 2  # two curves of each run


def test_page_escapes_what_it_shows(checkout):
    runs = find.named([NAME, OTHER]).runs
    hostile = record.Run(**{**vars(runs[1]), "target": "<script>", "overrides": ["<b>&"], "config": {"</td><i>": "<u>"}})
    text = page.render(compare.compare([runs[0], hostile]))
    assert not re.search(r"<script|<b>&|</td><i>|<u>", text)
    assert "&lt;script&gt;" in text


points = st.lists(st.tuples(st.integers(0, 400), st.floats(-1e6, 1e6)), max_size=12).map(sorted)


@settings(max_examples=40)
@given(st.lists(points, min_size=1, max_size=8))
def test_chart_shows_every_curve_within_its_frame(drawn):
    lines = list(curves.text_chart(drawn))
    assert len(lines) == curves.HEIGHT + 2
    assert len({line.index("│") for line in lines[:-2]}) == 1
    assert max(map(len, lines)) <= lines[0].index("│") + curves.WIDTH + 8
    inside = "".join(line.partition("│")[2] for line in lines[:-2])
    for letter, curve in zip(compare.LETTERS, drawn, strict=False):
        assert not curve or letter in inside or curves.SEVERAL in inside
        assert curve or letter not in inside


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_in_their_range(low, width):
    high = low + width
    if high - low < abs(low) * 1e-9:  # a range that floats cannot divide
        return
    found = curves.ticks(low, high)
    assert 1 <= len(found) <= 5
    assert found == sorted(found)
    assert all(low - width * 1e-6 <= tick <= high + width * 1e-6 for tick in found)


def test_curve_of_one_epoch_has_a_chart():
    assert any("A" in line for line in curves.text_chart([[(1, 0.5)]]))


@pytest.mark.slow
@pytest.mark.browser
def test_page_fits_wide_and_narrow_windows(checkout, tmp_path_factory):
    path = page.write(pair())
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        for width in (1200, 400):
            browser.open(path.resolve().as_uri(), width)
            assert browser.script("document.documentElement.scrollWidth") <= width
            assert browser.script("document.querySelector('figure svg').getBoundingClientRect().width") > 250
        assert browser.log() == []
