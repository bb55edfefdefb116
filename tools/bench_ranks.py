#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times co-training steps on one host by two ranks of one thread beside one rank of two threads, of ferment-trainer under mpirun and of PyTorch over
gloo, in turn in one run. What is compared is each with itself: a job of ferment decodes its faces too. Prints a Markdown table.

    tools/bench_ranks.py [--bin build/bench/bin] [--python build/test-venv/bin/python] [--case resnet50,64,112,16,1] [--rounds 4] [--steps 3]
"""
import argparse
import json
import socket
import statistics
import subprocess
import tempfile
from pathlib import Path

from bench_placement import WARM_UP, render, run

CORES = 2


class Ranks:
    """So many processes of PyTorch, which share the cores."""

    def __init__(self, arguments, folder, network, ranks):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.steps = []
        self.processes = [
            subprocess.Popen([arguments.python, "bench/ranks_peer.py", "--rank", str(rank), "--ranks", str(ranks), "--port", str(port), "--threads",
                              str(CORES // ranks), *network, "--load", folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for rank in range(ranks)]
        self.read()

    def read(self):
        return [json.loads(process.stdout.readline()) for process in self.processes]

    def make(self, steps, counted=True):
        for process in self.processes:
            print(steps, file=process.stdin, flush=True)
        said = self.read()
        if counted:
            # A step is over when its last rank is.
            self.steps += [1e3 * max(times) for times in zip(*(one["seconds"] for one in said))]

    def end(self):
        for process in self.processes:
            process.stdin.close()
            process.wait()


def write_first_state(arguments, folder, case):
    """Has train_step write the weights and the batch from which PyTorch's ranks start."""
    backbone, width, pixels, batch, mu = case.split(",")
    network = ["--backbone", backbone, "--width", width]
    command = [f"{arguments.bin}/train_step", "--what", "cotrain", *network, "--threads", "2", "--image-size", pixels, "--batch", batch, "--mu", mu, "--save", folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        writer.stdout.readline()
        writer.stdin.close()
    return network


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="build/bench/bin")
    parser.add_argument("--python", default="build/test-venv/bin/python")
    parser.add_argument("--case", default="resnet50,64,112,16,1")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=3)
    arguments = parser.parse_args()
    arguments.cores = CORES
    with tempfile.TemporaryDirectory(prefix="ferment-ranks-") as folder:
        folder = Path(folder)
        render(arguments, folder / "data", int(arguments.case.split(",")[2]))
        network = write_first_state(arguments, folder, arguments.case)
        peers = {ranks: Ranks(arguments, folder, network, ranks) for ranks in (1, 2)}
        ours = {1: [], 2: []}
        for of_some in peers.values():
            of_some.make(2, counted=False)
        for _ in range(arguments.rounds):
            for ranks in (1, 2):
                ours[ranks] += run(arguments, folder, folder / "data", arguments.case, ranks == 1, {})
                peers[ranks].make(arguments.steps)
        for of_some in peers.values():
            of_some.end()
    print(f"{arguments.case}: {arguments.rounds} turns of {arguments.steps} steps each, after {WARM_UP} of each job that do not count\n\n"
          "| by | ranks x threads | median step | lowest | highest | 1 x 2 / this |\n|---|---|---|---|---|---|")
    for name, steps in (("ferment", ours), ("PyTorch, gloo", {ranks: of_some.steps for ranks, of_some in peers.items()})):
        for ranks, taken in steps.items():
            middle = statistics.median(taken)
            print(f"| {name} | {ranks} x {CORES // ranks} | {middle:.0f} ms | {min(taken):.0f} ms | {max(taken):.0f} ms | "
                  f"{statistics.median(steps[1]) / middle:.2f} |")


if __name__ == "__main__":
    main()
