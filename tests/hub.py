"""A small Hugging Face hub on loopback: repositories are made, files are committed, large ones by git LFS."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

TOKEN = "hf_right"
USER = "ada"


class Hub:
    """What was pushed: each repository's files, and whether it is private."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.large: dict[str, bytes] = {}
        self.url = ""

    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**26, middlewares=[self._guard])
        app.router.add_post("/api/repos/create", self._create)
        app.router.add_post("/api/validate-yaml", self._validate)
        app.router.add_post("/api/models/{repo:.+}/preupload/main", self._preupload)
        app.router.add_post("/{repo:.+}.git/info/lfs/objects/batch", self._batch)
        app.router.add_put("/large/{oid}", self._large)
        app.router.add_post("/api/models/{repo:.+}/commit/main", self._commit)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        sent = request.headers.get("Authorization")
        if sent != f"Bearer {TOKEN}" and not request.path.startswith("/large/"):
            return web.json_response({"error": f"Invalid credentials: {sent}"}, status=401)
        return await handler(request)

    async def _create(self, request: web.Request) -> web.Response:
        asked = await request.json()
        owner = asked.get("organization") or USER
        if owner != USER:
            message = f"You don't have the rights to create a model under the namespace {owner}"
            return web.json_response({"error": message}, status=403)
        repo = f"{owner}/{asked['name']}"
        if repo in self.repositories:
            told = {"error": "You already created this model repo", "url": f"{self.url}/{repo}"}
            return web.json_response(told, status=409)
        self.repositories[repo], self.private[repo] = {}, asked.get("visibility") == "private"
        return web.json_response({"url": f"{self.url}/{repo}"})

    async def _validate(self, request: web.Request) -> web.Response:
        content = (await request.json())["content"]
        assert content.startswith("---\n")
        return web.json_response({"warnings": [], "errors": []})

    async def _preupload(self, request: web.Request) -> web.Response:
        files = (await request.json())["files"]
        told = [
            {"path": path, "uploadMode": "lfs" if path.endswith(".safetensors") else "regular", "shouldIgnore": False}
            for path in (file["path"] for file in files)
        ]
        return web.json_response({"files": told, "commitOid": None})

    async def _batch(self, request: web.Request) -> web.Response:
        asked = json.loads(await request.read())
        objects = [
            {**item, "actions": {"upload": {"href": f"{self.url}/large/{item['oid']}"}}} for item in asked["objects"]
        ]
        return web.json_response({"transfer": "basic", "objects": objects})

    async def _large(self, request: web.Request) -> web.Response:
        self.large[request.match_info["oid"]] = await request.read()
        return web.Response()

    async def _commit(self, request: web.Request) -> web.Response:
        repo = self.repositories[request.match_info["repo"]]
        for line in (await request.read()).splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                repo[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                repo[value["path"]] = self.large[value["oid"]]
        url = f"{self.url}/{request.match_info['repo']}/commit/1"
        return web.json_response({"commitUrl": url, "commitOid": "1" * 40, "success": True})


@contextmanager
def serving_app(app: web.Application, **options: Any) -> Iterator[str]:
    """Serves an application in a thread of its own; its URL."""
    loop, ready, found = asyncio.new_event_loop(), threading.Event(), []
    stop = asyncio.Event()

    async def serve() -> None:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2, **options)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        yield found[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@contextmanager
def hub() -> Iterator[Hub]:
    """A running hub."""
    made = Hub()
    with serving_app(made.app()) as made.url:
        yield made
