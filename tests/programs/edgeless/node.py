"""A node for one function, made by grpcio: it calls GuestAPIFunction and serves GuestAPIHost.

It is driven by lines of JSON on stdin:

    {"id": 1, "call": "Init", "message": {...}}      calls the function at --function
    {"function": "127.0.0.1:7102"}                    from now on that one is called
    {"host": "stop"}, {"host": "start"}               the host goes away, and comes back at its port

and says what happens in lines of JSON on stdout:

    {"port": 50050}                                   where the host is
    {"id": 1, "ok": {...}}, {"id": 1, "code": "INVALID_ARGUMENT", "details": "..."}
    {"heard": "Cast", "message": {...}}               what the host was called with

Messages are protocol buffers in their JSON form. What a host answers to a call depends on the alias:
`none`, `err`, `odd` (a type that does not exist), `fail` (an error of gRPC), `slow` (nothing), otherwise
it is what was said, behind `re: `.
"""

import argparse
import json
import sys
import threading
import time
from concurrent import futures

import grpc
from google.protobuf import empty_pb2
from google.protobuf.json_format import MessageToDict, ParseDict

import edgeless_api_pb2 as api
import edgeless_api_pb2_grpc as services

UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
REQUESTS = {
    "Boot": api.BootData,
    "Init": api.FunctionInstanceInit,
    "Cast": api.InputEventData,
    "Call": api.InputEventData,
    "Stop": empty_pb2.Empty,
}
lock = threading.Lock()


def say(**members):
    with lock:
        print(json.dumps(members), flush=True)


def plain(message):
    return MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


class Host(services.GuestAPIHostServicer):
    def heard(self, method, message):
        say(heard=method, message=plain(message))

    def answer(self, alias, msg, context):
        if alias == "none":
            return api.CallReturn(type=api.CALL_RET_NO_REPLY)
        if alias == "err":
            return api.CallReturn(type=api.CALL_RET_ERR)
        if alias == "odd":
            return api.CallReturn(type=3)
        if alias == "fail":
            context.abort(grpc.StatusCode.INTERNAL, "the host has failed")
        if alias == "slow":
            done = threading.Event()
            context.add_callback(done.set)
            done.wait()
            say(heard="cancelled")
        return api.CallReturn(type=api.CALL_RET_REPLY, msg=b"re: " + msg)

    def Cast(self, request, context):
        self.heard("Cast", request)
        if request.alias == "fail":
            context.abort(grpc.StatusCode.INTERNAL, "the host has failed")
        if request.alias == "slow":
            time.sleep(0.5)
        return empty_pb2.Empty()

    def CastRaw(self, request, context):
        self.heard("CastRaw", request)
        return empty_pb2.Empty()

    def Call(self, request, context):
        self.heard("Call", request)
        return self.answer(request.alias, request.msg, context)

    def CallRaw(self, request, context):
        self.heard("CallRaw", request)
        return self.answer("", request.msg, context)

    def TelemetryLog(self, request, context):
        self.heard("TelemetryLog", request)
        return empty_pb2.Empty()

    def Slf(self, request, context):
        self.heard("Slf", request)
        return api.InstanceId()

    def DelayedCast(self, request, context):
        self.heard("DelayedCast", request)
        metadata = request.metadata
        if (len(metadata.trace_id), len(metadata.span_id)) != (16, 8):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Mismatched length")
        return empty_pb2.Empty()

    def Sync(self, request, context):
        self.heard("Sync", request)
        return empty_pb2.Empty()


def read(path):
    with open(path, "rb") as file:
        return file.read()


def serve(port, tls):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=200), options=UNLIMITED)
    services.add_GuestAPIHostServicer_to_server(Host(), server)
    if tls:
        pair = (read(f"{tls}/server.key"), read(f"{tls}/server.pem"))
        ca = read(f"{tls}/authority.pem")
        credentials = grpc.ssl_server_credentials([pair], ca, require_client_auth=True)
        port = server.add_secure_port(f"127.0.0.1:{port}", credentials)
    else:
        port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return server, port


def connect(endpoint, tls):
    if not tls:
        return grpc.insecure_channel(endpoint, options=UNLIMITED)
    credentials = grpc.ssl_channel_credentials(
        read(f"{tls}/authority.pem"), read(f"{tls}/client.key"), read(f"{tls}/client.pem")
    )
    return grpc.secure_channel(endpoint, credentials, options=UNLIMITED)


def call(function, id, method, message):
    try:
        request = ParseDict(message, REQUESTS[method]())
        answer = getattr(function, method)(request, timeout=60)
        say(id=id, ok=plain(answer))
    except grpc.RpcError as error:
        say(id=id, code=error.code().name, details=error.details())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--function", required=True)
    parser.add_argument("--tls")
    arguments = parser.parse_args()
    server, port = serve(0, arguments.tls)
    say(port=port)
    function = services.GuestAPIFunctionStub(connect(arguments.function, arguments.tls))
    callers = futures.ThreadPoolExecutor(max_workers=200)
    for line in sys.stdin:
        todo = json.loads(line)
        if todo.get("host") == "stop":
            server.stop(None).wait()
            say(heard="host stopped")
        elif todo.get("host") == "start":
            server, _ = serve(port, arguments.tls)
            say(heard="host started")
        elif "function" in todo:
            function = services.GuestAPIFunctionStub(connect(todo["function"], arguments.tls))
        else:
            callers.submit(call, function, todo["id"], todo["call"], todo.get("message", {}))
    server.stop(None)


main()
