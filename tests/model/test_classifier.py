"""Networks: their shapes, their initial weights, and pretrained weights."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from bitbloom.config.models.image import ImageModel
from bitbloom.core.errors import BitBloomError
from bitbloom.models import classifier, initialise, weights
from support.tiny import REPOSITORY

SMALL = ImageModel(image_size=32, patch_size=8, hidden_size=32, layers=2, heads=2, stem="patch")
VARIANTS = {
    "vit with a convolutional stem": replace(SMALL, stem="conv"),
    "vit with patches": SMALL,
    "vit with mean pooling": replace(SMALL, pooling="mean"),
    "kornia-vit": replace(SMALL, architecture="kornia-vit"),
    "kornia-vit with a convolutional stem and mean pooling": replace(
        SMALL, architecture="kornia-vit", stem="conv", pooling="mean"
    ),
    "cnn": replace(SMALL, architecture="cnn"),
    "dinov2": replace(SMALL, architecture="dinov2"),
}
every_variant = pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)


def seeded(config: ImageModel, seed: int = 0, classes: int = 5) -> nn.Module:
    torch.manual_seed(seed)
    return classifier.build(config, classes)


@every_variant
def test_every_architecture_returns_one_logit_per_class(config):
    logits = seeded(config).eval()(torch.zeros(3, 3, 32, 32))
    assert logits.shape == (3, 5)
    assert logits.dtype == torch.float32


@every_variant
def test_initial_weights_depend_only_on_seed(config):
    one, again, other = (seeded(config, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(tensor, again[name]) for name, tensor in one.items())
    assert not all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@every_variant
def test_network_without_weights_has_same_shapes(config):
    trained, empty = seeded(config), classifier.build(config, 5, pretrained=False)
    empty.load_state_dict(trained.state_dict())
    pixels = torch.rand(2, 3, 32, 32)
    assert torch.equal(trained.eval()(pixels), empty.eval()(pixels))


@every_variant
def test_logits_do_not_depend_on_batch(config):
    network, pixels = seeded(config).eval(), torch.rand(4, 3, 32, 32)
    assert torch.allclose(network(pixels)[1:2], network(pixels[1:2]), atol=1e-5)


def test_attention_is_eager():
    for config in (SMALL, replace(SMALL, architecture="dinov2")):
        assert seeded(config).get_submodule("model").config._attn_implementation == "eager"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "resnet"}, "'resnet' is none of vit, kornia-vit, cnn, dinov2, auto"),
        ({"stem": "wavelet"}, "'wavelet' is neither patch nor conv"),
        ({"pooling": "max"}, "'max' is neither class nor mean"),
        ({"stem": "conv", "patch_size": 12}, "4, 8, 16 or 32, not 12"),
        ({"stem": "conv", "patch_size": 2}, "4, 8, 16 or 32, not 2"),
        ({"weights": "locked:vit-s-dinov2"}, "vit starts from random weights"),
        ({"architecture": "kornia-vit", "weights": "locked:vit-s-dinov2"}, "set model.weights=none"),
        ({"architecture": "kornia-vit", "mlp_ratio": 2}, "mlp_ratio of kornia-vit is 4 in Kornia, not 2"),
        ({"architecture": "kornia-vit", "heads": 5}, "32 is not a multiple of model.heads 5"),
        ({"architecture": "cnn", "weights": "locked:vit-s-dinov2"}, "set model.weights=none"),
        ({"architecture": "auto", "weights": "none"}, "names no model to load"),
        ({"architecture": "auto", "weights": "path:/there/is/none"}, "there is no folder"),
    ],
)
def test_rejects_invalid_models(change, message):
    with pytest.raises(BitBloomError, match=message):
        classifier.build(replace(SMALL, **change), 5)


def test_initial_deviations_follow_fan_in():
    network = nn.Sequential(nn.Linear(400, 300), nn.Conv2d(16, 64, 3), nn.LayerNorm(8), nn.GroupNorm(2, 8))
    torch.manual_seed(0)
    initialise.portable(network)
    linear, convolution, *norms = network
    assert float(linear.weight.detach().std()) == pytest.approx((1 / 400) ** 0.5, rel=0.02)
    assert float(convolution.weight.detach().std()) == pytest.approx((2 / (16 * 9)) ** 0.5, rel=0.05)
    assert all(torch.all(norm.weight == 1) and torch.all(norm.bias == 0) for norm in norms)
    assert torch.all(linear.bias == 0)


def test_embeddings_have_small_initial_deviation():
    state = seeded(SMALL).state_dict()
    assert float(state["model.vit.embeddings.position_embeddings"].std()) == pytest.approx(0.02, rel=0.1)


def test_draws_have_mean_zero_and_variance_one():
    torch.manual_seed(0)
    draws = initialise.bell(torch.Size([200_000]))
    assert float(draws.mean()) == pytest.approx(0, abs=0.01)
    assert float(draws.std()) == pytest.approx(1, abs=0.01)
    assert float((draws.abs() < 1).float().mean()) == pytest.approx(0.683, abs=0.01)


@pytest.fixture
def saved(tmp_path):
    """Save a tiny model of `transformers` to a folder."""
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    shape = ViTConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, image_size=32, patch_size=8
    )
    ViTForImageClassification(shape).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_loads_model_of_folder_with_new_head(saved):
    config = ImageModel(architecture="auto", weights=f"path:{saved}", image_size=32)
    network = seeded(config, classes=7)
    assert network.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 7)
    assert not network.head().weight.detach().any()  # zero-initialised, so that it does not distort the features
    backbone = weights.state(f"path:{saved}")
    assert torch.equal(network.state_dict()["model.vit.layernorm.weight"], backbone["layernorm.weight"])
    same_shapes = classifier.build(config, 7, pretrained=False)
    same_shapes.load_state_dict(network.state_dict())


def test_loads_model_without_image_size_and_with_another_head(tmp_path):
    from transformers import ResNetConfig, ResNetForImageClassification

    shape = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    ResNetForImageClassification(shape).save_pretrained(tmp_path)
    network = seeded(ImageModel(architecture="auto", weights=f"path:{tmp_path}", image_size=32), classes=7)
    assert network.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 7)
    assert network.head().out_features == 7
    assert not network.head().weight.detach().any()


def test_rejects_model_without_linear_head():
    from transformers import ViTConfig, ViTForImageClassification

    model = ViTForImageClassification(ViTConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, num_labels=7))
    model.classifier = nn.Identity()
    with pytest.raises(BitBloomError, match="no linear layer with 7 outputs"):
        classifier.Logits(model)


def test_accepts_hub_model_with_full_commit():
    commit = "0123456789abcdef0123456789abcdef01234567"
    assert weights.location(f"hub:some/model@{commit}") == ("some/model", commit)


@pytest.mark.parametrize("spec", ["hub:some/model", "hub:some/model@main", "hub:some/model@0123456", "path:", "elsewhere:x", ""])
def test_rejects_unknown_weights_and_lists_forms(spec):
    with pytest.raises(BitBloomError, match=r"names no model to load"):
        weights.location(spec)


def test_folder_of_weights_has_no_revision(tmp_path):
    assert weights.location(f"path:{tmp_path}") == (str(tmp_path), None)


LOCKED = {
    "package": "some-weights",
    "version": "1.0",
    "wheel_sha256": "0" * 64,
    "member": "weights.bin",
    "member_sha256": "1" * 64,
    "format": "onnx-dinov2",
    "terms": "MIT",
}


@pytest.fixture
def locked_store(tmp_path, monkeypatch):
    """Create a project that locks a file of weights, and has another file of that name in its store."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.lock").write_text(json.dumps({"small": LOCKED}))
    (tmp_path / ".bitbloom/weights/small").mkdir(parents=True)
    (tmp_path / ".bitbloom/weights/small/weights.bin").write_bytes(b"something else")


