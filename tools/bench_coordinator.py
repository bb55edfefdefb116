#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times the coordinator beside a PostgreSQL queue, a Redis queue and an empty gRPC call, in turn, all on this machine. Prints Markdown tables.

Labelers are on other machines than the coordinator: so each server has one half of the cores, its clients have the other. Then the same once
more with all cores for both, where who calls is in the way of who answers.

    tools/bench_coordinator.py --bin build/bench/bin [--rounds 5] [--seconds 4] [--folder DIR]
"""
import argparse
import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SPEC = "examples/demo.yaml"


def said(command):
    return json.loads(subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True).stdout)


@contextlib.contextmanager
def ended(process):
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@contextlib.contextmanager
def on(cores):
    """What is started within has these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Cores:
    """Who runs where."""

    def __init__(self, apart):
        cores = sorted(os.sched_getaffinity(0))
        self.apart = apart and len(cores) > 1
        half = len(cores) // 2
        self.servers, self.clients = (cores[:half], cores[half:]) if self.apart else (cores, cores)

    def __str__(self):
        return (f"server on {len(self.servers)}, clients on {len(self.clients)} cores of their own" if self.apart
                else f"server and clients on the same {len(self.servers)} cores")


def memory_mib(pid, what="VmHWM"):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1]) / 1024
    return 0


class Coordinator:
    """A real ferment-coordinator over a log that lease_store wrote."""

    def __init__(self, arguments, folder, shards, *flags):
        self.folder = folder
        self.folder.mkdir()
        self.bin = arguments.bin
        self.rows = said([f"{arguments.bin}/lease_store", "--store", self.folder / "ferment.db", "--run-dir", self.folder / "run",
                          "--spec", SPEC, "--shards", shards, *flags])

    def __enter__(self):
        address_file = self.folder / "address.json"
        address_file.unlink(missing_ok=True)
        began = time.monotonic()
        self.process = subprocess.Popen([f"{self.bin}/ferment-coordinator", "--store", f"sqlite:{self.folder}/ferment.db", "--listen",
                                         "127.0.0.1:0", "--admin", "127.0.0.1:0", "--address-file", address_file],
                                        stderr=open(self.folder / "log", "ab"))
        while not address_file.exists():
            if self.process.poll() is not None:
                sys.exit(f"the coordinator has ended: see {self.folder}/log")
            time.sleep(0.002)
        self.ready_seconds = time.monotonic() - began
        self.address = json.loads(address_file.read_text())["grpc"]
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def load(self, arguments, **flags):
        flags = {"clients": 16, "seconds": arguments.seconds, **flags}
        return said([f"{self.bin}/lease_load", "--address", self.address] + [f"--{name}={value}" for name, value in flags.items()])


def as_server_user(command):
    """PostgreSQL refuses to run as root."""
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] + command if os.geteuid() == 0 else command


