"""A function server in grpcio that does what the sample of `shellrt-edged edgeless` does: the bench's peer.

    python function.py [--port 7101] [--max-workers 10]

The first line of stdout is its port.
"""

import argparse
import sys
import threading
from concurrent import futures

import grpc
from google.protobuf import empty_pb2

import edgeless_api_pb2 as api
import edgeless_api_pb2_grpc as services

UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Function(services.GuestAPIFunctionServicer):
    def __init__(self):
        self.host = None
        self.me = None
        self.runs = False

    def Boot(self, request, context):
        endpoint = request.guest_api_host_endpoint.removeprefix("http://").rstrip("/")
        channel = grpc.insecure_channel(endpoint, options=UNLIMITED)
        self.host = services.GuestAPIHostStub(channel)
        self.me = request.instance_id
        return empty_pb2.Empty()

    def Init(self, request, context):
        self.runs = True
        return empty_pb2.Empty()

    def Stop(self, request, context):
        self.runs = False
        return empty_pb2.Empty()

    def Cast(self, request, context):
        text = request.msg.decode()
        command, _, rest = text.partition(" ")
        if command == "recast":
            alias, _, data = rest.partition(" ")
            self.send(alias, data)
        elif command == "recast-raw":
            node, function, data = rest.split(" ", 2)
            to = api.InstanceId(node_id=node, function_id=function)
            self.host.CastRaw(api.OutputEventDataRaw(originator=self.me, dst=to, msg=data.encode()))
        elif command == "recast-delayed":
            delay, alias, data = rest.split(" ", 2)
            metadata = api.EventSerializedMetadata(trace_id=bytes(16), span_id=bytes(8))
            self.host.DelayedCast(
                api.DelayedEventData(
                    originator=self.me,
                    alias=alias,
                    msg=data.encode(),
                    delay=int(delay),
                    metadata=metadata,
                )
            )
        elif command == "telemetry-log":
            target, _, message = rest.partition(" ")
            self.host.TelemetryLog(
                api.TelemetryLogEvent(
                    originator=self.me, log_level=api.LOG_INFO, target=target, msg=message
                )
            )
        elif command == "sync":
            self.host.Sync(api.SyncData(originator=self.me, serialized_state=rest.encode()))
        else:
            threading.Timer(1, self.send, ("output", text)).start()
        return empty_pb2.Empty()

    def send(self, alias, data):
        self.host.Cast(api.OutputEventData(originator=self.me, alias=alias, msg=data.encode()))

    def Call(self, request, context):
        if not self.runs:
            return api.CallReturn(type=api.CALL_RET_ERR)
        text = request.msg.decode()
        command, _, rest = text.partition(" ")
        if command == "recall":
            alias, _, data = rest.partition(" ")
            return self.host.Call(
                api.OutputEventData(originator=self.me, alias=alias, msg=data.encode())
            )
        if command == "recall-raw":
            node, function, data = rest.split(" ", 2)
            to = api.InstanceId(node_id=node, function_id=function)
            return self.host.CallRaw(
                api.OutputEventDataRaw(originator=self.me, dst=to, msg=data.encode())
            )
        if text == "noret":
            return api.CallReturn(type=api.CALL_RET_NO_REPLY)
        if text == "err":
            return api.CallReturn(type=api.CALL_RET_ERR)
        return api.CallReturn(type=api.CALL_RET_REPLY, msg=request.msg)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=7101)
    parser.add_argument("--max-workers", type=int, default=10)
    arguments = parser.parse_args()
    workers = futures.ThreadPoolExecutor(max_workers=arguments.max_workers)
    server = grpc.server(workers, options=UNLIMITED)
    services.add_GuestAPIFunctionServicer_to_server(Function(), server)
    port = server.add_insecure_port(f"[::]:{arguments.port}")
    server.start()
    print(port, flush=True)
    # Whoever has started it ends it by closing its stdin.
    sys.stdin.read()
    server.stop(None)


main()
