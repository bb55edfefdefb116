# SPDX-License-Identifier: Apache-2.0
"""torchvision's ResNet of any width, run as if its rows lay on several ranks."""
import torch
from torch import nn
from torch.func import functional_call
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
        if not mixed:
            return super().forward(faces)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            maps = self.maxpool(self.relu(self.bn1(self.conv1(faces))))
            for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
                maps = stage(maps)
        return self.fc(self.avgpool(maps.float()).flatten(1))


def build_network(step):
    backbone = step["backbone"]
    net = NarrowResNet(backbone["name"], backbone["width"], len(step["class_names"]))
    return net.to(torch.float64 if step["dtype"] == "float64" else torch.float32)


class RankedNetwork:
    """Forward passes of one architecture with whatever weights; nothing is kept between them. mixed: up to the last
    feature map in bfloat16, by PyTorch's autocast."""

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