def free_port():
    """Peers are called over TCP too: those who lease are on other machines."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def postgres(folder):
    programs = Path(max(Path("/usr/lib/postgresql").glob("*/bin")))
    data = folder / "postgres"
    data.mkdir()
    port = free_port()
    if os.geteuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(data, owner.pw_uid, owner.pw_gid)
    subprocess.run(as_server_user([f"{programs}/initdb", "-D", str(data / "d"), "-U", "ferment", "--auth=trust"]), check=True,
                   stdout=subprocess.DEVNULL)
    # Its default of 128 MB of buffers suffices: the table is 10 MB. Everything else is the default too, durability included.
    server = subprocess.Popen(as_server_user([f"{programs}/postgres", "-D", str(data / "d"), "-k", str(data), "-p", str(port), "-c",
                                              "listen_addresses=127.0.0.1"]), stderr=subprocess.DEVNULL)
    address = f"host=127.0.0.1 port={port} user=ferment dbname=postgres"
    with ended(server):
        while subprocess.run([f"{programs}/pg_isready", "-d", address], stdout=subprocess.DEVNULL).returncode:
            time.sleep(0.1)
        yield address


@contextlib.contextmanager
def redis(folder):
    data = folder / "redis"
    data.mkdir()
    port = str(free_port())
    with ended(subprocess.Popen(["redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", data, "--appendonly", "yes",
                                 "--appendfsync", "always", "--save", ""], stdout=subprocess.DEVNULL)):
        while subprocess.run(["redis-cli", "-p", port, "ping"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
            time.sleep(0.05)
        yield port


def all_done(result):
    """A call that finds no shard left is quick and does nothing."""
    if result["failed"]:
        sys.exit(f"{result['failed']} calls failed: {result}")
    return result


def alternate(arguments, folder, cores):
    """Returns: case -> list of results, one a round."""
    cases = {}
    folder.mkdir(mode=0o755)
    shards = int(600_000 * arguments.seconds)  # more than anyone leases in that time
    with contextlib.ExitStack() as stack, on(cores.servers):
        empty = stack.enter_context(subprocess.Popen([f"{arguments.bin}/lease_load", "--mode", "serve"], stdin=subprocess.PIPE,
                                                     stdout=subprocess.PIPE, text=True))
        address = empty.stdout.readline().strip()
        peers = {"PostgreSQL 15": ["--postgres", stack.enter_context(postgres(folder))]}
        if shutil.which("redis-server"):
            peers["Redis 7, appendfsync always"] = ["--redis", stack.enter_context(redis(folder))]
        for number in range(arguments.rounds):
            with Coordinator(arguments, folder / str(number), shards) as ours:
                with on(cores.clients):
                    for mode, batch in (("cycle", 1), ("lease", 100)):
                        cases.setdefault((mode, "ferment"), []).append(all_done(ours.load(arguments, mode=mode, batch=batch)))
                        for name, flags in peers.items():
                            cases.setdefault((mode, name), []).append(all_done(said(
                                [f"{arguments.bin}/queue_peers", *flags, "--mode", mode, "--batch", batch, "--seconds", arguments.seconds,
                                 "--shards", shards])))
                    cases.setdefault(("empty", "an empty gRPC call"), []).append(said(
                        [f"{arguments.bin}/lease_load", "--address", address, "--mode", "empty", "--seconds", arguments.seconds]))
            shutil.rmtree(folder / str(number))
        empty.stdin.close()
    return cases


def print_alternated(cases, cores):
    for mode, title in (("cycle", "Durable lease + commit cycles"), ("lease", "Durable leases, 100 a call")):
        mine = statistics.median(r["done_per_second"] for r in cases[mode, "ferment"])
        print(f"\n{title}, 16 clients; {cores}\n\n| by | a second | p50 | p99 | ferment / it |\n|---|---|---|---|---|")
        for (case, name), results in cases.items():
            if case != mode and (case, mode) != ("empty", "cycle"):
                continue
            rate, p50, p99 = (statistics.median(r[key] for r in results) for key in ("done_per_second", "p50_ms", "p99_ms"))
            print(f"| {name} | {rate:,.0f} | {p50:.2f} ms | {p99:.2f} ms | {mine / rate:.2f} |")


def say_steady(arguments, coordinator, what):
    seen = coordinator.load(arguments, mode="cycle", rate=500, seconds=4 * arguments.seconds, clients=64)
    print(f"| {what}: 500 commit-and-lease calls a second of 64 clients, open loop | p50 {seen['p50_ms']:.1f} ms, p99 {seen['p99_ms']:.1f} ms, "
          f"{seen['failed']} failed; memory {memory_mib(coordinator.process.pid):.0f} MiB |")


def print_alone(arguments, folder):
    print("\n| what | result |\n|---|---|")
    with Coordinator(arguments, folder / "a", 100_000, "--committed=50000", "--events=1000000") as big:
        print(f"| restart to ready, 100,000 shards, {big.rows:,} events | {big.ready_seconds:.2f} s |")
        say_steady(arguments, big, "100,000 shards in one job")
    with big:
        print(f"| restart to ready, the same, once a snapshot stands for its events | {big.ready_seconds:.2f} s |")
    with Coordinator(arguments, folder / "b", 10_000, "--past-runs=99") as million:
        print(f"| restart to ready, 1,000,000 shards in 100 runs, {million.rows:,} events | {million.ready_seconds:.2f} s |")
        say_steady(arguments, million, "1,000,000 shards in 100 runs")
    with Coordinator(arguments, folder / "c", 1_000_000, "--committed=900000") as giant:
        print(f"| restart to ready, 1,000,000 shards in one job, {giant.rows:,} events | {giant.ready_seconds:.2f} s |")
        say_steady(arguments, giant, "1,000,000 shards in one job")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="build/bench/bin")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--folder", default=None, help="on the disk to be measured; default: the temporary folder")
    parser.add_argument("--part", choices=["all", "alternated", "alone"], default="all")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        os.chmod(folder, 0o755)
        if arguments.part != "alone":
            for cores in (Cores(apart=True), Cores(apart=False)):
                print_alternated(alternate(arguments, Path(folder) / f"apart-{cores.apart}", cores), cores)
        if arguments.part != "alternated":
            print_alone(arguments, Path(folder))


if __name__ == "__main__":
    main()
