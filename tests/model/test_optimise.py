"""Optimised variants of a classifier: pruning, closeness to the network, and the table of measurements."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from bitbloom import tasks
from bitbloom.config.models.caption import CaptionModel
from bitbloom.config.models.image import ImageModel
from bitbloom.config.models.text import TextModel
from bitbloom.config.sections.train import Train
from bitbloom.config.target import Target
from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.data.dataset import Dataset
from bitbloom.models import classifier, text_classifier
from bitbloom.optimise import failures, make, measure, packing, pruning, report, unpinned, variants
from bitbloom.pipeline import composition
from bitbloom.serving import archive, files
from bitbloom.serving.files import predict_files
from bitbloom.stages import export
from bitbloom.training import inference
from support import standin, text_standin, tiny

PERCENTAGE = 50
"""Percentage that these tests prune; the other percentage of the table is omitted, and becomes a failure."""
VIT = ImageModel(image_size=16, patch_size=8, hidden_size=32, layers=2, heads=4, stem="patch", pooling="mean")
NETWORKS = {
    "vit": lambda: classifier.build(VIT, 3),
    "dinov2": lambda: classifier.build(replace(VIT, architecture="dinov2"), 3),
    "bert": lambda: text_classifier.build(TextModel(hidden_size=32, layers=2, heads=4, positions=16), _text_meta()),
}
fractions = st.floats(0, 1)


def _text_meta():
    return {"classes": list(text_standin.CLASSES), "tokenizer": text_standin.tokenizer().to_str()}


def inputs_of(name):
    """Return inputs of a network of NETWORKS."""
    generator = torch.Generator().manual_seed(1)
    if name == "bert":
        return torch.randint(1, len(text_standin.WEIGHTS), (3, 8), generator=generator)
    return torch.randn(3, 3, VIT.image_size, VIT.image_size, generator=generator)


@pytest.fixture(scope="module", params=NETWORKS)
def named_network(request):
    """Return the name of a network, and a network that no test changes."""
    torch.manual_seed(0)
    return request.param, NETWORKS[request.param]().eval()


@pytest.fixture
def network(named_network):
    return copy.deepcopy(named_network[1])


def random_scores(found, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(len(units), generator=generator) for units in found]


def test_finds_units_and_heads_of_each_layer(network):
    found = pruning.find(network)
    assert (
        sorted((units.kind, len(units), units.size) for units in found)
        == [(pruning.MLP, 128, 1)] * 2 + [(pruning.HEADS, 4, 8)] * 2
    )


def test_rejects_network_without_prunable_units():
    with pytest.raises(BitBloomError, match="cannot be pruned"):
        pruning.find(classifier.build(replace(VIT, architecture="cnn", layers=1), 3))


@settings(max_examples=15)
@given(fraction=fractions, seed=st.integers(0, 9))
def test_pruning_unread_units_does_not_change_outputs(named_network, fraction, seed):
    name, whole = named_network
    network = copy.deepcopy(whole)
    found = pruning.find(network)
    scores = random_scores(found, seed)
    with torch.no_grad():
        for units, score in zip(found, scores, strict=True):
            unread = score.argsort()[: pruning.removed(len(units), fraction)]
            units.consumer.weight.view(-1, len(units), units.size)[:, unread] = 0
        before = network(inputs_of(name))
        pruning.prune(found, scores, fraction)
        assert torch.allclose(network(inputs_of(name)), before, atol=1e-5)


@settings(max_examples=15)
@given(fraction=fractions)
def test_pruning_shrinks_matrices_by_the_fraction(named_network, fraction):
    network = copy.deepcopy(named_network[1])
    found, before = pruning.find(network), pruning.parameters(network)
    gone = 0
    for units in found:
        inputs, outputs = units.producers[0].in_features, units.consumer.out_features
        gone += pruning.removed(len(units), fraction) * units.size * (len(units.producers) * (inputs + 1) + outputs)
    counts = [len(units) for units in found]
    pruning.prune(found, random_scores(found), fraction)
    assert pruning.parameters(network) == before - gone
    for units, count in zip(found, counts, strict=True):
        width = (count - pruning.removed(count, fraction)) * units.size
        assert units.consumer.weight.shape[1] == units.consumer.in_features == width
        assert all(len(writer.weight) == len(writer.bias) == writer.out_features == width for writer in units.producers)


@given(units=st.integers(1, 4096), fraction=fractions)
def test_removes_at_most_the_fraction_and_keeps_one_unit(units, fraction):
    assert 0 <= pruning.removed(units, fraction) <= min(units * fraction, units - 1)


def test_removes_least_important_units(network):
    units = pruning.find(network)[0]
    kept = torch.tensor([number for number in range(len(units)) if number % 2])
    rows = (kept[:, None] * units.size + torch.arange(units.size)).flatten()
    expected = units.producers[0].weight[rows].clone()
    pruning.prune([units], [torch.arange(len(units)) % 2], 0.5)
    assert torch.equal(units.producers[0].weight, expected)


@pytest.mark.parametrize("fraction", [-0.1, 1.1])
def test_rejects_invalid_fraction(network, fraction):
    found = pruning.find(network)
    with pytest.raises(BitBloomError, match="between 0 and 1"):
        pruning.prune(found, random_scores(found), fraction)


def test_importance_is_first_order_cost_of_removal(named_network):
    """Scaling a unit's output by 1 - e changes the loss by e × activation × gradient, for every sample."""
    name, whole = named_network
    network = copy.deepcopy(whole).double()
    one = inputs_of(name)[:1]
    one = one if name == "bert" else one.double()

    def loss():
        return torch.nn.functional.cross_entropy(network(one).double(), torch.tensor([1]))

    for units in pruning.find(network)[:2]:
        (score,) = pruning.importance([units], (loss() for _ in range(1)))
        step, unit, before = 1e-4, len(units) // 2, float(loss().detach())
        with torch.no_grad():
            units.consumer.weight.view(-1, len(units), units.size)[:, unit] *= 1 - step
        assert abs(before - float(loss().detach())) / step == pytest.approx(float(score[unit]), rel=0.02, abs=1e-6)


