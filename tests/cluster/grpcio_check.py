#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Starts a coordinator and calls it with a client that is not ours: what each credential gets, and what grpcio_contract has."""
import argparse
import json
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import warnings

import grpc

from grpcio_contract import Contract

LIST = "/ferment.v1.RunService/ListRuns"
CANCEL = "/ferment.v1.RunService/CancelRun"
LEASE = "/ferment.v1.LeaseService/LeaseShards"
WATCH = "/ferment.v1.RunService/WatchRun"
HEALTH = "/grpc.health.v1.Health/Check"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
OF_SERVICE = ("OK", "NOT_FOUND", "INVALID_ARGUMENT")


def call(channel, path, token=None, stream=False):
    """Returns the status of a call with an empty request."""
    metadata = [("authorization", token)] if token else None
    identity = bytes
    try:
        if stream:
            for _ in channel.unary_stream(path, identity, identity)(b"", metadata=metadata, timeout=10):
                break
        else:
            channel.unary_unary(path, identity, identity)(b"", metadata=metadata, timeout=10)
        return "OK"
    except grpc.RpcError as error:
        return error.code().name


class Checks:
    def __init__(self, address, certs):
        self.address, self.certs, self.failed = address, certs, 0

    def channel(self, role=None, authority="ca/ca.crt"):
        def read(name):
            return (self.certs / name).read_bytes()

        pair = (read(f"{role}/tls.key"), read(f"{role}/tls.crt")) if role else (None, None)
        return grpc.secure_channel(self.address, grpc.ssl_channel_credentials(read(authority), *pair))

    def expect(self, what, status, *wanted):
        good = status in wanted
        self.failed += not good
        print(f"{'ok    ' if good else 'FAILED'} {what}: {status}" + ("" if good else f", wanted {' or '.join(wanted)}"))

    def revoke(self, ferment, role):
        """A connection that stands is refused soon, and a new one."""
        standing = self.channel(role)
        self.expect(f"a {role} lists", call(standing, LIST), "OK")
        subprocess.run([*ferment, "dev-certs", self.certs, "--revoke", role], check=True, stdout=subprocess.DEVNULL)
        for _ in range(100):
            if call(standing, LIST) != "OK":
                break
            time.sleep(0.1)
        self.expect(f"a revoked {role} lists", call(standing, LIST), "UNAUTHENTICATED")
        self.expect(f"a revoked {role} watches", call(standing, WATCH, stream=True), "UNAUTHENTICATED")
        self.expect(f"a revoked {role} comes anew", call(self.channel(role), LIST), "UNAUTHENTICATED")
        self.expect("a reader lists still", call(self.channel("reader"), LIST), "OK")

    def run(self, token):
        reader, labeler, nobody = self.channel("reader"), self.channel("labeler"), self.channel()
        self.expect("a reader lists", call(reader, LIST), "OK")
        self.expect("a reader watches", call(reader, WATCH, stream=True), *OF_SERVICE)
        self.expect("a reader cancels", call(reader, CANCEL), "PERMISSION_DENIED")
        self.expect("a labeler leases", call(labeler, LEASE), *OF_SERVICE)
        self.expect("a labeler watches", call(labeler, WATCH, stream=True), "PERMISSION_DENIED")
        self.expect("nobody lists", call(nobody, LIST), "UNAUTHENTICATED")
        self.expect("nobody asks for health", call(nobody, HEALTH), "OK")
        self.expect("a token cancels", call(nobody, CANCEL, f"Bearer {token}"), *OF_SERVICE)
        self.expect("a token cancels, its scheme in lower case", call(nobody, CANCEL, f"bearer {token}"), *OF_SERVICE)
        self.expect("the token, called Basic", call(nobody, CANCEL, f"Basic {token}"), "UNAUTHENTICATED")
        self.expect("half of the token", call(nobody, CANCEL, f"Bearer {token[:32]}"), "UNAUTHENTICATED")
        self.expect("a reader asks what there is", self.services(reader), "PERMISSION_DENIED")
        self.expect("no such method", call(reader, "/ferment.v1.RunService/Nothing"), "PERMISSION_DENIED")
        self.expect("an authority that did not sign", call(self.channel(authority="../others/ca/ca.crt"), LIST), "UNAVAILABLE")
        self.expect("plaintext", call(grpc.insecure_channel(self.address), LIST), "UNAVAILABLE")
        self.expect("8 KiB of token", call(nobody, LIST, "Bearer " + "x" * 8192), "RESOURCE_EXHAUSTED", "UNAVAILABLE", "INTERNAL")
        self.expect("TLS 1.2", self.greet(ssl.TLSVersion.TLSv1_2), "connected")
        self.expect("TLS 1.1", self.greet(ssl.TLSVersion.TLSv1_1), "refused")

    def services(self, channel):
        """Returns what reflection says there is, or the refusal."""
        ask = channel.stream_stream(REFLECTION, bytes, bytes)
        try:
            answer = next(ask(iter([b"\x3a\x00"]), timeout=10))
        except grpc.RpcError as error:
            return error.code().name
        return ",".join(name for name in ("RunService", "LeaseService", "TrainerService") if name.encode() in answer)

    def greet(self, version):
        host, port = self.address.rsplit(":", 1)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.certs / "ca/ca.crt")
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = version
        try:
            with socket.create_connection((host, int(port)), timeout=10) as plain:
                context.wrap_socket(plain, server_hostname=host).close()
            return "connected"
        except (ssl.SSLError, ConnectionError):
            return "refused"


