#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times a sum over the ranks of this host by the trainer, by OpenMPI and by gloo, in turn. Prints a Markdown table of medians.

    tools/bench_all_reduce.py --bin build/bench/bin --python build/test-venv/bin/python [--ranks 2] [--bytes 94000000]
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


def ours(arguments):
    command = ["mpirun", "-np", str(arguments.ranks), "--bind-to", "none", "--oversubscribe", f"{arguments.bin}/all_reduce",
               "--bytes", str(arguments.bytes)]
    # A container's only user is often root.
    environment = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout)


def gloo(arguments):
    with tempfile.TemporaryDirectory() as folder:
        peers = [subprocess.Popen([arguments.python, "bench/all_reduce_peer.py", "--rank", str(rank), "--ranks",
                                   str(arguments.ranks), "--store", f"{folder}/store", "--bytes", str(arguments.bytes)],
                                  stdout=subprocess.PIPE, text=True) for rank in range(arguments.ranks)]
        said = [peer.communicate()[0] for peer in peers]
        if any(peer.returncode for peer in peers):
            sys.exit("a rank of gloo has failed")
        return json.loads(said[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="build/bench/bin")
    parser.add_argument("--python", default="build/test-venv/bin/python")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--bytes", type=int, default=94_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    seconds = {}
    for _ in range(arguments.rounds):
        for part in (ours(arguments), gloo(arguments) if Path(arguments.python).exists() else {}):
            for name, values in part.items():
                seconds.setdefault(name, []).extend(values)
    fastest = statistics.median(seconds["ferment"])
    print(f"{arguments.ranks} ranks, {arguments.bytes / 1e6:.0f} MB float32\n\n| by | median | lowest | median / ferment |\n|---|---|---|---|")
    for name, values in seconds.items():
        median = statistics.median(values)
        print(f"| {name} | {median * 1e3:.1f} ms | {min(values) * 1e3:.1f} ms | {median / fastest:.2f} |")


if __name__ == "__main__":
    main()
