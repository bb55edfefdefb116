# SPDX-License-Identifier: Apache-2.0
"""Saves networks as PyTorch users do, imports them, and compares every tensor: check_import.py FERMENT SCRATCH"""

import json
import pathlib
import subprocess
import sys

import safetensors.torch
import torch
import torchvision

ferment, scratch = sys.argv[1], pathlib.Path(sys.argv[2])


def check(name, saved, wanted, backbone, **options):
    source, out = scratch / f"{name}.pt", scratch / f"{name}.safetensors"
    torch.save(saved, source, **options)
    command = [ferment, "import-weights", str(source), "--out", str(out), "--json"]
    said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert said["backbone"] == backbone, said
    found = safetensors.torch.load_file(out)
    assert list(found) and set(found) == set(wanted), set(found) ^ set(wanted)
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
narrow = torchvision.models.resnet.ResNet(torchvision.models.resnet.BasicBlock, [2, 2, 2, 2], num_classes=8)
check("eight", narrow.state_dict(), narrow.state_dict(), "resnet18")