def test_unread_unit_has_no_importance(network, named_network):
    found = pruning.find(network)
    with torch.no_grad():
        for units in found:
            units.consumer.weight.view(-1, len(units), units.size)[:, 0] = 0
    inputs = inputs_of(named_network[0])
    scores = pruning.importance(found, (network(inputs).logsumexp(1).mean() for _ in range(2)))
    for score in scores:
        assert score[0] == 0
        assert score[1:].max() > 0


def test_loads_pruned_state_into_whole_network(named_network):
    name, whole = named_network
    pruned, other = copy.deepcopy(whole), copy.deepcopy(whole)
    found = pruning.find(pruned)
    pruning.prune(found, random_scores(found), 0.4)
    pruning.load(other, pruned.state_dict())
    with torch.no_grad():
        assert torch.equal(other(inputs_of(name)), pruned(inputs_of(name)))


def test_rejects_weights_of_another_network(network):
    with pytest.raises(BitBloomError, match="no pruned form"):
        pruning.load(network, {"something": torch.zeros(1)})


@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=60))
def test_paired_interval_is_antisymmetric(gained):
    differences = np.array(gained, np.int64)
    low, high = measure.paired_interval(differences, 200)
    assert -1 <= low <= high <= 1
    other = measure.paired_interval(-differences, 200)
    spread = 1 / len(gained)  # a percentile is one of a few hundred means: the mirrored one can be its neighbour
    assert other == pytest.approx((-high, -low), abs=2 * spread + 0.05)
    if len(set(gained)) == 1:
        assert low == high == gained[0]
    assert measure.paired_interval(differences, 0) is None


def photos(folder: Path) -> None:
    tiny.write_workspace(folder, ("train.epochs=1", "evaluate.bootstrap=50", "export.calibration_samples=16"))


def messages(folder: Path) -> None:
    """Write processed data of `tweets-tiny`: words of the stand-in, labelled by the first word."""
    overrides = ("model.hidden_size=32", "train.epochs=1", "train.max_steps=null", "evaluate.bootstrap=50")
    (folder / "params").mkdir(parents=True)
    tree = composition.compose("tweets-tiny", (*overrides, "export.calibration_samples=16"))
    (folder / "params/tweets-tiny.yaml").write_text(composition.yaml_text(tree), encoding="utf-8")
    samples = tiny.dataset().samples.assign(text="flood destroyed the concert")
    dice = np.random.default_rng(1)
    tokens = dice.integers(2, len(text_standin.WEIGHTS), (len(samples), 16))
    lengths = dice.integers(2, 17, len(samples))
    tokens[np.arange(16) >= lengths[:, None]] = 0
    arrays = {
        "tokens": tokens.astype(np.int64),
        "lengths": lengths.astype(np.int64),
        "labels": (tokens[:, 0] % 2).astype(np.int64),
    }
    data = Dataset(arrays, samples, _text_meta())
    data.save(folder / "data/processed/tweets-tiny")
    tiny.write_manifest(data, folder / "data/raw/tweets-tiny/manifest.parquet")


