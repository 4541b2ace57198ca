"""Push and pull: whole, interrupted, damaged, refused, side by side."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline.remote import opening, settings
from bitbloom.pipeline.remote.cache import object_name
from bitbloom.pipeline.remote.folder import Folder
from bitbloom.pipeline.remote.pull import pull
from bitbloom.pipeline.remote.push import push
from bitbloom.pipeline.remote.status import status
from bitbloom.pipeline.remote.store import NoSuchRemote, Unreachable
from remote.conftest import FILES, TARGET, Clone, contents, make_clone, md5
from support.tiny import REPOSITORY

EVERY = len(contents())


def second(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> Clone:
    """Another clone with the same remote and an empty cache."""
    config = (clone.folder / ".dvc/config").read_bytes()
    other = make_clone(clone.folder.with_name("second"), monkeypatch)
    (other.folder / ".dvc/config").write_bytes(config)
    return other


def test_second_clone_pulls_what_the_first_pushed(built, remote, monkeypatch):
    built.use(remote[0], **remote[1])
    built.record_run()
    sent = push(TARGET, "validate")
    assert (sent.objects, sent.runs) == (EVERY, 1)
    other = second(built, monkeypatch)
    assert f"{EVERY} objects pulled" in pull(TARGET, "validate")
    assert other.missing == 0
    assert other.put == ["data/raw/petals-tiny", "reports/petals-tiny/validation.json"]
    assert len(list(other.cache.runs())) == 1


def test_second_push_sends_nothing(built, remote):
    built.use(remote[0], **remote[1])
    push(TARGET, "validate")
    sent = push(TARGET, "validate")
    assert (sent.objects, sent.size, sent.replaced, sent.runs) == (0, 0, [], 0)


def test_pulled_objects_are_protected_as_dvc_protects_them(built, monkeypatch):
    push(TARGET, "validate")
    other = second(built, monkeypatch)
    pull(TARGET, "validate")
    assert {other.cache.path(name).stat().st_mode & 0o777 for name, _ in contents()} == {0o444}


class Dying(Folder):
    """A remote whose process is killed at its fifth object."""

    count = 0

    def _die(self) -> None:
        Dying.count += 1
        if Dying.count == 5:
            os.kill(os.getpid(), signal.SIGKILL)

    def read(self, name: str, file: Path) -> None:
        self._die()
        super().read(name, file)

    def write(self, name: str, file: Path, replace: bool = False) -> None:
        self._die()
        super().write(name, file, replace)


def killed(function) -> int:
    """The exit code of a function in a process that its remote kills."""

    def child() -> None:
        Dying.count = 0
        opening.unchecked = lambda remote: Dying(Path(remote.url))
        function(TARGET, "validate")

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(60)
    return process.exitcode


def test_killed_push_leaves_whole_objects_and_the_next_one_continues(built):
    assert killed(push) == -signal.SIGKILL
    stored = [path for path in Path(settings.required().url).rglob("*") if path.is_file() and not path.name.startswith(".")]
    assert 0 < len(stored) < EVERY
    assert all(path.read_bytes() in dict(contents()).values() for path in stored)
    assert not any(path.name.endswith(".dir") for path in stored)
    assert push(TARGET, "validate").objects == EVERY - len(stored)


def test_killed_pull_leaves_whole_objects_and_the_next_one_continues(built, monkeypatch):
    push(TARGET, "validate")
    other = second(built, monkeypatch)
    assert killed(pull) == -signal.SIGKILL
    came = EVERY - other.missing
    assert 0 < came < EVERY
    assert all(other.cache.is_whole(name) for name, _ in contents() if other.cache.has(name))
    assert f"{EVERY - came} objects pulled" in pull(TARGET, "validate")
    assert other.missing == 0


PHOTO = md5(FILES["photos/03.jpg"])


def damage(url: str) -> Path:
    """Change one photo in a folder."""
    path = Path(url) / object_name(PHOTO)
    path.chmod(0o644)
    path.write_bytes(b"other bytes")
    return path


def test_damaged_object_is_fetched_again_and_named(built, monkeypatch, capsys):
    push(TARGET, "validate")
    damage(settings.required().url)
    other = second(built, monkeypatch)
    with pytest.raises(BitBloomError, match=r"data/raw/petals-tiny \(ingest\): damaged in"):
        pull(TARGET, "validate")
    assert f"data/raw/petals-tiny/photos/03.jpg: {object_name(PHOTO)} came damaged: fetching it again" in capsys.readouterr().err
    assert other.missing == 1
    assert other.put == ["reports/petals-tiny/validation.json"]


def test_object_damaged_on_its_way_once_comes_whole(built, monkeypatch):
    push(TARGET, "validate")
    other = second(built, monkeypatch)
    once = []

    class Noisy(Folder):
        def read(self, name, file):
            super().read(name, file)
            if name == object_name(PHOTO) and not once:
                once.append(file.write_bytes(b"noise"))

    monkeypatch.setattr(opening, "unchecked", lambda remote: Noisy(Path(remote.url)))
    pull(TARGET, "validate")
    assert once
    assert other.missing == 0


def test_push_replaces_what_is_damaged_in_the_remote(built):
    push(TARGET, "validate")
    path = damage(settings.required().url)
    assert push(TARGET, "validate").replaced == [object_name(PHOTO)]
    assert path.read_bytes() == FILES["photos/03.jpg"]


def test_bucket_tells_of_damage_without_a_download(built, bucket, tmp_path):
    built.use(f"gs://bitbloom/{tmp_path.name}", endpointurl=bucket, allow_anonymous_login="true")
    push(TARGET, "validate")
    wrong = tmp_path / "wrong"
    wrong.write_bytes(b"other bytes")
    opening.opened(settings.required()).write(object_name(PHOTO), wrong, replace=True)
    assert status(TARGET, "validate")[1][0].remote == "1 damaged"
    assert push(TARGET, "validate").replaced == [object_name(PHOTO)]
    assert status(TARGET, "validate")[1][0].remote == "yes"


def test_object_that_is_damaged_here_is_not_sent(built):
    path = built.cache.path(PHOTO)
    path.write_bytes(b"other bytes")
    with pytest.raises(BitBloomError, match="is damaged here, so nothing of it is sent"):
        push(TARGET, "validate")
    assert not any(path.is_file() for path in Path(settings.required().url).rglob("*"))


def test_fault_of_the_network_is_not_damage(built, monkeypatch):
    push(TARGET, "validate")
    other = second(built, monkeypatch)

    class Broken(Folder):
        def read(self, name, file):
            if name == object_name(PHOTO):
                raise Unreachable(f"{self.url} does not respond")
            super().read(name, file)

    monkeypatch.setattr(opening, "unchecked", lambda remote: Broken(Path(remote.url)))
    with pytest.raises(Unreachable, match=r"does not respond \(\d+ of 22 objects are done and stay\)") as raised:
        pull(TARGET, "validate")
    assert "damaged" not in str(raised.value)
    monkeypatch.undo()
    monkeypatch.chdir(other.folder)
    assert other.missing < EVERY


def test_push_of_what_was_never_built_says_so(built, monkeypatch):
    other = second(built, monkeypatch)
    assert other.missing == EVERY
    with pytest.raises(BitBloomError, match=r"never built here: ingest, validate: make validate TARGET=petals-tiny$"):
        push(TARGET, "validate")


def test_push_of_a_target_without_a_record_says_so(built):
    with pytest.raises(BitBloomError, match="'tweets-tiny' was never built"):
        push("tweets-tiny")


def test_push_sends_the_built_stages_and_names_the_others(built):
    with pytest.raises(BitBloomError, match=r"never built here: prepare, train, .*; the other outputs are in"):
        push(TARGET)
    assert sum(path.is_file() for path in Path(settings.required().url).rglob("*")) == EVERY


def test_push_sends_only_what_dvc_tracks(built):
    (built.folder / ".dvc/cache/files/md5/aa").mkdir(parents=True)
    (built.folder / ".dvc/cache/files/md5/aa/stranger").write_text("secret")
    push(TARGET, "validate")
    stored = {path.read_bytes() for path in Path(settings.required().url).rglob("*") if path.is_file()}
    assert stored == {content for _, content in contents()}


def test_pull_names_what_was_never_pushed_and_brings_the_rest(built, monkeypatch):
    push(TARGET, "ingest")
    other = second(built, monkeypatch)
    with pytest.raises(BitBloomError, match=r"validation.json \(validate\): never pushed: `make push` where it was built"):
        pull(TARGET, "validate")
    assert other.put == ["data/raw/petals-tiny"]


def test_two_clones_push_at_once(built, remote, monkeypatch):
    built.use(remote[0], **remote[1])
    other = second(built, monkeypatch)
    other.build()
    command = [sys.executable, "-m", "bitbloom", "push", TARGET, "--until", "validate"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src")}
    both = [subprocess.Popen(command, cwd=clone.folder, env=environment) for clone in (built, other)]
    assert [process.wait(120) for process in both] == [0, 0]
    assert [row.remote for row in status(TARGET, "validate")[1]] == ["yes", "yes"]


def test_missing_bucket_and_missing_folder_are_named_with_the_remedy(built, bucket, tmp_path):
    built.use("gs://elsewhere/dvc", endpointurl=bucket, allow_anonymous_login="true")
    with pytest.raises(NoSuchRemote, match=r"bucket gs://elsewhere does not exist: .* CREATE=1"):
        push(TARGET, "validate")
    built.use(str(tmp_path / "nowhere"))
    with pytest.raises(NoSuchRemote, match=r"nowhere does not exist: .*CREATE=1"):
        push(TARGET, "validate")
