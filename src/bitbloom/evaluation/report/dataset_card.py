"""The dataset card (Gebru et al. 2021, arXiv:1803.09010) in Markdown, with the YAML metadata of Hugging Face at its start.

https://huggingface.co/docs/hub/datasets-cards lists the keys of the metadata. The names of sizes and tasks are theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from bitbloom.evaluation.report import card
from bitbloom.evaluation.report import content as words

if TYPE_CHECKING:
    from bitbloom.evaluation.report.content import Content, DataFacts

SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M", 10_000_000: "1M<n<10M"}
"""Number of samples below which a data set is of a category of size."""
LARGEST = "10M<n<100M"
HUB_SPLITS = {"training": "train", "validation": "validation", "test": "test"}
"""Name of a split in the report → on the hub."""
OTHER = "other"
"""The licence of the hub that needs a name and a link."""
PROBLEMS = 20
"""Failed expectations that the card lists."""


EXCLUDED = 20
"""Excluded samples that the card lists."""


def render(content: Content) -> str:
    """The card. Equal contents give equal text. Names from the data are escaped."""
    template = card.environment().get_template("dataset_card.md.j2")
    body = template.render(
        content=content,
        excluded_listed=EXCLUDED,
        problems=problems(content.gate),
        more_problems=max(0, len(_failed(content.gate)) - PROBLEMS),
        listed=words.LISTED,
        samples=samples(content),
    )
    return f"---\n{metadata_text(content)}---\n\n{body}"


def metadata_text(content: Content) -> str:
    """The metadata as YAML."""
    return yaml.safe_dump(metadata(content), sort_keys=True, allow_unicode=True, width=1000)


def metadata(content: Content) -> dict[str, Any]:
    """The metadata of the card, by the keys of Hugging Face."""
    facts = _facts(content)
    given = facts.provenance
    found: dict[str, Any] = {
        "pretty_name": content.name,
        "license": given.licence,
        "task_categories": [facts.task_category],
        "size_categories": [size_category(samples(content))],
        "tags": ["bitbloom", content.task],
        "dataset_info": {
            "config_name": content.target,
            "splits": [
                {"name": HUB_SPLITS[name], "num_examples": count} for name, count in content.splits.items() if name in HUB_SPLITS
            ],
        },
    }
    if given.language:
        found["language"] = [given.language]
    if given.licence == OTHER:
        found["license_name"] = f"{content.target}-terms"
        if given.terms_url:
            found["license_link"] = given.terms_url
    return found


def _facts(content: Content) -> DataFacts:
    assert content.data is not None
    return content.data


def samples(content: Content) -> int:
    """Number of samples in the splits, without the excluded ones."""
    return sum(count for name, count in content.splits.items() if name in HUB_SPLITS)


def size_category(count: int) -> str:
    """The category of size on the hub."""
    return next((name for bound, name in SIZES.items() if count < bound), LARGEST)


def problems(gate: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The expectations of the gate that do not hold, with the number of failing rows and some of them; at most PROBLEMS."""
    return [
        {
            "notes": check["notes"],
            "name": check["name"],
            "severity": check["severity"],
            "count": check["rows_at_fault"]["count"],
            "rows": ", ".join(str(row["id"]) for row in check["rows_at_fault"]["first"][:5]),
            "advice": check["advice"],
        }
        for check in _failed(gate)[:PROBLEMS]
    ]


def _failed(gate: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    return [check for check in (gate or {}).get("expectations", ()) if not check["success"]]
