"""`bitbloom remote`: the configuration that it writes, the rights that it gives, what it refuses."""

from __future__ import annotations

import shlex
import stat
import subprocess
from pathlib import Path

import pytest

from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline.remote import bucket, configure, rights, settings
from bitbloom.pipeline.remote.rights import Wanted
from bitbloom.pipeline.remote.settings import Remote
from bitbloom.pipeline.remote.store import Denied, Unreachable
from support.standin import free_port


def write(folder: Path, name: str, text: str) -> None:
    """Write a file of DVC's configuration."""
    (folder / ".dvc").mkdir(exist_ok=True)
    (folder / ".dvc" / name).write_text(text)


STORE = "[core]\n    remote = store\n['remote \"store\"']\n    url = gs://flowers/dvc\n"


@pytest.mark.parametrize("name", ["config", "config.local"])
def test_finds_default_remote_in_either_configuration(tmp_path, name):
    write(tmp_path, name, STORE)
    assert settings.default(tmp_path) == Remote("store", "gs://flowers/dvc")


@pytest.mark.parametrize(
    "text", ["[core]\n    analytics = false\n", "['remote \"store\"']\n    url = gs://flowers\n", "[core]\n    remote =\n"]
)
def test_remote_that_is_not_the_default_is_none(tmp_path, text):
    write(tmp_path, "config", text)
    assert settings.default(tmp_path) is None


def test_local_configuration_adds_to_the_committed_one(tmp_path):
    write(tmp_path, "config", STORE)
    write(tmp_path, "config.local", "['remote \"store\"']\n    credentialpath = /keys/one.json\n")
    assert settings.default(tmp_path) == Remote("store", "gs://flowers/dvc", {"credentialpath": "/keys/one.json"})


def test_relative_folder_begins_at_the_configuration_as_in_dvc(tmp_path):
    write(tmp_path, "config", "[core]\n    remote = store\n['remote \"store\"']\n    url = ../../store\n")
    assert settings.default(tmp_path).url == str(tmp_path.parent / "store")


@pytest.mark.parametrize("address", ["s3://flowers/dvc", "s3://flowers"])
def test_s3_is_refused_in_one_line(tmp_path, address):
    with pytest.raises(BitBloomError, match=r"^s3:// is not possible: dvc-s3 cannot be locked beside bentoml [^\n]*$"):
        configure.configure(address, Wanted(), dry_run=True)


def test_rights_are_limited_to_the_prefix_of_the_bucket():
    found = rights.commands("gs://flowers/dvc", Wanted(writer="a@b.iam.gserviceaccount.com", reader="user:c@d.org"))
    assert [command[:6] for command in found] == [
        ["gcloud", "storage", "buckets", "add-iam-policy-binding", "gs://flowers", f"--member={member}"]
        for member in ["serviceAccount:a@b.iam.gserviceaccount.com"] * 2 + ["user:c@d.org"]
    ]
    assert [command[6] for command in found] == [
        f"--role=roles/storage.{role}" for role in ("objectCreator", "objectViewer", "objectViewer")
    ]
    for command in found:
        assert "resource.name.startsWith('projects/_/buckets/flowers/objects/dvc/')" in command[7]
        assert ".startsWith('dvc/')" in command[7]


@pytest.mark.parametrize("account", ["allUsers", "allAuthenticatedUsers", "domain:b.org", "a@b.org c@d.org"])
def test_data_is_never_given_to_everyone(account):
    with pytest.raises(BitBloomError, match=account):
        rights.member(account)


@pytest.mark.parametrize("address", ["gs://", "gs://A/b", "gs://flowers/a'b", "gs://flowers/../x y"])
def test_rejects_addresses_that_a_condition_cannot_hold(address):
    with pytest.raises(BitBloomError, match="is not the address of a bucket"):
        rights.parsed(address)


def test_dry_run_prints_all_commands_and_runs_none(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess, "run", None)
    configure.configure("gs://flowers/dvc", Wanted(True, "p", "europe-west4", "a@b.org"), dry_run=True)
    lines = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == [
        *["gcloud", "storage", "buckets", "create", "gs://flowers", "--project=p", "--location=europe-west4"],
        *["--uniform-bucket-level-access", "--public-access-prevention"],
    ]
    assert [line[0] for line in lines[1:]] == ["gcloud", "gcloud", "dvc", "dvc"]
    assert not list(tmp_path.iterdir())


