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
