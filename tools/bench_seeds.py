#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a spec with several seeds, one after another, and prints one Markdown table of what each showed, with mean and spread.

    tools/bench_seeds.py examples/demo.yaml --seeds 1 2 3 [--bin build/release/bin] [--set KEY=VALUE ...]

Each run lands in runs/bench/<spec>-seed<N>; a run that is already finished is read, not repeated (--fresh repeats it).
"""
import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import time


def run(args, seed):
    """Returns the run's report, wall seconds (None if it had been there before) and peak resident bytes of its largest process."""
    folder = pathlib.Path(args.out) / f"{pathlib.Path(args.spec).stem}-seed{seed}"
    report = folder / "report.json"
    seconds = None
    if args.fresh or not report.exists() or json.loads(report.read_text())["status"] != "succeeded":
        command = [f"{args.bin}/ferment", "run", args.spec, "--run-dir", str(folder), "--fresh", "--set", f"seed={seed}"]
        for item in args.set:
            command += ["--set", item]
        started = time.monotonic()
        subprocess.run(command, check=True)
        seconds = time.monotonic() - started
    return json.loads(report.read_text()), seconds


def figures(report):
    """The figures of one run that the issue asks for, by column name."""
    static = {row["model"]: row["macro_f1"] for row in report["evaluation"]["static"]}
    row = {
        "static teacher": static["teacher"],
        "static student before finetune": static["student_before_finetune"],
        "static student": static["student"],
    }
    for entry in report["evaluation"]["ablation"]:
        if not entry["semi_supervised"]:
            continue
        name = {(False, False): "static", (True, False): "temporal", (False, True): "static + smoothing", (True, True): "temporal + smoothing"}
        row["video " + name[(entry["temporal"], entry["smoothing"])]] = entry["macro_f1"]
    for labels in report["pseudo_labels"][-1:]:
        if labels.get("accuracy") is not None:
            row["pseudo-label accuracy"] = labels["accuracy"]
        row["pseudo-label coverage"] = labels["coverage"]
    row["seconds in phases"] = sum(phase["seconds"] for phase in report["phases"])
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--bin", default="build/release/bin")
    parser.add_argument("--out", default="runs/bench")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--fresh", action="store_true")
    args = parser.parse_args()

    rows, walls = {}, []
    for seed in args.seeds:
        report, seconds = run(args, seed)
        rows[seed] = figures(report)
        if seconds is not None:
            walls.append(seconds)
    columns = list(rows[args.seeds[0]])
    print("| figure | " + " | ".join(f"seed {seed}" for seed in args.seeds) + " | mean | spread |")
    print("|---|" + "---|" * (len(args.seeds) + 2))
    for column in columns:
        values = [rows[seed][column] for seed in args.seeds]
        cells = [f"{value:.4f}" if value < 10 else f"{value:.0f}" for value in values]
        mean, spread = statistics.mean(values), max(values) - min(values)
        form = "{:.4f}" if max(values) < 10 else "{:.0f}"
        print(f"| {column} | " + " | ".join(cells) + f" | {form.format(mean)} | {form.format(spread)} |")
    if walls:
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"\nwall seconds a run: {', '.join(f'{wall:.0f}' for wall in walls)}; peak resident of the largest process: {peak:.0f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
