# SPDX-License-Identifier: Apache-2.0
"""What the peers of benchmarks have in common: counting operations, the machine's best rate, answering the tool that asks."""
import json
import time

import torch


def forward_flops(net, face):
    """-> of one face, [1, 3, H, W]; convolutions and linear layers alone count."""
    flops = []
    hooks = [m.register_forward_hook(lambda m, _, y: flops.append(2 * y[0].numel() * m.weight[0].numel()))
             for m in net.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    with torch.no_grad():
        net.eval()(face)
    for hook in hooks:
        hook.remove()
    return sum(flops)


def await_device(device):
    """Returns when the device has done all that it was asked for."""
    if device == "cuda":
        torch.cuda.synchronize()


def gemm_rate(size, rounds, device="cpu", dtype=torch.float32):
    """-> operations a second of LibTorch's best product of matrices, on the device, or the threads, that the peer uses."""
    a, b = (torch.randn(size, size).to(device, dtype) for _ in range(2))
    a @ b
    seconds = []
    for _ in range(rounds):
        await_device(device)
        began = time.perf_counter()
        a @ b
        await_device(device)
        seconds.append(time.perf_counter() - began)
    return 2 * size**3 / min(seconds)


def answer(message):
    print(json.dumps(message), flush=True)
