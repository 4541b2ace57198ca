"""Sets the folders and settings of the tools in this venv. Its Python runs this file at every start (see venv.sh)."""

import os
import sys

PROJECT = os.path.dirname(sys.prefix)  # noqa: PTH120 - pathlib would cost every start of Python
FOLDERS = {
    "BENTOML_HOME": "dist/bentoml",
    "DVC_SITE_CACHE_DIR": ".bitbloom/dvc",
    "MPLCONFIGDIR": ".bitbloom/matplotlib",
    "WANDB_CACHE_DIR": ".bitbloom/wandb-cache",
    "WANDB_CONFIG_DIR": ".bitbloom/wandb-config",
    "WANDB_DATA_DIR": ".bitbloom/wandb-data",
    "WANDB_DIR": ".bitbloom",
}
SETTINGS = {
    "BENTOML_DO_NOT_TRACK": "True",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "WANDB_SILENT": "true",
}

# `bentoml containerize` builds with the program that `make containerize` takes: podman, and without it BentoML's default, docker.
if any(os.access(os.path.join(folder, "podman"), os.X_OK) for folder in os.get_exec_path()):  # noqa: PTH118
    SETTINGS["BENTOML_CONTAINERIZE_BACKEND"] = "podman"

for name, folder in FOLDERS.items():
    os.environ.setdefault(name, os.path.join(PROJECT, folder))  # noqa: PTH118
for name, value in SETTINGS.items():
    os.environ.setdefault(name, value)


def without_account() -> None:
    """Give a user without an account, or whose home is not writable, a home in the project and a name. Tools ask for both."""
    if not os.environ.get("HOME"):
        os.environ.pop("HOME", None)  # the account's home counts
    if not os.access(os.path.expanduser("~"), os.W_OK):  # noqa: PTH111
        os.environ["HOME"] = os.path.join(PROJECT, ".bitbloom/home")  # noqa: PTH118
        if os.access(PROJECT, os.W_OK):
            os.makedirs(os.environ["HOME"], exist_ok=True)  # noqa: PTH103
    if not any(os.environ.get(name) for name in ("LOGNAME", "USER", "LNAME", "USERNAME")):
        try:
            import pwd

            pwd.getpwuid(os.getuid())
        except (ImportError, KeyError):
            os.environ["USER"] = f"uid{os.getuid()}"


def with_git() -> None:
    """Let git and DVC work in a checkout of another user, whose code this user runs anyway, and in one without `.git`."""
    try:
        owner = os.stat(os.path.join(PROJECT, ".git")).st_uid  # noqa: PTH116, PTH118
    except OSError:
        os.environ.setdefault("DVC_SYSTEM_CONFIG_DIR", os.path.join(PROJECT, ".dvc/without-git"))  # noqa: PTH118
        os.environ.setdefault("GIT_CEILING_DIRECTORIES", os.path.dirname(PROJECT))  # noqa: PTH120 - a repository around it
        return
    count = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
    if owner != os.getuid() and PROJECT not in (os.environ.get(f"GIT_CONFIG_VALUE_{number}") for number in range(count)):
        os.environ[f"GIT_CONFIG_KEY_{count}"], os.environ[f"GIT_CONFIG_VALUE_{count}"] = "safe.directory", PROJECT
        os.environ["GIT_CONFIG_COUNT"] = str(count + 1)


without_account()
with_git()
