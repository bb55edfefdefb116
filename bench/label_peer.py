# SPDX-License-Identifier: Apache-2.0
"""What bench/label_shards.cc does, as a good user of an inference engine would write it: libjpeg-turbo through simplejpeg (on a
machine with a GPU torchvision) on threads ahead of the network, batches in the engine's best order, a durable NPZ a shard.
Same network, pack and rule."""
import argparse
import json
import mmap
import os
import struct
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/replay"))
from peer_measures import answer, forward_flops, gemm_rate  # noqa: E402
from ranked_network import NarrowResNet  # noqa: E402
from recorded_step import read_tensors  # noqa: E402

THRESHOLD = 0.6


class Pack:
    """Pictures of an InsightFace pack whose key 0 holds the header record."""

    def __init__(self, folder):
        with open(folder / "train.rec", "rb") as file:
            self.bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        places = dict(tuple(map(int, line.split())) for line in (folder / "train.idx").read_text().splitlines())
        _, count = self.record(places[0])
        self.keys = list(range(1, count))
        self.places = [places[key] for key in self.keys]

    def record(self, at):
        """-> (where the picture is, first label of the header)."""
        _, length, flag, label = struct.unpack_from("<IIIf", self.bytes, at)
        size = length & (2**29 - 1)
        begin = at + 8 + 24 + 4 * flag
        first = struct.unpack_from("<f", self.bytes, at + 32)[0] if flag else label
        return slice(begin, at + 8 + size), int(first)

    def picture(self, index):
        return self.bytes[self.record(self.places[index])[0]]


def normalized(pixels):
    """-> [B, 3, S, S] float32."""
    return pixels.float().div_(127.5).sub_(1).contiguous()


def folded(net):
    """-> the network with each BatchNorm in the convolution before it."""
    children = list(net.named_children())
    for (name, layer), (after, norm) in zip(children, children[1:]):
        if isinstance(layer, torch.nn.Conv2d) and isinstance(norm, torch.nn.BatchNorm2d):
            setattr(net, name, torch.nn.utils.fusion.fuse_conv_bn_eval(layer, norm))
            setattr(net, after, torch.nn.Identity())
    for child in net.children():
        folded(child)
    return net