def trained(target: Target) -> None:
    """Write a network with random weights and confident predictions in place of a trained one."""
    meta = canonical.read_json(target.processed / "meta.json")
    torch.manual_seed(0)
    network = tasks.model(target.task).build(target.model, meta, pretrained=False)
    with torch.no_grad():
        network.get_submodule("model.classifier").weight *= 5
    target.models.mkdir(parents=True)
    save_file(network.state_dict(), target.models / "model.safetensors")
    about = {"task": target.task, "model": asdict(target.model), "meta": meta, "data_digest": "0" * 64}
    canonical.write_json(target.models / "config.json", about)


WRITES = {"petals-tiny": photos, "tweets-tiny": messages}
"""What writes the processed data of a target."""


@pytest.fixture(
    scope="module", params=["petals-tiny", pytest.param("tweets-tiny", marks=pytest.mark.slow)], ids=lambda name: name
)
def built(request, tmp_path_factory):
    """Return the target, in a workspace with its variants."""
    folder = tmp_path_factory.mktemp("optimise")
    WRITES[request.param](folder)
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKERS", "1")
        patch.setattr(make, "PERCENTAGES", (PERCENTAGE,))
        target = Target.load(request.param)
        trained(target)
        export.run(target)
        make.run(target, epochs=1)
        yield target


@pytest.fixture(scope="module")
def measured(built):
    """Return the report's JSON without compiled variants, which the slow tests measure."""
    quick = tuple(variant for variant in variants.VARIANTS if not variant.compiled)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "VARIANTS", quick)
        measure.run(built, turns=1)
    return canonical.read_json(built.reports / "optimise.json")


@pytest.fixture(scope="module")
def by_name(measured):
    return {row["name"]: row for row in measured["rows"]}


def test_every_variant_has_measurements_or_a_failure(measured):
    assert [row["name"] for row in measured["rows"]] == [each.name for each in variants.VARIANTS if not each.compiled]
    without = {row["name"] for row in measured["rows"] if row["failure"]}
    assert without == {"pruned-25-untuned", "pruned-25", "pruned-25-int8"}
    for row in measured["rows"]:
        numbers = [row[key] for key in ("bytes", "accuracy", "interval", "median", "p90", "throughput", "speed", "ready")]
        assert all(number is None for number in numbers) if row["failure"] else None not in numbers


def test_sizes_are_those_of_files(by_name):
    for row in by_name.values():
        assert row["failure"] or row["bytes"] == Path(row["file"]).stat().st_size
    sizes = {name: row["bytes"] for name, row in by_name.items()}
    assert sizes["torch-bf16"] < 0.7 * sizes["torch-fp32"]
    assert max(sizes["pruned-50-untuned"], sizes["pruned-50"]) < sizes["onnx-fp32"]
    assert sizes["pruned-50-int8"] < sizes["int8"]


def test_accuracy_is_computed_from_predictions(built, by_name):
    found = inference.load(built, tasks.model(built.task))
    positions = found.dataset.split("test")
    samples = measure.Samples(found.dataset, variants.graph(built.task, found).inputs, positions)
    labels = found.dataset.take(positions)["labels"]
    for name in ("onnx-fp32", "pruned-50"):
        predicted = variants.load(built.name, name)(samples.some(np.arange(len(positions)))).argmax(1)
        assert by_name[name]["accuracy"] == pytest.approx((predicted == labels).mean())
        assert by_name[name]["difference"] == pytest.approx(by_name[name]["accuracy"] - by_name["torch-fp32"]["accuracy"])
    assert by_name["torch-fp32"]["agreement"] == by_name["onnx-fp32"]["agreement"] == 1
    assert by_name["onnx-fp32"]["speed"] == 1


@pytest.mark.parametrize(
    ("name", "bound"), [("torch-fp32", 1e-5), ("torch-bf16", 0.1), ("onnx-fp32", 1e-4), ("int8", 0.2), ("dynamic-int8", 0.2)]
)
def test_variants_are_close_to_network(built, name, bound):
    found = inference.load(built, tasks.model(built.task))
    samples = measure.Samples(found.dataset, variants.graph(built.task, found).inputs, found.dataset.split("test"))
    expected = variants.load(built.name, "torch-fp32")(samples.batch())
    predicted = variants.load(built.name, name)(samples.batch())
    assert predicted.dtype == np.float32
    assert np.allclose(predicted.sum(1), 1, atol=0.02)
    assert np.abs(predicted - expected).max() < bound
    assert name == "torch-fp32" or np.abs(predicted - expected).max() > 0  # the computation differs


