"""Put the report of a finished workflow on its pull request. Run with rights to write, on data that anybody may have made.

    python -m bitbloom.ci.comment .bitbloom/ci/comment      # what `make ci-comment` calls: no venv, standard library only

The folder is the artifact of a run of code from a fork, so nothing in it is trusted: which pull request it is comes from the
event, the text loses whatever is not text, and a picture is a PNG with a plain name or refused.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from bitbloom.ci import github
from bitbloom.core import checkout
from bitbloom.core.errors import BitBloomError

BRANCH = "ci-pictures"
"""Where pictures lie that comments show: GitHub takes none with a comment."""
TEXT = "comment.md"
LONGEST = 60_000
"""Characters of a comment; GitHub's own limit is 65,536."""
PICTURES, PICTURE_BYTES = 40, 2_000_000
NAME = re.compile(r"[a-z0-9-]{1,100}\.png")
PNG = b"\x89PNG\r\n\x1a\n"
BREAK = "\u200b"
"""A space of no width: between two characters it takes their meaning away and changes no letter."""
AUTHOR = "github-actions[bot]"


def post(folder: Path) -> str:
    """Write or renew the comment of this workflow; what was done, in words."""
    if not (folder / TEXT).exists():
        return "the run left no report: nothing to say"
    run = json.loads(Path(github.variable("GITHUB_EVENT_PATH")).read_text(encoding="utf-8"))["workflow_run"]
    repository = github.variable("GITHUB_REPOSITORY")
    number = pull_request(repository, run)
    if number is None:
        return f"no open pull request has {run['head_sha']} as its newest commit: nothing to say"
    pictures = read_pictures(folder)
    text = harmless(read_text(folder), pictures)
    if pictures:
        text = linked(text, upload(repository, f"{run['id']}", pictures), pictures)
    mark = f"<!-- bitbloom {run['name']} -->"
    body = f"{mark}\n{text}\nAt {run['head_sha']}.\n"
    earlier = _earlier(repository, number, mark)
    if earlier is None:
        github.api(f"repos/{repository}/issues/{number}/comments", "POST", body=body)
    else:
        github.api(f"repos/{repository}/issues/comments/{earlier}", "PATCH", body=body)
    return f"pull request {number}: {'said' if earlier is None else 'renewed'}"


def pull_request(repository: str, run: Mapping[str, Any]) -> int | None:
    """The open pull request whose newest commit the run was of. The event names none for a fork, so it is asked by its branch."""
    head = run.get("head_repository")
    if not head:  # the fork is deleted
        return None
    query = f"state=open&head={head['owner']['login']}:{run['head_branch']}"
    for found in github.api(f"repos/{repository}/pulls?{query}"):
        if found["head"]["sha"] == run["head_sha"]:
            return int(found["number"])
    return None


def read_text(folder: Path) -> str:
    """The report, cut where it is too long."""
    file = folder / TEXT
    if file.is_symlink() or not file.is_file():
        raise BitBloomError(f"{file} is no plain file")
    text = file.read_bytes()[: 4 * LONGEST].decode("utf-8", errors="replace")
    return text if len(text) <= LONGEST else text[:LONGEST] + "\n\n… cut: the whole report is on the run's own page\n"


def read_pictures(folder: Path) -> dict[str, bytes]:
    """Pictures by name. Raises BitBloomError for what is no picture of ours."""
    files = sorted(path for path in folder.iterdir() if path.name != TEXT)
    if len(files) > PICTURES:
        raise BitBloomError(f"{len(files)} files are too many: at most {PICTURES} pictures")
    pictures = {}
    for file in files:
        if file.is_symlink() or not file.is_file() or not NAME.fullmatch(file.name) or file.stat().st_size > PICTURE_BYTES:
            raise BitBloomError(f"{file.name!r} is not a PNG with a plain name of at most {PICTURE_BYTES} bytes")
        pictures[file.name] = file.read_bytes()
        if not pictures[file.name].startswith(PNG):
            raise BitBloomError(f"{file.name!r} is no PNG")
    return pictures


def harmless(text: str, pictures: Collection[str]) -> str:
    """Text that links nowhere, shows no picture but these, calls nobody, and holds no HTML."""
    text = "".join(letter for letter in text if letter == "\n" or letter.isprintable() or letter == BREAK)
    text = text.replace("<", "&lt;").replace("://", f":{BREAK}//").replace("](", f"]{BREAK}(").replace("]:", f"]{BREAK}:")
    text = re.sub(r"@(?=\w)", f"@{BREAK}", text)
    text = re.sub(r"#(?=\d)", f"#{BREAK}", text)
    text = re.sub(r"(?i)\bwww\.", f"www{BREAK}.", text)
    for name in pictures:
        text = text.replace(f"]{BREAK}({name})", f"]({name})")
    return text


def linked(text: str, address: str, pictures: Collection[str]) -> str:
    """The text with the pictures' addresses."""
    for name in pictures:
        text = text.replace(f"]({name})", f"]({address}/{name})")
    return text


def upload(repository: str, folder: str, pictures: Mapping[str, bytes]) -> str:
    """Commit pictures to BRANCH, which shares no history with the code; the address of their folder, by commit."""
    tree = []
    for name, content in pictures.items():
        blob = github.api(f"repos/{repository}/git/blobs", "POST", content=base64.b64encode(content).decode(), encoding="base64")
        tree.append({"path": f"{folder}/{name}", "mode": "100644", "type": "blob", "sha": blob["sha"]})
    last = _tip(repository)
    base = {"base_tree": last} if last else {}
    made = github.api(f"repos/{repository}/git/trees", "POST", tree=tree, **base)
    commit = github.api(
        f"repos/{repository}/git/commits",
        "POST",
        message=f"Pictures of run {folder}",
        tree=made["sha"],
        parents=[last] if last else [],
    )["sha"]
    if last:
        github.api(f"repos/{repository}/git/refs/heads/{BRANCH}", "PATCH", sha=commit)
    else:
        github.api(f"repos/{repository}/git/refs", "POST", ref=f"refs/heads/{BRANCH}", sha=commit)
    return f"{github.variable('GITHUB_SERVER_URL')}/{repository}/raw/{commit}/{folder}"


def _tip(repository: str) -> str | None:
    """The newest commit of BRANCH; None before the first picture."""
    refs = github.api(f"repos/{repository}/git/matching-refs/heads/{BRANCH}")
    return next((str(ref["object"]["sha"]) for ref in refs if ref["ref"] == f"refs/heads/{BRANCH}"), None)


def _earlier(repository: str, number: int, mark: str) -> int | None:
    """The comment that this workflow left before."""
    page = 1
    while comments := github.api(f"repos/{repository}/issues/{number}/comments?per_page=100&page={page}"):
        for comment in comments:
            if comment["user"]["login"] == AUTHOR and comment["body"].startswith(mark):
                return int(comment["id"])
        page += 1
    return None


def main() -> None:
    """Entry point."""
    try:
        checkout.require()
        print(post(Path(sys.argv[1])))
    except BitBloomError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