def start(arguments, folder, *flags):
    """Returns a coordinator and its address."""
    address_file = folder / "address.json"
    address_file.unlink(missing_ok=True)
    coordinator = subprocess.Popen(
        [arguments.bin / "ferment-coordinator", "--store", f"sqlite:{folder}/ferment.db", "--listen", "127.0.0.1:0",
         "--admin", "127.0.0.1:0", "--address-file", address_file, *flags],
        stderr=(folder / "coordinator.txt").open("a"))
    for _ in range(600):
        if address_file.exists() or coordinator.poll() is not None:
            break
        time.sleep(0.05)
    return coordinator, json.loads(address_file.read_text())["grpc"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--scratch", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    folder = arguments.scratch
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    ferment = [arguments.bin / "ferment"]
    for name in ("certs", "others"):
        subprocess.run([*ferment, "dev-certs", folder / name], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*ferment, "new-token", "ann", "submitter", "--tokens", folder / "tokens", "--out", folder / "ann"],
                   check=True, stdout=subprocess.DEVNULL)
    tls = ["--tls-dir", folder / "certs/coordinator", "--trainer-tls-dir", folder / "certs/trainer", "--tokens", folder / "tokens"]
    everything = "RunService,LeaseService,TrainerService"
    failed = 0
    for flags, look in (
            (tls, lambda checks: checks.run((folder / "ann").read_text().strip())),
            (tls, lambda checks: checks.revoke(ferment, "submitter")),
            ([*tls, "--reflection", "on"],
             lambda checks: (checks.expect("a reader asks what there is", checks.services(checks.channel("reader")), everything),
                             checks.expect("a labeler asks", checks.services(checks.channel("labeler")), "PERMISSION_DENIED"))),
            ([], lambda checks: checks.expect("anybody asks without TLS", checks.services(grpc.insecure_channel(checks.address)), everything)),
            (["--reflection", "off"],
             lambda checks: checks.expect("it is off", checks.services(grpc.insecure_channel(checks.address)), "UNIMPLEMENTED")),
            ([], lambda checks: Contract(checks, coordinator, folder).run())):
        coordinator, address = start(arguments, folder, *flags)
        try:
            checks = Checks(address, folder / "certs")
            look(checks)
            failed += checks.failed
        finally:
            coordinator.send_signal(signal.SIGTERM)
            coordinator.wait()
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
