"""Behaviour of a fine-tuned text model: invariance to names and addresses, sensitivity to negation.

The checks follow Ribeiro et al. 2020 (arXiv:2005.04118), on the locked MiniLM fine-tuned on fewer messages.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from bitbloom import tasks
from bitbloom.config.models.text import TextModel
from bitbloom.config.sections.augment import Augment
from bitbloom.config.sections.numerics import Numerics
from bitbloom.config.sections.prepare import Prepare
from bitbloom.config.sections.train import Train
from bitbloom.data import splits, texts
from bitbloom.data.dataset import Dataset
from bitbloom.data.sources import chatter
from bitbloom.models import tokens, weights
from bitbloom.pipeline import composition
from bitbloom.tasks.tweets import samples as tweets
from bitbloom.training import loop, workers

pytestmark = pytest.mark.slow
MESSAGES = 2000
PREPARE = Prepare(tokenizer="locked:minilm", tokens=32)


@pytest.fixture(scope="module")
def probability():
    """Return a function that computes the probability of a disaster for texts."""
    files = [chatter.write(chatter.Config(), number) for number in range(MESSAGES)]
    rows = pd.DataFrame([message.content for message in files])
    rows = rows.assign(label=[message.label for message in files], key=[texts.key(text) for text in rows["text"]])
    rows["id"] = [f"{number:05}" for number in range(MESSAGES)]
    arrays, meta = tweets.pack(rows, [], PREPARE)
    assigned = splits.assign(list(rows["id"]), list(rows["key"]), [], PREPARE.split)
    data = Dataset(arrays, pd.concat([rows.assign(attributes="{}"), assigned], axis=1), meta)
    tree = composition.compose("tweets", ["train.epochs=3"])
    model, train = TextModel(**tree.model), Train(**tree.train)
    run = loop.Run(workers.Worker(), tasks.model("tweets"), data, loop.Sections(model, Augment(), train, Numerics()))
    for step in range(run.steps):
        run.step(step)
    network, tokenizer = run.network.eval(), tokens.open_tokenizer(weights.tokenizer_file(PREPARE.tokenizer), PREPARE.tokens)

    @torch.no_grad()
    def predict(*given: str) -> np.ndarray:
        rows, _ = tokens.encode(tokenizer, [texts.joined(text, "", "") for text in given])
        return network(torch.from_numpy(rows)).softmax(-1)[:, meta["classes"].index("disaster")].numpy()

    return predict


REAL = "last night a sudden flood swept through the market, no concert ever did"
BORROWED = "last night a sudden concert swept through the market, no flood ever did"


def test_prediction_depends_on_roles_of_words(probability):
    real, borrowed = probability(REAL, BORROWED)
    assert real > 0.7
    assert borrowed < 0.3


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.upper(),
        lambda text: f"@anna {text}",
        lambda text: f"{text} http://t.co/x1",
        lambda text: text.replace("market", "harbour"),
        lambda text: f"Anna says {text}",
        lambda text: f"Omar says {text}",
    ],
    ids=["case", "a mention", "an address", "another place", "a name", "another name"],
)
def test_names_places_addresses_and_case_do_not_change_label(probability, change):
    for text in (REAL, BORROWED):
        before, after = probability(text, change(text))
        assert (before > 0.5) == (after > 0.5)


def test_addresses_and_mentions_are_interchangeable(probability):
    one, other = probability(f"@anna {REAL} http://t.co/a", f"@bob {REAL} https://example.org/b?c=d")
    assert one == other


@pytest.mark.parametrize("place", ["market", "bridge", "clinic"])
def test_negation_lowers_probability(probability, place):
    stated, denied = probability(f"the flood destroyed the {place} at dawn", f"no flood destroyed the {place} at dawn")
    assert denied < stated - 0.1
