# SPDX-License-Identifier: Apache-2.0
"""What a client that is not ours may rely on: health, pages, details of errors, deadlines, limits and pings."""
import pathlib
import signal
import socket
import struct
import subprocess
import threading
import time

import grpc
from google.protobuf import descriptor_pb2, message_factory
from google.rpc import error_details_pb2
from grpc_status import rpc_status

SERVICES = ("", "ferment.v1.RunService", "ferment.v1.LeaseService", "ferment.v1.TrainerService")
PROTO = pathlib.Path(__file__).parents[2] / "proto"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, PING = 4, 6
SERVING, NOT_SERVING = 1, 2
STREAM_LIMIT, STREAMS_OF_A_CONNECTION = 512, 128


def load_messages():
    """Returns every message by its full name, from the protos alone."""
    names = sorted(str(path.relative_to(PROTO)) for folder in ("ferment/v1", "grpc") for path in (PROTO / folder).rglob("*.proto"))
    made = subprocess.run(["protoc", f"-I{PROTO}", "--include_imports", "--descriptor_set_out=/dev/stdout", *names],
                          check=True, stdout=subprocess.PIPE).stdout
    return message_factory.GetMessages(descriptor_pb2.FileDescriptorSet.FromString(made).file)


def frame(kind, flags=0, body=b""):
    return struct.pack(">I", len(body))[1:] + bytes([kind, flags, 0, 0, 0, 0]) + body


def greet(address):
    host, port = address.rsplit(":", 1)
    connection = socket.create_connection((host, int(port)), timeout=60)
    connection.sendall(PREFACE + frame(SETTINGS))
    return connection


def read_to_end(connection):
    """Returns the bytes until the server hangs up, and how long that took."""
    begin, received = time.monotonic(), b""
    try:
        while piece := connection.recv(65536):
            received += piece
    except ConnectionError:
        pass
    except TimeoutError:
        return received, float("inf")
    return received, time.monotonic() - begin