@pytest.mark.parametrize(("name", "bound"), [("torch-fp32", 1e-5), ("torch-bf16", 0.1)])
def test_pytorch_variants_predict_files(built, tmp_path, name, bound):
    lines, photo = tmp_path / "lines.txt", tmp_path / "photo.jpg"
    lines.write_text("A flood is in the streets\n")
    photo.write_bytes(standin.photo((210, 40, 40)))
    given = [photo] if built.task == "petals" else [lines]
    found, expected = (
        list(files.classifier(session, "digest", file).predictions(given))
        for session, file in (variants.session(built.name, each) for each in (name, "onnx-fp32"))
    )
    of_graph = {"distance", "known"}  # only an ONNX graph gives the embedding
    assert [answer.keys() for answer in found] == [answer.keys() - of_graph for answer in expected]
    for answer, same in zip(found, expected, strict=True):
        assert answer["probability"] == pytest.approx(same["probability"], abs=bound)
        assert bound > 1e-4 or answer["label"] == same["label"]


def test_only_dynamic_int8_depends_on_batch(by_name):
    assert by_name["onnx-fp32"]["batch_difference"] < 1e-5
    assert by_name["int8"]["batch_difference"] < 1e-5 < by_name["dynamic-int8"]["batch_difference"]


def test_fine_tuning_changes_weights_but_not_shapes(built):
    folder = Path(variants.OPTIMISED) / built.name
    before, after = (load_file(folder / name / "model.safetensors") for name in ("pruned-50-untuned", "pruned-50"))
    assert {name: tensor.shape for name, tensor in before.items()} == {name: tensor.shape for name, tensor in after.items()}
    assert any(not torch.equal(before[name], after[name]) for name in before)


@given(part=st.floats(0.01, 1), head=st.none() | st.floats(1e-5, 1))
def test_lowers_all_learning_rates_by_one_factor(part, head):
    found = make.slower(Train(learning_rate=0.5, head_learning_rate=head), part)
    assert found.learning_rate == 0.5 * part
    assert found.head_learning_rate == (None if head is None else head * part)


def test_pruned_graph_equals_pruned_network(built):
    found = inference.load(built, tasks.model(built.task))
    pruning.load(found.network, load_file(Path(variants.OPTIMISED) / built.name / "pruned-50/model.safetensors"))
    graph = variants.graph(built.task, found)
    samples = measure.Samples(found.dataset, graph.inputs, found.dataset.split("test"))
    with torch.no_grad():
        expected = variants.without_attention(graph)(*(torch.from_numpy(array) for array in samples.batch().values()))
    assert np.abs(variants.load(built.name, "pruned-50")(samples.batch()) - expected.numpy()).max() < 1e-4


def test_every_graph_has_required_metadata(built):
    told = {item.key: item.value for item in onnx.load(built.models / "model.onnx").metadata_props}
    for variant in (each for each in variants.VARIANTS if each.by_onnx and each.path(built.name).is_file()):
        graph = onnx.load(variant.path(built.name))
        assert told.keys() <= {item.key for item in graph.metadata_props}
        onnx.checker.check_model(graph)


def test_bitbloom_predict_runs_variants(built, tmp_path):
    from PIL import Image

    file = tmp_path / "input"
    if built.task == "petals":
        Image.new("RGB", (30, 30), (220, 30, 30)).save(file, "PNG")
    else:
        file.write_text("flood destroyed the concert\n")
    for name in ("pruned-50", "pruned-50-int8", "dynamic-int8"):
        (answer,) = predict_files(variants.named(name).path(built.name), [file])
        assert answer["label"] in canonical.read_json(built.processed / "meta.json")["classes"]


