#!/usr/bin/env python3
"""A plugin for the conformance suite to fail with: its modules are plain processes.

Without FAKE_FAULT it keeps the protocol. With it, it breaks the protocol in the one way that the
variable names; `fake_plugin.rs` checks that the suite notices each of them.
"""

import fcntl, hashlib, json, os, re, select, shutil, signal, subprocess, sys, time

FAULT = os.environ.get("FAKE_FAULT", "")
ROOT = os.environ["FAKE_STATE"]
MODULES, IMAGES = ROOT + "/modules", ROOT + "/images"
MOST = 16 << 20
NAME = re.compile(r"[A-Za-z0-9]+([._-][A-Za-z0-9]+)*")
KINDS = {1: "incompatible_version", 2: "invalid_request", 3: "unsupported_message",
         4: "invalid_config", 5: "module_not_found", 6: "module_exists", 7: "wrong_state",
         8: "image_not_found", 9: "image_in_use", 10: "invalid_reference",
         12: "registry_not_found", 13: "registry_unreachable", 15: "platform_unavailable",
         17: "runtime_error", 20: "timeout"}


class Failure(Exception):
    def __init__(self, code, message, **detail):
        super().__init__(message)
        self.code, self.detail = code, detail


# The wire.

def read_object():
    """Reads up to the end of the first object, and not further than the input has come."""
    text, depth, quoted, seen, begun = bytearray(), 0, False, 0, False
    while True:
        if FAULT == "reads_to_the_end":
            chunk = sys.stdin.buffer.read()
        else:
            chunk = os.read(0, 65536)
        if not chunk:
            raise Failure(2, "the request ends before its object does")
        text += chunk
        if not begun and (first := chunk.lstrip(b" \t\r\n")[:1]):
            begun = True
            if first != b"{":
                raise Failure(2, "the request is not a JSON object")
        while match := re.compile(rb'\\.|["{}\[\]]', re.DOTALL).search(text, seen):
            mark, seen = match.group(), match.end()
            if mark == b'"':
                quoted = not quoted
            elif not quoted and mark in b"{[":
                depth += 1
            elif not quoted and mark in b"}]":
                depth -= 1
                if depth == 0:
                    return text[:seen]
            if depth > 128:
                raise Failure(2, "the request is nested too deeply")
        seen = len(text) - 1 if text.endswith(b"\\") else len(text)
        if len(text) > MOST:
            raise Failure(2, "the request is too large")


def parse(text):
    def no_number(word):
        raise ValueError(word)
    try:
        return json.loads(text.decode(), parse_constant=no_number)
    except ValueError as error:
        raise Failure(2, f"the request is not JSON: {error}")


def write(answer, stream=None):
    text = json.dumps(answer).encode()
    err = answer["_status"] == "err"
    if FAULT == "two_objects":
        text += text
    if FAULT == "panic_on_stdout" and err:
        text = b"thread 'main' panicked at src/main.rs:1:1:\n" + text
    if stream is not None and FAULT != "no_nul" or err and FAULT == "nul_after_an_error":
        text += b"\0"
    out(text)
    try:
        for piece in stream or ():
            out(piece)
    except Failure:
        pass  # The deadline ends a stream.


def out(data):
    try:
        while data:
            data = data[os.write(1, data):]
    except BrokenPipeError:
        os._exit(0)


