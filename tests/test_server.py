"""The local server: which requests it accepts and refuses, requests and answers, sessions, and when it stops."""

import gc
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tinygrad_nn.server import Download, Request, Server, Sessions, client, serve
from tinygrad_nn.server.routes import MOST_BYTES

pytest.importorskip("uvicorn")

PAGE = "<!DOCTYPE html><title>x</title>"


def events(request: Request) -> Iterator[Any]:
    yield {"n": 1}
    yield None
    yield {"n": 2}


def fails(request: Request) -> Any:
    return {}[request.body["name"]] if request.body["name"] == "key" else 1 // 0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    counts: Sessions[list[Any]] = Sessions(list)

    def add(request: Request) -> Any:
        counts[request.session].append(request.body)
        return {"seen": counts[request.session], "query": dict(request.query)}

    routes = {
        "GET /": lambda request: PAGE, "POST /add": add, "GET /events": events, "POST /fails": fails,
        "GET /file": lambda request: Download('a"\r\nX: ü.txt', b"data"), "POST /nan": lambda request: float("nan"),
    }  # fmt: skip
    with serve(routes, open_browser=False) as running:
        yield running


def ask(server: Server, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
    """Send a request exactly as it is written, and return status, headers and body."""
    line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    line.putrequest(method, path, skip_host="Host" in headers)
    sent = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
    given = {"Content-Length": str(len(sent)), **({"Content-Type": "application/json"} if method == "POST" else {})}
    for name, value in (given | {name.replace("_", "-"): value for name, value in headers.items()}).items():
        line.putheader(name, value)
    line.endheaders(sent)
    answer = line.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    line.close()
    return found


def test_a_page_has_a_session_of_its_own_and_headers_that_keep_it_to_itself(server: Server) -> None:
    status, headers, _ = ask(server, "GET", f"/?token={server.token}")
    assert status == 303
    place = headers["location"]
    assert parse_qs(urlsplit(place).query)["token"] == [server.token]
    assert ask(server, "GET", f"/?token={server.token}")[1]["location"] != place
    status, headers, body = ask(server, "GET", place)
    assert (status, body.decode()) == (200, PAGE)
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "server" not in headers


@pytest.mark.parametrize(("headers", "wanted"), [
    ({}, 200),
    ({"Origin": "http://127.0.0.1:PORT"}, 200),
    ({"Host": "localhost:PORT", "Origin": "http://localhost:PORT"}, 200),
    ({"Sec-Fetch-Site": "same-origin"}, 200),
    ({"X-Token": "wrong"}, 403),
    ({"X-Token": "é"}, 403),
    ({"X-Token": ""}, 403),
    ({"Host": "evil.example"}, 403),
    ({"Host": "evil.example:PORT"}, 403),
    ({"Host": "127.0.0.1"}, 403),
    ({"Host": "localhost:PORT"}, 200),
    ({"Origin": "http://evil.example"}, 403),
    ({"Origin": "null"}, 403),
    ({"Origin": "http://127.0.0.1:1"}, 403),
    ({"Origin": "https://127.0.0.1:PORT"}, 403),
    ({"Origin": "http://localhost:PORT"}, 403),
    ({"Sec-Fetch-Site": "cross-site"}, 403),
    ({"Sec-Fetch-Site": "same-site"}, 403),
    ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}, 403),  # only a GET can be a visit
])  # fmt: skip
def test_who_may_ask(server: Server, headers: dict[str, str], wanted: int) -> None:
    given = {"X_Token": server.token} | {
        name.replace("-", "_"): value.replace("PORT", str(server.port)) for name, value in headers.items()
    }
    status, found, body = ask(server, "POST", "/add?session=who", {}, **given)
    assert status == wanted, body
    assert "access-control-allow-origin" not in found


def test_a_visit_by_a_link_needs_the_token_and_a_frame_does_not_get_in(server: Server) -> None:
    link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Dest": "document"}
    assert ask(server, "GET", f"/?token={server.token}&session=s", **link)[0] == 200
    assert ask(server, "GET", "/?session=s", **link)[0] == 403
    assert ask(server, "GET", f"/?token={server.token}&session=s", **(link | {"Sec_Fetch_Dest": "iframe"}))[0] == 403


@pytest.mark.parametrize("path", [
    "/../../etc/passwd", "/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/ask.js", "//etc/passwd", "/add/..",
    "/....//etc/passwd", "/\\..\\x", "/etc/passwd", "/.", "http://evil.example/", "/add%00",
])  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_path_outside_is_refused(server: Server, method: str, path: str) -> None:
    status, _, body = ask(server, method, f"{path}?session=s", b"{}" if method == "POST" else None)
    assert status in (400, 403)  # without the token nothing is said of what is there
    status, _, body = ask(server, method, f"{path}?session=s", b"{}" if method == "POST" else None,
                          X_Token=server.token)  # fmt: skip
    assert status in (400, 404, 405) or path == "http://evil.example/"
    assert b"root:" not in body


@pytest.mark.parametrize(("body", "kind", "wanted"), [
    (b"{", "application/json", 400), (b"[1]", "application/json", 400), (b"\xff", "application/json", 400),
    (b"[" * 200_000, "application/json", 400), (b"{}", "text/plain", 415),
    (b"a=1", "application/x-www-form-urlencoded", 415),
    (b"", "application/json; charset=utf-8", 200),
])  # fmt: skip
def test_the_body_of_a_request_is_a_json_object(server: Server, body: bytes, kind: str, wanted: int) -> None:
    status, _, reply = ask(server, "POST", "/add?session=body", body, X_Token=server.token, Content_Type=kind)
    assert status == wanted
    assert wanted == 200 or json.loads(reply)["error"]


