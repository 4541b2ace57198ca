"""Evidently's preset of data drift, with its defaults: preset.py FOLDER, which has reference.parquet and windows/*.parquet.

Prints JSON: for each window by its name, whether Evidently calls the data set drifted (at least half of the columns), and whether
it calls any column drifted.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset


def verdict(reference: pd.DataFrame, window: pd.DataFrame) -> tuple[bool, bool]:
    """Whether the data set and any column are drifted."""
    metrics = Report([DataDriftPreset()]).run(current_data=window, reference_data=reference).dict()["metrics"]
    counted = next(metric for metric in metrics if metric["metric_name"].startswith("DriftedColumnsCount"))
    return counted["value"]["share"] >= counted["config"]["drift_share"], counted["value"]["count"] > 0


def main(folder: Path) -> None:
    """Compare each window with the reference."""
    reference = pd.read_parquet(folder / "reference.parquet")
    windows = sorted((folder / "windows").glob("*.parquet"))
    print(json.dumps({path.stem: verdict(reference, pd.read_parquet(path)) for path in windows}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
