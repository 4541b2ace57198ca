"""The checker of the exam report: untouched, filled and damaged reports of both forms, and the page that it writes."""

from __future__ import annotations

import importlib.util
import io
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from support.tiny import REPOSITORY

specification = importlib.util.spec_from_file_location("exam_report", REPOSITORY / "reports/report.py")
assert specification and specification.loader
report = importlib.util.module_from_spec(specification)
sys.modules["exam_report"] = report
specification.loader.exec_module(report)

TITLE = (
    "# Exam template for 02476 Machine Learning Operations\n\n## Overall project checklist\n\n* [x] Git repository\n* [ ] Drift\n"
)
STARTS = {1: "Group information", 4: "Coding environment", 7: "Version control", 12: "Running code and tracking experiments"}
STARTS |= {17: "Working in the cloud", 23: "Deployment", 27: "Overall discussion of project"}
NOUNS = ["model", "data", "test", "build", "image", "service", "commit", "lock", "stage", "metric", "photo", "label"]
VERBS = ["checks", "reads", "writes", "trains", "serves", "compares", "records", "measures", "loads", "names"]


def prose(count: int, seed: int = 0) -> str:
    """Sentences with `count` words."""
    draw = random.Random(seed)
    words: list[str] = []
    while len(words) < count:
        subject, thing, owner = (f"{noun}{draw.randrange(50)}" for noun in draw.sample(NOUNS, 3))
        words += ["the", subject, draw.choice(VERBS), "a", thing, "of", "our", f"{owner}."]
    return " ".join(words[:count])