class Network:
    """What the labeler's decode gives, to logits."""

    def __init__(self, arguments, decode):
        self.decode = decode
        self.device, self.type = arguments.device, torch.bfloat16 if arguments.bfloat16 else torch.float32
        net = NarrowResNet(arguments.backbone, arguments.width, 8)
        net.load_state_dict(read_tensors(arguments.work / "network.safetensors"))
        self.net = net.eval()
        if self.device == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
            torch.backends.cudnn.benchmark = True
        self.example = torch.randn(arguments.batch, 3, arguments.image_size, arguments.image_size)
        getattr(self, arguments.engine)(arguments)

    def gemm_rate(self):
        return gemm_rate(8192 if self.device == "cuda" else 1536, 6, self.device, self.type)

    def eager(self, _):
        self.torch_net(folded(self.net))

    def compiled(self, _):
        import torch._inductor.config
        torch._inductor.config.freezing = True
        self.torch_net(torch.compile(self.net.to(memory_format=torch.channels_last)))

    def torch_net(self, net):
        net = net.to(self.device, self.type, memory_format=torch.channels_last)

        def run(pixels):
            x = pixels if self.device == "cpu" else normalized(pixels.to(self.device, non_blocking=True))
            return net(x.to(self.type, memory_format=torch.channels_last)).float().cpu().numpy()
        self.run = run

    def onnxruntime(self, arguments):
        import onnxruntime
        file = str(arguments.work / "network.onnx")
        torch.onnx.export(self.net, self.example, file, dynamo=False, input_names=["x"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = arguments.threads
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self.run = lambda x: session.run(None, {"x": x.numpy()})[0]

    def openvino(self, arguments):
        import openvino
        model = openvino.convert_model(self.net, example_input=self.example, input=[list(self.example.shape)])
        self.openvino_model(model, arguments)

    def openvino_int8(self, arguments):
        import nncf
        import openvino
        model = openvino.convert_model(self.net, example_input=self.example, input=[list(self.example.shape)])
        batches = list(range(0, 320, arguments.batch))  # about the 300 faces that NNCF takes by itself
        data = nncf.Dataset([self.decode(first, arguments.batch).numpy() for first in batches])
        self.openvino_model(nncf.quantize(model, data, subset_size=len(batches)), arguments)

    def openvino_model(self, model, arguments):
        import openvino
        compiled = openvino.Core().compile_model(
            model, "CPU", {"INFERENCE_NUM_THREADS": arguments.threads, "PERFORMANCE_HINT": "LATENCY",
                           "INFERENCE_PRECISION_HINT": "f32"})
        request = compiled.create_infer_request()
        self.run = lambda x: request.infer([x.numpy()], share_inputs=True)[0]


class Labeler:
    def __init__(self, arguments):
        self.arguments = arguments
        self.pack = Pack(arguments.pack)
        on_gpu = arguments.device == "cuda"
        # Beside a network on the same cores one thread decodes; beside one on a GPU all do.
        self.ahead = 2 * arguments.threads if on_gpu else 2
        self.pool = ThreadPoolExecutor(arguments.threads if on_gpu else 1)
        if on_gpu:
            from torchvision.io import decode_jpeg
            self.decode_one = lambda data: decode_jpeg(torch.frombuffer(data, dtype=torch.uint8))
        else:
            import simplejpeg
            self.decode_one = lambda data: torch.from_numpy(simplejpeg.decode_jpeg(data)).permute(2, 0, 1)
        self.network = Network(arguments, self.decode)
        self.shards = 0

    def decode(self, first, count):
        """-> [B, 3, S, S], normalised; for a GPU pixels, as bytes where none was resized, which it normalises itself."""
        size = self.arguments.image_size
        pixels = torch.stack([self.decode_one(self.pack.picture(first + i)) for i in range(count)])
        if pixels.shape[2] != size:
            pixels = torch.nn.functional.interpolate(pixels.float(), (size, size), mode="bilinear", antialias=True)
        return pixels.pin_memory() if self.arguments.device == "cuda" else normalized(pixels)

    def label(self, records):
        batch = self.arguments.batch
        began = time.perf_counter()
        parts = [(first, min(batch, records - first)) for first in range(0, records, batch)]
        ahead = [self.pool.submit(self.decode, *part) for part in parts[:self.ahead]]
        logits = []
        for number, (_, count) in enumerate(parts):
            x = ahead.pop(0).result()
            if number + self.ahead < len(parts):
                ahead.append(self.pool.submit(self.decode, *parts[number + self.ahead]))
            if count < batch:
                x = torch.cat([x, torch.zeros(batch - count, *x.shape[1:], dtype=x.dtype)])
            logits.append(np.array(self.network.run(x)[:count]))
        file = self.write(np.concatenate(logits), records)
        return {"seconds": time.perf_counter() - began, "file": str(file)}

    def write(self, logits, records):
        p = torch.from_numpy(logits).softmax(1).numpy().astype(np.float16)
        confidence = p.max(1)
        kind = "-bf16" if self.arguments.bfloat16 else ""
        file = self.arguments.work / f"{self.arguments.engine}{kind}-{self.shards:06d}.npz"
        self.shards += 1
        with open(f"{file}.tmp", "wb") as out:
            np.savez(out, key=np.array(self.pack.keys[:records], np.uint64), label=p.argmax(1).astype(np.uint8),
                     confidence=confidence, probabilities=p, status=(confidence < THRESHOLD).astype(np.uint8))
            out.flush()
            os.fsync(out.fileno())
        os.rename(f"{file}.tmp", file)
        return file


@torch.inference_mode()
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", required=True, choices=["eager", "compiled", "onnxruntime", "openvino", "openvino_int8"])
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--image-size", type=int, default=112)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--bfloat16", action="store_true", help="on a GPU")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    answers = os.dup(1)
    os.dup2(2, 1)  # engines draw their progress there
    with torch.inference_mode(False):
        labeler = Labeler(arguments)
        face = labeler.network.example[:1]
    sys.stdout.flush()
    os.dup2(answers, 1)
    answer({"ready": True, "flops": forward_flops(NarrowResNet(arguments.backbone, arguments.width, 8), face)})
    for line in sys.stdin:
        what, records = line.split()
        answer({"rate": labeler.network.gemm_rate()} if what == "gemm" else labeler.label(int(records)))


if __name__ == "__main__":
    main()