@pytest.mark.slow
def test_packs_variant_into_bento(built):
    shutil.copytree(tiny.REPOSITORY / "bentos", "bentos", ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    for lock in ("requirements.lock", "requirements-serve.lock"):
        shutil.copyfile(tiny.REPOSITORY / lock, lock)
    file = packing.pack(built, "pruned-50-int8")
    graph = variants.named("pruned-50-int8").path(built.name).read_bytes()
    assert archive.read(file, "src/model.onnx") == graph
    told = json.loads(archive.read(file, "src/provenance.json"))
    assert told["model_digest"] == hashlib.sha256(graph).hexdigest()
    assert told["rebuild"] == f"make optimise TARGET={built.name}"


@pytest.mark.parametrize(
    ("name", "message"),
    [("torch-bf16", "ONNX Runtime only"), ("pruned-25", "run `make optimise TARGET="), ("int4", "is none of")],
)
def test_rejects_variants_that_cannot_be_packed(built, name, message):
    with pytest.raises(BitBloomError, match=message):
        packing.pack(built, name)


def test_table_has_line_per_variant_and_conditions(built, measured):
    text = (built.reports / "optimise.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith(("| variant", "| ---"))]
    assert len(lines) == len(measured["rows"])
    assert all(line.count(" | ") == len(report.COLUMNS) - 1 for line in lines)
    assert measured["conditions"]["cpu"] in text
    assert measured["conditions"]["versions"]["onnxruntime"] in text
    assert (built.reports / "optimise.png").read_bytes().startswith(b"\x89PNG")


def test_broken_variant_does_not_stop_measurement(built, monkeypatch):
    broken = variants.Variant("broken", "Broken", variants.MODELS, "broken.onnx")
    (built.models / "broken.onnx").write_bytes(b"no graph")
    monkeypatch.setattr(measure, "VARIANTS", (variants.named(variants.SERVED), broken))
    served, failed = measure.rows(built, inference.load(built, tasks.model(built.task)), turns=1)
    assert served.accuracy is not None
    assert served.difference is None  # there is no PyTorch baseline
    assert "cannot be loaded" in failed.failure
    assert "not measured" in report.cells(asdict(failed))[0]


def test_records_and_reports_failures(built, monkeypatch, tmp_path):
    def break_down(*_):
        raise RuntimeError("no memory\nfor this")

    monkeypatch.setattr(make, "dynamic_int8", break_down)
    monkeypatch.setattr(make, "PERCENTAGES", ())
    monkeypatch.setattr(make, "OPTIMISED", str(tmp_path))
    make.run(built, epochs=1)
    assert failures.read(tmp_path / built.name) == {"dynamic-int8": "RuntimeError: no memory"}
    monkeypatch.setattr(measure, "OPTIMISED", str(tmp_path))
    monkeypatch.setattr(measure, "VARIANTS", (variants.named("dynamic-int8"),))
    (row,) = measure.rows(built, inference.load(built, tasks.model(built.task)), turns=1)
    assert row.failure == "RuntimeError: no memory"


def test_rejects_models_that_are_not_classifiers():
    with pytest.raises(BitBloomError, match="models that are one classifier: that of captions-tiny is of kind caption"):
        variants.checked(Target("captions-tiny", {"model": CaptionModel()}))


def test_rejects_target_that_is_not_exported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BitBloomError, match="make export TARGET=petals"):
        variants.checked(Target("petals", {"model": ImageModel()}))


def test_rejects_unknown_variant_and_lists_variants():
    with pytest.raises(BitBloomError, match="'int4' is none of torch-fp32, "):
        variants.named("int4")


def test_measures_without_portable_pins(monkeypatch):
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    monkeypatch.setenv("MKL_CBWR", "AVX2,STRICT")
    found = unpinned()
    assert not {"ATEN_CPU_CAPABILITY", "MKL_CBWR"} & set(found)
    assert found["OMP_NUM_THREADS"] == "1"


@pytest.mark.slow
def test_compiled_variants_are_close_to_network(built):
    found = inference.load(built, tasks.model(built.task))
    samples = measure.Samples(found.dataset, variants.graph(built.task, found).inputs, found.dataset.split("test"))
    expected = variants.load(built.name, "torch-fp32")(samples.batch())
    for name, bound in (("torch-compile", 1e-4), ("torch-compile-bf16", 0.1)):
        assert np.abs(variants.load(built.name, name)(samples.batch()) - expected).max() < bound


@pytest.mark.slow
def test_reports_missing_compiler(built, monkeypatch, tmp_path):
    from torch._inductor import config as inductor

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(measure, "VARIANTS", (variants.named("torch-compile"),))
    torch._dynamo.reset()
    with inductor.patch({"cpp.cxx": (str(tmp_path / "no-compiler"),)}):
        (row,) = measure.rows(built, inference.load(built, tasks.model(built.task)), turns=1)
    assert row.failure == "torch.compile needs a C++ compiler: install g++"