def main():
    version = "0.1.0"
    try:
        text = read_object()
        if FAULT == "hangs":
            time.sleep(3600)
        request = parse(text)
        wanted = request.get("_version")
        unknown = str(request.get("_type")) not in HANDLERS
        if FAULT == "type_before_version" and unknown:
            raise Failure(3, "there is no such message")
        if "_version" not in request:
            raise Failure(2, "\"_version\" is missing")
        if not re.fullmatch(r"0\.1\.(0|[1-9][0-9]*)", str(wanted)) and FAULT != "any_version":
            raise Failure(1, "this plugin speaks 0.1", supported=["0.1.0"])
        version = "0.1.0" if FAULT == "own_version" else wanted
        if not isinstance(request.get("_type"), str):
            raise Failure(2, "\"_type\" is missing or not a string")
        if unknown:
            raise Failure(3, f"there is no message {request['_type']!r}")
        limit = request.get("_deadline_ms")
        if limit is not None:
            if type(limit) is not int or limit < 0:
                raise Failure(2, "\"_deadline_ms\" is not a number")
            signal.signal(signal.SIGALRM, overdue)
            if limit == 0:
                overdue()
            signal.setitimer(signal.ITIMER_REAL, min(limit / 1000, 1 << 30))
        if FAULT == "dies_silently" and request["_type"] == "start":
            os._exit(0)
        answer = HANDLERS[request["_type"]](request)
        stream = answer.pop("stream", None)
        if FAULT == "adds_nothing_to_list":
            answer.pop("modules", None)
        write({"_version": version, "_status": "ok", **answer}, stream)
        code = 0
    except Failure as error:
        code = 5 if FAULT == "wrong_code" and error.code == 6 else error.code
        detail = {"kind": KINDS[code], "retryable": code in (13, 20), **error.detail}
        if FAULT == "no_kind":
            del detail["kind"]
        write({"_version": version, "_status": "err", "code": code, "message": str(error),
               "detail": detail})
        code = 1
    sys.exit(0 if FAULT == "exit_0" else code)


def overdue(*_):
    raise Failure(20, "the deadline is over")


def field(request, name, kind, *default):
    value = request.get(name, *default)
    if name not in request and not default:
        raise Failure(2, f"{name!r} is missing")
    if name in request and (type(value) is not kind) and not (value is None and None in default):
        raise Failure(2, f"{name!r} has the wrong type")
    if type(value) is int and not -1 << 63 <= value < 1 << 63:
        raise Failure(2, f"{name!r} is out of range")
    return value


# Modules: a folder with config.json; alive (locked while the monitor lives), run.json, end.json, log.

def locked(path):
    """The file, locked until it is closed."""
    file = open(path, "a")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def folder(request, exists=True):
    name = field(request, "name", str)
    if not NAME.fullmatch(name) or len(name) > 76:
        raise Failure(2, f"{name!r} is not a name")
    path = f"{MODULES}/{name}"
    if exists and not os.path.exists(path + "/config.json"):
        raise Failure(5, f"no module {name!r}")
    return path


def load(path):
    try:
        with open(path) as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def save(path, value):
    new = f"{path}.{os.getpid()}"
    with open(new, "w") as file:
        json.dump(value, file)
    os.rename(new, path)


def alive(path):
    try:
        with open(path + "/alive") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True


def status(path):
    running = alive(path)
    config = load(path + "/config.json")
    run, end = load(path + "/run.json"), load(path + "/end.json")
    answer = {"status": "unknown", "status_description": "created", "image_id": "sha256:" + image(config["config"]["image"])[-64:],
              "started_at": run["started_at"] if run else 0, "state": "created",
              "created_at": config["created_at"], "config_type": "process", "restart_count": 0,
              "labels": config["config"].get("labels", {}), "image": config["config"]["image"]}
    if running and run:
        answer |= {"status": "running", "status_description": "running", "state": "running",
                   "pid": run["pid"]}
    elif end:
        ok = end["exit_code"] == 0
        answer |= {"status": "stopped" if ok else "failed", "state": "exited",
                   "status_description": f"ended with {end['exit_code']}", **end}
    if FAULT == "text_for_numbers":
        answer["started_at"] = str(answer["started_at"])
    return answer


