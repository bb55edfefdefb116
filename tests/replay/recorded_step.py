# SPDX-License-Identifier: Apache-2.0
"""A recorded step as it lies on disk: read, written, and checked for what docs/formats.md promises of its form."""
import json
import struct
from dataclasses import dataclass
from pathlib import Path

import torch

TYPES = {"F64": torch.float64, "F32": torch.float32, "I64": torch.int64}
STATES = ["teacher", "student", "ema", "optimizer"]
FILES = ["batch", "gradients"] + [f"{state}_{when}" for state in STATES for when in ("before", "after")]


def read_tensors(path):
    """A safetensors file: eight bytes of length, a JSON header, the bytes of the tensors."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    tensors = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name != "__metadata__":
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            raw = bytearray(data[begin:end])
            tensors[name] = torch.frombuffer(raw, dtype=TYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors


def write_tensors(path, tensors):
    header, body = {}, b""
    for name, tensor in tensors.items():
        raw = tensor.detach().contiguous().numpy().tobytes()
        dtype = next(key for key, value in TYPES.items() if value == tensor.dtype)
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


@dataclass
class RecordedStep:
    step: dict
    tensors: dict  # file stem -> name -> tensor

    @classmethod
    def read(cls, folder):
        folder = Path(folder)
        step = json.loads((folder / "step.json").read_text())
        return cls(step, {stem: read_tensors(folder / f"{stem}.safetensors") for stem in FILES})

    def write(self, folder):
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for stem in FILES:
            write_tensors(folder / f"{stem}.safetensors", self.tensors[stem])
        (folder / "step.json").write_text(json.dumps(self.step, indent=1))

    def __getitem__(self, stem):
        return self.tensors[stem]

    @property
    def config(self):
        return self.step["config"]

    @property
    def scalars(self):
        return self.step["scalars"]

    @property
    def dtype(self):
        return torch.float64 if self.step["dtype"] == "float64" else torch.float32

    def rows(self, network, tensor, kind):
        """-> the tensor's rows of each rank of the network; kind is labelled or unlabelled."""
        return [tensor[rank[kind][0]:rank[kind][1]] for rank in self.step["ranks"][network]]


def is_parameter(name):
    return not name.endswith(("running_mean", "running_var", "num_batches_tracked"))


def split_state(state):
    """-> (parameters, statistics)"""
    return ({n: t for n, t in state.items() if is_parameter(n)}, {n: t for n, t in state.items() if not is_parameter(n)})


def form_faults(record, network):
    """-> what of the folder's form is not as promised; network is torchvision's, freshly built."""
    faults = []

    def expect(holds, text):
        if not holds:
            faults.append(text)

    step, config = record.step, record.config
    expect(step["format"] == 1, "format is not 1")
    state = network.state_dict()
    for stem in ("teacher", "student", "ema"):
        for when in ("before", "after"):
            own = record[f"{stem}_{when}"]
            expect(set(own) == set(state), f"{stem}_{when}: names are not torchvision's")
            expect(all(own[n].shape == state[n].shape for n in state if n in own), f"{stem}_{when}: a shape differs")
    names = [n for n, _ in network.named_parameters()]
    both = {f"{side}.{n}" for side in ("teacher", "student") for n in names}
    expect(set(record["gradients"]) == both, "gradients: names are not those of both networks' parameters")
    expect(set(record["optimizer_after"]) == both, "optimizer_after: names are not those of both networks' parameters")
    expect(set(record["optimizer_before"]) <= both, "optimizer_before: a name that is no parameter's")
    for stem in FILES:
        floats = {t.dtype for n, t in record[stem].items() if t.is_floating_point()}
        expect(floats <= {record.dtype}, f"{stem}: floats are not {step['dtype']}")
    one_dimensional = sorted(n for n, p in network.named_parameters() if p.dim() == 1)
    expect(config["weight_decay_excluded"] == one_dimensional, "weight_decay_excluded is not every 1-D parameter")
    expect(len(step["class_names"]) == config["C"], "class_names are not C names")
    dynamic = config.get("threshold_rule") == "dynamic"
    shares = {f"{kind}_{when}" for kind in ("labelled", "confident") for when in ("before", "after")}
    expect(set(step.get("thresholds", {})) == (shares | {"used"} if dynamic else set()), "thresholds: names")
    expect(all(len(values) == config["C"] for values in step.get("thresholds", {}).values()), "thresholds: not C numbers")

    size, labelled, unlabelled = step["backbone"]["image_size"], config["B"], config["B"] * config["mu"]
    shapes = {"x_l": [labelled, 3, size, size], "x_u_weak": [unlabelled, 3, size, size],
              "x_u_strong": [unlabelled, 3, size, size], "y_l": [labelled]}
    shapes.update({name: [unlabelled] for name in ("key", "y_hat", "q", "mask", "trained")})
    expect(set(record["batch"]) == set(shapes), "batch: names")
    for name, shape in shapes.items():
        expect(list(record["batch"][name].shape) == shape, f"batch: shape of {name}")
    for name in ("y_l", "key", "y_hat"):
        expect(record["batch"][name].dtype == torch.int64, f"batch: {name} is not int64")
    for side in ("teacher", "student"):
        for kind, total in (("labelled", labelled), ("unlabelled", unlabelled)):
            ends = [0] + [rank[kind][1] for rank in step["ranks"][side]]
            begins = [rank[kind][0] for rank in step["ranks"][side]]
            expect(begins == ends[:-1] and ends[-1] == total, f"ranks.{side}: {kind} rows do not cover the batch")
    if step["placement"] == "colocated":
        expect(step["ranks"]["teacher"] == step["ranks"]["student"], "colocated, but the networks' ranks differ")
        expect(len(step["ranks"]["teacher"]) == step["world_size"], "ranks are not world_size many")
    return faults