@pytest.mark.usefixtures("locked_store")
def test_rejects_file_with_another_digest():
    with pytest.raises(BitBloomError, match=r"not what weights.lock names"):
        weights.ensure("small")


@pytest.mark.usefixtures("locked_store")
def test_rejects_unknown_name_and_lists_names():
    assert weights.names() == ["small"]
    with pytest.raises(BitBloomError, match="no weights 'large'; it has: small"):
        weights.ensure("large")


@pytest.mark.usefixtures("locked_store")
def test_reports_wheel_that_cannot_be_installed(tmp_path, monkeypatch):
    (tmp_path / ".bitbloom/weights/small/weights.bin").unlink()
    monkeypatch.setenv("UV_OFFLINE", "1")
    with pytest.raises(BitBloomError, match=r"some-weights 1\.0 cannot be installed"):
        weights.ensure("small")


def test_loads_backbone_with_positions_of_any_grid():
    small, large = (seeded(replace(SMALL, architecture="dinov2", image_size=size), size) for size in (32, 48))
    state = large.get_submodule("model.dinov2").state_dict()
    weights.load_backbone(small.get_submodule("model.dinov2"), state)
    loaded = small.get_submodule("model.dinov2").state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.items() if "position" not in name)
    assert loaded["embeddings.position_embeddings"].shape == (1, 17, 32)


