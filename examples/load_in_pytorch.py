# SPDX-License-Identifier: Apache-2.0
"""Rebuilds what a run exported with torch and torchvision alone, and labels images with it.

    python examples/load_in_pytorch.py runs/demo/export face1.jpg face2.jpg
"""
import json
import math
import struct
import sys
from pathlib import Path

import torch
from torch import nn
from torchvision.io import ImageReadMode, decode_image
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.transforms.v2 import functional

TYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
         "I64": torch.int64, "I32": torch.int32, "U8": torch.uint8, "BOOL": torch.bool}


def load_tensors(path):
    """A safetensors file: eight bytes of length, a JSON header, the bytes of the tensors."""
    data = Path(path).read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    tensors = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        raw = bytearray(data[8 + size + begin:8 + size + end])
        tensors[name] = torch.frombuffer(raw, dtype=TYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors


def build_student(model):
    """torchvision's ResNet with every channel count scaled by width / 64."""
    block, layers = {"resnet18": (BasicBlock, [2, 2, 2, 2]), "resnet50": (Bottleneck, [3, 4, 6, 3])}[model["backbone"]]
    net = ResNet(block, layers, num_classes=len(model["classes"]))
    if model["width"] != 64:
        scale_channels(net, model["width"])
    return net


def scale_channels(net, width):
    def scaled(channels):
        return channels * width // 64

    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d):
                inputs = child.in_channels if child.in_channels == 3 else scaled(child.in_channels)
                setattr(parent, name, nn.Conv2d(inputs, scaled(child.out_channels), child.kernel_size, child.stride,
                                                child.padding, bias=False))
            elif isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, nn.BatchNorm2d(scaled(child.num_features)))
    net.fc = nn.Linear(scaled(net.fc.in_features), net.fc.out_features)


def load_student(export):
    model = json.loads((Path(export) / "model.json").read_text())
    net = build_student(model)
    net.load_state_dict(load_tensors(Path(export) / "student.safetensors"))
    return net.eval(), model


def load_image(path, model):
    """-> [3, S, S] float32, as the networks saw it in training."""
    image = decode_image(str(path), mode=ImageReadMode.RGB, apply_exif_orientation=True).float()
    size = [model["image_size"]] * 2
    if list(image.shape[1:]) != size:
        image = functional.resize(image, size, antialias=True)
    mean = torch.tensor(model["mean"]).view(3, 1, 1)
    std = torch.tensor(model["std"]).view(3, 1, 1)
    return (image / 255 - mean) / std


def features_of(student, images):
    """-> [N, D]: what stands before the last layer, and what the temporal encoder reads."""
    last = student.fc
    student.fc = nn.Identity()
    features = student(images)
    student.fc = last
    return features


class DilatedBlock(nn.Module):
    def __init__(self, channels, dilation):
        super().__init__()
        self.conv1 = nn.Conv1d(channels, channels, 3, dilation=dilation, padding=dilation)
        self.conv2 = nn.Conv1d(channels, channels, 3, dilation=dilation, padding=dilation)

    def forward(self, x, mask):
        return torch.relu(x + self.conv2(torch.relu(self.conv1(x)) * mask)) * mask


class TemporalEncoder(nn.Module):
    def __init__(self, config, classes):
        super().__init__()
        width, layers = config["d_model"], config["layers"]
        self.kind = config["encoder"]
        self.input_norm = nn.LayerNorm(config["input_size"])
        self.projection = nn.Linear(config["input_size"], width)
        if self.kind == "transformer":
            layer = nn.TransformerEncoderLayer(width, config["heads"], config["feed_forward"], batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, layers)
        elif self.kind == "gru":
            self.encoder = nn.GRU(width, width // 2, layers, batch_first=True, bidirectional=True)
        elif self.kind == "tcn":
            self.encoder = nn.ModuleList(DilatedBlock(width, 2 ** i) for i in range(layers))
        self.classifier = nn.Linear(width, classes)

    def forward(self, features, present):
        """features [B, T, D], present [B, T] bool -> logits [B, T, C]."""
        x = torch.relu(self.projection(self.input_norm(features))) * present.unsqueeze(2)
        if self.kind == "transformer":
            hidden = ~present & present.any(1, keepdim=True)
            x = self.encoder(x + positions(x.shape[1], x.shape[2]), src_key_padding_mask=hidden)
        elif self.kind == "gru":
            x = self.encoder(x)[0]
        elif self.kind == "tcn":
            mask, x = present.unsqueeze(1).to(x.dtype), x.transpose(1, 2)
            for block in self.encoder:
                x = block(x, mask)
            x = x.transpose(1, 2)
        return self.classifier(x)


def positions(length, width):
    angle = torch.arange(length).unsqueeze(1) * torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    return torch.stack([angle.sin(), angle.cos()], 2).flatten(1)[:, :width]


def load_temporal(export):
    model = json.loads((Path(export) / "model.json").read_text())
    net = TemporalEncoder(model["temporal"], len(model["classes"]))
    net.load_state_dict(load_tensors(Path(export) / "temporal.safetensors"))
    return net.eval(), model["temporal"]


@torch.inference_mode()
def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    student, model = load_student(sys.argv[1])
    for path in sys.argv[2:]:
        probabilities = student(load_image(path, model).unsqueeze(0)).softmax(1)[0]
        best = int(probabilities.argmax())
        print(f"{path}\t{model['classes'][best]}\t{probabilities[best]:.4f}")


if __name__ == "__main__":
    main()
