# SPDX-License-Identifier: Apache-2.0
"""Evaluates a run's exported student in PyTorch, face by face, and compares with what the run says of itself.

    python tests/road/check_export.py RUN_DIR [--data-root DIR] [--limit N]

Exit code 0: they agree (predictions on 99.5 % of the faces, probabilities within 1e-3, macro F1 of the CSV to 1e-9).
"""
import argparse
import csv
import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
import load_in_pytorch as ferment_export  # noqa: E402


def macro_f1(labels, predictions, classes):
    total = 0.0
    for c in range(classes):
        hits = sum(1 for y, p in zip(labels, predictions) if y == c and p == c)
        count = labels.count(c) + predictions.count(c)
        total += 2 * hits / count if count else 0.0
    return total / classes


def check_faces(run, root, limit, failures):
    student, model = ferment_export.load_student(run / "export")
    with open(run / "evaluation" / "static_validation.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = [name for name in rows[0] if name.startswith("p_")]
    report = json.loads((run / "report.json").read_text())
    said = next(row for row in report["evaluation"]["static"] if row["model"] == "student")
    f1 = macro_f1([int(r["label"]) for r in rows], [int(r["prediction"]) for r in rows], len(model["classes"]))
    if abs(f1 - said["macro_f1"]) > 1e-9:
        failures.append(f"macro F1 of the CSV is {f1!r}, the report says {said['macro_f1']!r}")
    rows, agreed, furthest = rows[:limit] if limit else rows, 0, 0.0
    for begin in range(0, len(rows), 64):
        batch = rows[begin:begin + 64]
        images = torch.stack([ferment_export.load_image(root / row["path"], model) for row in batch])
        ours = student(images).softmax(1)
        theirs = torch.tensor([[float(row[name]) for name in columns] for row in batch])
        furthest = max(furthest, float((ours - theirs).abs().max()))
        agreed += sum(int(o.argmax()) == int(row["prediction"]) for o, row in zip(ours, batch))
    print(f"faces: {len(rows)}, predictions agree on {agreed}, probabilities within {furthest:.2e}, macro F1 {f1:.6f}")
    if agreed < 0.995 * len(rows):
        failures.append(f"predictions agree on {agreed} of {len(rows)} faces, fewer than 99.5 %")
    if furthest > 1e-3:
        failures.append(f"a probability differs by {furthest}, more than 1e-3")


def check_temporal(run, failures):
    if not (run / "export" / "temporal.safetensors").exists():
        print("temporal encoder: the run has none")
        return
    encoder, config = ferment_export.load_temporal(run / "export")
    logits = encoder(torch.randn(2, config["window"], config["input_size"]), torch.ones(2, config["window"], dtype=bool))
    print(f"temporal encoder: {config['encoder']} loads, logits {tuple(logits.shape)}")
    if not bool(torch.isfinite(logits).all()):
        failures.append("the temporal encoder gives logits that are not finite")


@torch.inference_mode()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data-root", type=Path, default=Path("."), help="what the paths of the CSV are relative to")
    parser.add_argument("--limit", type=int, default=0, help="faces to evaluate; 0: all")
    arguments = parser.parse_args()
    failures = []
    check_faces(arguments.run, arguments.data_root, arguments.limit, failures)
    check_temporal(arguments.run, failures)
    for failure in failures:
        print("FAILED:", failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
