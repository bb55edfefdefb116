#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Labels a shard from RecordIO pictures to a committed label set, ferment and its peers in turn in one run, after checking that all
find the same probabilities, or in reduced precision the same labels. Prints Markdown: faces a second (medians, spread), ratio, share of the GEMM rate and of bare decode.

    build/bench-venv/bin/python tools/bench_label.py --pack DIR [--rounds 5] [--case resnet50,64,112,128 ...]
"""
import argparse
import json
import statistics
import subprocess
import sys
import tempfile

import numpy as np

CASES = ["resnet50,64,112,160", "resnet18,16,56,4096"]  # backbone, width, pixels a side, faces a shard
GPU_CASES = ["resnet50,64,112,49152"]
PEERS = ["eager", "compiled", "onnxruntime", "openvino", "openvino_int8"]
GPU_PEERS = ["eager", "compiled", "eager_bf16", "compiled_bf16"]
CLOSE = 2e-3  # of two right probabilities in half precision
AGREEMENT = 0.99  # of labels that pass the threshold


class Contestant:
    def __init__(self, name, command):
        self.name = name
        self.reduced = name.endswith(("int8", "bf16"))
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.facts = self.read()
        self.answers = []

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} has left with {self.process.wait()}")
        return json.loads(line)

    def ask(self, what, number=0):
        print(what, number, file=self.process.stdin, flush=True)
        return self.read()

    def median(self, key="seconds"):
        return statistics.median(answer[key] for answer in self.answers)

    def spread(self):
        seconds = [answer["seconds"] for answer in self.answers]
        return (max(seconds) - min(seconds)) / statistics.median(seconds)

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def check_same(contestants, faces):
    """Those of reduced precision need to have the labels that pass the threshold in either, the others all probabilities."""
    found = {c: np.load(c.ask("label", faces)["file"]) for c in contestants}
    right = found[contestants[0]]
    for c, labels in found.items():
        off = np.abs(labels["probabilities"].astype(np.float32) - right["probabilities"].astype(np.float32)).max()
        passing = (labels["status"] == 0) | (right["status"] == 0)
        same = (labels["label"] == right["label"])[passing].mean() if passing.any() else 1.0
        if c.reduced:
            print(f"{c.name}: {same:.1%} of {passing.sum()} labels as in float32, probabilities differ by up to {off:.3f}")
        if same < AGREEMENT or (not c.reduced and off > CLOSE):
            sys.exit(f"{c.name} has other labels or probabilities: same={same} off={off}")


def run_case(arguments, case, folder):
    backbone, width, size, faces = case.split(",")
    network = ["--backbone", backbone, "--width", width, "--image-size", size, "--pack", arguments.pack, "--work", folder,
               "--threads", str(arguments.threads), "--device", arguments.device]
    on_gpu = arguments.device == "cuda"
    batch = ["--batch", "256"] if on_gpu else []
    ours = [f"{arguments.bin}/label_shards", *network, *batch]
    contestants = [Contestant("ferment", ours)]
    reduced = "bf16" if on_gpu else "int8"
    if not arguments.exact:
        contestants.append(Contestant(f"ferment_{reduced}", [*ours, "--plan", reduced]))
    peers = []
    for name in (GPU_PEERS if on_gpu else PEERS) if arguments.peers is None else arguments.peers:
        engine = ["--engine", name.removesuffix("_bf16")] + (["--bfloat16"] if name.endswith("_bf16") else [])
        if not (arguments.exact and name.endswith(("int8", "bf16"))):
            peers.append(Contestant(name, [sys.executable, "bench/label_peer.py", *engine, *network, *batch]))
    contestants += peers
    check_same(contestants, min(int(faces), 512))
    decode, rates = [], []
    for _ in range(arguments.rounds):
        for c in contestants:
            c.answers.append(c.ask("label", faces))
        decode.append(contestants[0].ask("decode", faces)["seconds"])
        if peers:
            rates.append(peers[0].ask("gemm")["rate"])
    for c in contestants:
        c.end()
    return contestants, statistics.median(decode), statistics.median(rates or [float("nan")])


def report(case, contestants, decode, rate):
    faces = int(case.split(",")[3])
    ours = {c.reduced: c for c in contestants if c.name.startswith("ferment")}
    flops = contestants[-1].facts.get("flops", float("nan"))
    print(f"\n{case}: {flops / 1e9:.3f} GFLOP a face, a product of matrices {rate / 1e9:.0f} GFLOP/s, "
          f"bare decode {faces / decode:.0f} faces/s\n")
    print("| who | faces/s | spread | ferment / it, of the same plan | share of the GEMM rate | share of bare decode |\n|---|---|---|---|---|---|")
    for c in contestants:
        seconds = c.median()
        print(f"| {c.name} | {faces / seconds:.1f} | {c.spread():.0%} | {seconds / ours[c.reduced].median():.2f} | "
              f"{flops * faces / seconds / rate:.0%} | {decode / seconds:.2f} |")
    for c in ours.values():
        network, cpu = c.median("network_share"), c.median("cpu_share")
        print(f"\n{c.name}'s cores: {network:.1%} of the time in the network, {cpu - network:.1%} in decoding and the rest, "
              f"{1 - cpu:.1%} idle or taken by others", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="build/bench/bin")
    parser.add_argument("--pack", required=True, help="folder of an InsightFace pack")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--case", action="append", help="backbone,width,image size,faces; default: " + " ".join(CASES))
    parser.add_argument("--peers", nargs="*", help="default: " + " ".join(PEERS) + "; on a GPU " + " ".join(GPU_PEERS))
    parser.add_argument("--exact", action="store_true", help="float32 alone")
    arguments = parser.parse_args()
    for case in arguments.case or (GPU_CASES if arguments.device == "cuda" else CASES):
        with tempfile.TemporaryDirectory() as folder:
            report(case, *run_case(arguments, case, folder))


if __name__ == "__main__":
    main()
