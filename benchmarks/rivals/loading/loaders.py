"""Other ways to feed a training: loaders.py FOLDER, which has job.json. For each line of JSON, a case, it prints a result.

Every loader has two workers of PyTorch's `DataLoader` that decode, augment and normalise: each batch arrives as float32, as the
network takes it. JPEG files are decoded by Pillow. `decoded` forms hold uint8 photos at the size that our arrays have.
"""

from __future__ import annotations

import gc
import io
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ |= {  # before the imports
    "OMP_NUM_THREADS": "1",
    "DATA_OPTIMIZER_CACHE_FOLDER": f"{sys.argv[1]}/litdata-cache",
    "NO_ALBUMENTATIONS_UPDATE": "1",  # it asks for its newest version
}

import albumentations as A  # noqa: N812 -- its own convention
import cv2
import kornia.augmentation as K  # noqa: N812 -- Kornia's own convention
import litdata
import numpy as np
import psutil
import torch
import webdataset
from PIL import Image
from torch.utils.data import DataLoader, Dataset

Sample = tuple[Any, int]
"""A photo, uint8 [S, S, 3], and its label."""
FOLDER = Path(sys.argv[1])
JOB = json.loads((FOLDER / "job.json").read_text())
WORKERS, SHARDS, WARM_UP = 2, 4, 8
REPEATS = max(1, 4096 // len(JOB["files"]))
"""How often an epoch has each photo: with few photos, the starts of epochs would take much of the time."""


def decode(data: bytes) -> Any:
    """A JPEG as uint8 [S, S, 3], as large as the photos in our arrays, or as the network takes them without augmentation."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    side = JOB["stored"] if JOB["augmented"] else JOB["side"]
    return np.asarray(image if image.size == (side, side) else image.resize((side, side), Image.Resampling.BILINEAR))


def augmentation() -> K.AugmentationSequential:
    """The augmentations of the target with Kornia's own samplers; its crops by slicing, as ours."""
    config, side = JOB["augment"], JOB["side"]
    scale = tuple(part**2 for part in config["crop_scale"])
    return K.AugmentationSequential(
        K.RandomResizedCrop((side, side), scale=scale, ratio=(1.0, 1.0), cropping_mode="slice", align_corners=False),
        K.RandomHorizontalFlip(p=config["flip"]),
        K.ColorJiggle(config["brightness"], config["contrast"], config["saturation"], 0.0, p=config["colour"]),
        data_keys=["input"],
    )


MEAN, STD = (torch.tensor(JOB[name])[:, None, None] for name in ("mean", "std"))
KORNIA = augmentation()


def collate(samples: Sequence[Sample]) -> tuple[torch.Tensor, torch.Tensor]:
    """The input of the network, float32 [n, 3, s, s], and the labels, of a batch of photos."""
    pixels = torch.from_numpy(np.stack([image for image, _ in samples])).permute(0, 3, 1, 2).contiguous().float() / 255
    if pixels.shape[-1] != JOB["side"] and not JOB["augmented"]:
        pixels = torch.nn.functional.interpolate(pixels, (JOB["side"],) * 2, mode="bilinear", antialias=True)
    if JOB["augmented"]:
        pixels = KORNIA(pixels)
    return (pixels - MEAN) / STD, torch.tensor([int(label) for _, label in samples])


class Files(Dataset[Sample]):
    """JPEG files, decoded on access."""

    def __len__(self) -> int:
        return REPEATS * len(JOB["files"])

    def __getitem__(self, at: int) -> Sample:
        path, label = JOB["files"][at % len(JOB["files"])]
        return decode(Path(path).read_bytes()), label


class Arrays(Dataset[Sample]):
    """Our memory-mapped array, in PyTorch's loader."""

    def __init__(self) -> None:
        self.images, self.positions = np.load(JOB["images"], mmap_mode="r"), JOB["positions"]

    def __len__(self) -> int:
        return REPEATS * len(self.positions)

    def __getitem__(self, at: int) -> Sample:
        at %= len(self.positions)
        return self.images[self.positions[at]].transpose(1, 2, 0), JOB["files"][at][1]


def sample(at: int, decoded: bool) -> dict[str, Any]:
    """A photo, the bytes of its JPEG file or uint8 [S, S, 3], and its label."""
    path, label = JOB["files"][at]
    if not decoded:
        return {"photo": Path(path).read_bytes(), "label": label}
    image = np.load(JOB["images"], mmap_mode="r")[JOB["positions"][at]]
    return {"photo": np.ascontiguousarray(image.transpose(1, 2, 0)), "label": label}


def read_sample(sample: Sample) -> Sample:
    """Decode the photo of a sample if it is a JPEG file."""
    photo, label = sample
    return (photo if isinstance(photo, np.ndarray) else decode(photo)), int(label)


def by_pytorch(dataset: Dataset[Sample]) -> Iterable[Any]:
    """PyTorch's loader."""
    return DataLoader(dataset, JOB["batch"], shuffle=True, num_workers=WORKERS, collate_fn=collate, persistent_workers=True)


def by_webdataset(decoded: bool) -> Iterable[Any]:
    """WebDataset: tar files, shuffled by shard and in a buffer."""
    folder, name = FOLDER / f"webdataset-{decoded}", "npy" if decoded else "jpg"
    if not folder.exists():
        folder.mkdir()
        writers = [webdataset.TarWriter(str(folder / f"{shard}.tar")) for shard in range(SHARDS)]
        for at in range(len(JOB["files"])):
            found = sample(at, decoded)
            writers[at % SHARDS].write({"__key__": f"{at:06}", name: found["photo"], "cls": found["label"]})
        for writer in writers:
            writer.close()
    shards = sorted(map(str, folder.glob("*.tar")))
    pipeline = webdataset.WebDataset(shards, shardshuffle=SHARDS, workersplitter=webdataset.split_by_worker).repeat(REPEATS)
    pipeline = pipeline.shuffle(500).decode(only=["npy", "cls"]).to_tuple(name, "cls").map(read_sample)
    return webdataset.WebLoader(
        pipeline.batched(JOB["batch"], collation_fn=collate), batch_size=None, num_workers=WORKERS, persistent_workers=True
    )


def collate_litdata(found: Sequence[dict[str, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Decode and collate samples of litdata."""
    return collate([read_sample((one["photo"], one["label"])) for one in found])


def by_litdata(decoded: bool) -> Iterable[Any]:
    """litdata: its optimised chunks, shuffled."""
    folder = FOLDER / f"litdata-{decoded}"
    dataset = litdata.StreamingDataset(str(folder), shuffle=True)
    return litdata.StreamingDataLoader(
        dataset, batch_size=JOB["batch"], num_workers=WORKERS, collate_fn=collate_litdata, persistent_workers=True
    )


def write_litdata(decoded: bool) -> None:
    """Write litdata's chunks, of 16 MB each, once."""
    folder = FOLDER / f"litdata-{decoded}"
    shutil.rmtree(folder, ignore_errors=True)
    every = list(range(len(JOB["files"]))) * REPEATS
    litdata.optimize(
        partial(sample, decoded=decoded),
        every,
        str(folder),
        chunk_bytes="16MB",
        num_workers=1,
        start_method="fork",
        verbose=False,
    )


LOADERS: dict[str, Callable[[], Iterable[Any]]] = {
    "PyTorch DataLoader, JPEG files": lambda: by_pytorch(Files()),
    "WebDataset, JPEG files": lambda: by_webdataset(False),
    "litdata, JPEG files": lambda: by_litdata(False),
    "PyTorch DataLoader, our arrays": lambda: by_pytorch(Arrays()),
    "WebDataset, decoded": lambda: by_webdataset(True),
    "litdata, decoded": lambda: by_litdata(True),
}


def endless(loader: Iterable[Any]) -> Iterator[int]:
    """The numbers of photos in the batches of epoch after epoch."""
    while True:
        for pixels, _ in loader:
            yield len(pixels)


def operations(what: str) -> Iterator[int]:
    """An operation of albumentations on uint8 photos in memory, one by one; `all` ends with the network's input."""
    config, side, stored = JOB["augment"], JOB["side"], JOB["stored"]
    after = stored if what == "erase" and stored == side else side
    holes = tuple(max(1, round(after * part**0.5)) for part in config["erase_scale"])
    work = {
        "crop": A.RandomResizedCrop((side, side), tuple(part**2 for part in config["crop_scale"]), (1.0, 1.0), p=config["crop"]),
        "flip": A.HorizontalFlip(p=config["flip"]),
        "colour": A.ColorJitter(
            *((1 - config[name], 1 + config[name]) for name in ("brightness", "contrast", "saturation")),
            (0, 0),
            p=config["colour"],
        ),
        "erase": A.CoarseDropout((1, 1), holes, holes, fill=128, p=config["erase"] or 0.25),
        "all": A.Normalize(JOB["mean"], JOB["std"]),
    }
    made = A.Compose([*work.values(), A.ToTensorV2()] if what == "all" else [work[what]])
    photos = [sample(at, decoded=True)["photo"] for at in range(JOB["batch"])]
    while True:
        for photo in photos:
            made(image=photo)
            yield 1


def measured(batches: Iterator[int], warm_up: int, seconds: float) -> dict[str, float]:
    """Work until this process and its workers have used this CPU time. Returns photos, seconds and CPU seconds."""
    for _ in range(warm_up):
        next(batches)
    workers = psutil.Process().children(recursive=True)

    def spent() -> float:
        return time.process_time() + sum(sum(worker.cpu_times()[:2]) for worker in workers)

    photos, start, cpu = 0, time.perf_counter(), spent()
    while spent() < cpu + seconds:
        photos += next(batches)
    return {"photos": photos, "seconds": time.perf_counter() - start, "cpu": spent() - cpu}


def main() -> None:
    """Serve requests until the end of the input."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # litdata and its processes print
    for decoded in (False, True):
        write_litdata(decoded)
    for line in sys.stdin:
        asked = json.loads(line)
        kind, _, what = asked["case"].partition(": ")
        if kind == "operation":
            found = measured(operations(what), JOB["batch"], asked["seconds"])
        else:
            JOB["augmented"] = asked["augmented"]
            found = measured(endless(LOADERS[kind]()), WARM_UP, asked["seconds"])
        gc.collect()  # ends the workers of the loader, which its cycles keep, before those of the next are forked
        print(json.dumps(found), file=results, flush=True)


if __name__ == "__main__":
    main()
