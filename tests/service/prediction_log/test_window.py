"""The rows in memory, and the labels that join them."""

from __future__ import annotations

from bitbloom.serving.prediction_log.observations import IMAGE, TEXT, Row
from bitbloom.serving.prediction_log.window import FEWEST_LABELS, Window


def row(number: int, kind: str = IMAGE) -> Row:
    return Row(str(number), 0, 0.0, kind, "", {}, None, "rose", 1.0, b"content")


def test_accuracy_needs_some_labels_and_ends_with_their_rows():
    window = Window(FEWEST_LABELS, IMAGE)
    window.add(map(row, range(FEWEST_LABELS)))
    for number in range(FEWEST_LABELS):
        assert window.accuracy() is None
        window.join(str(number), "rose" if number % 3 else "daisy")
    assert window.accuracy() == 2 / 3
    window.add([row(FEWEST_LABELS)])
    assert window.accuracy() is None


def test_label_that_comes_before_its_row_counts():
    window = Window(3, IMAGE)
    assert [window.join(str(number), "daisy") for number in range(5)] == [None] * 5
    assert len(window.early) == 3
    window.add([row(4), row(9), row(3, TEXT)])
    _, rows, truths = window.snapshot()
    assert ([each.id for each in rows], truths) == (["4", "9"], ["daisy", None])
    assert all(each.content is None for each in rows)