def test_rejects_missing_tensor_by_name():
    backbone = seeded(replace(SMALL, architecture="dinov2")).get_submodule("model.dinov2")
    state = {name: tensor for name, tensor in backbone.state_dict().items() if name != "layernorm.bias"}
    with pytest.raises(BitBloomError, match=r"lack 1 tensors of this architecture, the first is layernorm.bias"):
        weights.load_backbone(backbone, state)


def test_rejects_tensor_of_another_shape_by_name():
    backbone = seeded(replace(SMALL, architecture="dinov2")).get_submodule("model.dinov2")
    with pytest.raises(BitBloomError, match=r"layernorm.bias is \(3,\), the config needs \(32,\)"):
        weights.load_backbone(backbone, backbone.state_dict() | {"layernorm.bias": torch.zeros(3)})


def test_resized_positions_keep_class_token_and_corners():
    positions = torch.cat([torch.full((1, 1, 4), 9.0), torch.full((1, 25, 4), 2.0)], dim=1)
    positions[0, 1], positions[0, -1] = 1.0, 5.0
    resized = weights.resize_positions(positions, 16)
    assert resized.shape == (1, 17, 4)
    assert torch.all(resized[:, 0] == 9)
    assert resized[0, 1, 0] < 2 < resized[0, -1, 0]
    assert torch.allclose(resized[0, 6:8], torch.tensor(2.0), atol=0.05)
    assert weights.resize_positions(positions, 25) is positions


@pytest.fixture(scope="module")
def locked_file():
    """The ViT-S of weights.lock."""
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(REPOSITORY)
            return weights.ensure("vit-s-dinov2").resolve()
    except BitBloomError as error:
        if "cannot be installed" not in str(error):
            raise
        pytest.skip(f"the locked weights are not available: {error}")


@pytest.mark.slow
def test_locked_vit_equals_graph_of_its_wheel(locked_file, monkeypatch, tmp_path):
    import onnx
    import onnxruntime

    monkeypatch.chdir(REPOSITORY)
    config = ImageModel(
        architecture="dinov2", weights="locked:vit-s-dinov2", image_size=518, patch_size=14, hidden_size=384, layers=12, heads=6
    )
    backbone = classifier.build(config, 2).eval().get_submodule("model.dinov2")
    pixels = np.random.default_rng(0).standard_normal((1, 3, 224, 224), dtype=np.float32)
    last = "/backbone/layernorm/Add_1_output_0"
    graph = onnx.load(locked_file)
    graph.graph.output.append(onnx.helper.make_tensor_value_info(last, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run([last], {session.get_inputs()[0].name: pixels})[0]
    with torch.no_grad():
        found = backbone(torch.from_numpy(pixels)).last_hidden_state.numpy()
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 2e-5 * max(1, np.abs(expected).max())
