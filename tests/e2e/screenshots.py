"""Screenshots of the services' pages for the docs, of all built targets.

make screenshots                                  # → docs/images/page*.png
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bitbloom.serving.store import install
from support.browser import Browser, chromium
from support.standin import serving

WIDE, PHONE = 1200, (390, 844)
IMAGES = Path("docs/images").resolve()
MISTAKES = "reports/petals/tables/mistakes.json"
SEVERAL = ("tulip", "iris", "lupin", "pansy")


def petals(window: Browser, url: str, workspace: Path) -> None:
    """Several photos with an attention map; one photo on a phone; two photos on a phone, one of them with low confidence."""
    raw = workspace / "data/raw/petals"
    photos = [sorted((raw / species).glob("*.jpg"))[0] for species in SEVERAL]
    window.open(url, WIDE, 1060)
    window.choose(*photos)
    window.wait_for(lambda: window.visible("#output") and "…" not in window.text("#strip"))
    window.click("#attention")
    window.click("summary")
    window.wait_for(lambda: "Bento" in window.text("#provenance"))
    take(window, "page.png")
    window.open(url, *PHONE)
    window.choose(photos[1])
    window.wait_for(lambda: window.visible("#output"))
    take(window, "page-phone.png")
    hardest = min(json.loads((workspace / MISTAKES).read_text()), key=lambda mistake: mistake["confidence"])
    window.open(url, *PHONE)
    window.choose(raw / hardest["id"], photos[1])
    window.wait_for(lambda: window.visible("#doubt") and "…" not in window.text("#strip"))
    take(window, "page-unsure.png")


def captions(window: Browser, url: str, workspace: Path) -> None:
    """A photo with its sentences, and the photos found for a sentence."""
    window.open(url, WIDE, 1460)
    window.choose(sorted((workspace / "data/raw/captions").rglob("*.jpg"))[0])
    window.wait_for(lambda: window.visible("#output"))
    window.type("#sentence", "yellow irises in the grass")
    window.click("#send")
    window.wait_for(lambda: window.visible("#found-output"))
    window.wait_for(lambda: window.script("[...document.querySelectorAll('#photos img')].every(each => each.complete)"))
    take(window, "page-captions.png")


def tweets(window: Browser, url: str, workspace: Path) -> None:
    """A message, its label and the relevant words."""
    window.open(url, WIDE, 860)
    window.type("#text", "A flood tore through the market last night, and no one was dancing any more")
    window.click("#send")
    window.wait_for(lambda: window.visible("#output"))
    take(window, "page-tweets.png")


def take(window: Browser, name: str) -> None:
    """Write a screenshot of the window after all animations."""
    window.wait_for(lambda: window.script("document.getAnimations().every(each => each.playState === 'finished')"))
    window.screenshot(IMAGES / name)


SHOTS: dict[str, Callable[[Browser, str, Path], None]] = {"petals": petals, "captions": captions, "tweets": tweets}


def main(workspace: Path, scratch: Path) -> None:
    """Serve each built target of a workspace, and take its screenshots."""
    os.environ["BENTOML_HOME"] = str(scratch / "home")
    for target, shoot in SHOTS.items():
        bento = workspace / "dist" / f"{target}.bento"
        if not bento.exists():
            print(f"{target}: not built, skipped")
            continue
        commit = os.environ.get("BITBLOOM_COMMIT", "")
        with (
            serving(install(bento), scratch / "home", scratch, BITBLOOM_COMMIT=commit) as url,
            chromium(scratch / f"window of {target}") as window,
        ):
            shoot(window, url, workspace)
        print(f"{target}: done")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(*sys.argv[1:]).resolve(), Path(folder))
