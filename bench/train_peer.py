# SPDX-License-Identifier: Apache-2.0
"""The steps of bench/train_step.cc as a good PyTorch user would write it: channels-last, one forward of the teacher on all
its rows, fused SGD, foreach average; eager, or with torch.compile. Same weights, same batch, same answers."""
import argparse
import math
import resource
import sys
import time
from pathlib import Path

import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/replay"))
from peer_measures import answer, await_device, forward_flops, gemm_rate  # noqa: E402
from ranked_network import NarrowResNet  # noqa: E402
from recorded_step import read_tensors  # noqa: E402

SMOOTHING, TAU, THRESHOLD, LR, DECAY, EMA = 0.1, 0.7, 0.6, 0.001, 5e-4, 0.99


def set_up(device, cudnn_benchmark):
    """float32 is float32 on a GPU too, as ferment has it."""
    if device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = cudnn_benchmark


def read_onto(device, path):
    return {name: tensor.to(device) for name, tensor in read_tensors(path).items()}


class Trainer:
    def __init__(self, arguments):
        self.folder = arguments.load
        state = read_tensors(arguments.load / "network.safetensors")
        batch = read_onto(arguments.device, arguments.load / "batch.safetensors")
        self.labels = batch.pop("labels")
        self.labelled, self.weak, self.strong = (
            batch[name].contiguous(memory_format=torch.channels_last) for name in ("labelled", "weak", "strong"))
        self.joined = torch.cat([self.labelled, self.weak, self.strong]).contiguous(memory_format=torch.channels_last)
        self.nets = []
        for _ in range(3):
            net = NarrowResNet(arguments.backbone, arguments.width, 8)
            net.load_state_dict(state)
            self.nets.append(net.to(arguments.device, memory_format=torch.channels_last))
        self.teacher, self.student, self.average = self.nets
        self.optimizers = [self.optimizer(self.teacher), self.optimizer(self.student)]
        self.baseline = 0.0
        self.run_teacher, self.run_student = self.teacher, self.student
        self.passes = torch.autocast(arguments.device, dtype=torch.bfloat16, enabled=arguments.bfloat16)
        if arguments.compile:
            self.run_teacher, self.run_student = torch.compile(self.teacher), torch.compile(self.student)

    @staticmethod
    def optimizer(net):
        decayed = [p for p in net.parameters() if p.dim() > 1]
        others = [p for p in net.parameters() if p.dim() <= 1]
        return torch.optim.SGD([{"params": decayed, "weight_decay": DECAY}, {"params": others}], lr=LR, momentum=0.9,
                               nesterov=True, fused=True)

    def labelled_loss(self):
        with torch.no_grad():
            return functional.cross_entropy(self.run_student(self.labelled), self.labels).item()

    def supervised(self):
        loss = functional.cross_entropy(self.run_teacher(self.labelled), self.labels, label_smoothing=SMOOTHING)
        self.optimizers[0].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers[0].step()
        return [loss.item()]

    def checkpoint(self):
        torch.save({"nets": [net.state_dict() for net in self.nets],
                    "optimizers": [optimizer.state_dict() for optimizer in self.optimizers]}, self.folder / "peer.pt")
        return []

    def cotrain(self):
        n, u = len(self.labels), len(self.weak)
        with self.passes:
            logits = self.run_teacher(self.joined)
        logits = logits.float()
        z_l, z_weak, z_strong = logits.split([n, u, u])
        p = (z_weak.detach() / TAU).softmax(1)
        q, y_hat = p.max(1)
        mask = (q >= THRESHOLD).to(p.dtype)
        loss_l = functional.cross_entropy(z_l, self.labels, label_smoothing=SMOOTHING)
        loss_u = (mask * -(p * z_strong.log_softmax(1)).sum(1)).mean()

        self.optimizers[1].zero_grad(set_to_none=True)
        with self.passes:
            logits_s = self.run_student(self.strong)
        loss_s = functional.cross_entropy(logits_s.float(), y_hat, label_smoothing=SMOOTHING)
        loss_s.backward()
        self.student.eval()
        old = self.labelled_loss()
        self.optimizers[1].step()
        new = self.labelled_loss()
        self.student.train()
        self.baseline = 0.99 * self.baseline + 0.01 * (old - new)
        h = old - new - self.baseline

        loss = loss_l + loss_u + h * functional.cross_entropy(z_weak, y_hat)
        self.optimizers[0].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers[0].step()
        with torch.no_grad():
            averages, values = list(self.average.parameters()), list(self.student.parameters())
            averages += [b for b in self.average.buffers() if b.is_floating_point()]
            values += [b for b in self.student.buffers() if b.is_floating_point()]
            torch._foreach_lerp_(averages, values, 1 - EMA)
        return [loss.item(), loss_s.item(), old, new]