class Contract:
    def __init__(self, checks, coordinator, folder):
        self.checks, self.coordinator, self.folder = checks, coordinator, folder
        self.messages = load_messages()
        self.channel = grpc.insecure_channel(checks.address)

    def method(self, name, answer, stream=False, channel=None):
        kind = (channel or self.channel).unary_stream if stream else (channel or self.channel).unary_unary
        return kind(name, lambda request: request.SerializeToString(), self.messages[answer].FromString)

    def run_call(self, name, **fields):
        request = self.messages[f"ferment.v1.{name}Request"](**fields)
        return self.method(f"/ferment.v1.RunService/{name}", f"ferment.v1.{name}Response")(request, timeout=10)

    def watch(self, run_id, timeout, channel=None):
        request = self.messages["ferment.v1.WatchRunRequest"](run_id=run_id)
        return self.method("/ferment.v1.RunService/WatchRun", "ferment.v1.WatchRunResponse", True, channel)(request, timeout=timeout)

    def refusal(self, name, **fields):
        """Returns the code of a call that is refused, and its details by kind."""
        try:
            self.run_call(name, **fields)
        except grpc.RpcError as error:
            return error.code().name, self.details_of(error)
        return "OK", {}

    @staticmethod
    def details_of(error):
        details = {}
        for packed in rpc_status.from_call(error).details:
            kind = packed.TypeName().rsplit(".", 1)[-1]
            details[kind] = getattr(error_details_pb2, kind)()
            packed.Unpack(details[kind])
        return details

    def submit(self, name):
        spec = self.messages["ferment.v1.RunSpec"](name=name, classes=["Anger", "Happiness"], teacher={})
        run_id = self.run_call("SubmitRun", request_id=name, spec=spec, run_dir=str(self.folder / "runs" / name)).run_id
        self.run_call("UpdateRun", request_id=f"hold-{name}", run_id=run_id, suspended=True)
        return run_id

    def check_pages(self, runs):
        seen, token = [], ""
        for _ in range(len(runs) + 1):
            page = self.run_call("ListRuns", page_size=1, page_token=token)
            seen += [run.run_id for run in page.runs]
            token = page.next_page_token
            if not token:
                break
            self.submit(f"between-{len(seen)}")
        self.checks.expect("three pages of a run each, beside runs that come in", ",".join(seen), ",".join(reversed(runs)))

    def check_details(self, run_id):
        expect = self.checks.expect
        code, details = self.refusal("ListRuns", page_token="next")
        expect("a page token that is none", code, "INVALID_ARGUMENT")
        expect("names its field", details["BadRequest"].field_violations[0].field, "page_token")
        code, details = self.refusal("GetRun", run_id="no-such-run")
        expect("a run that is none", code, "NOT_FOUND")
        resource = details["ResourceInfo"]
        expect("is named", f"{resource.resource_type} {resource.resource_name}", "ferment.v1.Run no-such-run")
        info = details["ErrorInfo"]
        expect("with a reason for programs", f"{info.domain} {info.reason}", "ferment NOT_FOUND")
        code, details = self.refusal("RollBackTeacher", request_id="back", run_id=run_id)
        expect("a teacher that is not there yet is rolled back", code, "FAILED_PRECONDITION")
        expect("and what stands against it is named", details["PreconditionFailure"].violations[0].subject, f"ferment.v1.Run/{run_id}")

    def check_rules(self):
        """A spec that no file could hold is refused before it is planned, and the field named."""
        for fault in ({"cotrain": {"rounds": 4000000000}}, {"name": "../out"}, {"labeling": {"tau": 0}}, {"classes": ["Wrath"]}):
            spec = self.messages["ferment.v1.RunSpec"](**({"name": "bad", "classes": ["Anger", "Happiness"], "teacher": {}} | fault))
            code, details = self.refusal("SubmitRun", request_id="bad", spec=spec, run_dir=str(self.folder / "runs" / "bad"))
            self.checks.expect(f"a spec with {fault}", code, "INVALID_ARGUMENT")
            self.checks.expect("names its field", details["BadRequest"].field_violations[0].field, "spec")

    def check_fields(self, run_id):
        """What is refused as invalid names its field, and so does a request that is too large; bytes that are no message have none."""
        spec = self.messages["ferment.v1.RunSpec"](name="bad", classes=["Anger", "Happiness"], teacher={})
        for name, field, fields in (
                ("SubmitRun", "run_dir", {"spec": spec, "run_dir": "runs/bad"}),
                ("SubmitRun", "priority", {"spec": spec, "run_dir": "/runs/bad", "priority": 101}),
                ("UpdateRun", "suspended", {"run_id": run_id}),
                ("UpdateRun", "priority", {"run_id": run_id, "priority": -101}),
                ("CancelRun", "request_id", {"request_id": "x" * 4096, "run_id": run_id})):
            code, details = self.refusal(name, **fields)
            self.checks.expect(f"{name} with a wrong {field}", code, "INVALID_ARGUMENT")
            self.checks.expect("names its field", details["BadRequest"].field_violations[0].field, field)
        try:
            self.channel.unary_unary("/ferment.v1.RunService/GetRun", bytes, bytes)(b"\xff", timeout=10)
            code, reason = "OK", ""
        except grpc.RpcError as error:
            code, reason = error.code().name, self.details_of(error)["ErrorInfo"].reason
        self.checks.expect("bytes that are no message", code, "INVALID_ARGUMENT")
        self.checks.expect("with a reason for programs", reason, "INVALID_ARGUMENT")

    def check_deadline(self, run_id):
        before = self.run_call("GetRun", run_id=run_id).run.SerializeToString(deterministic=True)
        try:
            for _ in self.watch(run_id, timeout=1):
                pass
            code = "OK"
        except grpc.RpcError as error:
            code = error.code().name
        self.checks.expect("a watch of a run that rests ends by its deadline", code, "DEADLINE_EXCEEDED")
        after = self.run_call("GetRun", run_id=run_id).run.SerializeToString(deterministic=True)
        self.checks.expect("and changes nothing", str(before == after), "True")

    def check_streams(self, run_id):
        """One stream too many is told when to come back."""
        channels = [grpc.insecure_channel(self.checks.address, [("grpc.use_local_subchannel_pool", 1)])
                    for _ in range(STREAM_LIMIT // STREAMS_OF_A_CONNECTION + 1)]
        code, delay, kept = "OK", 0, []
        try:
            for number in range(STREAM_LIMIT + 1):
                kept.append(self.watch(run_id, 60, channels[number // STREAMS_OF_A_CONNECTION]))
                next(kept[-1])
        except grpc.RpcError as error:
            code, delay = error.code().name, self.details_of(error)["RetryInfo"].retry_delay.ToMilliseconds()
        self.checks.expect("one stream too many", code, "RESOURCE_EXHAUSTED")
        self.checks.expect("is told when to come back", f"{delay} ms", "500 ms")
        for channel in channels:
            channel.close()

    def check_pings(self):
        """Whoever pings on and on is sent away; whoever answers no ping is not waited for."""
        with greet(self.checks.address) as silent, greet(self.checks.address) as hasty:
            times = {}
            waits = threading.Thread(target=lambda: times.update(silent=read_to_end(silent)[1]))
            waits.start()
            try:
                for number in range(10):
                    hasty.sendall(frame(PING, body=struct.pack(">Q", number)))
            except ConnectionError:
                pass
            received, _ = read_to_end(hasty)
            self.checks.expect("ten pings at once", str(b"too_many_pings" in received), "True")
            waits.join()
        self.checks.expect("a connection that answers no ping ends within a minute", str(times["silent"] < 60), "True")

    def check_health(self):
        check = self.method("/grpc.health.v1.Health/Check", "grpc.health.v1.HealthCheckResponse")
        watch = self.method("/grpc.health.v1.Health/Watch", "grpc.health.v1.HealthCheckResponse", True)
        request = self.messages["grpc.health.v1.HealthCheckRequest"]
        for service in SERVICES:
            self.checks.expect(f"health of '{service}'", str(check(request(service=service), timeout=10).status), str(SERVING))
        try:
            check(request(service="ferment.v1.NoService"), timeout=10)
        except grpc.RpcError as error:
            self.checks.expect("health of a service that is none", error.code().name, "NOT_FOUND")
        watched = {service: watch(request(service=service), timeout=60) for service in SERVICES}
        for stream in watched.values():
            next(stream)
        self.coordinator.send_signal(signal.SIGTERM)
        for service, stream in watched.items():
            self.checks.expect(f"health of '{service}' at the drain", str(next(stream).status), str(NOT_SERVING))

    def run(self):
        runs = [self.submit(name) for name in ("one", "two", "three")]
        self.check_pages(runs)
        self.check_details(runs[0])
        self.check_rules()
        self.check_fields(runs[0])
        self.check_deadline(runs[0])
        self.check_streams(runs[0])
        self.check_pings()
        self.check_health()
