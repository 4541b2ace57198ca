"""`bitbloom audit-labels`: features, page and CSV, with a network that returns the mean colours of a photo."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from bitbloom.audit import command, efficientnet, features, page, pairs
from bitbloom.audit.features import Extractor
from bitbloom.audit.page import Audit, Shown
from bitbloom.audit.table import Finding
from bitbloom.config.target import Target
from bitbloom.core.errors import BitBloomError
from bitbloom.data import imaging
from bitbloom.models import weights

COLOURS = {"poppy": (200, 30, 30), "fern": (30, 170, 50), "sky": (60, 90, 220)}
computed: list[str] = []
"""What the stand-ins of networks were given."""


def mean_colours(paths):
    computed.extend(paths)
    pixels = [imaging.decode(Path(path).read_bytes()).reshape(-1, 3).mean(axis=0) for path in paths]
    return np.array(pixels, dtype=np.float32)


def letters(texts):
    computed.extend(texts)
    return np.array([[text.count(letter) + 0.1 for letter in "abc"] for text in texts], dtype=np.float32)


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A folder whose networks are stand-ins."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKERS", "1")
    monkeypatch.setattr(weights, "locked", lambda name: SimpleNamespace(member_sha256="0" * 64))
    monkeypatch.setattr(weights, "ensure", lambda name: Path(name))
    monkeypatch.setattr(features, "PHOTOS", Extractor("colours", "1", mean_colours))
    monkeypatch.setattr(features, "TEXTS", Extractor("letters", "1", letters))
    computed.clear()
    return tmp_path


def target(kind, rows):
    """A target with this manifest."""
    found = Target("flowers", {"model.kind": kind, "task": "petals"})
    found.raw.mkdir(parents=True)
    pd.DataFrame(rows).to_parquet(found.manifest)
    return found


def photos():
    """Photos of one colour each, of which one is in the wrong class and one in two classes."""
    rows, dice = [], np.random.default_rng(1)
    for number in range(60):
        truth = list(COLOURS)[number % 3]
        pixels = np.array(COLOURS[truth], np.uint8) + dice.integers(0, 25, (20, 30, 3), np.uint8)
        label = {7: "sky", 9: "poppy"}.get(number, truth)
        rows.append((f"{label}/{number:02}.png", label, pixels))
    rows.append(("sky/twin.png", "sky", rows[12][2]))
    found = target("image", {"id": []})
    manifest = []
    for name, label, pixels in rows:
        (found.raw / name).parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(found.raw / name)
        data = (found.raw / name).read_bytes()
        facts = imaging.facts(data)
        digest = features.digest(name)
        manifest.append({"id": name, "path": name, "label": label, "sha256": digest, **facts})
    pd.DataFrame(manifest).to_parquet(found.manifest)
    return found


@pytest.mark.usefixtures("workspace")
def test_wrong_label_is_first_with_its_picture_and_equal_content_is_listed():
    found = command.run(photos())
    rows = list(csv.DictReader(io.StringIO(found.csv.read_text())))
    assert {row["id"] for row in rows[:2]} <= {"sky/07.png", "sky/twin.png", "poppy/12.png"}
    assert ("sky/07.png", "sky", "fern", "") in [(row["id"], row["label"], row["suggested"], row["verdict"]) for row in rows]
    assert {"poppy/12.png", "sky/twin.png"} <= {row["id"] for row in rows}
    assert list(found.audit.contradictions) == [[("poppy/12.png", "poppy"), ("sky/twin.png", "sky")]]
    shown = found.html.read_text()
    assert shown.count("data:image/jpeg") == len(rows) + 1
    assert "http" not in shown.replace("https://bitbloom", "")
    assert command.summary(found).splitlines()[1:] == ["reports/flowers/label-errors.html", "reports/flowers/label-errors.csv"]


@pytest.mark.usefixtures("workspace")
def test_second_audit_has_equal_files_and_computes_features_of_new_samples_only():
    flowers = photos()
    first = command.run(flowers)
    before = first.html.read_bytes(), first.csv.read_bytes()
    computed.clear()
    again = command.run(flowers)
    assert (again.html.read_bytes(), again.csv.read_bytes(), computed) == (*before, [])


@pytest.mark.usefixtures("workspace")
def test_larger_percentage_lists_more_in_files_of_its_own():
    flowers = photos()
    short, long = command.run(flowers), command.run(flowers, 50.0)
    few, many = short.audit.listed, long.audit.listed
    assert many[: len(few) - 1] == few[:-1]
    assert len(many) >= 31 > len(few)
    names = [found.name for found in (short.html, short.csv, long.html, long.csv)]
    assert names == ["label-errors.html", "label-errors.csv", "label-errors-50.html", "label-errors-50.csv"]


@pytest.mark.usefixtures("workspace")
def test_new_audit_does_not_lose_verdicts_that_were_not_applied():
    flowers = photos()
    csv_file = command.run(flowers).csv
    edited = csv_file.read_text().replace("sky/07.png,sky,fern,", "sky/07.png,sky,fern,0.1,fern\nsky/08.png,sky,fern,")
    csv_file.write_text(edited)
    with pytest.raises(BitBloomError, match=r"has verdicts that were not applied \(sky/07.png\): `make relabel TARGET=flowers"):
        command.run(flowers)
    assert csv_file.read_text() == edited


@pytest.mark.usefixtures("workspace")
def test_new_audit_replaces_a_csv_whose_verdicts_are_the_labels_of_the_data():
    flowers = photos()
    first = command.run(flowers).csv.read_text()
    Path("reports/flowers/label-errors.csv").write_text("id,label,suggested,score,verdict\nsky/07.png,fern,sky,0.1,sky\n")
    assert command.run(flowers).csv.read_text() == first


@pytest.mark.usefixtures("workspace")
def test_texts_are_shown_and_escaped():
    texts = [letter * (number % 4 + 2) for number, letter in enumerate("abc" * 12)]
    labels = ["abc"[number % 3] for number in range(36)]
    labels[4] = "a"
    texts[4] = "bbbbb <script>alert(1)</script>"
    keys = [features.digest(f"{number} {text}") for number, text in enumerate(texts)]
    rows = {
        "id": [f"t{number:02}" for number in range(36)],
        "label": labels,
        "text": texts,
        "key": keys,
        "decodable": [True] * 36,
    }
    found = command.run(target("text", rows))
    assert found.audit.listed[0].id == "t04"
    assert "bbbbb &lt;script&gt;" in found.html.read_text()
    assert "<script" not in found.html.read_text()


@pytest.mark.usefixtures("workspace")
def test_missing_data_names_the_command():
    found = target("image", {"id": []})
    found.manifest.unlink()
    with pytest.raises(BitBloomError, match="run `make data TARGET=flowers` first"):
        command.run(found)


def test_features_of_another_version_are_computed_again(workspace):
    one, other = Extractor("letters", "1", letters), Extractor("letters", "2", letters)
    for extractor, count in ((one, 8), (one, 8), (other, 16)):
        features.features(extractor, ["aab", "c"], ["1" * 64, "2" * 64], workspace / "found.npz")
        assert len(computed) == count  # a batch is filled with repetitions


def test_features_are_in_the_order_of_the_samples(workspace):
    texts = ["a" * number for number in range(1, 20)]
    digests = [features.digest(text) for text in texts]
    found = features.features(features.TEXTS, texts, digests, workspace / "found.npz")
    assert found[:, 0].round().astype(int).tolist() == list(range(1, 20))
    turned = features.features(features.TEXTS, texts[::-1], digests[::-1], workspace / "found.npz")
    assert np.array_equal(turned, found[::-1])


def test_names_are_escaped_in_the_page():
    finding = Finding("<b>id</b>", '<i>"label"</i>', "<u>other</u>", 0.1, 0.2, 0.8)
    audit = Audit("flowers", "A & B", "samples", 10, [finding], 1, 0.7, "found.csv", [[("<b>one</b>", "<i>x</i>"), ("two", "y")]])
    text = page.render(audit, lambda _: Shown(text="<script>"))
    assert not any(tag in text for tag in ("<b>id", "<i>", "<u>", "<script", "<b>one"))
    assert "80.0\N{NO-BREAK SPACE}%; of the given label 20.0\N{NO-BREAK SPACE}%" in text
    assert "About 1 of 10 labels are doubted" in text
    assert "The features hardly tell these labels apart" in text


def test_page_of_pairs_has_scores_and_no_way_to_correct_labels():
    audit = Audit("garden", "Far.", "pairs", 10, [Finding("a#1", "a rose", "a lily", 0.25)], None, None, "found.csv")
    text = page.render(audit, lambda _: Shown())
    assert "75.0\N{NO-BREAK SPACE}% of the captions of other photos" in text
    assert "make relabel" not in text


def test_unreadable_photo_is_named(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no photo")
    assert page.picture(tmp_path / "a.jpg") == Shown(text="cannot be decoded")


def test_caption_of_another_photo_has_the_lowest_score():
    images = np.eye(5, dtype=np.float32)
    owners = np.repeat(np.arange(5), 2)
    texts = images[owners].copy()
    texts[3] = images[4] - images[1]
    scores, nearest = pairs.compare(images, texts, owners)
    assert scores.argmin() == 3
    assert scores[[0, 1, 2]].tolist() == [1.0, 1.0, 1.0]
    assert nearest[8] == 3


def test_score_does_not_depend_on_the_block(monkeypatch):
    dice = np.random.default_rng(3)
    images, texts = dice.normal(size=(20, 8)).astype(np.float32), dice.normal(size=(60, 8)).astype(np.float32)
    owners = np.repeat(np.arange(20), 3)
    whole = pairs.compare(images, texts, owners)
    monkeypatch.setattr(pairs, "BLOCK", 7)
    for one, other in zip(whole, pairs.compare(images, texts, owners), strict=True):
        assert np.array_equal(one, other)


def checkpoint():
    """A random checkpoint with the names of the package."""
    torch.manual_seed(1)
    found = {}
    for name, tensor in efficientnet.EfficientNetLite0().state_dict().items():
        if name.endswith(".weight"):
            part = name.removesuffix(".weight")
            old, norm = names(part)
            found[f"{old}.weight"] = tensor
            width = len(tensor)
            found |= {f"{norm}.weight": torch.rand(width) + 0.5, f"{norm}.bias": torch.randn(width)}
            found |= {f"{norm}.running_mean": torch.randn(width), f"{norm}.running_var": torch.rand(width) + 0.5}
    return found


def names(part):
    """The names of a convolution and of its batch normalisation in the package."""
    if "." not in part:
        return f"_conv_{part}", {"stem": "_bn0", "head": "_bn1"}[part]
    _, number, kind = part.split(".")
    norm = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}[kind]
    return f"_blocks.{number}._{kind}{'_conv'}", f"_blocks.{number}.{norm}"


def test_folded_convolution_gives_what_its_batch_normalisation_gives(tmp_path):
    given = checkpoint()
    torch.save(given, tmp_path / "weights.pth")
    network = efficientnet.load(tmp_path / "weights.pth")
    photos = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        padded = torch.nn.functional.pad(photos, (0, 1, 0, 1))  # TensorFlow's padding of an even side
        plain = torch.nn.functional.conv2d(padded, given["_conv_stem.weight"], stride=2)
        values = [given[f"_bn0.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
        expected = torch.nn.functional.batch_norm(plain, *values, eps=efficientnet.EPSILON)
        assert torch.allclose(network.stem(photos), expected, atol=1e-5)
        assert network(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)).shape == (1, efficientnet.WIDTH)


def test_checkpoint_of_another_network_is_refused(tmp_path):
    torch.save({"weight": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(BitBloomError, match="is not a checkpoint of EfficientNet-Lite0"):
        efficientnet.load(tmp_path / "other.pth")
