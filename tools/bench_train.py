#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times ferment's steps beside PyTorch's, eager and compiled: same weights, batch, cores and mathematics, in turn in one run.
What is timed: a step of co-training, a supervised one, one of the temporal encoder, the frames of a video by it, or how long
a step waits for a checkpoint (of PyTorch: torch.save). Prints a Markdown table of medians (and spread), ratios, shares of the rate of a product of matrices, and peak memory.

    tools/bench_train.py --bin build/bench/bin --python build/test-venv/bin/python [--rounds 5] [--case cotrain,resnet50,64,112,16,1 ...]
"""
import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

CASES = ["cotrain,resnet50,64,112,16,1", "cotrain,resnet18,16,56,32,1", "cotrain,resnet18,16,56,32,4",
         "supervised,resnet50,64,112,16,1", "temporal,resnet18,8,32,2,1", "frames,resnet18,8,32,2,1",
         "checkpoint,resnet50,64,112,2,1"]
CLOSE = 1e-3  # of two right float32 steps in a row


class Contestant:
    def __init__(self, name, command):
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.seconds = []
        self.peak = 0
        self.facts = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} has left with {self.process.wait()}")
        return json.loads(line)

    def make(self, steps, counted=True):
        """-> the losses of the last step."""
        print(steps, file=self.process.stdin, flush=True)
        said = self.read()
        if counted:
            self.seconds += said["seconds"]
        self.peak = said["peak_rss_bytes"]
        return said["losses"]

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def run_case(arguments, case, folder):
    what, backbone, width, size, batch, mu = case.split(",")
    network = ["--what", what, "--backbone", backbone, "--width", width, "--threads", str(arguments.threads)]
    network += ["--bfloat16"] if arguments.bfloat16 else []
    peer = [arguments.python, "bench/train_peer.py", *network, "--load", folder]
    ours = [f"{arguments.bin}/train_step", *network, "--image-size", size, "--batch", batch, "--mu", mu, "--save", folder]
    contestants = [Contestant("ferment", ours), Contestant("eager", peer)]
    if not arguments.no_compile and what != "checkpoint":
        contestants.append(Contestant("compiled", [*peer, "--compile"]))
    first = {c.name: c.make(1, counted=False) for c in contestants}
    for name, losses in first.items():
        if arguments.bfloat16:
            continue  # PyTorch's roundings lie elsewhere
        if any(abs(a - b) > CLOSE * (1 + abs(b)) for a, b in zip(losses, first["ferment"])):
            sys.exit(f"{case}: {name} does not compute the same step: {losses} and {first['ferment']}")
    for c in contestants:
        c.make(2, counted=False)  # compiling, and the memory of a first step
    for _ in range(arguments.rounds):
        for c in contestants:
            c.make(arguments.steps)
    for c in contestants:
        c.end()
    return contestants


def row(case, contestants, columns):
    medians = {c.name: statistics.median(c.seconds) for c in contestants}
    best = min(value for name, value in medians.items() if name != "ferment")
    spread = {c.name: (max(c.seconds) - min(c.seconds)) / medians[c.name] for c in contestants}
    times = [f"{medians[c.name] * 1e3:.0f} ms ({spread[c.name]:.0%})" for c in contestants]
    times += [""] * (columns - len(times))
    peaks = [f"{c.peak / 2**20:.0f}" for c in contestants]
    facts = contestants[1].facts
    shares = [f"{facts['flops'] / medians[c.name] / facts['gemm_rate']:.0%}" for c in contestants]
    return (f"| {case} | {' | '.join(times)} | {best / medians['ferment']:.2f} | {' / '.join(shares)} of "
            f"{facts['gemm_rate'] / 1e9:.0f} GFLOP/s | {' / '.join(peaks)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="build/bench/bin")
    parser.add_argument("--python", default="build/test-venv/bin/python")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2, help="a round")
    parser.add_argument("--case", action="append", help="what,backbone,width,image size,B,mu; default: " + " ".join(CASES))
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--bfloat16", action="store_true", help="training passes in bfloat16, of PyTorch by autocast")
    arguments = parser.parse_args()
    if not Path(arguments.python).exists():
        sys.exit(f"no {arguments.python}: tests/support/test_venv.sh makes it with FERMENT_PYTHON_CHECKS=1")
    names = ["ferment", "eager"] + ([] if arguments.no_compile else ["compiled"])
    print(f"| case | {' | '.join(names)} | best peer / ferment | share of the GEMM rate | peak MiB |\n|---|{'---|' * (len(names) + 3)}", flush=True)
    for case in arguments.case or CASES:
        with tempfile.TemporaryDirectory() as folder:
            print(row(case, run_case(arguments, case, folder), len(names)), flush=True)


if __name__ == "__main__":
    main()
