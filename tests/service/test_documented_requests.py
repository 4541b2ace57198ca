"""Every request to a service in README and docs, sent as written: curl's command lines, and BentoML's client."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from support import documents
from support.documents import Block, Command
from support.standin import COLOURS, Served, photo

LOG_PAGE = "docs/prediction-log.md"
"""Its requests need a log: prediction_log/test_log_service.py sends them."""
ADDRESS = re.compile(r"(?:http://)?(?:localhost|127\.0\.0\.1):3000")
REQUESTS = [
    command
    for block in documents.blocks("sh")
    if block.page != LOG_PAGE
    for command in documents.commands(block)
    if command.words[:1] == ("curl",) and any(map(ADDRESS.match, command.words))
]
PROGRAMS = [block for block in documents.blocks("python") if ADDRESS.search(block.text)]
OF_CAPTIONS = ("/caption", "/search", "/similarity")


def service(words: str) -> str:
    """The fixture of the service that a request is for."""
    if any(name in words for name in (*OF_CAPTIONS, ".search(", ".caption(", ".similarity(")):
        return "served_captions"
    return "served_texts" if "texts" in words or "text=" in words else "served"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the photos that the pages name."""
    monkeypatch.chdir(tmp_path)
    named = re.findall(r"@?([\w/-]+\.jpg)", "\n".join([*map(str, REQUESTS), *(block.text for block in PROGRAMS)]))
    for name, colour in zip(sorted(set(named)), list(COLOURS.values()) * 2, strict=False):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(photo(colour))
    return tmp_path


@pytest.mark.parametrize("command", REQUESTS, ids=str)
def test_curl_gets_a_response(command: Command, folder: Path, request: pytest.FixtureRequest):
    served: Served = request.getfixturevalue(service(" ".join(command.words)))
    words = [ADDRESS.sub(served.url, word) if ADDRESS.match(word) else word for word in command.words]
    done = subprocess.run([*words, "--silent", "--show-error", "--fail-with-body"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)


@pytest.mark.parametrize("block", PROGRAMS, ids=str)
def test_python_client_raises_no_error(block: Block, folder: Path, request: pytest.FixtureRequest):
    served: Served = request.getfixturevalue(service(block.text))
    exec(ADDRESS.sub(served.url, block.text), {})


def test_pages_have_requests_of_each_kind():
    assert {service(" ".join(command.words)) for command in REQUESTS} == {"served", "served_texts", "served_captions"}
    assert {service(block.text) for block in PROGRAMS} == {"served", "served_texts", "served_captions"}
