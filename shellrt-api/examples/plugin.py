#!/usr/bin/env python3
"""A v0 plugin, without additions, whose modules are plain processes. $SHELLRT_PROCESS_ROOT holds its state,
its `config_type` is `process`, and a config is {"args": ["/bin/sleep", "9"]}."""
import contextlib, errno, fcntl, inspect, json, os, pathlib, re, signal, subprocess, sys, tempfile, time

MODULES = pathlib.Path(os.environ.get("SHELLRT_PROCESS_ROOT", pathlib.Path.home() / ".shellrt-process"), "modules")
NAME = re.compile(r"(?!.{77})[A-Za-z0-9]+([._-][A-Za-z0-9]+)*")
KINDS = {1: "incompatible_version", 2: "invalid_request", 3: "unsupported_message", 4: "invalid_config",
         5: "module_not_found", 6: "module_exists", 7: "wrong_state", 21: "internal"}
# One run of a module. It holds the module's lock until the end, and its stdout until the program is there.
RUN = """{ exec 9<made; flock -w 0.5 9 || exit 0; rm -f exit; "$@" </dev/null >/dev/null 2>&1 9>&- &
echo $! >pid; exec >&-; wait $!; echo $? >code; mv code exit; } &"""

def finish(**answer):
    print(json.dumps({"_version": version, **answer}), end="")
    sys.exit(answer["_status"] != "ok")

def check(good, code, message, **detail):
    if not good:
        detail = {"kind": KINDS[code], "retryable": False, **detail}
        finish(_status="err", code=code, message=message, detail=detail)

def texts(values):
    return isinstance(values, list) and all(isinstance(text, str) and "\0" not in text for text in values)

def is_running(name):
    with open(MODULES / name / "made") as lock, contextlib.suppress(BlockingIOError):
        return fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return True

def create(name: NAME, config_type: str, config: object, env: dict = {}):
    check(texts([*env, *env.values()]) and all(key and "=" not in key for key in env), 2, '"env" is wrong')
    check(config_type == "process", 4, 'the config type must be "process"', path="/config_type")
    check(isinstance(config, dict) and config, 4, 'the config must have "args"', path="/config")
    for key, value in config.items():
        check(key == "args" and value and texts(value), 4, f'"{key}" is unknown or wrong', path=f"/config/{key}")
    with tempfile.TemporaryDirectory(dir=MODULES.parent) as new:
        pathlib.Path(new, "made").write_text(json.dumps([config["args"], env]))
        os.rename(new, MODULES / name)

def start(name: NAME):
    args, env = json.loads((MODULES / name / "made").read_text())
    subprocess.check_output(["setsid", "sh", "-c", RUN, "sh", *args], env={"PATH": os.defpath, **env},
                            cwd=MODULES / name, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

def status(name: NAME):
    running, files = is_running(name), (MODULES / name / "pid", MODULES / name / "exit")
    started, ended = (file.stat().st_mtime_ns if file.exists() else 0 for file in files)
    code = int(files[1].read_text()) if ended else 255 if started and not running else None
    word = "unknown" if not started else "running" if code is None else "failed" if code else "stopped"
    answer = {"status": word, "status_description": word, "image_id": "", "started_at": started}
    return answer if code is None else {**answer, "finished_at": ended or started, "exit_code": code}

def stop(name: NAME, timeout: range(-2**63, 2**63) = 10):
    begun, sent = time.monotonic(), None
    while is_running(name):
        wanted = signal.SIGKILL if 0 <= timeout <= time.monotonic() - begun else signal.SIGTERM
        with contextlib.suppress(ProcessLookupError):
            os.kill(int((MODULES / name / "pid").read_text()), 0 if wanted == sent else (sent := wanted))
        time.sleep(0.02)

def remove(name: NAME):
    check(not is_running(name), 7, f'"{name}" is running; stop it first')
    with tempfile.TemporaryDirectory(dir=MODULES.parent) as old:
        os.rename(MODULES / name, old)

def read():
    text = b""
    while (chunk := os.read(0, 1 << 16)) and len(text := text + chunk) <= 16 << 20:
        with contextlib.suppress(ValueError, RecursionError):  # until the object is complete
            string = text.decode(errors="surrogateescape").lstrip(" \t\r\n") if b"}" in chunk else ""
            request, length = json.JSONDecoder(parse_constant=int).raw_decode(string)
            return string[:length].encode() and request
    check(False, 2, "the request is not a JSON object of at most 16 MiB")

def arguments(handler, request):
    """The signature of a handler is the table of its fields: names, types and defaults."""
    for field in inspect.signature(handler).parameters.values():
        value, kind = request.get(field.name, field.default), field.annotation
        good = (type(value) is int and value in kind if isinstance(kind, range) else
                isinstance(value, str) and kind.fullmatch(value) if isinstance(kind, re.Pattern) else
                isinstance(value, kind) and value is not field.empty)
        check(good, 2, f'the field "{field.name}" is missing or wrong')
        yield value

MESSAGES = {"create": create, "start": start, "status": status, "stop": stop, "remove": remove,
            "version": lambda: {"info": "processes"}, "list": lambda: {"modules": sorted(os.listdir(MODULES))}}
version = "0.1.0"
try:
    MODULES.mkdir(parents=True, exist_ok=True)
    request = read()
    check(isinstance(request, dict) and "_version" in request, 2, 'there is no object with a "_version"')
    check(re.fullmatch(r"0\.1\.(0|[1-9]\d*)", str(request["_version"]), re.A), 1, "use 0.1.0", supported=["0.1.0"])
    version, kind = request["_version"], request.get("_type")
    check(isinstance(kind, str), 2, 'the request has no "_type"')
    check(kind in MESSAGES, 3, f"{json.dumps(kind)} is not served here")
    finish(_status="ok", **(MESSAGES[kind](*arguments(MESSAGES[kind], request)) or {}))
except Exception as error:  # Mostly what the file system says about a module's folder.
    code = {errno.ENOENT: 5, errno.ENOTEMPTY: 6}.get(getattr(error, "errno", None), 21)
    check(False, code, f"{KINDS[code]}: {error}")
