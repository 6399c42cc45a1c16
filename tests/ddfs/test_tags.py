"""Tags, by the client: urls, attributes, tokens, and what is refused."""

from __future__ import annotations

import pytest

from discolocal import CommError
from discolocal.ddfs import DDFS
from tests.ddfs.clients import TOKENS, code, data, read


def test_tags_are_made_listed_replaced_and_deleted(ddfs: DDFS) -> None:
    assert ddfs.list() == [] and not ddfs.exists("a:one")
    ddfs.tag("a:one", [["http://x/1"]])
    ddfs.tag("tag://a:one", [("http://x/2", "http://y/2")])
    ddfs.put("a:two", iter([["http://x/3"]]))
    found = ddfs.get("a:one")
    assert found["urls"] == [["http://x/2", "http://y/2"], ["http://x/1"]]
    assert found["version"] == 1 and found["id"].startswith("a:one$") and found["user-data"] == {}
    assert ddfs.get(["a:one", "other"]) == found  # of several the first
    assert sorted(ddfs.list()) == ["a:one", "a:two"]
    assert ddfs.list("a:t") == ["a:two"] and ddfs.list("b") == []
    ddfs.put("a:one", [])
    assert ddfs.urls("a:one") == [] and ddfs.exists("tag://a:one")
    ddfs.delete("a:one")
    ddfs.delete("a:one")
    assert not ddfs.exists("a:one") and ddfs.list() == ["a:two"]
    assert code(ddfs.get, "a:one") == code(ddfs.attrs, "a:one") == code(ddfs.getattr, "a:one", "x") == 404


def test_what_a_master_refuses_is_refused_in_its_words(ddfs: DDFS) -> None:
    for urls in ("x", ["http://x/1"], [[5]], None):
        with pytest.raises(CommError, match="Invalid url object"):
            ddfs.tag("a", urls)  # type: ignore[arg-type]
        with pytest.raises(CommError, match="Invalid url object"):
            ddfs.put("a", urls)  # type: ignore[arg-type]
    with pytest.raises(CommError, match=r"Invalid tag \(403\)"):
        ddfs.get("bad name")
    with pytest.raises(CommError, match="Invalid attribute key or value"):
        ddfs.setattr("a", "key", 5)  # type: ignore[arg-type]
    with pytest.raises(CommError, match="Attribute value too big"):
        ddfs.setattr("a", "key", "x" * 5000)
    assert code(ddfs.setattr, "a", "ddfs:key", "x") == 404
    assert ddfs.list() == []


def test_attributes(ddfs: DDFS) -> None:
    ddfs.setattr("a", "key", "välue")
    ddfs.setattr("a", "a key/of:its own?", "2")
    assert ddfs.getattr("a", "key") == "välue" and ddfs.getattr("a", "a key/of:its own?") == "2"
    ddfs.setattr("a", "key", "other")
    assert ddfs.attrs("a") == {"key": "other", "a key/of:its own?": "2"}
    ddfs.delattr("a", "a key/of:its own?")
    ddfs.delattr("a", "nosuch")
    assert ddfs.attrs("a") == {"key": "other"}
    assert code(ddfs.getattr, "a", "nosuch") == 404
    ddfs.tag("a", [["http://x/1"]])
    assert ddfs.getattr("a", "ddfs:urls") == [["http://x/1"]]
    assert ddfs.getattr("a", "ddfs:read-token") is None is ddfs.getattr("a", "ddfs:write-token")


def test_tokens_protect_tags(ddfs: DDFS) -> None:
    ddfs.setattr("r", "ddfs:read-token", "rdr")
    ddfs.setattr("w", "ddfs:write-token", "wtr")
    ddfs.setattr("empty", "ddfs:read-token", "")
    ddfs.setattr("empty", "ddfs:write-token", "")
    ddfs.push("both", [(data("x"), "x")], token="sécret")
    for tag in ("r", "empty", "both"):
        assert code(ddfs.get, tag) == code(ddfs.get, tag, token="wrong") == 401
        assert ddfs.exists(tag)
    for tag in ("w", "empty", "both"):
        assert code(ddfs.tag, tag, []) == code(ddfs.put, tag, [], token="wrong") == 401
        assert code(ddfs.delete, tag) == code(ddfs.setattr, tag, "a", "b") == code(ddfs.delattr, tag, "a") == 401
    ddfs.setattr("r", "a", "open to all writers")
    assert ddfs.attrs("r", token="rdr") == {"a": "open to all writers"}
    assert ddfs.attrs("w") == {} and ddfs.get("empty", token="")["urls"] == []
    assert ddfs.getattr("both", "ddfs:write-token", token="sécret") == "sécret"
    assert list(ddfs.blobs("both", token="sécret")) == ddfs.urls("both", token="sécret")
    assert read(ddfs, "both", token="sécret") == [("x", b"x")]
    ddfs.delete("both", token="sécret")
    assert not ddfs.exists("both")


def test_where_a_token_comes_from(ddfs: DDFS, monkeypatch: pytest.MonkeyPatch) -> None:
    ddfs.put("t", [], token="right")
    for url in ("tag://right@/t", "tag://user:right@/t"):
        assert ddfs.urls(url) == []
        ddfs.tag(url, [])
    assert code(ddfs.get, "tag://right@/t", token="wrong") == 401  # the argument wins
    monkeypatch.setenv("DDFS_READ_TOKEN", "right")
    assert ddfs.urls("t") == []
    assert code(ddfs.tag, "t", []) == 401
    assert code(ddfs.get, "tag://wrong@/t") == 401  # the url wins
    monkeypatch.setenv("DDFS_WRITE_TOKEN", "right")
    ddfs.tag("t", [])
    ddfs.setattr("t", "a", "b")
    ddfs.delattr("t", "a")
    monkeypatch.setenv("DDFS_READ_TOKEN", "wrong")
    assert code(ddfs.get, "t") == 401
    for name in TOKENS:
        monkeypatch.delenv(name)
    settings = {"DISCO_MASTER": "x", "DISCO_PROXY": "", "DDFS_WRITE_TOKEN": "right"}
    with_settings = DDFS(ddfs, settings=settings)
    with_settings.tag("t", [])
    assert code(with_settings.get, "t") == 401
    ddfs.delete("tag://right@/t")
