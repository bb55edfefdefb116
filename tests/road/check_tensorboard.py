# SPDX-License-Identifier: Apache-2.0
"""Kills a trainer in its midst, has it go on, and compares what TensorBoard reads of it with its curve:
check_tensorboard.py BIN_DIR SCRATCH"""

import json
import pathlib
import signal
import subprocess
import sys
import time

import numpy
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

binaries, scratch = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
run, steps = scratch / "run", 60
curve_file, folder = run / "logs/curve-cotrain.jsonl", run / "tensorboard/cotrain"

sizes = {"faces-train": 32, "faces-validation": 8, "fr-records": 48, "identities": 8}
sizes |= {"videos-train": 1, "videos-validation": 1, "videos-test": 1, "frames": 16, "image-size": 32}
flags = [text for flag, size in sizes.items() for text in (f"--{flag}", str(size))]
synth = [binaries / "ferment", "data", "synth", "--out", scratch / "data"]
subprocess.run([*synth, *flags], check=True, capture_output=True)
(scratch / "spec.yaml").write_text(f"""apiVersion: ferment/v1
data:
  fer: {{format: folder, path: {scratch}/data/fer, train: train.csv, validation: val.csv}}
  fr: {{format: insightface, path: {scratch}/data/fr}}
model: {{backbone: resnet18, width: 8, image_size: 32}}
cotrain: {{batch: 4, mu: 1, threshold: 0.1, steps: {steps}}}
checkpoint: {{every_steps: 20}}
resources: {{device: cpu, threads_per_rank: 1}}
""")
trainer = [binaries / "ferment-trainer", "--spec", scratch / "spec.yaml", "--run-dir", run]
trainer += ["--phase", "cotrain", "--from-init"]


def curve():
    return [json.loads(line) for line in curve_file.read_text().splitlines()] if curve_file.exists() else []


def read(purge):
    """Tag -> [(step, value)], as TensorBoard shows it, or with what was before a restart as well."""
    accumulator = EventAccumulator(str(folder), {"scalars": 0}, purge_orphaned_data=purge).Reload()
    scalars = {tag: accumulator.Scalars(tag) for tag in accumulator.Tags()["scalars"]}
    return {tag: [(event.step, event.value) for event in events] for tag, events in scalars.items()}


with subprocess.Popen(trainer, stderr=subprocess.PIPE) as killed:
    deadline = time.monotonic() + 120
    while len(curve()) < 30 and time.monotonic() < deadline and killed.poll() is None:
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
assert killed.returncode == -signal.SIGKILL, "it was too fast, or failed"
former = read(purge=True)["loss/loss"]
subprocess.run(trainer, check=True, stderr=subprocess.PIPE)

lines = curve()
assert [line["step"] for line in lines] == list(range(steps))
wanted = {}
for line in lines:
    for figure, value in line.items():
        if figure != "step":
            wanted.setdefault(figure, []).append((line["step"], float(numpy.float32(value))))
shown = {tag.split("/")[1]: points for tag, points in read(purge=True).items()}
assert shown == wanted, {name: shown.get(name) for name, points in wanted.items() if shown.get(name) != points}

unpurged = [step for step, _ in read(purge=False)["loss/loss"]]
repeated = len(unpurged) - steps
assert repeated > 0 and repeated == len(former) - unpurged.index(unpurged[len(former)]), unpurged
print(f"{len(shown)} figures of {steps} steps as in the curve; {repeated} that were made twice are shown once")
