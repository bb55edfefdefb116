# SPDX-License-Identifier: Apache-2.0
"""torchvision's ResNet of any width, run as if its rows lay on several ranks."""
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import conv2d, relu
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

DEPTHS = {"resnet18": (BasicBlock, [2, 2, 2, 2]), "resnet50": (Bottleneck, [3, 4, 6, 3])}


class NarrowResNet(ResNet):
    """torchvision's own blocks and forward; only the numbers of channels are ours."""

    def __init__(self, name, width, classes):
        block, depths = DEPTHS[name]
        super().__init__(block, depths, num_classes=classes)
        self.inplanes = width
        self.conv1 = nn.Conv2d(3, width, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        for stage, depth in enumerate(depths):
            layer = self._make_layer(block, width << stage, depth, stride=1 if stage == 0 else 2)
            setattr(self, f"layer{stage + 1}", layer)
        self.fc = nn.Linear(self.inplanes, classes)

    def forward(self, faces, mixed=False):
        """mixed: as cotrain.dtype bfloat16 says (docs/method.md)."""
        if not mixed:
            return super().forward(faces)
        maps = self.maxpool(rounded(relu(self.bn1(convolved(self.conv1, rounded(faces))))))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in stage:
                maps = mixed_block(block, maps)
        return self.fc(maps.mean((2, 3)))


class Rounded(torch.autograd.Function):
    """To bfloat16 and back: the value on its way forward, the gradient on its way back."""

    @staticmethod
    def forward(_, value):
        return value.bfloat16().to(value.dtype)

    @staticmethod
    def backward(_, gradient):
        return gradient.bfloat16().to(gradient.dtype)


def rounded(value):
    return Rounded.apply(value)


def convolved(layer, maps):
    """A convolution of rounded numbers; the gradient of its weights is not rounded."""
    weight = layer.weight + (layer.weight.bfloat16().to(layer.weight.dtype) - layer.weight).detach()
    return rounded(conv2d(rounded(maps), weight, None, layer.stride, layer.padding))


def mixed_block(block, maps):
    """Normalisation, addition and rectifier together are rounded once."""
    shortcut = rounded(maps)
    if block.downsample is not None:
        shortcut = rounded(block.downsample[1](convolved(block.downsample[0], maps)))
    layers = [(block.conv1, block.bn1), (block.conv2, block.bn2)]
    layers += [(block.conv3, block.bn3)] if isinstance(block, Bottleneck) else []
    for convolution, norm in layers[:-1]:
        maps = rounded(relu(norm(convolved(convolution, maps))))
    convolution, norm = layers[-1]
    return rounded(relu(norm(convolved(convolution, maps)) + shortcut))


def build_network(step):
    backbone = step["backbone"]
    net = NarrowResNet(backbone["name"], backbone["width"], len(step["class_names"]))
    return net.to(torch.float64 if step["dtype"] == "float64" else torch.float32)


class RankedNetwork:
    """Forward passes of one architecture with whatever weights; nothing is kept between them. mixed: in bfloat16,
    whose roundings are written out, since in PyTorch's autocast they lie elsewhere."""

    def __init__(self, net, batch_norm, mixed=False):
        self.net = net
        self.batch_norm = batch_norm
        self.mixed = mixed

    def forward(self, weights, rows):
        return functional_call(self.net, weights, (rows, self.mixed))

    def evaluate(self, parameters, statistics, rows):
        self.net.eval()
        return self.forward({**parameters, **statistics}, rows)

    def train(self, parameters, statistics, rows_of_ranks):
        """-> (logits of each rank, statistics afterwards)."""
        if self.batch_norm == "frozen":
            return [self.evaluate(parameters, statistics, rows) for rows in rows_of_ranks], statistics
        self.net.train()
        if self.batch_norm == "sync":
            after = {name: tensor.clone() for name, tensor in statistics.items()}
            logits = self.forward({**parameters, **after}, torch.cat(rows_of_ranks))
            return list(logits.split([len(rows) for rows in rows_of_ranks])), after
        logits, of_ranks = [], []
        for rows in rows_of_ranks:
            own = {name: tensor.clone() for name, tensor in statistics.items()}
            logits.append(self.forward({**parameters, **own}, rows))
            of_ranks.append(own)
        after = {name: torch.stack([own[name] for own in of_ranks]).mean(0) if tensor.is_floating_point() else
                 of_ranks[0][name] for name, tensor in statistics.items()}
        return logits, after
