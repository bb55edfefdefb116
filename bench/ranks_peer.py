# SPDX-License-Identifier: Apache-2.0
"""One rank of the co-training step of train_peer.py on several processes, as a good PyTorch user would spread it: DistributedDataParallel over
gloo, each with its rows of the batch; the losses whose difference is h are means over all ranks. Answers as train_peer.py does."""
import argparse
import sys
import time
from pathlib import Path

import torch
from peer_measures import answer
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from train_peer import Trainer


class RankedTrainer(Trainer):
    def __init__(self, arguments):
        super().__init__(arguments)
        rank, ranks = distributed.get_rank(), distributed.get_world_size()
        self.labels = self.labels.chunk(ranks)[rank]
        self.labelled, self.weak, self.strong = (
            rows.chunk(ranks)[rank].contiguous(memory_format=torch.channels_last) for rows in (self.labelled, self.weak, self.strong))
        self.joined = torch.cat([self.labelled, self.weak, self.strong]).contiguous(memory_format=torch.channels_last)
        self.run_teacher, self.run_student = (
            DistributedDataParallel(net, broadcast_buffers=False, gradient_as_bucket_view=True) for net in (self.teacher, self.student))

    def labelled_loss(self):
        loss = torch.tensor(super().labelled_loss())
        distributed.all_reduce(loss)
        return loss.item() / distributed.get_world_size()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rank", type=int, required=True)
    parser.add_argument("--ranks", type=int, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--load", type=Path, required=True, help="folder that train_step has written")
    parser.set_defaults(device="cpu", bfloat16=False, compile=False)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{arguments.port}", rank=arguments.rank, world_size=arguments.ranks)
    trainer = RankedTrainer(arguments)
    answer({"ready": True})
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            distributed.barrier()
            began = time.perf_counter()
            losses = trainer.cotrain()
            seconds.append(time.perf_counter() - began)
        answer({"seconds": seconds, "losses": losses})


if __name__ == "__main__":
    main()
