"""The store of DDFS and what was recorded of a master: its answers to requests, and the tags of a node."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from discolocal.cluster.tags import TagStore
from discolocal.error import CommError
from discolocal.wire import names
from discolocal.wire.protocol import compact_json

STAMP = re.compile(r"[0-9a-f]+-[0-9a-f]+-[0-9a-f]+")
MODIFIED = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d")


def without_times(text: str) -> str:
    """An answer with time stamps, and the digits that follow from them, made equal."""
    return re.sub(r"/[0-9a-f]{2}/", "/<hh>/", MODIFIED.sub("<date>", STAMP.sub("<time>", text)))


def ask(store: TagStore, request: dict[str, Any]) -> tuple[int, str]:
    """Have the store answer a recorded request, as a master would word it."""
    address = urlsplit(request["path"])
    query = {key: value[0] for key, value in parse_qs(address.query, keep_blank_values=True).items()}
    kind, _, rest = address.path.removeprefix("/ddfs/").partition("/")
    name, _, attribute = unquote(rest).partition("/")
    try:
        return 200, compact_json(answer(store, request["method"], kind, name, attribute, query, request["body"]))
    except CommError as error:
        assert isinstance(error.code, int)
        return error.code, str(error.msg)


def answer(store: TagStore, method: str, kind: str, name: str, attribute: str, query: Any, body: str) -> Any:
    if kind == "tags":
        return store.names(name)
    if kind == "new_blob":
        return store.new_blob(name, int(query.get("replicas", 1)))
    if method == "POST":
        return store.post(name, json.loads(body), update=bool(query.get("update")), delayed="delayed" in query)
    if method == "PUT":
        value = json.loads(body)
        return store.set_attribute(name, attribute, value) if attribute else store.put(name, value)
    if method == "DELETE":
        return store.delete(name) or "deleted"
    return store.attribute(name, attribute) if attribute else store.tag(name)


def test_recorded_requests_get_the_recorded_answers(tmp_path: Path, golden: Path) -> None:
    """But for the times, and for the port to which blobs are sent, which is none here."""
    store = TagStore(str(tmp_path), ["localhost"])
    rows = json.loads((golden / "http_api" / "replies.json").read_text())
    wanted = [row for row in rows if row.startswith(("tag_", "new_blob")) and row != "tag_bad_json"]
    assert len(wanted) >= 13
    for row in wanted:
        status, said = ask(store, rows[row]["request"])
        body = rows[row]["body"].replace("localhost:8990", "localhost")
        assert (status, without_times(said)) == (rows[row]["status"], without_times(body)), row


def test_recorded_tags_are_found_where_a_node_keeps_them(tmp_path: Path, golden: Path) -> None:
    """A directory of a node, copied here, has all its tags; requests with their tokens get the recorded answers."""
    for path in (golden / "ddfs").iterdir():
        if "$" in path.name:
            place = tmp_path / "ddfs" / "localhost" / names.object_path("tag", path.name)
            place.parent.mkdir(parents=True)
            place.write_bytes(path.read_bytes())
    store = TagStore(str(tmp_path))
    assert store.volumes.hosts == ("localhost",)
    rows = json.loads((golden / "http_api" / "replies.json").read_text())
    oob, results = (json.loads(rows[row]["body"])["id"].partition("$")[0] for row in ("oob_tag", "results_tag"))
    assert store.names() == [oob, results] and store.names("disco:res") == [results]
    assert compact_json(store.tag(oob, "job")) == rows["oob_tag"]["body"]
    assert compact_json(store.tag(results)) == rows["results_tag"]["body"]
    for row in ("oob_tag_without_token", "oob_tag_missing", "results_tag_urls"):
        assert ask(store, rows[row]["request"]) == (rows[row]["status"], rows[row]["body"]), row
    assert not (tmp_path / "ddfs" / ".locks").exists(), "reading leaves nothing"
