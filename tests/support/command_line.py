"""The command line of this process's package."""

from __future__ import annotations

import sys

import pytest

from bitbloom import cli


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int | str, str, str]:
    """Exit code, stdout and stderr of a command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["bitbloom", *arguments])
        code: int | str = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code or 0
    output = capsys.readouterr()
    return code, output.out, output.err
