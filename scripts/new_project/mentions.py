"""Mentions of left-out tasks in makefiles, settings, workflows, the notice, records and examples. Standard library only."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from .leave_out import PACKAGE, Gone, any_of
from .names import OLD
from .rename import text_of, write

SOURCES = f"{PACKAGE}/data/sources"


def trim(root: Path, names: Iterable[str], gone: Gone) -> None:
    """Remove mentions from makefiles, settings, workflows, the notice, the record of figures, and the examples of commands."""
    for name in names:
        path = root / name
        if name.startswith("tests/") or name.endswith(".md") or (text := text_of(path)) is None:
            continue
        if name == "docs/figures.json":
            trimmed = _without_figures(text, gone)
        elif name == "Makefile" or name.endswith(".mk") or name == ".vale.ini":
            trimmed = without_blocks(text, gone)
        elif name == "NOTICE":
            trimmed = without_notices(text, gone)
        elif name.startswith(".github/"):
            trimmed = thinned(text, gone)
        elif name == "docs/config-keys.yaml":
            trimmed = _without_keys(text, root)
        elif name == "mkdocs.yml":
            trimmed = "".join(line for line in text.splitlines(keepends=True) if not gone.has(line.rpartition(": ")[2].strip()))
        elif name == "dvc.yaml":
            trimmed = _without_artifacts(text, gone)
        else:
            trimmed = without_examples(text, gone) if name.endswith(".py") else text
        if trimmed != text:
            write(path, trimmed)


def thinned(text: str, gone: Gone) -> str:
    """The text without left-out names in enumerations of tasks, targets or choices: "`petals`, `tweets`" → "`petals`"."""
    name, plain = (rf"(?<![\w-])(?:{any_of(names)})(?![\w-])" for names in (everything(gone), gone.names | gone.kept_names))
    one = rf"(?:`{name}`|{plain})(?: \([^()\n]*\))?"
    between = r"(?:, and |, or |, | and | or |,? *\n *(?:and )?)"
    chain = re.compile(rf"{one}(?:{between}{one})+")

    def kept(found: re.Match[str]) -> str:
        listed = re.findall(one, found[0])
        stay = [text for text in listed if re.search(name, text)[0] not in gone.names | gone.choices]
        if not stay or len(stay) == len(listed):
            return found[0]
        return stay[0] if len(stay) == 1 else f"{', '.join(stay[:-1])}{' and ' if ' and ' in found[0] else ', '}{stay[-1]}"

    return chain.sub(kept, text)


def everything(gone: Gone) -> set[str]:
    """All names of tasks, targets and choices, those that stay too."""
    return gone.names | gone.choices | gone.kept


def without_blocks(text: str, gone: Gone) -> str:
    """A makefile or settings without the blocks, separated by empty lines, that name a left-out file or target."""
    word = gone.word
    blocks = text.split("\n\n")

    def named(block: str) -> bool:
        files = any(path in block or path.replace("/", ".") in block for path in gone.paths)
        return files or any("-" in found[0] or block[: found.start()].endswith("TARGET=") for found in word.finditer(block))

    stay = [block for number, block in enumerate(blocks) if number == 0 or not named(block)]
    return "\n\n".join(stay).rstrip("\n") + "\n"


def without_notices(text: str, gone: Gone) -> str:
    """NOTICE without the entries about left-out targets only."""
    word = gone.word
    text = thinned(text, gone)
    entries = re.split(r"(?<=\n\n)(?=\S)", text)
    kept = re.compile(rf"`(?:{any_of(gone.kept)})`")
    stay = [entry for entry in entries if "\n    " not in entry or not word.search(entry) or kept.search(entry)]
    return "".join(stay)


def without_examples(text: str, gone: Gone) -> str:
    """Python without the examples of commands that name a left-out target."""
    return re.sub(rf', "{OLD.package} [^"\n]*(?<![\w-])(?:{any_of(gone.names)})(?![\w-])[^"\n]*"', "", text)


def _without_figures(text: str, gone: Gone) -> str:
    record = {target: entry for target, entry in json.loads(text).items() if target not in gone.targets}
    return json.dumps(record, indent=1, sort_keys=True) + "\n"


def _without_keys(text: str, root: Path) -> str:
    """The meanings of configuration keys without those of keys that only left-out sources have."""
    sources = "\n".join(path.read_text(encoding="utf-8") for path in sorted((root / SOURCES).rglob("*.py")))
    fields = set(re.findall(r"^    (\w+): ", sources, re.MULTILINE))
    entries = re.split(r"^(?=\S)", text, flags=re.MULTILINE)
    return "".join(entry for entry in entries if not (found := re.match(r"source\.(\w+)", entry)) or found[1] in fields)


def _without_artifacts(text: str, gone: Gone) -> str:
    entries = re.split(r"^(?=  [\w-]+:$)", text, flags=re.MULTILINE)
    return "".join(entry for entry in entries if entry.partition(":")[0].strip() not in gone.targets)