def test_more_than_the_bound_is_refused(server: Server) -> None:
    large = b'{"x": "' + b"a" * MOST_BYTES + b'"}'
    status, _, reply = ask(server, "POST", "/add?session=large", large, X_Token=server.token)
    assert (status, b"MB" in reply) == (413, True)


def test_a_session_is_its_own_and_is_kept(server: Server) -> None:
    add = lambda session, n: json.loads(ask(server, "POST", f"/add?session={session}&k=v", {"n": n},
                                            X_Token=server.token)[2])  # fmt: skip
    add("one", 1)
    assert add("two", 2) == {"seen": [{"n": 2}], "query": {"k": "v"}}
    assert add("one", 3)["seen"] == [{"n": 1}, {"n": 3}]
    for bad in ("", "a%20b", "x" * 41, "%C3%A9", "..%2f"):
        assert ask(server, "POST", f"/add?session={bad}", {}, X_Token=server.token)[0] == 400


def test_the_longest_unused_session_goes_first() -> None:
    states: Sessions[list[int]] = Sessions(list, max_sessions=2)
    states["a"].append(1)
    states["b"].append(2)
    states["a"].append(3)
    states["c"].append(4)
    assert (states["a"], len(states)) == ([1, 3], 2)
    assert states["b"] == []


def test_errors_events_and_files(server: Server) -> None:
    token = {"X_Token": server.token}
    for name, status, word in (("key", 400, "key"), ("zero", 500, "ZeroDivisionError")):
        found, _, reply = ask(server, "POST", "/fails?session=s", {"name": name}, **token)
        assert (found, word in json.loads(reply)["error"]) == (status, True)
    assert ask(server, "POST", "/nan?session=s", {}, **token)[0] == 400
    status, headers, body = ask(server, "GET", f"/events?session=s&token={server.token}")
    assert headers["content-type"].startswith("text/event-stream")
    assert body.decode() == 'data: {"n": 1}\n\n: \n\ndata: {"n": 2}\n\n'
    status, headers, body = ask(server, "GET", "/file?session=s", **token)
    assert (status, body, "X" in headers) == (200, b"data", False)
    assert headers["content-disposition"].startswith("attachment; filename*=UTF-8''a%22%5Cr%5Cn")


@pytest.mark.parametrize("on", [True, False])
def test_garbage_is_collected_after_an_answer_where_collecting_is_on(on: bool) -> None:
    passes: list[float] = []

    def watch(phase: str, info: dict[str, int]) -> None:
        if phase == "stop" and info["generation"] == 2:
            passes.append(time.monotonic())

    def fill(request: Request) -> Any:
        gc.collect(1) if request.body else [gc.collect(1) for _ in range(gc.get_threshold()[2])]
        done.append(time.monotonic())
        return {}

    done: list[float] = []
    with serve({"POST /fill": fill}, open_browser=False) as running:
        gc.collect()
        gc.callbacks.append(watch)
        try:
            gc.enable() if on else gc.disable()
            for body in ({"little": True}, {}):
                passes.clear()
                ask(running, "POST", "/fill?session=s", body, X_Token=running.token)
                end = time.monotonic() + (5 if on and not body else 0.2)
                while not passes and time.monotonic() < end:
                    time.sleep(0.01)
                assert bool(passes) == (on and not body)
            assert all(moment > done[-1] for moment in passes)
        finally:
            gc.callbacks.remove(watch)
            gc.enable()


def test_it_listens_at_this_machine_alone_and_is_gone_when_it_is_closed() -> None:
    with serve({"GET /": lambda request: PAGE}, open_browser=False) as running:
        assert running._socket.getsockname()[0] == "127.0.0.1"
        assert running._socket.proto == socket.IPPROTO_TCP  # asyncio then sends at once what is small
        assert running.url in repr(running)
        with pytest.raises(OSError, match="port=0 takes a free one"):
            serve({"GET /": lambda request: PAGE}, port=running.port, open_browser=False)
    assert "stopped" in repr(running)
    with socket.socket() as line:
        assert line.connect_ex(("127.0.0.1", running.port)) != 0
    with pytest.raises(ValueError, match="'GET /path'"):
        serve({"/": lambda request: PAGE}, open_browser=False)


SCRIPT = """
import sys
from tinygrad_nn.server import serve
server = serve({"GET /": lambda request: "x"}, open_browser=False)
print(server.url, flush=True)
"""


def started(command: list[str]) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=os.environ | {"PYTHONUNBUFFERED": "1"}, cwd=Path(__file__).parents[1])  # fmt: skip
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def listens(url: str) -> bool:
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", urlsplit(url).port)) == 0


def stops(url: str) -> bool:
    end = time.monotonic() + 20
    while listens(url) and time.monotonic() < end:
        time.sleep(0.05)
    return not listens(url)


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP", "SIGTERM"])
def test_a_script_that_has_ended_serves_until_its_terminal_stops_it(name: str) -> None:
    process, url = started([sys.executable, "-c", SCRIPT])
    time.sleep(0.2)
    assert process.poll() is None
    assert listens(url)
    process.send_signal(getattr(signal, name))
    _, said = process.communicate(timeout=20)
    assert not listens(url)
    assert "Traceback" not in said
    assert name != "SIGINT" or (process.returncode, said) == (0, "")


def test_it_stops_when_its_parent_is_gone() -> None:
    parent = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {SCRIPT!r}]); time.sleep(60)"
    process, url = started([sys.executable, "-c", parent])
    assert listens(url)
    process.kill()
    process.wait(timeout=20)
    assert stops(url)
    process.communicate(timeout=20)


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ImportError, match=r"pip install 'tinygrad-nn\[play\]'"):
        serve({"GET /": lambda request: PAGE}, open_browser=False)


def test_the_script_of_a_page_shows_the_token() -> None:
    assert "X-Token" in client()
