#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes labelled faces (fer/) and an InsightFace pack (fr/) from a checkout of muxspace/facial_expressions.

    git clone https://github.com/muxspace/facial_expressions
    python3 make_real_faces.py facial_expressions real-faces

Needs Pillow. The same checkout and Pillow version give the same files.
"""
import argparse
import csv
import hashlib
import io
import pathlib
import re
import shutil
import struct
import sys

from PIL import Image

CLASSES = ["neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise", "other"]
SYNONYMS = {"contempt": "other", "sad": "sadness"}
MAGIC = struct.pack("<I", 0xCED7230A)
SIDE, QUALITY = 112, 95
TRAIN_PER_CLASS, VALIDATION_SHARE = 60, 0.17


def identity_of(name):
    """The file name without its trailing number, hashed: pictures of one series never fall into two splits."""
    series = re.sub(r"[_-]?\d+$", "", pathlib.Path(name).stem)
    return hashlib.sha256(series.encode()).hexdigest()[:12]


def read_legend(checkout):
    """Picture -> class index. Pictures with two different labels or without a file are left out."""
    labels, contradictory = {}, set()
    with open(checkout / "data" / "legend.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            name = row["emotion"].strip().lower()
            label = CLASSES.index(SYNONYMS.get(name, name))
            if labels.setdefault(row["image"], label) != label:
                contradictory.add(row["image"])
    kept = {i: c for i, c in labels.items() if i not in contradictory and (checkout / "images" / i).is_file()}
    print(f"{len(kept)} pictures, {len(labels) - len(kept)} left out", file=sys.stderr)
    return kept


def split_identities(labels):
    """Identity -> split. Rare classes are dealt first: to train up to 60 pictures, then to validation, the rest to FR."""
    pictures = {}
    for image, label in labels.items():
        pictures.setdefault(identity_of(image), []).append(label)
    totals = [sum(c == k for c in labels.values()) for k in range(len(CLASSES))]
    splits = {}
    held = {"train": [0] * len(CLASSES), "val": [0] * len(CLASSES)}
    for label in sorted(range(len(CLASSES)), key=lambda k: totals[k]):
        for person in sorted(p for p, of in pictures.items() if label in of and p not in splits):
            if held["train"][label] < min(TRAIN_PER_CLASS, totals[label] / 3):
                splits[person] = "train"
            elif held["val"][label] < VALIDATION_SHARE * totals[label]:
                splits[person] = "val"
            else:
                splits[person] = "fr"
                continue
            for c in pictures[person]:
                held[splits[person]][c] += 1
    return splits


def face_jpeg(path):
    with Image.open(path) as image:
        buffer = io.BytesIO()
        image.convert("RGB").resize((SIDE, SIDE), Image.BICUBIC).save(buffer, "JPEG", quality=QUALITY, subsampling="4:2:0")
    return buffer.getvalue()


def frame_record(payload):
    """RecordIO: the payload is cut wherever the magic stands at an aligned offset, and the magic itself left out."""
    parts, begin = [], 0
    for at in range(0, len(payload) - 3, 4):
        if payload[at:at + 4] == MAGIC:
            parts.append(payload[begin:at])
            begin = at + 4
    parts.append(payload[begin:])
    framed = b""
    for i, part in enumerate(parts):
        flag = 0 if len(parts) == 1 else 1 if i == 0 else 3 if i == len(parts) - 1 else 2
        framed += MAGIC + struct.pack("<I", flag << 29 | len(part)) + part + b"\0" * (-len(part) % 4)
    return framed


class Pack:
    """train.rec and train.idx, image records with a list of float labels (InsightFace's older tool)."""

    def __init__(self, folder):
        self.records = open(folder / "train.rec", "wb")
        self.index = open(folder / "train.idx", "w", encoding="ascii")

    def add(self, key, labels, image=b""):
        self.index.write(f"{key}\t{self.records.tell()}\n")
        header = struct.pack(f"<IfQQ{len(labels)}f", len(labels), 0.0, key, 0, *labels)
        self.records.write(frame_record(header + image))

    def close(self):
        self.records.close()
        self.index.close()


def write_fer(checkout, out, labels, splits):
    (out / "images").mkdir(parents=True)
    identities = [("path", "identity")]
    for split in ("train", "val"):
        rows, taken = [("path", "class", "name")], [0] * len(CLASSES)
        for image in sorted(labels, key=lambda i: hashlib.sha256(i.encode()).digest()):
            label = labels[image]
            if splits[identity_of(image)] != split or (split == "train" and taken[label] >= TRAIN_PER_CLASS):
                continue
            taken[label] += 1
            path = f"images/{split}_{len(rows):05d}.jpg"
            (out / path).write_bytes(face_jpeg(checkout / "images" / image))
            rows.append((path, label, CLASSES[label]))
            identities.append((path, identity_of(image)))
        write_csv(out / f"{split}.csv", rows)
        print(f"fer/{split}.csv: " + ", ".join(f"{n} {c}" for c, n in zip(CLASSES, taken)), file=sys.stderr)
    write_csv(out / "identity.csv", identities)


def write_fr(checkout, out, labels, splits):
    out.mkdir()
    images = sorted((identity_of(i), i) for i in labels if splits[identity_of(i)] == "fr")
    people = sorted({person for person, _ in images})
    pack, truth, ranges = Pack(out), [("key", "class", "name", "identity")], {}
    for key, (person, image) in enumerate(images, start=1):
        pack.add(key, (float(people.index(person)), 1.0), face_jpeg(checkout / "images" / image))
        first, _ = ranges.get(person, (key, key))
        ranges[person] = (first, key + 1)
        truth.append((key, labels[image], CLASSES[labels[image]], person))
    first_identity = len(images) + 1
    pack.add(0, (float(first_identity), float(first_identity + len(people))))
    for i, person in enumerate(people):
        pack.add(first_identity + i, tuple(map(float, ranges[person])))
    pack.close()
    (out / "property").write_text(f"{len(people)},{SIDE},{SIDE}\n", encoding="ascii")
    write_csv(out / "fr_truth.csv", truth)
    print(f"fr/: {len(images)} pictures of {len(people)} identities", file=sys.stderr)


def write_csv(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=pathlib.Path, help="folder with images/ and data/legend.csv")
    parser.add_argument("out", type=pathlib.Path, help="new folder")
    arguments = parser.parse_args()
    if not (arguments.checkout / "data" / "legend.csv").is_file():
        parser.error(f"{arguments.checkout}/data/legend.csv is missing: is this a checkout of muxspace/facial_expressions?")
    if arguments.out.exists():
        parser.error(f"{arguments.out} exists; name a new folder")
    labels = read_legend(arguments.checkout)
    splits = split_identities(labels)
    part = arguments.out.with_name(arguments.out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    write_fer(arguments.checkout, part / "fer", labels, splits)
    write_fr(arguments.checkout, part / "fr", labels, splits)
    part.rename(arguments.out)


if __name__ == "__main__":
    main()
