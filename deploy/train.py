"""Train on one machine of a cloud job, and compare the weights with the expected digests.

    TARGET=petals python deploy/train.py                                      # one machine
    MASTER_ADDR=… MASTER_PORT=… WORLD_SIZE=2 RANK=0 python deploy/train.py    # the first of two machines

Every machine makes the data itself, because its bytes are equal everywhere. `torchrun` starts the workers of all machines, which
add gradients over gloo in a fixed order, so one or four machines give equal weights. The first machine compares them with
`digests/` and copies them to OUTPUT.

| variable | what |
| --- | --- |
| `TARGET` | the target |
| `SET` | keys of the configuration, `key=value key=value`; `numerics=cuda` for a GPU (one machine, one process) |
| `WORKERS` | maximum of processes on this machine; default: one for each core that the container may use |
| `WORKSPACE` | the folder of data and model; default: `/tmp/bitbloom` |
| `PROCESSED` | a folder with the processed data, for a target whose raw data this machine cannot get |
| `OUTPUT` | the destination of the model: a mounted bucket or volume |
| `REMOTE` | a DVC remote, `gs://bucket/prefix`, for data, model, reports and records of runs; one machine, no `SET` |
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bitbloom.config.sections.numerics import Numerics
from bitbloom.config.target import Target, params_path
from bitbloom.core import canonical, checkout, cpu
from bitbloom.core.digests import file_digest
from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import composition

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = ("conf", "expectations", "requirements.lock", "requirements-cuda.lock", "weights.lock", "digests", "data/external")
"""Paths in the repository that stages read."""
STAGES = ("ingest", "validate", "prepare")


@dataclass(frozen=True)
class Place:
    """The rank of this machine in a job, and the address of the first machine."""

    machines: int = 1
    rank: int = 0
    address: str = ""
    port: str = ""


def place(environment: Mapping[str, str]) -> Place:
    """The rank that the platform gives this machine; without a platform, the only machine.

    Vertex AI sets CLUSTER_SPEC. Kubeflow and Azure ML set torchrun's variables, here with one process per machine; Kubeflow adds
    PET_NNODES and PET_NODE_RANK, which always count machines.
    """
    if "CLUSTER_SPEC" in environment:
        return _of_vertex(json.loads(environment["CLUSTER_SPEC"]))
    if "MASTER_ADDR" not in environment:
        return Place()
    machines = int(environment.get("PET_NNODES") or environment["WORLD_SIZE"])
    rank = int(environment.get("PET_NODE_RANK") or environment["RANK"])
    return Place(machines, rank, environment["MASTER_ADDR"], environment["MASTER_PORT"])


def _of_vertex(spec: dict[str, dict[str, object]]) -> Place:
    """Ranks follow the names of the pools, then the order in a pool. workerpool0 is one machine, the first."""
    pools: dict[str, list[str]] = {name: hosts for name, hosts in sorted(spec["cluster"].items()) if isinstance(hosts, list)}
    everyone = [(name, index) for name, hosts in pools.items() for index in range(len(hosts))]
    address, _, port = next(iter(pools.values()))[0].rpartition(":")
    return Place(len(everyone), everyone.index((str(spec["task"]["type"]), int(str(spec["task"]["index"])))), address, port)


def processes(machines: int, numerics: Numerics, most: int) -> int:
    """Workers per machine: the largest power of two up to `most` and up to a machine's number of micro-batches.

    Raises:
        BitBloomError: the training cannot run on this number of machines.
    """
    if numerics.profile == "cuda":
        if machines > 1:
            raise BitBloomError("numerics=cuda trains on one GPU: use one machine")
        return 1
    if machines & (machines - 1) or machines > numerics.micro_batches:
        raise BitBloomError(f"{machines} machines: use a power of two, {numerics.micro_batches} at most")
    return 1 << (min(most, numerics.micro_batches // machines).bit_length() - 1)


def command(at: Place, workers: int, target: str) -> list[str]:
    """The command that trains on this machine."""
    stage = ["-m", "bitbloom.stages.train", target]
    if at.machines * workers == 1:
        return [sys.executable, *stage]
    where = ["--master-addr", at.address, "--master-port", at.port] if at.machines > 1 else ["--standalone"]
    counts = ["--nnodes", str(at.machines), "--node-rank", str(at.rank), "--nproc-per-node", str(workers)]
    return [sys.executable, "-m", "torch.distributed.run", *counts, *where, *stage]


def create_workspace(workspace: Path, target: str, overrides: list[str]) -> None:
    """Make a folder to build in, because the repository may be read-only."""
    workspace.mkdir(parents=True, exist_ok=True)
    os.chdir(workspace)
    for name in SHARED:
        path = Path(name)
        if (REPOSITORY / name).exists() and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(REPOSITORY / name)
    canonical.write_text(params_path(target), composition.yaml_text(composition.compose(target, overrides)))


def prepare(target: str, processed: str) -> None:
    """Make the processed data, or copy it."""
    if processed:
        copy(Path(processed), Path("data/processed") / target)
        return
    frozen = Target.load(target, ["model"]).model.frozen
    for stage in (*STAGES, *(["features"] if frozen else [])):
        subprocess.run([sys.executable, "-m", f"bitbloom.stages.{stage}", target], check=True)


def copy(source: Path, to: Path) -> None:
    """Copy the content of a folder's files, without times and modes, which a mounted bucket does not support."""
    to.mkdir(parents=True, exist_ok=True)
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        (to / file.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, to / file.relative_to(source))