def png(shade: int, size: tuple[int, int] = (400, 200), mode: str = "RGB", kind: str = "PNG") -> bytes:
    """A picture of two colours."""
    stream = io.BytesIO()
    picture = Image.new(mode, size, shade if mode in "LP" else (shade, 90, 160))
    picture.paste(200 if mode in "LP" else (200, 200, 200), (0, 0, size[0] // 2, size[1]))
    picture.save(stream, format=kind)
    return stream.getvalue()


def template(count: int) -> str:
    """The form as it comes: every blank is empty."""
    return form(count, lambda number: f"--- question {number} fill here ---")


def form(count: int, answer: Callable[[int], str]) -> str:
    """A form with these answers."""
    parts = [TITLE]
    for number in range(1, count + 1):
        if number in STARTS:
            parts.append(f"## {STARTS[number]}\n\n> In the following section …\n")
        asked = f"> **What did you do in part {number}?**\n>\n> Example:\n> *We used ... to ... and then ...*\n>\n> Answer:\n"
        parts.append(f"### Question {number}\n\n{asked}\n{answer(number)}\n")
    return "\n".join(parts)


def filled(count: int, folder: Path) -> str:
    """A form whose answers are right, and their pictures in the folder."""
    (folder / "figures").mkdir(exist_ok=True)

    def answer(number: int) -> str:
        limits = report.FORMS[count][number]
        least, most = limits.words or (3, 3)
        images = []
        for at in range(limits.images[0] if limits.images else 0):
            name = f"figures/q{number}-{at}.{'png' if at % 2 == 0 else 'jpg'}"
            (folder / name).write_bytes(png(number, kind="PNG" if at % 2 == 0 else "JPEG"))
            images.append(f"![what it shows]({name})")
        return "\n\n".join([*images, prose((least + most) // 2, number)])

    return form(count, answer)


def check(folder: Path, text: str, count: int = 31) -> list[str]:
    """What the checker finds in a report."""
    (folder / "README.md").write_text(text, encoding="utf-8")
    return [wrong.text for wrong in report.check(folder / "README.md", count, strict=False)]


def put(text: str, number: int, answer: str) -> str:
    """The report with another answer."""
    found = re.compile(rf"(### Question {number}\n.*?> Answer:\n)(.*?)(?=\n## |\n### Question|\Z)", re.DOTALL)
    return found.sub(lambda match: f"{match[1]}\n{answer}\n", text, count=1)


@pytest.mark.parametrize("count", [27, 31])
def test_untouched_form_has_each_blank_named(tmp_path, count):
    found = check(tmp_path, template(count), count)
    assert [text for text in found if text.endswith("to fill in")] == [f"question {n}: to fill in" for n in range(1, count + 1)]


@pytest.mark.parametrize("count", [27, 31])
def test_filled_form_passes(tmp_path, count):
    assert check(tmp_path, filled(count, tmp_path), count) == []


@pytest.mark.parametrize("count", [27, 31])
def test_limits_are_those_of_the_course(count):
    words = {number: limits.words for number, limits in report.FORMS[count].items() if limits.words not in (None, (100, 200))}
    images = {number: limits.images for number, limits in report.FORMS[count].items() if limits.images}
    common = {7: (50, 100), 11: (200, 300), 12: (50, 100), 14: (200, 300), 17: (50, 200)}
    new = {3: (0, 200), 28: (0, 200), 29: (200, 400), 30: (200, 400), 31: (50, 300)}
    old = {6: (50, 100), 24: (25, 100), 25: (200, 400), 26: (200, 400), 27: (50, 200)}
    assert words == common | (new if count == 31 else old)
    few = {14: (1, 3), 19: (1, 2)}
    assert images == few | ({20: (1, 2), 21: (1, 2), 29: (1, 1)} if count == 31 else {20: (1, 1), 21: (1, 1), 25: (1, 1)})


def written(number: int, text: str) -> Any:
    """An answer with a text."""
    return report.Answer(number, 1, "", text, report.visible(text))


@given(st.integers(1, 400), st.sampled_from([4, 7, 11, 17, 30]))
def test_words_pass_exactly_within_the_limits(count, number):
    least, most = report.FORMS[31][number].words
    answer = written(number, prose(count, 3))
    assert (list(report.check_length(answer, least, most)) == []) == (least <= count <= most)


@pytest.mark.parametrize(
    ("hidden", "kept"),
    [
        ("<!-- petals accuracy -->", 0),
        ("![several words about it](figures/q14-0.png)", 0),
        ("- * | ===", 0),
        ("[two words](https://example.org/a_b)", 2),
        ("<b>one</b>", 1),
        ("`make all`", 2),
        ("`<!-- two` words-->", 2),
        ("![the [DVC] bucket](figures/q14-0.png)", 0),
        ("![several words][name]", 0),
        ("\n\n[//]: # (several words\nabout it)", 0),
        ('\n\n[name]: https://example.org "several words"', 0),
    ],
)
def test_counts_only_words_that_a_reader_sees(hidden, kept):
    assert len(written(4, f"{prose(10)} {hidden}").words()) == 10 + kept


def test_counts_as_the_course_does_where_that_is_more(tmp_path):
    crowded = " ".join(f"{word}<!-- petals accuracy -->" for word in prose(100).split())
    (found,) = check(tmp_path, put(filled(31, tmp_path), 4, crowded))
    assert found.startswith("question 4: 400 words as the course's script counts them")


DAMAGED: dict[str, tuple[Callable[[str], str], str]] = {
    "missing": (lambda text: text.replace("### Question 9\n", ""), "question 9 is missing"),
    "renamed": (lambda text: text.replace("### Question 9\n", "### Question 9: branches\n"), "'### Question 9: branches' is not"),
    "other level": (lambda text: text.replace("### Question 9\n", "#### question 9\n"), "'#### question 9' is not"),
    "twice": (lambda text: text.replace("### Question 9\n", "### Question 8\n"), "question 8: its heading is there twice"),
    "moved": (lambda text: swap(text, 8, 9), "question 8: it follows question 9"),
    "beyond": (lambda text: text + "\n### Question 32\n\n> Answer:\n\nmore\n", "the form has 31 questions"),
    "no mark": (lambda text: text.replace("> Answer:\n", "", 1), "the line '> Answer:' is missing"),
    "early mark": (lambda text: text.replace("* [ ] Drift", "Answer: none"), "'Answer:' before the first question"),
    "mark inside": (lambda text: put(text, 5, f"Answer: {prose(150)}"), "'Answer:' inside the answer"),
    "mark in code": (lambda text: put(text, 5, f"```\nAnswer: 1\n```\n{prose(150)}"), "'Answer:' inside the answer"),
    "mark in question": (lambda text: text.replace("> **What did you do in part 6", "> Answer:\n> **What did"), "question 6: "),
    "heading": (lambda text: put(text, 5, f"# Setup\n\n{prose(150)}"), "a heading inside the answer: '# Setup'"),
    "third heading": (lambda text: put(text, 5, f"### Setup\n\n{prose(150)}"), "a heading inside the answer: '### Setup'"),
    "underlined": (lambda text: put(text, 5, f"Setup\n-----\n\n{prose(150)}"), "a heading inside the answer: 'Setup'"),
    "hashes in code": (lambda text: put(text, 5, f"```sh\nmake all ## build\n```\n{prose(150)}"), "'##' inside the answer"),
    "section renamed": (
        lambda text: text.replace("## Version control", "## Git"),
        "question 6: a heading inside the answer: '## Git'",
    ),
    "open fence": (lambda text: put(text, 5, f"{prose(150)}\n```sh\nmake"), "a code block has no end"),
    "empty": (lambda text: put(text, 5, ""), "question 5: there is no answer"),
    "only a comment": (lambda text: put(text, 5, f"<!-- {prose(150)} -->"), "question 5: there is no answer"),
    "blank": (lambda text: put(text, 5, "--- question 5 fill here ---"), "question 5: to fill in"),
    "blank in text": (
        lambda text: put(text, 5, f"{prose(150)}\n--- question 5 fill here: our folders ---"),
        "to fill in: our folders",
    ),
    "blank beside": (
        lambda text: put(text, 5, f"{prose(150)}\n\n--- question 5 fill here ---"),
        "a blank is left beside the answer",
    ),
    "blank beside few words": (lambda text: put(text, 5, "Short. --- question 5 fill here ---"), "question 5: 1 words"),
    "todo": (lambda text: put(text, 5, f"{prose(150)} TODO"), "'TODO' is left to fill in"),
    "example": (lambda text: put(text, 5, f"{prose(150)} We used ... for it."), "'...' is left to fill in"),
    "student": (lambda text: put(text, 2, "sXXXXXX, sXXXXXX"), "'sXXXXXX' is left to fill in"),
    "short": (lambda text: put(text, 5, prose(99)), "question 5: 99 words; 100 to 200 are asked for"),
    "long": (lambda text: put(text, 5, prose(201)), "question 5: 201 words; 100 to 200 are asked for"),
    "one word": (lambda text: put(text, 5, "word " * 150), "filler: 'word' is 150 of 150 words"),
    "signs": (lambda text: put(text, 5, f"{prose(60)} {'. ' * 60}"), "question 5: 60 words"),
    "few words": (lambda text: put(text, 5, " ".join(f"the w{n % 30} of w{n % 17}" for n in range(45))), "question 5: filler"),
    "repeated": (lambda text: put(text, 5, f"{prose(60)} {prose(60)} {prose(60)}"), "question 5: filler"),
    "lorem": (lambda text: put(text, 5, f"lorem ipsum {prose(150)}"), "'lorem ipsum' is left"),
    "list of words": (lambda text: put(text, 5, " ".join(f"w{n}" for n in range(150))), "filler: the words form no sentences"),
    "too few images": (lambda text: put(text, 19, "None."), "question 19: 0 images; 1 to 2 asked for"),
    "too many images": (
        lambda text: put(text, 29, f"{image(29)} {image(14)} {prose(250)}"),
        "question 29: 2 images; 1 asked for",
    ),
    "image in code": (lambda text: put(text, 19, f"`{image(19)}`"), "question 19: 0 images"),
    "image tag": (lambda text: put(text, 19, '<img src="figures/q19-0.png">'), "an <img> is not counted"),
    "open comment": (lambda text: put(text, 5, f"<!-- {prose(150)}"), "a comment has no end: it hides what follows"),
    "comment over questions": (
        lambda text: put(put(text, 4, f"{prose(150)}\n<!--"), 8, f"-->\n{prose(150, 3)}"),
        "question 6 is missing: a comment or code block hides it",
    ),
    "comment to the end": (
        lambda text: text.replace("### Question 5\n", "<!--\n### Question 5\n") + "\n-->\n",
        "question 31 is missing: a comment or code block hides it",
    ),
    "hidden definition": (lambda text: put(text, 5, f"[//]: # ({prose(150)})"), "question 5: there is no answer"),
    "hidden element": (lambda text: put(text, 5, f"<div hidden>\n\n{prose(150)}\n\n</div>"), "the HTML element <div hidden>"),
    "hidden by style": (lambda text: put(text, 5, f'<b style="display:none">{prose(150)}</b>'), "the HTML element <b style"),
    "hidden footnote": (lambda text: put(text, 5, f"[^a]: {prose(150)}"), "the footnote [^a] is not shown"),
    "code over a comment": (lambda text: put(text, 5, f"a `\n<!-- {prose(150)} -->\n`"), "question 5: 1 words"),
    "copied answer": (lambda text: put(text, 6, prose(150, 4)), "question 6: filler: it repeats the answer to question 4"),
    "no checklist": (
        lambda text: re.sub(r"## Overall project checklist\n\n(?:\* .*\n)+", "", text),
        "the section '## Overall project checklist' is missing",
    ),
    "no boxes": (lambda text: re.sub(r"^\* \[.\] ", "", text, flags=re.MULTILINE), "the checklist has no boxes"),
    "no section": (lambda text: text.replace("## Version control\n", ""), "the section '## Version control' is missing"),
    "to fill in": (lambda text: put(text, 2, "*fill in*"), "question 2: '*fill in*' is left to fill in"),
    "no number": (lambda text: put(text, 2, "Ann and Bob"), "question 2: it names no number"),
    "again": (lambda text: put(text, 20, image(19)), "is the picture of question 19 already"),
}


def image(number: int) -> str:
    return f"![a picture](figures/q{number}-0.png)"


def swap(text: str, first: int, second: int) -> str:
    text = text.replace(f"### Question {first}\n", "### Question 0\n").replace(
        f"### Question {second}\n", f"### Question {first}\n"
    )
    return text.replace("### Question 0\n", f"### Question {second}\n")


@pytest.mark.parametrize("damage", DAMAGED)
def test_names_damage(tmp_path, damage):
    change, expected = DAMAGED[damage]
    text = filled(31, tmp_path)
    damaged = change(text)
    assert damaged != text
    assert any(expected in found for found in check(tmp_path, damaged)), check(tmp_path, damaged)


def test_copied_question_is_filler(tmp_path):
    asked = "Explain how you managed the dependencies of your project and the process that a new member of the team goes through"
    text = filled(31, tmp_path).replace("> **What did you do in part 4?**", f"> **{asked}**")
    answer = f"{asked} {prose(60)} {asked} {prose(30, 5)} {asked}"
    assert any("filler" in found for found in check(tmp_path, put(text, 4, answer)))


def white() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (400, 200), "white").save(stream, format="PNG")
    return stream.getvalue()


def test_copied_answer_is_named_in_every_copy(tmp_path):
    text = filled(31, tmp_path)
    for number in (5, 6, 8, 9, 10):
        text = put(text, number, prose(150, 4))
    assert check(tmp_path, text) == [f"question {n}: filler: it repeats the answer to question 4" for n in (5, 6, 8, 9, 10)]


@pytest.mark.parametrize(
    "answer",
    [
        f"{prose(140)} We have no TODO comments.",
        f"{prose(140)} `<div hidden>` and <https://example.org>",
        f"{prose(140)} CO<sub>2</sub>, `<!--` and\n\n```html\n<!-- a\n```",
    ],
)
def test_good_answer_passes(tmp_path, answer):
    assert check(tmp_path, put(filled(31, tmp_path), 5, answer)) == []


def test_picture_with_brackets_in_its_text_counts(tmp_path):
    assert check(tmp_path, put(filled(31, tmp_path), 19, "![the [DVC] bucket](figures/q19-0.png)")) == []


def test_question_in_a_code_block_is_one_error(tmp_path):
    text = put(filled(31, tmp_path), 5, f"{prose(140)}\n\n```md\n### Question 9\n```")
    assert check(tmp_path, text) == ["question 5: '##' inside the answer: the course's script ends the answer there"]


PICTURES: dict[str, tuple[str, bytes | None, str]] = {
    "missing": ("figures/none.png", None, "is missing"),
    "capitals": ("figures/Q19-0.png", None, "is missing (capital letters count)"),
    "another folder": ("pictures/a.png", png(1), "is not in figures/"),
    "outside": ("figures/../README.png", png(1), "is not in figures/"),
    "address": ("https://example.org/a.png", None, "has to be a file in figures/"),
    "blank in name": ("figures/my file.png", png(1), "has to be a file in figures/"),
    "kind": ("figures/a.gif", png(1, kind="GIF"), "is not .png, .jpg or .jpeg"),
    "JPEG as PNG": ("figures/a.png", png(1, kind="JPEG"), "is not a PNG file"),
    "PNG as JPEG": ("figures/a.jpg", png(1), "is not a JPEG file"),
    "text": ("figures/a.png", b"not a picture", "is not a PNG file"),
    "empty": ("figures/a.png", b"", "is not a PNG file"),
    "cut PNG": ("figures/a.png", png(1)[:-20], "is cut off"),
    "flipped bit": ("figures/a.png", png(1)[:60] + bytes([png(1)[60] ^ 1]) + png(1)[61:], "a checksum is wrong"),
    "cut JPEG": ("figures/a.jpg", png(1, kind="JPEG")[:-40], "is cut off"),
    "headers only": ("figures/a.jpg", b"\xff\xd8\xff\xe0\x00\x10", "is cut off"),
    "small": ("figures/a.png", png(1, (20, 10)), "20×10 pixels: too small to read"),
    "white": ("figures/a.png", white(), "is blank: it has one colour only"),
    "folder": ("figures/", None, "is not .png, .jpg or .jpeg"),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_names_what_is_wrong_with_a_picture(tmp_path, kind):
    name, data, expected = PICTURES[kind]
    text = put(filled(31, tmp_path), 19, f"![a bucket]({name})")
    if data is not None and not name.startswith("figures/.."):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (found,) = check(tmp_path, text)
    assert expected in found


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1", "I;16"])
def test_reads_every_kind_of_png(mode):
    stream = io.BytesIO()
    Image.new("RGB", (301, 77), (10, 200, 30)).convert("L").convert(mode).save(stream, format="PNG")
    assert report.png(stream.getvalue()) == (301, 77)


@given(st.data())
def test_damaged_png_is_a_value_error_or_a_size(data):
    whole = png(7, (40, 30))
    at = data.draw(st.integers(8, len(whole) - 1))
    damaged = data.draw(st.sampled_from([whole[:at], whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :]]))
    with pytest.raises(ValueError, match="is"):
        report.decoded(damaged, ".png")


def test_example_of_the_form_is_no_picture_of_a_project(tmp_path, monkeypatch):
    text = filled(31, tmp_path)
    digest = report.hashlib.sha256((tmp_path / "figures/q20-0.png").read_bytes()).hexdigest()
    monkeypatch.setattr(report, "EXAMPLES", {digest})
    (found,) = check(tmp_path, text)
    assert found == "question 20: figures/q20-0.png is the example of the form, not a picture of this project"


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a copy of the script in a folder, with Python's own packages alone."""
    shutil.copy(REPOSITORY / "reports/report.py", folder)
    return subprocess.run([sys.executable, "-S", "report.py", *words], cwd=folder, capture_output=True, text=True)


def test_script_alone_tells_by_its_exit_code(tmp_path):
    text = filled(31, tmp_path)
    (tmp_path / "README.md").write_text(text)
    done = command(tmp_path, "check")
    assert (done.returncode, done.stdout) == (0, "31 of 31 questions are right\n")
    (tmp_path / "README.md").write_text(put(text, 5, "too short"))
    done = command(tmp_path, "check")
    line = text.splitlines().index("### Question 5") + 8
    assert done.returncode == 1
    assert (
        f"README.md:{line}: question 5: 2 words; 100 to 200 are asked for\n30 of 31 questions are right; 1 things" in done.stdout
    )


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        (None, ["check"], "No such file or directory"),
        (b"\xff\xfe", ["check"], "is not UTF-8 (byte 0)"),
        (b"# a", ["html"], "pip install markdown"),
        (b"# a", ["check", "--strict"], "needs strict.py beside report.py"),
    ],
)
def test_unusable_input_is_one_line(tmp_path, content, words, message):
    if content is not None:
        (tmp_path / "README.md").write_bytes(content)
    done = command(tmp_path, *words)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


class Page(HTMLParser):
    """The tags of a page, their attributes, and which were closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img", "input", "br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_is_one_file_with_contents_tables_boxes_code_and_pictures(tmp_path):
    code = "```sh\nmake all  # <build>\n- not a list\n```"
    text = put(
        filled(31, tmp_path),
        5,
        f"| a | b |\n| --- | --- |\n| 1 | 2 |\n\n{code}\n\nWe have\n- one\n- two\n\n<script>x</script> <!-- c -->",
    )
    page = report.page(text, tmp_path)
    parsed = Page(page)
    assert parsed.open == []
    assert page.startswith('<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">')
    names = [tag for tag, _ in parsed.tags]
    assert names.count("table") == 1
    assert [attributes.get("checked", "no") for tag, attributes in parsed.tags if tag == "input"] == [None, "no"]
    assert "<li>one</li>" in page
    assert "make all  # &lt;build&gt;\n- not a list" in page
    assert "&lt;script&gt;x&lt;/script&gt;" in page
    assert "<!-- c" not in page
    links = {attributes["href"] for tag, attributes in parsed.tags if tag == "a"}
    assert {f"#question-{number}" for number in range(1, 32)} <= links
    assert links <= {f"#{attributes['id']}" for _, attributes in parsed.tags if "id" in attributes}
    sources = [attributes["src"] for tag, attributes in parsed.tags if tag == "img"]
    assert len(sources) == 5
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "@media print" in page
    assert not re.search(r"(?:src|href)=\"https?:", page)
    assert report.page(text, tmp_path) == page


def test_page_with_a_missing_picture_is_an_error_and_keeps_the_earlier_page(tmp_path, capsys):
    (tmp_path / "README.md").write_text(filled(31, tmp_path))
    (tmp_path / "report.html").write_text("earlier")
    (tmp_path / "figures/q19-0.png").unlink()
    assert report.main(["html", "--report", str(tmp_path / "README.md")]) == 1
    assert capsys.readouterr().err == "error: figures/q19-0.png is missing (capital letters count)\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "figures", "report.html"]
    assert (tmp_path / "report.html").read_text() == "earlier"


def test_own_report_lacks_only_what_a_group_fills_in():
    found = report.check(REPOSITORY / "reports/README.md", 31, strict=False)
    assert [(int(re.findall(r"\d+", wrong.text)[0]), "to fill in" in wrong.text) for wrong in found] == [
        (1, True),
        (2, True),
        (27, True),
        (31, True),
    ]


def test_courses_script_would_find_every_answer_of_the_own_report():
    text = (REPOSITORY / "reports/README.md").read_text(encoding="utf-8")
    parts = [part.split("###")[0].split("##")[0].strip("\n") for part in text.split("Answer:")[1:]]
    answers = report.parse(text)
    assert [part.strip() for part in parts] == [answer.text for answer in answers]
    for answer in answers:
        limits = report.FORMS[31][answer.number]
        assert limits.words is None or limits.words[0] <= len(answer.text.split()) <= limits.words[1]
