"""A newer lock as a pull request: which versions it changes, and which digests that changes.

    bitbloom ci update .bitbloom/ci/update                       # after a new lock and new builds: the patch and what it says
    python -m bitbloom.ci.update propose .bitbloom/ci/update     # with rights to write: no venv, standard library only

Two jobs, because what builds with new packages runs them: it has no rights, and of its patch only locks and claims are taken.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from bitbloom.ci import github, markdown
from bitbloom.core import checkout
from bitbloom.core.errors import BitBloomError

LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-serve.lock", "requirements-cuda.lock")
CLAIMS = ("digests/*.json", "dvc.lock")
TAKEN = ("requirements*.lock", "*/requirements.lock", *CLAIMS)
"""What an update may change."""
PATCH, BODY = "update.patch", "comment.md"
BRANCH = "update-lock"
TITLE = "Update the lock"
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^ \\\n;]+)", re.MULTILINE)


def write(folder: Path) -> bool:
    """Write the patch of the working tree against its commit, and what it changes. False when there is nothing to propose."""
    patch = _git("diff", "--binary", "HEAD", "--", *TAKEN)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PATCH).write_text(patch, encoding="utf-8")
    markdown.write(folder, described() if patch else "## Update of the lock\n\nEvery lock is as new as its inputs allow.\n")
    return bool(patch)


def described() -> str:
    """The changes of versions and of digests, as tables."""
    parts = ["## Update of the lock\n"]
    for lock in LOCKS:
        rows = markdown.changes(dict(PIN.findall(_committed(lock))), dict(PIN.findall(_now(lock))))
        if rows:
            parts.append(f"### {lock}\n\n{markdown.table(('package', 'was', 'is'), rows)}")
    parts.append("## Digests\n")
    changed = {}
    for file in _git("diff", "--name-only", "HEAD", "--", CLAIMS[0]).splitlines():
        changed[file] = markdown.changes(_digests(_committed(file)), _digests(_now(file)))
    parts += [f"### {file}\n\n{markdown.table(('output', 'was', 'is'), rows)}" for file, rows in sorted(changed.items())]
    if not changed:
        parts.append("None changes.\n")
    parts.append("A request that a workflow opens starts no workflow: close it and open it again to have it checked.\n")
    return "\n".join(parts)


def _digests(text: str) -> dict[str, str]:
    return {name: str(entry["sha256"])[:12] for name, entry in json.loads(text or "{}").items()}


def _committed(path: str) -> str:
    """A file as the commit has it; nothing when it has none."""
    done = subprocess.run(["git", "show", f"HEAD:{path}"], capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


def _now(path: str) -> str:
    return Path(path).read_text(encoding="utf-8") if Path(path).exists() else ""


def propose(folder: Path) -> str:
    """Commit the patch to BRANCH, push it, and open or renew its pull request; its address."""
    patch = folder / PATCH
    if not patch.exists() or not patch.stat().st_size:
        return "nothing to propose"
    repository, base = github.variable("GITHUB_REPOSITORY"), _git("rev-parse", "--abbrev-ref", "HEAD").strip()
    _git("switch", "--force-create", BRANCH)
    _git("apply", "--index", *(f"--include={pattern}" for pattern in TAKEN), str(patch))
    _only_files()
    _git("commit", "--message", TITLE)
    _git("push", "--force", "origin", f"HEAD:refs/heads/{BRANCH}")
    body = (folder / BODY).read_text(encoding="utf-8")[:60_000]
    owner = repository.partition("/")[0]
    found = github.api(f"repos/{repository}/pulls?state=open&head={owner}:{BRANCH}")
    if found:
        made = github.api(f"repos/{repository}/pulls/{found[0]['number']}", "PATCH", body=body)
    else:
        made = github.api(f"repos/{repository}/pulls", "POST", title=TITLE, head=BRANCH, base=base, body=body)
    return str(made["html_url"])


def _only_files() -> None:
    """Refuse a patch that makes a link or a program of a lock."""
    lines = _git("diff", "--cached", "--raw").splitlines()
    wrong = [line.split("\t")[1] for line in lines if line.split()[1] not in ("100644", "000000")]
    if wrong:
        raise BitBloomError(f"the patch makes more than a file of {', '.join(wrong)}")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BitBloomError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def main() -> None:
    """Entry point of the job with rights."""
    try:
        checkout.require()
        print(propose(Path(sys.argv[2])) if sys.argv[1] == "propose" else sys.exit("error: only `propose FOLDER`"))
    except BitBloomError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