def different(target: str, digests: Path = Path("digests")) -> list[str]:
    """Trained files that differ from `digests/<target>.json`. Files of other stages are not compared."""
    claim = digests / f"{target}.json"
    claimed = canonical.read_json(claim) if claim.exists() else {}
    found = {path.as_posix(): file_digest(path) for path in sorted((Path("models") / target).iterdir()) if path.is_file()}
    for name, digest in found.items():
        expected = claimed.get(name, {}).get("sha256")
        print(f"{digest}  {name}  {'as expected' if digest == expected else 'DIFFERENT' if expected else 'no expected digest'}")
    return [name for name, digest in found.items() if claimed.get(name, {}).get("sha256", digest) != digest]


def build_with_remote(target: str, remote: str, workspace: Path, output: str) -> None:
    """Build all stages in a clone of the commit, with what the remote has, and push what is new.

    A clone that later builds the same commit downloads. Weights that differ from the expected digests are not pushed.

    Raises:
        BitBloomError: the weights differ.
        CalledProcessError: the remote does not respond, or a stage failed.
    """
    clone = workspace / "checkout"
    if not clone.exists():  # a job that starts again continues
        subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(clone)], check=True)
    os.chdir(clone)
    own = {**os.environ, "PYTHONPATH": str(clone / "src")}
    bitbloom = [sys.executable, "-m", "bitbloom"]
    subprocess.run([*bitbloom, "remote", remote], check=True, env=own)  # before hours of training: does it respond?
    subprocess.run([*bitbloom, "build", target], check=True, env=own)
    wrong = different(target, REPOSITORY / "digests")
    if output:
        copy(Path("models") / target, Path(output))
    if wrong:
        raise BitBloomError(f"different from digests/{target}.json, so nothing is pushed: {', '.join(wrong)}")
    subprocess.run([*bitbloom, "push", target], check=True, env=own)


def main(environment: Mapping[str, str]) -> None:
    """Train; on the first machine also compare and copy. Raises BitBloomError if the weights differ from the expected digests."""
    target, overrides = environment.get("TARGET", "petals"), environment.get("SET", "").split()
    at = place(environment)
    if environment.get("REMOTE"):
        if at.machines > 1 or overrides:
            raise BitBloomError("REMOTE is for one machine without SET: DVC records the build of a target, on one machine")
        workspace = Path(environment.get("WORKSPACE", "/tmp/bitbloom"))  # noqa: S108 -- as below
        workspace.mkdir(parents=True, exist_ok=True)
        build_with_remote(target, environment["REMOTE"], workspace.resolve(), environment.get("OUTPUT", ""))
        return
    create_workspace(Path(environment.get("WORKSPACE", "/tmp/bitbloom")), target, overrides)  # noqa: S108 -- the only folder that a container may write
    numerics = Target.load(target, ["numerics"]).numerics
    workers = processes(at.machines, numerics, int(environment.get("WORKERS") or cpu.cores()))
    prepare(target, environment.get("PROCESSED", ""))
    print(f"machine {at.rank + 1} of {at.machines}, {workers} workers each", flush=True)
    subprocess.run(command(at, workers, target), check=True, env={**os.environ, "WORKERS": str(workers)})
    if at.rank:
        return
    wrong = [] if overrides else different(target)
    if environment.get("OUTPUT"):
        copy(Path("models") / target, Path(environment["OUTPUT"]))
    if wrong:
        raise BitBloomError(f"different from digests/{target}.json: {', '.join(wrong)}")


if __name__ == "__main__":
    try:
        checkout.require()
        main(os.environ)
    except BitBloomError as error:
        sys.exit(f"error: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode if error.returncode > 0 else 1)