def test_configures_a_folder_in_a_file_that_is_ready_to_commit(tmp_path, monkeypatch, capsys):
    write(tmp_path, "config", "[core]\n    no_scm = true\n")
    write(tmp_path, "config.local", "")
    (key := tmp_path.parent / "key.json").write_text("{}")
    key.chmod(0o644)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    configure.configure(str(tmp_path / "store"), Wanted(create=True))
    found = settings.required()
    assert (found.url, found.options) == (str(tmp_path / "store"), {"verify": "true"})
    assert "git add .dvc/config" in capsys.readouterr().out


def test_files_with_credentials_are_private_and_not_in_the_committed_configuration(tmp_path, monkeypatch):
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    write(checkout, "config", STORE)
    write(checkout, "config.local", "")
    (key := tmp_path / "key.json").write_text("{}")
    key.chmod(0o644)
    monkeypatch.chdir(checkout)
    ran = []
    monkeypatch.setattr(configure, "_run", ran.append)
    monkeypatch.setattr(configure, "opened", lambda _remote: type("Store", (), {"check": lambda _self: None})())
    configure.configure("gs://flowers/dvc", Wanted(), key)
    assert [stat.S_IMODE(file.stat().st_mode) for file in (key, checkout / ".dvc/config.local")] == [0o600, 0o600]
    assert [command for command in ran if str(key) in command] == [
        ["dvc", "remote", "modify", "--quiet", "--local", "storage", "credentialpath", str(key)]
    ]


def test_key_in_the_checkout_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key.json").write_text("{}")
    with pytest.raises(BitBloomError, match="in the checkout, where it may be committed"):
        configure.configure("gs://flowers/dvc", Wanted(), Path("key.json"), dry_run=True)


def refusing(error: Exception) -> bucket.Bucket:
    """A bucket whose client fails."""
    found = bucket.Bucket(Remote("store", "gs://flowers-403/404"))

    class Client:
        def list_blobs(self, *_arguments, **_options):
            raise error

    found._client = Client()
    return found


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (bucket.api.Forbidden("no"), Denied, "may not list objects: .* READER=account"),
        (bucket.api.Unauthorized("no"), Denied, "may not list objects"),
        (bucket.auth.DefaultCredentialsError("no"), Denied, "no valid credentials: gcloud auth"),
        (bucket.api.ServiceUnavailable("no 403"), Unreachable, "does not respond"),
        (bucket.api.TooManyRequests("no 404"), Unreachable, "does not respond"),
        (bucket.auth.TransportError("no"), Unreachable, "does not respond"),
        (bucket.requests.exceptions.ConnectionError("403 of gs://404"), Unreachable, "does not respond"),
        (bucket.requests.exceptions.ChunkedEncodingError("404"), Unreachable, "does not respond"),
        (bucket.urllib3.exceptions.ProtocolError("403"), Unreachable, "does not respond"),
    ],
)
def test_class_of_an_error_alone_tells_its_kind(error, kind, message):
    with pytest.raises(kind, match=message):
        refusing(error).check()


def test_lost_key_file_is_a_lack_of_rights(tmp_path):
    remote = Remote("store", "gs://flowers/dvc", {"credentialpath": str(tmp_path / "gone.json")})
    with pytest.raises(Denied, match=r"gone\.json is not a readable key file"):
        bucket.Bucket(remote).check()


def test_bucket_whose_host_does_not_respond_is_unreachable():
    options = {"endpointurl": f"http://127.0.0.1:{free_port()}", "allow_anonymous_login": "true"}
    with pytest.raises(Unreachable, match="does not respond"):
        bucket.Bucket(Remote("store", "gs://flowers/dvc", options)).check()


def test_folder_without_the_right_to_read_is_denied(tmp_path, monkeypatch):
    from bitbloom.pipeline.remote import folder

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(folder.os, "scandir", refuse)
    with pytest.raises(Denied, match="no right to open"):
        folder.Folder(tmp_path).check()
