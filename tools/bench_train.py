#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times ferment's steps beside PyTorch's, eager and compiled: same weights, batch, cores or GPU and mathematics, in turn in one run.
What is timed: a step of co-training, a supervised one, one of the temporal encoder, the frames of a video by it, or how long
a step waits for a checkpoint (of PyTorch: torch.save). Prints a Markdown table of medians (and spread), ratios, shares of the rate of a product of matrices, and peak memory.

    tools/bench_train.py --bin build/bench/bin --python build/test-venv/bin/python [--rounds 5] [--case cotrain,resnet50,64,112,16,1 ...]
    tools/bench_train.py --device cuda [--no-compile]     # a compiled case compiles in its first step
"""
import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

CASES = ["cotrain,resnet50,64,112,16,1", "cotrain,resnet18,16,56,32,1", "cotrain,resnet18,16,56,32,4",
         "supervised,resnet50,64,112,16,1", "temporal,resnet18,8,32,2,1", "frames,resnet18,8,32,2,1",
         "checkpoint,resnet50,64,112,2,1"]
GPU_CASES = ["cotrain,resnet50,64,112,64,1", "cotrain,resnet50,64,112,32,4", "cotrain,resnet18,16,56,32,4",
             "supervised,resnet50,64,112,256,1", "temporal,resnet18,8,32,2,1", "frames,resnet18,8,32,2,1",
             "checkpoint,resnet50,64,112,2,1"]
CLOSE = 1e-3  # of two right float32 steps in a row
CLOSE_IN_BFLOAT16 = 5e-2  # PyTorch's roundings lie elsewhere
CLOSE_UNDER_DROPOUT = 1e-2  # the masks are a matter of luck


class CaseFailed(Exception):
    pass


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
            raise CaseFailed(f"{self.name} has left with {self.process.wait()}")
        return json.loads(line)

    def make(self, steps, counted=True):
        """-> the losses of the last step."""
        with contextlib.suppress(BrokenPipeError):  # that it has left is said below
            print(steps, file=self.process.stdin, flush=True)
        said = self.read()
        if counted:
            self.seconds += said["seconds"]
        self.peak = said.get("peak_device_bytes", said["peak_rss_bytes"])
        return said["losses"]

    def end(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()


def closeness(what, in_bfloat16):
    if what == "temporal":
        return CLOSE_UNDER_DROPOUT
    return CLOSE_IN_BFLOAT16 if in_bfloat16 and what == "cotrain" else CLOSE


def run_case(arguments, case, folder):
    what, backbone, width, size, batch, mu = case.split(",")
    network = ["--what", what, "--backbone", backbone, "--width", width, "--threads", str(arguments.threads)]
    network += ["--device", arguments.device]
    network += [flag for flag, on in (("--bfloat16", arguments.bfloat16), ("--cudnn-benchmark", arguments.cudnn_benchmark)) if on]
    peer = [arguments.python, "bench/train_peer.py", *network, "--load", folder]
    # As `ferment run` starts a trainer; PyTorch with libgomp's default, which spins ten times as long.
    spin = os.environ.get("GOMP_SPINCOUNT", "30000")
    ours = ["env", f"GOMP_SPINCOUNT={spin}", f"{arguments.bin}/train_step", *network, "--image-size", size, "--batch", batch, "--mu", mu, "--save", folder]
    commands = [("ferment", ours), ("eager", peer)]
    if not arguments.no_compile and what != "checkpoint":
        commands.append(("compiled", [*peer, "--compile"]))
    contestants = []
    try:
        for name, command in commands:  # the first writes what the others read
            contestants.append(Contestant(name, command))
        right = first_step([word for word in ours if word != "--bfloat16"]) if arguments.bfloat16 else None
        check_first_step(contestants, closeness(what, arguments.bfloat16), right)
        for c in contestants:
            c.make(2, counted=False)  # compiling, and the memory of a first step
        for _ in range(arguments.rounds):
            for c in contestants:
                c.make(arguments.steps)
    finally:
        for c in contestants:
            c.end()
    return contestants


def first_step(command):
    contestant = Contestant("ferment in float32", command)
    losses = contestant.make(1, counted=False)
    contestant.end()
    return losses


def check_first_step(contestants, close, right):
    """Fails where one's losses are not those of `right`, which are ferment's if it is None; in reduced precision a peer's are only told of."""
    first = {c.name: c.make(1, counted=False) for c in contestants}
    for name, losses in first.items():
        wanted = right or first["ferment"]
        if all(abs(a - b) <= close * (1 + abs(b)) for a, b in zip(losses, wanted)):
            continue
        told = f"{name} does not compute the same step: {losses} and {wanted}"
        if right is None or name == "ferment":
            raise CaseFailed(told)
        print(f"in reduced precision {told}")


def milliseconds(seconds):
    return f"{seconds * 1e3:.{0 if seconds >= 0.1 else 1}f} ms"


def row(case, contestants, columns):
    medians = {c.name: statistics.median(c.seconds) for c in contestants}
    best = min(value for name, value in medians.items() if name != "ferment")
    spread = {c.name: (max(c.seconds) - min(c.seconds)) / medians[c.name] for c in contestants}
    times = [f"{milliseconds(medians[c.name])} ({spread[c.name]:.0%})" for c in contestants]
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
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="a round; default: 2, on a GPU 10")
    parser.add_argument("--case", action="append", help="what,backbone,width,image size,B,mu; may be repeated; default: "
                        + " ".join(CASES) + "; on a GPU: " + " ".join(GPU_CASES))
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--bfloat16", action="store_true", help="co-training's passes in bfloat16, of PyTorch by autocast")
    parser.add_argument("--cudnn-benchmark", action="store_true", help="cuDNN chooses its algorithms by trial, for all")
    arguments = parser.parse_args()
    on_gpu = arguments.device == "cuda"
    arguments.steps = arguments.steps or (10 if on_gpu else 2)
    if not shutil.which(arguments.python):
        sys.exit(f"no {arguments.python}: tests/support/test_venv.sh makes it with FERMENT_PYTHON_CHECKS=1")
    names = ["ferment", "eager"] + ([] if arguments.no_compile else ["compiled"])
    print(f"| case | {' | '.join(names)} | best peer / ferment | share of the GEMM rate | peak {'device ' if on_gpu else ''}MiB |\n|---|{'---|' * (len(names) + 3)}", flush=True)
    failed = False
    for case in arguments.case or (GPU_CASES if on_gpu else CASES):
        with tempfile.TemporaryDirectory() as folder:
            try:
                print(row(case, run_case(arguments, case, folder), len(names)), flush=True)
            except CaseFailed as failure:
                failed = True
                print(f"{case}: {failure}", file=sys.stderr, flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