class TemporalEncoder(torch.nn.Module):
    """common/nn/temporal/temporal_encoder.h, its transformer at the spec's defaults, of PyTorch's own layers."""

    def __init__(self):
        super().__init__()
        self.input_norm = torch.nn.LayerNorm(2048)
        self.projection = torch.nn.Linear(2048, 512)
        layer = torch.nn.TransformerEncoderLayer(512, 8, 2048, dropout=0.1, batch_first=True)
        self.encoder = torch.nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.dropout = torch.nn.Dropout(0.1)
        self.classifier = torch.nn.Linear(512, 8)

    def forward(self, windows):
        x = functional.relu(self.projection(self.input_norm(windows)))
        frequency = torch.exp(torch.arange(0, 512, 2, device=x.device) * (-math.log(10000.0) / 512))
        position = torch.arange(x.shape[1], device=x.device)[:, None] * frequency
        x = x + torch.stack([position.sin(), position.cos()], 2).flatten(1)
        return self.classifier(self.dropout(self.encoder(x)))


class TemporalTrainer:
    def __init__(self, arguments):
        tensors = read_tensors(arguments.load / "windows.safetensors")
        self.device = arguments.device
        self.windows, self.labels = tensors["windows"].to(self.device), tensors["labels"].to(self.device)
        self.video = tensors["video"]
        self.net = TemporalEncoder()
        self.net.load_state_dict(read_tensors(arguments.load / "temporal.safetensors"))
        self.net.to(self.device)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=1e-4, fused=True)
        self.run = torch.compile(self.net) if arguments.compile else self.net

    def loss(self, net):
        return functional.cross_entropy(net(self.windows).flatten(0, 1), self.labels)

    def temporal(self):
        self.net.train()
        self.optimizer.zero_grad(set_to_none=True)
        self.loss(self.run).backward()
        self.optimizer.step()
        return self.evaluated

    def evaluated(self):
        """Not timed: what dropout does not touch."""
        self.net.eval()
        with torch.no_grad():
            return [self.loss(self.net).item()]

    def frames(self):
        """All windows of a video, which the host has, as one batch, overlaps averaged."""
        self.net.eval()
        with torch.no_grad():
            windows = self.video.to(self.device).unfold(0, 64, 32).transpose(1, 2)
            logits = self.run(windows)
            first, second = logits[:, :32].flatten(0, 1), logits[:, 32:].flatten(0, 1)
            p = torch.cat([first[:32], (first[32:] + second[:-32]) / 2, second[-32:]]).softmax(1)
        return [p[0, 0].item(), p[-1, 0].item()]

    def flops(self, what):
        """-> products of matrices alone: projection, four layers of attention and two linear layers, classifier."""
        frame = 2 * (2048 * 512 + 4 * (4 * 512 * 512 + 2 * 64 * 512 + 2 * 512 * 2048) + 512 * 8)
        windows = 3 * len(self.windows) if what == "temporal" else len(self.video) // 32 - 1
        return frame * 64 * windows


def step_flops(what, net, faces, labelled, unlabelled):
    """-> of one step, a backward pass as two forward ones."""
    flops = forward_flops(net, faces[:1])
    net.train()
    if what != "cotrain":
        return flops * (3 * labelled if what == "supervised" else 0)
    forward_and_backward = 3 * (labelled + 2 * unlabelled) + 3 * unlabelled
    return flops * (forward_and_backward + 2 * labelled)


def best_rate(arguments):
    """-> of a product of matrices in the type that the training passes are in; a GPU needs larger ones."""
    in_bfloat16 = arguments.bfloat16 and arguments.what == "cotrain"
    return gemm_rate(size=2048 if arguments.device == "cpu" else 8192, rounds=8, device=arguments.device,
                     dtype=torch.bfloat16 if in_bfloat16 else torch.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--what", choices=["cotrain", "supervised", "checkpoint", "temporal", "frames"], default="cotrain")
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--load", type=Path, required=True, help="folder that train_step has written")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--cudnn-benchmark", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    set_up(arguments.device, arguments.cudnn_benchmark)
    temporal = arguments.what in ("temporal", "frames")
    trainer = TemporalTrainer(arguments) if temporal else Trainer(arguments)
    if arguments.what == "checkpoint":
        trainer.cotrain()  # momentum is saved too
    step = getattr(trainer, arguments.what)
    flops = trainer.flops(arguments.what) if temporal else step_flops(
        arguments.what, trainer.teacher, trainer.labelled, len(trainer.labels), len(trainer.weak))
    answer({"ready": True, "gemm_rate": best_rate(arguments), "flops": flops})
    if arguments.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            await_device(arguments.device)
            began = time.perf_counter()
            losses = step()
            await_device(arguments.device)
            seconds.append(time.perf_counter() - began)
            losses = losses() if callable(losses) else losses
        said = {"seconds": seconds, "losses": losses,
                "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
        if arguments.device == "cuda":
            said["peak_device_bytes"] = torch.cuda.max_memory_allocated()
        answer(said)


if __name__ == "__main__":
    main()
