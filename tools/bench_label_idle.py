#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long a labeler's cores have nothing to do between batches, shards and leases: one real labeler of a real run, from its first committed
shard to its last. A core is idle while no thread of the labeler runs on it or waits to run (/proc/PID/stat, task/*/schedstat), so that what other
processes take is not counted. Prints Markdown.

    tools/bench_label_idle.py [--bin build/bench/bin] [--rounds 3] [--case resnet50,64,112,fp32,128,12 ...]
"""
import argparse
import json
import os
import pathlib
import signal
import statistics
import subprocess
import tempfile
import time

# backbone, width, pixels a side, plan, faces a shard, shards
CASES = ["resnet50,64,112,fp32,128,12", "resnet50,64,112,int8,512,16", "resnet18,16,56,int8,4096,12"]
CORES = len(os.sched_getaffinity(0))  # ferment run gives its one labeler all of them


class Cores:
    """What a process has had of the cores."""

    def __init__(self, pid):
        self.pid = pid
        self.waited = {}  # by thread, also of those that have ended

    def look(self):
        for task in pathlib.Path(f"/proc/{self.pid}/task").iterdir():
            try:
                self.waited[task.name] = int((task / "schedstat").read_text().split()[1]) / 1e9
            except OSError:
                pass  # it has ended

    def seconds(self):
        """Seconds that its threads have run, and that they have waited for a core."""
        self.look()
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        ran = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return ran, sum(self.waited.values())


def labeler_of(run_dir):
    for record in (run_dir / "processes").glob("*.json"):
        process = json.loads(record.read_text())
        if process["role"] == "labeler":
            return process["pid"]
    return None


def committed(run_dir):
    return len(list(run_dir.glob("labels/*/*/*/*.npz")))


def wait_for(run_dir, run, shards, cores=None):
    """Returns when so many are committed."""
    while committed(run_dir) < shards:
        if run.poll() is not None:
            raise SystemExit(f"ferment run has left with {run.returncode}: {run_dir}")
        if cores:
            cores.look()
        time.sleep(0.005)
    return time.monotonic()


def measure(arguments, case, folder):
    backbone, width, size, plan, faces, shards = case.split(",")
    spec = folder / "spec.yaml"
    spec.write_text("apiVersion: ferment/v1\nname: idle\n")
    run_dir = folder / "run"
    settings = {
        "data.fr.shard_records": faces, "data.synthetic.fr_records": int(faces) * int(shards), "data.synthetic.image_size": size,
        "data.synthetic.videos_train": 1, "data.synthetic.videos_validation": 1, "model.backbone": backbone, "model.width": width,
        "model.image_size": size, "teacher.steps": 1, "teacher.batch": 8, "labeling.labelers": 1, "labeling.min_accuracy": 0,
        "labeling.plan": plan,
    }
    command = [f"{arguments.bin}/ferment", "run", str(spec), "--run-dir", str(run_dir), "--quiet", "--fresh"]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    with subprocess.Popen(command) as run:
        first = wait_for(run_dir, run, 1)
        cores = Cores(labeler_of(run_dir))
        ran, waited = cores.seconds()
        last = wait_for(run_dir, run, int(shards), cores)
        ran_then, waited_then = cores.seconds()
        run.send_signal(signal.SIGINT)
    core_seconds = (last - first) * CORES
    busy = ran_then - ran
    queued = waited_then - waited
    faces_a_second = int(faces) * (int(shards) - 1) / (last - first)
    return faces_a_second, max(0.0, 1 - (busy + queued) / core_seconds), queued / core_seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="build/bench/bin")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", action="append")
    arguments = parser.parse_args()
    print("| network, plan | faces/s | idle, each round | median | taken by others |\n|---|---|---|---|---|")
    for case in arguments.case or CASES:
        rounds = []
        for _ in range(arguments.rounds):
            with tempfile.TemporaryDirectory() as folder:
                rounds.append(measure(arguments, case, pathlib.Path(folder)))
        speeds, idle, others = zip(*rounds)
        each = ", ".join(f"{share:.1%}" for share in idle)
        print(f"| {case} | {statistics.median(speeds):,.0f} | {each} | {statistics.median(idle):.1%} | {statistics.median(others):.1%} |")


if __name__ == "__main__":
    main()
