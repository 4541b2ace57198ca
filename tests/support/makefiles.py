"""The Makefile and the files of make/ that it includes."""

from __future__ import annotations

import functools
import re
from pathlib import Path

from support.tiny import REPOSITORY

MAKEFILES = (REPOSITORY / "Makefile", *sorted((REPOSITORY / "make").glob("*.mk")))


@functools.cache
def text() -> str:
    """Return the text of all Makefiles."""
    return "".join(path.read_text(encoding="utf-8") for path in MAKEFILES)


def targets() -> set[str]:
    """Return the phony targets in lower case, which a user can call."""
    names = {name for line in re.findall(r"^\.PHONY: (.*)$", text(), re.MULTILINE) for name in line.split()}
    return {name for name in names if name.islower()}


@functools.cache
def variables() -> set[str]:
    """Return the variables that a user can set: those that the Makefiles, the scripts of deploy/ and the code read."""
    scripts = "".join(
        path.read_text(encoding="utf-8") for path in sorted((REPOSITORY / "deploy").rglob("*")) if _has_variables(path)
    )
    code = "".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "src").rglob("*.py"))
    of_make = re.findall(r"\$\((?:value )?([A-Z][A-Z_]*)\)|\b([A-Z][A-Z_]*)(?=\||=|,|\))", text())
    of_scripts = re.findall(r"\$\{?([A-Z][A-Z_0-9]*)", scripts)
    of_code = re.findall(r"environ(?:\.get\(|\[|ment\.get\()\"([A-Z_]+)\"", code)
    return (
        {name for pair in of_make for name in pair}
        | set(of_scripts)
        | set(of_code)
        | {"BENTOML_CONFIG_OPTIONS", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "BITBLOOM_LOG", "BITBLOOM_FEEDBACK_TOKEN"}
        | {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"}  # OpenTelemetry's SDK reads them
    )


def _has_variables(path: Path) -> bool:
    return path.suffix in {".sh", ".yaml", ".conf", ".template", ".json"} and path.is_file()
