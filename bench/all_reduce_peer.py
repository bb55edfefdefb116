#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One rank of torch.distributed with gloo that times sums of one long buffer: rank 0 prints its seconds as JSON."""
import argparse
import json
import time

import torch
import torch.distributed as ranks


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rank", type=int, required=True)
    parser.add_argument("--ranks", type=int, required=True)
    parser.add_argument("--store", required=True, help="a file that is not there yet")
    parser.add_argument("--bytes", type=int, default=94_000_000)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    ranks.init_process_group("gloo", init_method=f"file://{arguments.store}", rank=arguments.rank, world_size=arguments.ranks)
    values = torch.ones(arguments.bytes // 4)
    seconds = []
    for _ in range(arguments.rounds):
        values.fill_(1)
        ranks.barrier()
        began = time.monotonic()
        ranks.all_reduce(values)
        took = torch.tensor(time.monotonic() - began, dtype=torch.float64)
        ranks.all_reduce(took, ranks.ReduceOp.MAX)
        seconds.append(took.item())
    if arguments.rank == 0:
        print(json.dumps({"gloo": seconds}))


if __name__ == "__main__":
    main()
