# SPDX-License-Identifier: Apache-2.0
"""Evaluates a run's export in PyTorch, faces and videos, and compares with what the run says of itself.

    python tests/road/check_export.py RUN_DIR...

Only the networks come from examples/load_in_pytorch.py; decoding (PIL), windows, filling, smoothing and figures are
written here anew. Exit code 0: predictions agree on 99.5 % of the faces and of the frames, probabilities within 1e-3,
macro F1 of the tables to 1e-9, label sets and submission files add up.
"""
import csv
import hashlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torchvision.transforms.v2 import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
import load_in_pytorch as ferment_export  # noqa: E402

AGREEMENT = 0.995


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def read_table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def macro_f1(labels, predictions, classes):
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    scores = []
    for c in range(classes):
        hits = int(((labels == c) & (predictions == c)).sum())
        count = int((labels == c).sum() + (predictions == c).sum())
        scores.append(2 * hits / count if count else 0.0)
    return sum(scores) / classes


class Run:
    """A run's folder, and what its spec says: the few lines of it that are needed, without a YAML library."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.spec = (self.folder / "spec.yaml").read_text()
        self.model = json.loads((self.folder / "export" / "model.json").read_text())
        self.report = json.loads((self.folder / "report.json").read_text())
        self.classes = len(self.model["classes"])
        self.student, _ = ferment_export.load_student(self.folder / "export")

    def spec_value(self, section, key):
        found = re.search(rf"^( *){section}:\n(?:\1 +.*\n)*?\1 +(?:- )?{key}: (.*)$", self.spec, re.MULTILINE)
        return found.group(2).strip("\"'") if found else None

    def image(self, path):
        """-> [3, S, S] float32: decoded by PIL, resized in float32, normalised."""
        with Image.open(path) as file:
            pixels = np.array(ImageOps.exif_transpose(file).convert("RGB"))
        image = torch.from_numpy(pixels).permute(2, 0, 1).float()
        side = self.model["image_size"]
        if image.shape[1:] != (side, side):
            image = functional.resize(image, [side, side], antialias=True)
        return (image / 255 - torch.tensor(self.model["mean"]).view(3, 1, 1)) / torch.tensor(
            self.model["std"]).view(3, 1, 1)

    def in_batches(self, paths, network):
        return torch.cat([network(torch.stack([self.image(p) for p in paths[i:i + 64]]))
                          for i in range(0, len(paths), 64)])


def check_digests(run, failures):
    export, model = run.folder / "export", run.model
    found = sha256(export / model["file"])
    if found != model["digest"] or found != run.report["model"]["student_digest"]:
        failures.append(f"digest of the student: file {found}, model.json {model['digest']}, report "
                        f"{run.report['model']['student_digest']}")
    if "temporal" in model and sha256(export / model["temporal"]["file"]) != model["temporal"]["digest"]:
        failures.append("digest of the temporal encoder is not the one in model.json")


def check_faces(run, failures):
    rows = read_table(run.folder / "evaluation" / "static_validation.csv")
    columns = [name for name in rows[0] if name.startswith("p_")]
    if columns != ["p_" + name for name in run.model["classes"]]:
        failures.append(f"classes of static_validation.csv are {columns}, model.json has {run.model['classes']}")
    labels, predictions = ([int(row[name]) for row in rows] for name in ("label", "prediction"))
    said = next(row for row in run.report["evaluation"]["static"] if row["model"] == "student")
    f1 = macro_f1(labels, predictions, run.classes)
    if abs(f1 - said["macro_f1"]) > 1e-9:
        failures.append(f"macro F1 of static_validation.csv is {f1!r}, the report says {said['macro_f1']!r}")
    root = Path(run.spec_value("data", "root") or ".")
    ours = run.in_batches([root / row["path"] for row in rows], run.student).softmax(1).numpy()
    theirs = np.array([[float(row[name]) for name in columns] for row in rows])
    agreed, furthest = int((ours.argmax(1) == predictions).sum()), float(np.abs(ours - theirs).max())
    print(f"faces: {len(rows)}, predictions agree on {agreed}, probabilities within {furthest:.2e}, macro F1 {f1:.6f}")
    if agreed < AGREEMENT * len(rows):
        failures.append(f"predictions of faces agree on {agreed} of {len(rows)}")
    if furthest > 1e-3:
        failures.append(f"probabilities of faces differ by {furthest}, more than 1e-3")


def video_probabilities(run, encoder, folder, length):
    """-> [length, C] before smoothing."""
    config = run.model["temporal"]
    files = folder.iterdir() if folder else []
    pictures = {int(p.stem): p for p in files if p.suffix.lower() == ".jpg" and p.stem.isdigit()}
    numbers = sorted(n for n in pictures if 1 <= n <= length)
    if not numbers:
        return np.full((length, run.classes), 1 / run.classes)
    features = torch.zeros(length, config["input_size"])
    present = torch.zeros(length, dtype=torch.bool)
    at = torch.tensor(numbers) - 1
    features[at] = run.in_batches([pictures[n] for n in numbers],
                                  lambda images: ferment_export.features_of(run.student, images))
    present[at] = True

    width = min(config["window"], length)
    begins = list(range(0, length - width, config["hop"])) + [length - width]
    total, count = np.zeros((length, run.classes)), np.zeros((length, 1))
    for begin in begins:
        window = slice(begin, begin + width)
        total[window] += encoder(features[window].unsqueeze(0), present[window].unsqueeze(0))[0].numpy()
        count[window] += 1
    logits = total / count
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = exponentials / exponentials.sum(1, keepdims=True)
    known = np.flatnonzero(present.numpy())
    return np.stack([np.interp(np.arange(length), known, probabilities[known, c]) for c in range(run.classes)], 1)


def smoothed(probabilities, half_width):
    box = np.ones(2 * half_width + 1)
    length = len(probabilities)
    middle = slice(half_width, half_width + length)
    count = np.convolve(np.ones(length), box)[middle]
    return np.stack([np.convolve(column, box)[middle] / count for column in probabilities.T], 1)


def frame_folder(run, video):
    tree = Path(run.spec_value("videos", "path"))
    return next((folder / video for folder in sorted(tree.glob("cropped*")) if (folder / video).is_dir()), None)


def check_videos(run, failures):
    if "temporal" not in run.model:
        print("videos: the run has none")
        return
    encoder, config = ferment_export.load_temporal(run.folder / "export")
    videos = {}
    for row in read_table(run.folder / "evaluation" / "video_validation.csv"):
        videos.setdefault(row["video"], []).append(row)
    frames, agreed, labels, full = 0, {"prediction_temporal": 0, "prediction": 0}, [], []
    for video, rows in videos.items():
        if [int(row["frame"]) for row in rows] != list(range(1, len(rows) + 1)):
            failures.append(f"frames of {video} in video_validation.csv are not 1..{len(rows)}")
        plain = video_probabilities(run, encoder, frame_folder(run, video), len(rows))
        ours = {"prediction_temporal": plain, "prediction": smoothed(plain, config["smoothing_half_width"])}
        for column, table in ours.items():
            agreed[column] += int((table.argmax(1) == [int(row[column]) for row in rows]).sum())
        frames += len(rows)
        labels += [int(row["label"]) for row in rows]
        full += [int(row["prediction"]) for row in rows]
    print(f"videos: {len(videos)} with {frames} frames, {config['encoder']} agrees on {agreed['prediction_temporal']}, "
          f"smoothed on {agreed['prediction']}")
    for column, hits in agreed.items():
        if hits < AGREEMENT * frames:
            failures.append(f"{column} of frames agrees on {hits} of {frames}")
    judged = [i for i, label in enumerate(labels) if label >= 0]
    f1 = macro_f1([labels[i] for i in judged], [full[i] for i in judged], run.classes)
    said = run.report["evaluation"]["ablation"][-1]
    if abs(f1 - said["macro_f1"]) > 1e-9:
        failures.append(f"macro F1 of video_validation.csv is {f1!r}, the last row of the ablation says {said}")
    check_submission(run, encoder, failures)


def check_submission(run, encoder, failures):
    tree = Path(run.spec_value("videos", "path"))
    listed = {}
    sample = tree / "EXPR_test_set_sample.txt"
    for line in sample.read_text().splitlines() if sample.exists() else []:
        if "/" in line:
            listed[line.split("/")[0]] = listed.get(line.split("/")[0], 0) + 1
    files = sorted((run.folder / "submission").glob("*.txt"))
    if listed and sorted(listed) != [file.stem for file in files]:
        failures.append(f"submission files are {[f.stem for f in files]}, the challenge lists {sorted(listed)}")
    for file in files:
        head, *lines = file.read_text().splitlines()
        length = listed.get(file.stem, len(lines))
        names = [f"{file.stem}/{frame:05d}.jpg" for frame in range(1, length + 1)]
        if head != ",".join(["image_location", *run.model["classes"]]) or [x.split(",")[0] for x in lines] != names:
            failures.append(f"submission {file.name}: head or rows are not those of {length} frames")
            continue
        plain = video_probabilities(run, encoder, frame_folder(run, file.stem), length)
        ours = smoothed(plain, run.model["temporal"]["smoothing_half_width"]).argmax(1)
        agreed = int((ours == [int(line.split(",")[1]) for line in lines]).sum())
        print(f"submission {file.name}: {length} frames, agrees on {agreed}")
        if agreed < AGREEMENT * length:
            failures.append(f"submission {file.name} agrees on {agreed} of {length} frames")


def check_label_set(path, entry, threshold, failures):
    """-> its meta."""
    if sha256(path) != entry["sha256"]:
        failures.append(f"label set {path.name}: sha256 is not the one in index.json")
    data = np.load(path)
    meta = json.loads(data["meta"].tobytes())
    label, status, confidence, table = (data[k] for k in ("label", "status", "confidence", "probabilities"))
    read = status != 2
    counts = {"read": len(label), "labelled": int((status == 0).sum()), "abstained": int((status == 1).sum()),
              "quarantined": int((status == 2).sum())}
    if counts != entry["counts"] or counts != meta["counts"] or int(data["key"].size) != counts["read"]:
        failures.append(f"label set {path.name}: counts are {counts}, index.json {entry['counts']}")
    if counts["read"] != counts["labelled"] + counts["abstained"] + counts["quarantined"]:
        failures.append(f"label set {path.name}: a status is not 0, 1 or 2")
    if (np.diff(data["key"].astype(np.int64)) <= 0).any():
        failures.append(f"label set {path.name}: keys do not ascend")
    # The label is the argmax before rounding to f16: among equal values it may be any.
    row = np.arange(len(label))[read]
    if (label[read] >= table.shape[1]).any() or (table[row, label[read]] != table[read].max(1)).any():
        failures.append(f"label set {path.name}: a label is not the argmax of its row")
    elif (confidence[read] != table[row, label[read]]).any():
        failures.append(f"label set {path.name}: a confidence is not the label's probability")
    if (np.abs(table[read].astype(float).sum(1) - 1) > 0.01).any():
        failures.append(f"label set {path.name}: probabilities do not add up to 1")
    if (label[~read] != 255).any() or table[~read].any():
        failures.append(f"label set {path.name}: a quarantined record has a label")
    if ((confidence.astype(float) >= threshold) != (status == 0))[read].any():
        failures.append(f"label set {path.name}: a status does not follow from the threshold {threshold}")
    return meta


def check_labels(run, failures):
    threshold = float(run.spec_value("labeling", "threshold"))
    totals, shards = {}, 0
    for index in sorted((run.folder / "labels").glob("*/*/*/index.json")):
        for entry in json.loads(index.read_text())["shards"].values():
            meta = check_label_set(index.parent / entry["file"], entry, threshold, failures)
            total = totals.setdefault(meta["teacher"], {})
            for name, count in meta["counts"].items():
                total[{"read": "records"}.get(name, name)] = total.get({"read": "records"}.get(name, name), 0) + count
            shards += 1
    print(f"label sets: {shards}, of {len(totals)} teachers, {sum(t['records'] for t in totals.values())} records")
    said = {row["teacher"]: {k: row[k] for k in ("records", "labelled", "abstained", "quarantined")}
            for row in run.report["pseudo_labels"]}
    if not shards or totals != said:
        failures.append(f"counts of the label sets are {totals}, the report says {said}")


@torch.inference_mode()
def check(folder):
    """-> what is wrong, a sentence each."""
    run, failures = Run(folder), []
    for part in (check_digests, check_faces, check_videos, check_labels):
        part(run, failures)
    return failures


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    failed = False
    for folder in sys.argv[1:]:
        print(f"== {folder}")
        for failure in check(folder):
            print("FAILED:", failure, file=sys.stderr)
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
