"""`hub:` and `path:` weights against a local stand-in of the hub: download, pin, cache, damaged downloads."""

from __future__ import annotations

import pytest
import torch
from huggingface_hub import constants

from bitbloom.core.errors import BitBloomError
from bitbloom.models import weights
from support import hub as standin

REPO = "some/model"
PROBE = "layernorm.weight"


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    """The files of a tiny transformer: config.json and model.safetensors."""
    from transformers import ViTConfig, ViTModel

    folder = tmp_path_factory.mktemp("model")
    shape = ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, image_size=8, patch_size=4)
    model = ViTModel(shape, add_pooling_layer=False)
    torch.nn.init.constant_(model.get_parameter(PROBE), 0.5)
    model.save_pretrained(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with standin.serving(monkeypatch, tmp_path / "cache") as server:
        yield server


@pytest.fixture
def commit(hub, contents):
    """The commit of the model in the hub, below one with other weights."""
    hub.repositories[REPO] = standin.Repository()
    first = hub.repositories[REPO].add(contents)
    hub.repositories[REPO].add({"model.safetensors": b"newer weights"})
    return first


def probe(spec):
    return set(weights.state(spec)[PROBE].tolist())


def test_pinned_commit_is_downloaded_also_when_main_has_moved(hub, commit):
    assert probe(f"hub:{REPO}@{commit}") == {0.5}
    got = [line for line in hub.requests if "/resolve/" in line]
    assert got and all(f"/resolve/{commit}/" in line for line in got)


def test_second_load_comes_from_the_cache_without_a_hub(hub, commit, monkeypatch):
    assert probe(f"hub:{REPO}@{commit}") == {0.5}
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.requests.clear()
    assert probe(f"hub:{REPO}@{commit}") == {0.5}
    assert hub.requests == []


def test_first_load_without_a_hub_is_an_error(hub, commit, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(OSError, match="cached files"):
        weights.state(f"hub:{REPO}@{commit}")


def test_unknown_commit_is_an_error(hub, commit):
    with pytest.raises(OSError, match="a" * 40):
        weights.state(f"hub:{REPO}@{'a' * 40}")


def test_branch_is_refused_before_any_request(hub, commit):
    with pytest.raises(BitBloomError, match="40-digit commit"):
        weights.state(f"hub:{REPO}@main")
    assert hub.requests == []


def test_download_of_another_size_than_announced_is_refused(hub, commit, monkeypatch):
    def damaged(self, body, commit, path):
        self._send(self.server.repositories[REPO].files(commit)[path][:-8])

    monkeypatch.setattr(standin.Handler, "download", damaged)
    with pytest.raises(OSError, match=r"consistency|size"):
        weights.state(f"hub:{REPO}@{commit}")


def test_folder_has_the_tensors_of_the_hub_and_its_digest_tells_a_change(contents, tmp_path):
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    spec = f"path:{tmp_path}"
    assert probe(spec) == {0.5}
    before = weights.identity(spec)
    (tmp_path / "model.safetensors").write_bytes(contents["model.safetensors"][:-1] + b"\x01")
    assert weights.identity(spec) != before
