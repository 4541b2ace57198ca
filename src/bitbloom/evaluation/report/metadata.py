"""The metadata of a model card: the YAML block at its start, which Hugging Face's hub and its client read.

`huggingface_hub`'s `ModelCardData` and `EvalResult` give the keys and the form of `model-index`. The block itself is dumped here
with sorted keys, so that its bytes do not depend on the order of attributes in the library.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from bitbloom.core import canonical
from bitbloom.evaluation.report import content as words

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

    from bitbloom.evaluation.report.content import Content

LIBRARY = "bitbloom"
TAGS = ("bitbloom", "onnx", "pytorch", "reproducible", "safetensors")
FREE = "apache-2.0"
"""The licence of the code, of the synthetic data and of the locked weights (NOTICE)."""
OTHER, OTHER_NAME = "other", "terms-of-the-data-and-weights"
"""The licence of a model whose data or initial weights have other terms, or terms of the user's own."""


NAMES: Mapping[str, str] = {
    "garden": "garden",
    "garden_captions": "garden",
    "garden_tfrecords": "garden",
    "chatter": "chatter",
    "coco": "coco-2017",
    "tweets_csv": "nlp-getting-started",
    "tfrecords": "tpu-getting-started",
}
"""Kind of source → name of its data. Another kind reads data that has no name, such as the user's own."""
BASES = {"locked:vit-s-dinov2": "facebook/dinov2-small", "locked:minilm": "sentence-transformers/all-MiniLM-L6-v2"}
"""Locked weights, both under FREE → their model on the hub."""
PIPELINES = {"image": "image-classification", "text": "text-classification", "caption": "image-to-text"}
"""Kind of model → the hub's name of its task."""
METRIC_TYPES = {
    "macro_f1": "f1",
    "tfidf_f1": "f1",
    "top5_accuracy": "accuracy",
    "bleu_4": "bleu",
    "rouge_l": "rouge",
    "cider_d": "cider",
}
"""Metric → the hub's name of its type. Other metrics keep their key."""
COUNTS = ("samples",)
"""Numbers of metrics.json that measure nothing."""


def block(content: Content) -> str:
    """Return the YAML block of a card with its two delimiters. Equal contents give equal text."""
    found = card_data(content).to_dict()  # type: ignore[no-untyped-call]
    text = yaml.safe_dump(found, sort_keys=True, allow_unicode=True, width=10_000, default_flow_style=False)
    return f"---\n{text}---\n"


def card_data(content: Content) -> ModelCardData:
    """Return the metadata of a model. Keys whose value is not known are absent."""
    from huggingface_hub import ModelCardData

    name, language = NAMES.get(content.source), content.data.provenance.language if content.data else ""
    results = eval_results(content)
    known = licence(content)
    return ModelCardData(
        base_model=base_models(content) or None,
        datasets=[name] if name else None,
        eval_results=results or None,
        language=[language] if language else None,
        library_name=LIBRARY,
        license=known,
        license_name=OTHER_NAME if known == OTHER else None,
        metrics=sorted({result.metric_type for result in results}) or None,
        model_name=content.target,
        pipeline_tag=pipeline(content),
        tags=sorted({*TAGS, content.task}),
    )


def eval_results(content: Content) -> list[EvalResult]:
    """Return the metrics of metrics.json, with the same digits, by name."""
    from huggingface_hub import EvalResult

    measured = json.loads(canonical.json_text(content.scalars))
    digest = next((digest for path, digest in content.digests.items() if path.startswith("data/")), None)
    return [
        EvalResult(
            task_type=pipeline(content) or OTHER,
            dataset_type=NAMES.get(content.source, content.target),
            dataset_name=_one_line(content.name),
            dataset_config=content.target,
            dataset_split="test",
            dataset_args={"sha256": digest} if digest else None,
            metric_type=METRIC_TYPES.get(key, key),
            metric_name=words.METRICS.get(key, (words.sentence(key), ""))[0],
            metric_value=value,
        )
        for key, value in sorted(measured.items())
        if key not in COUNTS
    ]


def licence(content: Content) -> str:
    """Return FREE if the data (section `dataset`) and all initial weights are, else OTHER."""
    free = content.data is not None and content.data.provenance.licence == FREE and all(spec in BASES for spec in content.weights)
    return FREE if free else OTHER


def base_models(content: Content) -> list[str]:
    """Return the models on the hub that a model was fine-tuned from: those of locked weights, and those of `hub:` weights."""
    found = [BASES.get(spec) or _repository(spec) for spec in content.weights]
    return sorted({name for name in found if name})


def pipeline(content: Content) -> str | None:
    """Return the hub's name of a model's task; None for an unknown kind of model."""
    return PIPELINES.get(str(content.model.get("kind")))


def _repository(spec: str) -> str | None:
    kind, _, rest = spec.partition(":")
    return rest.partition("@")[0] if kind == "hub" else None


def _one_line(text: Any) -> str:
    return " ".join(str(text).split())
