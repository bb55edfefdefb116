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


class IResNetUnit(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.prelu = nn.PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        return self.bn3(self.conv2(y)) + (self.downsample(x) if hasattr(self, "downsample") else x)


class IResNet50(nn.Module):
    """InsightFace's, with a linear classifier after its features."""

    def __init__(self, width, side, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.prelu = nn.PReLU(width)
        inputs = width
        for stage, depth in enumerate([3, 4, 14, 3]):
            outputs = width << stage
            units = [IResNetUnit(inputs if i == 0 else outputs, outputs, 2 if i == 0 else 1) for i in range(depth)]
            setattr(self, f"layer{stage + 1}", nn.Sequential(*units))
            inputs, side = outputs, (side + 1) // 2
        self.bn2 = nn.BatchNorm2d(inputs)
        self.fc = nn.Linear(inputs * side * side, inputs)
        self.features = nn.BatchNorm1d(inputs)
        self.classifier = nn.Linear(inputs, classes)

    def forward(self, x):
        x = self.prelu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.classifier(self.features(self.fc(self.bn2(x).flatten(1))))


def build_student(model):
    """torchvision's ResNet with every channel count scaled by width / 64, or InsightFace's."""
    if model["backbone"] == "iresnet50":
        return IResNet50(model["width"], model["image_size"], len(model["classes"]))
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
    name = "classifier" if hasattr(student, "classifier") else "fc"
    last = getattr(student, name)
    setattr(student, name, nn.Identity())
    features = student(images)
    setattr(student, name, last)
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
            # Nested tensors would cut a window whose last frames have no face.
            self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
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
