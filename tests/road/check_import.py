# SPDX-License-Identifier: Apache-2.0
"""Saves networks as PyTorch users do, imports them, and compares every tensor: check_import.py FERMENT SCRATCH"""

import json
import pathlib
import subprocess
import sys

import torch
import torchvision

TYPES = {"F32": torch.float32, "F16": torch.float16, "I64": torch.int64}
ferment, scratch = sys.argv[1], pathlib.Path(sys.argv[2])


def load(path):
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    header.pop("__metadata__")
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + size + at for at in entry["data_offsets"])
        flat = torch.frombuffer(bytearray(raw[begin:end]), dtype=TYPES[entry["dtype"]])
        tensors[name] = flat.reshape(entry["shape"])
    return tensors


def check(name, saved, wanted, backbone, **options):
    source, out = scratch / f"{name}.pt", scratch / f"{name}.safetensors"
    torch.save(saved, source, **options)
    command = [ferment, "import-weights", str(source), "--out", str(out), "--json"]
    said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert said["backbone"] == backbone, said
    found = load(out)
    assert set(found) == set(wanted), set(found) ^ set(wanted)
    for key, value in wanted.items():
        assert found[key].dtype == value.dtype and torch.equal(found[key], value), key
    print(f"{name}: {len(found)} tensors equal, width {said['width']}, {said['classes']} classes")


torch.manual_seed(1)
resnet18 = torchvision.models.resnet18(num_classes=1000)
state = resnet18.state_dict()
check("plain", state, state, "resnet18")
check("wrapped", {"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3}, state, "resnet18")
check("protocol4", state, state, "resnet18", pickle_protocol=4)
check("parameters", dict(resnet18.named_parameters()) | dict(resnet18.named_buffers()), state, "resnet18")
last = resnet18.to(memory_format=torch.channels_last).state_dict()
check("channels_last", last, state, "resnet18")
resnet50 = torchvision.models.resnet50(num_classes=8).half().state_dict()
check("half", resnet50, resnet50, "resnet50")
