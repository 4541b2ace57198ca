"""Check the manifest of a target against the expectations of its task; data that fails stops the build.

python -m bitbloom.stages.validate petals
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError, GateFailed
from bitbloom.stages import main
from bitbloom.validation import profile
from bitbloom.validation.check import check, read_manifest, suite_path

if TYPE_CHECKING:
    from bitbloom.config.target import Target

READS = ("task", "gate")
PARTS = ()


def run(target: Target) -> None:
    """Write `reports/<target>/validation.json`.

    Raises:
        GateFailed: a critical expectation fails. The message names each failed one, the failing rows and the remedy.
        BitBloomError: the manifest is missing, or the suite is invalid.
    """
    if not target.manifest.exists():
        raise BitBloomError(f"{target.manifest} is missing: run `make data TARGET={target.name}` first")
    accepted = profile.load(target.name)
    verdict = check(read_manifest(target.manifest), suite_path(target.task), target.gate, accepted=accepted)
    report = target.reports / "validation.json"
    canonical.write_json(report, verdict.as_json())
    if not verdict.passed:
        raise GateFailed(f"{target.manifest} does not pass the gate: {verdict.in_words()}\nThe whole report: {report}", report)
    if verdict.all_held:
        print(f"validate: all {len(verdict.checks)} expectations hold for {verdict.rows} rows")
    else:
        print(f"validate: all critical expectations hold, others do not: {verdict.in_words()}\nThe whole report: {report}")


if __name__ == "__main__":
    main(run, READS)