def create(request):
    path = folder(request, exists=False)
    env, config = field(request, "env", dict, {}), request.get("config")
    if "config" not in request:
        raise Failure(2, "'config' is missing")
    if not isinstance(config, dict):
        raise Failure(4, "the config is no object", path="/config")
    if field(request, "config_type", str) != "process":
        raise Failure(4, "the config type is \"process\"", path="/config_type")
    for key, value in env.items():
        if not isinstance(value, str) or not re.fullmatch(r"[^=\0]+", key) or "\0" in value:
            raise Failure(2, "\"env\" has a bad name or value")
    kinds = {"image": str, "command": list, "stdin": bool, "labels": dict}
    for key, value in config.items():
        if FAULT != "any_config" and not isinstance(value, kinds.get(key, ())):
            raise Failure(4, f"{key!r} is not known or has the wrong type", path=f"/config/{key}")
    for key in ("image", "command"):
        if key not in config:
            raise Failure(4, f"{key!r} is missing", path="/config")
    name = reference(config)
    if FAULT != "image_before_name" and os.path.exists(path):
        raise Failure(6, "the module exists")
    if not os.path.exists(image(name)):
        raise Failure(8, "no such image; img_pull fetches it")
    os.makedirs(MODULES, exist_ok=True)
    try:
        os.mkdir(path)
    except FileExistsError:
        raise Failure(6, "the module exists")
    save(path + "/config.json", {"config": config, "env": env, "created_at": time.time_ns()})
    return {}


def start(request):
    path = folder(request)
    with locked(path + "/order"):
        if not alive(path):
            launch(path)
    return {}


