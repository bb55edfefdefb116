# SPDX-License-Identifier: Apache-2.0
"""Shows that check_export.py can fail: plants one fault after another into copies of a run and expects it to be caught.

    python tests/road/check_export_faults.py RUN_DIR
"""
import contextlib
import csv
import hashlib
import io
import json
import shutil
import struct
import sys
import tempfile
from pathlib import Path

import numpy as np

import check_export

COPIED = ("export", "evaluation", "labels", "submission")


def edit_json(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def swap_two_classes(run):
    def swap(model):
        model["classes"][0], model["classes"][1] = model["classes"][1], model["classes"][0]
    edit_json(run / "export/model.json", swap)


def rewrite(path, change):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        change(row)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def flip(table, column):
    def fault(run):
        def change(row):
            row[column] = str(7 - int(row[column]))
        rewrite(run / "evaluation" / table, change)
    return fault


def raise_one_probability(run):
    rows = iter([0.002])

    def change(row):
        row["p_Neutral"] = str(float(row["p_Neutral"]) + next(rows, 0.0))
    rewrite(run / "evaluation/static_validation.csv", change)


def add_to_weight(file, tensor, honest):
    """`honest`: the digests follow, so that the networks' answers alone can tell."""
    def fault(run):
        path = run / "export" / file
        data = bytearray(path.read_bytes())
        (size,) = struct.unpack("<Q", data[:8])
        begin, end = json.loads(data[8:8 + size])[tensor]["data_offsets"]
        values = np.frombuffer(data, np.float32, (end - begin) // 4, 8 + size + begin)
        values[0] += 20
        path.write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        if not honest:
            return
        of_student = file == "student.safetensors"
        edit_json(run / "export/model.json", lambda m: (m if of_student else m["temporal"]).update(digest=digest))
        if of_student:
            edit_json(run / "report.json", lambda report: report["model"].update(student_digest=digest))
    return fault


def change_report_f1(table):
    def fault(run):
        def change(report):
            rows = report["evaluation"][table]
            for row in rows:
                row["macro_f1"] += 1e-6
        edit_json(run / "report.json", change)
    return fault


def change_label_set(change, honest):
    def fault(run):
        index = next(run.glob("labels/*/*/*/index.json"))
        entry = next(iter(json.loads(index.read_text())["shards"].values()))
        path = index.parent / entry["file"]
        arrays = {name: array.copy() for name, array in np.load(path).items()}
        change(arrays)
        np.savez(path, **arrays)
        if honest:
            digest = check_export.sha256(path)
            edit_json(index, lambda value: next(iter(value["shards"].values())).update(sha256=digest))
    return fault


def set_entry(name, place, value):
    def change(arrays):
        arrays[name][place] = value(arrays[name][place])
    return change


def drop_submission_row(run):
    path = next((run / "submission").glob("*.txt"))
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")


def other_label(label):
    return (label + 1) % 8


# What is planted, and words that the check must answer with.
FAULTS = {
    "two class names swapped": (swap_two_classes, "classes of static_validation.csv"),
    "predictions of faces flipped": (flip("static_validation.csv", "prediction"), "predictions of faces agree"),
    "labels of faces flipped": (flip("static_validation.csv", "label"), "macro F1 of static_validation.csv"),
    "one probability raised by 0.002": (raise_one_probability, "probabilities of faces differ"),
    "macro F1 of the faces off by 1e-6": (change_report_f1("static"), "macro F1 of static_validation.csv"),
    "macro F1 of the ablation off by 1e-6": (change_report_f1("ablation"), "macro F1 of video_validation.csv"),
    "predictions of frames flipped": (flip("video_validation.csv", "prediction"), "prediction of frames agrees"),
    "predictions before smoothing flipped": (flip("video_validation.csv", "prediction_temporal"),
                                             "prediction_temporal of frames agrees"),
    "a weight perturbed": (add_to_weight("student.safetensors", "fc.bias", False), "digest of the student"),
    "a weight perturbed, digests too": (add_to_weight("student.safetensors", "fc.bias", True),
                                        "probabilities of faces differ"),
    "a temporal weight perturbed": (add_to_weight("temporal.safetensors", "classifier.bias", False),
                                    "digest of the temporal encoder"),
    "a temporal weight perturbed, digest too": (add_to_weight("temporal.safetensors", "classifier.bias", True),
                                                "prediction_temporal of frames agrees"),
    "a label set written anew": (change_label_set(lambda arrays: None, False), "sha256"),
    "a label that is not the argmax": (change_label_set(set_entry("label", 0, other_label), True), "argmax"),
    "a status against the threshold": (change_label_set(set_entry("status", 0, lambda s: 1 - s), True), "threshold"),
    "two keys the same": (change_label_set(lambda a: a["key"].__setitem__(1, a["key"][0]), True), "ascend"),
    "a row of a submission dropped": (drop_submission_row, "submission"),
}


def main():
    run = Path(sys.argv[1])
    missed = 0
    for name, (plant, words) in FAULTS.items():
        with tempfile.TemporaryDirectory() as scratch:
            copy = Path(scratch)
            for folder in COPIED:
                shutil.copytree(run / folder, copy / folder)
            for file in ("spec.yaml", "report.json"):
                shutil.copy(run / file, copy / file)
            plant(copy)
            with contextlib.redirect_stdout(io.StringIO()):
                failures = check_export.check(copy)
        caught = any(words in failure for failure in failures)
        print(f"{'caught' if caught else 'MISSED'}: {name}")
        if not caught:
            print(f"  the check said {failures}", file=sys.stderr)
            missed += 1
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
