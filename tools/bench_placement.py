#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times co-training steps of ferment-trainer under mpirun with teacher and student on the same ranks and in two groups, with feedback at once
and one step late, in turn, on rendered faces. Prints a Markdown table.

    tools/bench_placement.py [--bin build/bench/bin] [--case resnet18,16,56,32,1 ...] [--cores 2] [--rounds 5] [--steps 20]

A case is backbone,width,pixels,B,mu. Every job has all the cores: `cores` ranks of one thread, or one rank of `cores` threads.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

SPEC = "examples/real-faces.yaml"
WARM_UP = 3  # steps of each job that do not count

# What is timed: name -> (ranks are threads of one process instead, settings)
PLACEMENTS = {
    "one rank": (True, {}),
    "colocated": (False, {"cotrain.placement": "colocated"}),
    "split, feedback at once": (False, {"cotrain.placement": "split"}),
    "split, one step late": (False, {"cotrain.placement": "split", "cotrain.feedback.max_lag": 1}),
}


def render(arguments, folder, pixels):
    subprocess.run([f"{arguments.bin}/ferment", "data", "synth", "--out", folder, "--image-size", str(pixels), "--faces-train", "480",
                    "--faces-validation", "80", "--fr-records", "2000", "--videos-train", "1", "--videos-validation", "1", "--videos-test", "1"],
                   check=True, stdout=subprocess.DEVNULL)


def steps_of(trace):
    """-> milliseconds of rank 0's steps, in order."""
    seen = json.loads(trace.read_text())
    events = seen["traceEvents"] if isinstance(seen, dict) else seen
    steps = sorted((e["ts"], e["dur"] / 1e3) for e in events if e.get("ph") == "X" and e["name"] == "step" and e["pid"] == 0)
    return [took for _, took in steps]


def run(arguments, folder, data, case, one_process, settings):
    backbone, width, pixels, batch, mu = case.split(",")
    ranks, threads = (1, arguments.cores) if one_process else (arguments.cores, 1)
    settings = {"data.root": data, "data.fer.format": "folder", "labeling.truth": "", "model.backbone": backbone, "model.width": width,
                "model.image_size": pixels, "cotrain.batch": batch, "cotrain.mu": mu, "cotrain.steps": arguments.steps + WARM_UP, **settings}
    shutil.rmtree(folder / "run", ignore_errors=True)
    command = ["mpirun", "-np", str(ranks), "--bind-to", "none", "--oversubscribe", f"{arguments.bin}/ferment-trainer", "--spec", SPEC,
               "--phase", "cotrain", "--from-init", "--run-dir", folder / "run", "--trace", folder / "trace.json"]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    # As ferment run starts trainers: docs/benchmarks.md, where the time goes.
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads), OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    environment.setdefault("GOMP_SPINCOUNT", "30000")
    done = subprocess.run([str(word) for word in command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(str(word) for word in command)} left with {done.returncode}:\n{done.stdout}")
    return steps_of(folder / "trace.json")[WARM_UP:]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="build/bench/bin")
    parser.add_argument("--case", action="append")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    print(f"{arguments.cores} cores, {arguments.rounds} jobs of {arguments.steps} steps each, in turn\n\n"
          "| case | placement | median step | lowest | spread of the jobs' medians | colocated / this |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="ferment-placement-") as folder:
        folder = Path(folder)
        for case in arguments.case or ["resnet18,16,56,32,1"]:
            render(arguments, folder / "data", int(case.split(",")[2]))
            jobs = {name: [] for name in PLACEMENTS}
            for _ in range(arguments.rounds):
                for name, (one_process, settings) in PLACEMENTS.items():
                    jobs[name].append(run(arguments, folder, folder / "data", case, one_process, settings))
            medians = {name: [statistics.median(job) for job in of_name] for name, of_name in jobs.items()}
            colocated = statistics.median(medians["colocated"])
            for name, of_name in medians.items():
                middle = statistics.median(of_name)
                print(f"| {case} | {name} | {middle:.0f} ms | {min(min(job) for job in jobs[name]):.0f} ms | "
                      f"{(max(of_name) - min(of_name)) / middle:.0%} | {colocated / middle:.2f} |", flush=True)


if __name__ == "__main__":
    main()