def launch(path):
    """Starts the monitor; comes back once the program runs."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() != 0:
            os._exit(0)
        os.close(reader)
        monitor(path, writer)
        os._exit(0)
    os.close(writer)
    os.wait()
    os.read(reader, 1)
    os.close(reader)


def monitor(path, ready):
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in range(3, 32):
        # Above all the lock that whoever started us holds.
        if number != ready:
            try:
                os.close(number)
            except OSError:
                pass
    null = os.open("/dev/null", os.O_RDWR)
    for number in (0, 1, 2):
        if not (FAULT == "keeps_stdout_open" and number == 1):
            os.dup2(null, number)
    hold = locked(path + "/alive")
    config = load(path + "/config.json")
    pipe = subprocess.PIPE
    started_at = time.time_ns()
    program = subprocess.Popen(config["config"]["command"], stdin=null, stdout=pipe, stderr=pipe,
                               env={"PATH": os.environ["PATH"], "OF": path, **config["env"]})
    save(path + "/run.json", {"pid": program.pid, "started_at": started_at})
    if os.path.exists(path + "/end.json"):
        os.unlink(path + "/end.json")
    os.close(ready)
    streams = {program.stdout: "stdout", program.stderr: "stderr"}
    with open(path + "/log", "a") as log:
        while streams:
            for pipe in select.select(list(streams), [], [])[0]:
                data = os.read(pipe.fileno(), 4096)
                if data:
                    log.write(json.dumps([time.time_ns(), streams[pipe], data.hex()]) + "\n")
                    log.flush()
                else:
                    del streams[pipe]
    code = program.wait()
    code = 128 - code if code < 0 else code
    save(path + "/end.json", {"finished_at": time.time_ns(), "exit_code": code,
                              "end": "signal" if code > 128 else "exited"})
    hold.close()


def stop(request):
    path = folder(request)
    end(path, field(request, "timeout", int, 10))
    return {}


def end(path, timeout):
    deadline = time.monotonic() + timeout if timeout >= 0 else None
    if not alive(path) or FAULT == "does_not_stop":
        return
    pid = load(path + "/run.json")["pid"]
    send(pid, signal.SIGKILL if timeout == 0 else signal.SIGTERM)
    while alive(path):
        if deadline and time.monotonic() > deadline:
            send(pid, signal.SIGKILL)
            deadline = None
        time.sleep(0.002)


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # It has ended, and its monitor is about to write that down.


def restart(request):
    path = folder(request)
    with locked(path + "/order"):
        end(path, 10)
        launch(path)
    return {}


def remove(request):
    path = folder(request)
    force = field(request, "force", bool, False)
    with locked(path + "/order"):
        if alive(path) and FAULT != "leaves_processes":
            if not force:
                raise Failure(7, "the module runs; stop it first")
            end(path, 0)
        shutil.rmtree(path)
    return {}


def names():
    try:
        found = sorted(os.listdir(MODULES))
    except FileNotFoundError:
        return []
    return [name for name in found if os.path.exists(f"{MODULES}/{name}/config.json")]


def list_(request):
    answer = {"modules": names()}
    if FAULT == "not_sorted":
        answer["modules"].reverse()
    if field(request, "details", bool, False):
        answer["details"] = {name: status(f"{MODULES}/{name}") for name in names()}
    return answer


def wait(request):
    path = folder(request)
    timeout = field(request, "timeout", int, 1 << 30)
    if timeout < 0:
        raise Failure(2, "'timeout' is negative")
    deadline = time.monotonic() + timeout
    while alive(path) or not load(path + "/end.json"):
        if time.monotonic() > deadline:
            raise Failure(20, "the module has not ended")
        gone()
        time.sleep(0.002)
        folder(request)
    return status(path)


def ended(path):
    """Whether the module has ended, or is not there any more."""
    return not os.path.exists(path + "/config.json") or os.path.exists(path + "/end.json")


def gone():
    """Ends quietly when nobody reads stdout any more."""
    poll = select.poll()
    poll.register(1, 0)
    if poll.poll(0) and FAULT != "deaf_to_hang_up":
        os._exit(0)


# Logs.

def logs(request):
    path = folder(request)
    follow, tail = field(request, "follow", bool, False), field(request, "tail", int, None)
    since, until = field(request, "since", int, None), field(request, "until", int, None)
    since_ns = field(request, "since_ns", int, None)
    if tail is not None and not 0 <= tail < 1 << 32:
        raise Failure(2, "\"tail\" is out of range")
    if since_ns is None:
        since_ns = (since or 0) * 10**9  # Python's integers have no end.
    until_ns = until * 10**9 if until is not None else 1 << 63
    stamps = field(request, "timestamps", bool, False)
    wanted = field(request, "streams", list, None) or ["stdout", "stderr"]
    if not set(wanted) <= {"stdout", "stderr"}:
        raise Failure(2, "\"streams\" are stdout and stderr")
    return {"stream": records(path, follow, tail, since_ns, until_ns, stamps, wanted)}


def records(path, follow, tail, since, until, stamps, wanted):
    seen, fresh = 0, {"stdout": True, "stderr": True}
    while True:
        over = not follow or not alive(path) and ended(path)
        pieces, seen = read_log(path, seen)
        pieces = [piece for piece in pieces if since <= piece[0] < until and piece[1] in wanted]
        lines = []
        for at, of, data in pieces:
            for line in re.findall(rb"[^\n]*\n|[^\n]+", bytes.fromhex(data)):
                # What goes on with an unfinished line of the same stream belongs to it.
                if lines and lines[-1][1] == of and not lines[-1][2].endswith(b"\n"):
                    lines[-1] = (*lines[-1][:2], lines[-1][2] + line)
                else:
                    lines.append((at, of, line))
        if tail is not None:
            lines, tail = lines[len(lines) - min(tail, len(lines)):], None
        for at, of, line in lines:
            if stamps and fresh[of]:
                form = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at // 10**9))
                yield f"{form}.{at % 10**9:09}Z ".encode()
            fresh[of] = line.endswith(b"\n")
            yield line
        if over:
            return
        gone()
        time.sleep(0.005)


def read_log(path, seen):
    try:
        with open(path + "/log") as file:
            file.seek(seen)
            text = file.read()
    except FileNotFoundError:
        return [], seen
    text = text[:text.rfind("\n") + 1]
    return [json.loads(line) for line in text.splitlines()], seen + len(text)


def exec_(request):
    path = folder(request)
    args, env = field(request, "args", list), field(request, "env", dict, {})
    timeout = field(request, "timeout", int, None)
    if not args or not all(isinstance(one, str) for one in args):
        raise Failure(2, "\"args\" is at least one string")
    if not alive(path):
        raise Failure(7, "the module does not run")
    try:
        done = subprocess.run(args, env={**os.environ, **env}, timeout=timeout,
                              stdin=subprocess.DEVNULL, capture_output=True)
    except subprocess.TimeoutExpired:
        raise Failure(20, "the command took too long")
    except OSError as error:
        raise Failure(17, f"the command can not be started: {error}")
    texts = {"stdout": done.stdout, "stderr": done.stderr}
    return {"exit_code": done.returncode, "truncated": any(len(text) > 1 << 20 for text in texts.values()),
            **{of: text[:1 << 20].decode(errors="replace") for of, text in texts.items()}}


# Images: files that are there.

def image(reference):
    return f"{IMAGES}/{hashlib.sha256(reference.encode()).hexdigest()}"


def reference(request):
    found = field(request, "image", str)
    if re.fullmatch(r"127\.0\.0\.1:[0-9]+/app:1", found):
        return found
    if not found.startswith("file:/"):
        raise Failure(10, "an image is \"file:\" and an absolute path")
    return found


def img_pull(request):
    credentials = field(request, "credentials", dict, {})
    if not all(isinstance(value, str) for value in credentials.values()):
        raise Failure(2, "a credential is not a string")
    if ("username" in credentials) != ("password" in credentials):
        raise Failure(2, "a user name comes with a password")
    name, progress = reference(request), field(request, "progress", bool, False)
    if field(request, "policy", str, "always") not in ("always", "missing", "if_reachable"):
        raise Failure(2, "there is no such policy")
    if field(request, "platform", str, "here") == "plan9/pdp11":
        raise Failure(15, "there is nothing for this platform")
    digest = "sha256:" + image(name)[-64:]
    answer = {"digest": digest, "image_id": digest, "bytes_total": 1}
    if not name.startswith("file:"):
        error = {"code": 13, "message": "nobody is there",
                 "detail": {"kind": "registry_unreachable", "retryable": True}}
        if not progress:
            raise Failure(13, "nobody is there")
        return {"stream": [json.dumps({"event": "error", **error}).encode() + b"\n"]}
    if not os.path.exists(name[5:]):
        raise Failure(12, "there is no such file")
    os.makedirs(IMAGES, exist_ok=True)
    save(image(name), {"reference": name, "digest": digest, "size": 1,
                       "created_at": time.time_ns()})
    if progress:
        return {"stream": [json.dumps({"event": "done", **answer}).encode() + b"\n"]}
    return answer


def img_remove(request):
    name, force = reference(request), field(request, "force", bool, False)
    users = [load(f"{MODULES}/{module}/config.json")["config"]["image"] for module in names()]
    if name in users and not force and os.path.exists(image(name)):
        raise Failure(9, "a module uses it")
    try:
        os.unlink(image(name))
    except FileNotFoundError:
        raise Failure(8, "no such image")
    return {}


def img_list(_):
    kept = os.listdir(IMAGES) if os.path.isdir(IMAGES) else []
    return {"images": sorted((load(f"{IMAGES}/{file}") for file in kept if "." not in file),
                             key=lambda found: found["reference"])}


HANDLERS = {
    "version": lambda _: {"info": "fake", "plugin": "fake", "plugin_version": "0", "runtime":
                          "none", "runtime_version": "0", "messages": sorted(HANDLERS),
                          "config_types": ["process"]},
    "list": list_, "status": lambda request: status(folder(request)), "create": create,
    "start": start, "stop": stop, "restart": restart, "remove": remove, "logs": logs, "wait": wait,
    "exec": exec_, "img_pull": img_pull, "img_remove": img_remove, "img_list": img_list,
}

main()
