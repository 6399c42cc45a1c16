"""Tags: recorded ones, byte for byte, and the rules by which requests change them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discolocal.error import DataError
from discolocal.wire import tag
from discolocal.wire.protocol import compact_json
from discolocal.wire.tag import Tag, TagError


def recorded(golden):
    return {path.name: path.read_bytes() for path in (golden / "ddfs").iterdir() if "$" in path.name}


def test_recorded_tags_are_read_and_written_alike(golden):
    found = recorded(golden)
    assert len(found) == 2
    for name, data in found.items():
        read = tag.loads(data, name)
        assert read.dumps() == data
        assert read.id == name
        assert read.name == name.partition("$")[0]


def test_recorded_answers_are_the_public_part(golden):
    replies = json.loads((golden / "http_api" / "replies.json").read_text())
    bodies = {row: replies[row]["body"] for row in ("oob_tag", "results_tag")}
    stored = {json.loads(data)["id"]: data for data in recorded(golden).values()}
    for row, body in bodies.items():
        assert compact_json(tag.loads(stored[json.loads(body)["id"]], row).public()) == body
    for row in ("oob_tag_profile", "tag_get", "tag_get2", "tag_get3"):  # stored with tokens, which nobody is shown
        body = replies[row]["body"]
        head, _, rest = body.partition('"urls"')
        assert compact_json(tag.loads(f'{head}"read-token":"r","urls"{rest}'.encode(), row).public()) == body


WHOLE = b'{"version":1,"id":"a$1-2-3","last-modified":"2026/11/21 07:37:13","urls":[["x"]],"user-data":{"k":"v"}}'


def test_a_tag_without_tokens_is_open():
    read = tag.loads(WHOLE, "here")
    assert read == Tag("a", 1_000_002_000_003, "2026/11/21 07:37:13", [["x"]], {"k": "v"})


@pytest.mark.parametrize(
    "old, new",
    [
        (b'"version":1', b'"version":2'),
        (b'"a$1-2-3"', b'"a"'),
        (b'"a$1-2-3"', b'"../a$1-2-3"'),
        (b'"a$1-2-3"', b"7"),
        (b'[["x"]]', b'["x"]'),
        (b'[["x"]]', b'[["x", 1]]'),
        (b'[["x"]]', b'"x"'),
        (b'{"k":"v"}', b'{"k":1}'),
        (b'{"k":"v"}', b"[]"),
        (b'"user-data"', b'"read-token":1,"user-data"'),
        (b'"last-modified"', b'"last"'),
        (b'"2026/11/21 07:37:13"', b"null"),
        (WHOLE, b""),
        (WHOLE, b"[]"),
        (WHOLE, b"null"),
        (WHOLE, b"\xff"),
    ],
)
def test_what_is_no_tag_is_refused_by_name(old, new):
    assert old in WHOLE
    with pytest.raises(DataError, match="some file"):
        tag.loads(WHOLE.replace(old, new, 1), "some file")


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_a_tag_cut_anywhere_is_refused(length):
    with pytest.raises(DataError):
        tag.loads(WHOLE[:length], "here")


texts = st.text(st.characters(codec="utf-8"), max_size=5)
tags = st.builds(
    Tag,
    st.from_regex(r"[A-Za-z0-9_\-@:]{1,9}", fullmatch=True),
    st.integers(0, 10**16),
    st.just("2026/11/21 07:37:13"),
    st.lists(st.lists(texts, max_size=2), max_size=3),
    st.dictionaries(texts, texts, max_size=3),
    st.none() | texts,
    st.none() | texts,
)


@given(tags)
def test_every_tag_is_read_as_it_was_written(value):
    data = value.dumps()
    assert tag.loads(data, "") == value
    assert data.isascii() and b"\x7f" not in data and list(json.loads(data)) == KEYS


KEYS = ["version", "id", "last-modified", "read-token", "write-token", "urls", "user-data"]


def blob(name, second=1):
    return f"disco://h/ddfs/vol0/blob/00/{name}$1-{second}-1"


def test_new_urls_stand_in_front_in_their_order():
    old = Tag("t", urls=[["c"], ["d"]])
    assert old.posted([["a"], ["b"], ["a"]], update=False).urls == [["a"], ["b"], ["a"], ["c"], ["d"]]
    assert old.urls == [["c"], ["d"]], "a tag is never changed"


@pytest.mark.parametrize("update", [False, True])
def test_no_urls_change_nothing(update):
    assert Tag("t", urls=[["a"]]).posted([], update) is None


@pytest.mark.parametrize(
    "old, new, result",
    [
        ([[blob("a")]], [[blob("b")], [blob("c")]], [[blob("c")], [blob("b")], [blob("a")]]),
        ([[blob("a")]], [[blob("a", 2)]], None),  # the time of the blob does not matter
        (
            [[blob("a"), blob("z")]],
            [[blob("z", 2)]],
            [[blob("z", 2)], [blob("a"), blob("z")]],
        ),  # but the first url does
        ([], [[blob("a")], [blob("a", 2)]], [[blob("a")]]),
        ([["http://h/x"]], [["http://h/x"]], [["http://h/x"], ["http://h/x"]]),  # not of DDFS
        ([["tag://a"]], [["tag://a"], ["tag://b"]], [["tag://b"], ["tag://a"]]),
        ([["tag://h:1/a"]], [["tag://token@/a"]], None),
        ([["tag://a"]], [[blob("a")]], None),
        ([[]], [[]], [[], []]),
        ([["disco://h:8989/ddfs/vol3/tag/ab/a$1-2-3"]], [[blob("a")]], None),
        ([["disco://h/disco/h/ab/a$1-2-3"]], [[blob("a")]], [[blob("a")], ["disco://h/disco/h/ab/a$1-2-3"]]),
    ],
)
def test_an_update_adds_only_names_that_are_new(old, new, result):
    changed = Tag("t", urls=old).posted(new, update=True)
    assert (changed and changed.urls) == result


def refusal(call, *arguments):
    with pytest.raises(TagError) as caught:
        call(*arguments)
    return caught.value.code, caught.value.text


UNAUTHORIZED = (401, "Incorrect or missing token.")


@pytest.mark.parametrize(
    "read, write, token, may_read, may_write",
    [
        (None, None, None, True, True),
        (None, None, "x", True, True),
        ("r", "w", None, False, False),
        ("r", "w", "r", True, False),
        ("r", "w", "w", True, True),
        ("r", "w", "", False, False),
        ("r", None, "x", False, True),  # a right to write that everybody has is none to read
        ("r", None, None, False, True),
        (None, "w", None, True, False),
        ("", "", None, False, False),  # an empty token is one
        ("", "", "", True, True),
    ],
)
def test_tokens(read, write, token, may_read, may_write):
    value = Tag("t", read_token=read, write_token=write)
    for check, may in ((value.check_read, may_read), (value.check_write, may_write)):
        if may:
            check(token)
        else:
            assert refusal(check, token) == UNAUTHORIZED


def test_attributes_are_set_and_deleted():
    value = Tag("t").with_attribute("a", "1").with_attribute("b", "2").with_attribute("a", "3")
    assert list(value.attributes.items()) == [("a", "3"), ("b", "2")]
    assert value.without_attribute("a").attributes == {"b": "2"}
    assert value.without_attribute("z") == value
    assert value.attribute("b", None) == "2"
    assert refusal(value.attribute, "z", None) == (404, "Tag attribute not found.")


def test_parts_of_a_tag_are_attributes_too():
    value = Tag("t").with_attribute("ddfs:read-token", "r").with_attribute("ddfs:write-token", "w")
    value = value.with_attribute("ddfs:urls", [["u"]])
    assert (value.read_token, value.write_token, value.urls, value.attributes) == ("r", "w", [["u"]], {})
    assert value.attribute("ddfs:urls", "r") == [["u"]]
    assert value.attribute("ddfs:read-token", "r") == "r"
    assert value.attribute("ddfs:write-token", "w") == "w"
    assert refusal(value.attribute, "ddfs:write-token", "r") == UNAUTHORIZED
    assert refusal(value.attribute, "ddfs:urls", None) == UNAUTHORIZED
    for name in ("ddfs:urls", "ddfs:read-token", "ddfs:write-token"):
        value = value.without_attribute(name)
    assert value == Tag("t")
    for call in (lambda: value.attribute("ddfs:x", None), lambda: value.with_attribute("ddfs:x", "v")):
        assert refusal(call) == (404, "Tag attribute not found.")


@pytest.mark.parametrize(
    "name, value, refused",
    [
        ("n" * 1024, "v", None),
        ("n" * 1025, "v", (403, "Attribute name too big.")),
        ("é" * 513, "v", (403, "Attribute name too big.")),
        ("n", "v" * 4094, None),  # and two quotes
        ("n", "v" * 4095, (403, "Attribute value too big.")),
        ("n", "é" * 683, (403, "Attribute value too big.")),  # \u00e9
        ("ddfs:read-token", "v" * 5000, None),
        ("n", 1, (403, "Invalid attribute key or value")),
        ("n", None, (403, "Invalid attribute key or value")),
        ("", "v", (403, "Invalid attribute key or value")),
        ("ddfs:read-token", None, (403, "Invalid attribute key or value")),
        ("ddfs:urls", "v", (403, "Invalid attribute key or value")),
        ("ddfs:urls", [["u", 1]], (403, "Invalid attribute key or value")),
    ],
)
def test_limits_of_attributes(name, value, refused):
    if refused is None:
        Tag("t").with_attribute(name, value)
    else:
        assert refusal(Tag("t").with_attribute, name, value) == refused


def test_the_thousandth_attribute_is_the_last():
    value = Tag("t", attributes={str(number): "" for number in range(999)}).with_attribute("999", "")
    for name in ("1000", "5"):  # one that is there is refused as well
        assert refusal(value.with_attribute, name, "") == (403, "Too many attributes")
    assert value.with_attribute("ddfs:read-token", "r").read_token == "r"


@pytest.mark.parametrize("urls", ["x", [["a"], "b"], [["a", 1]], [[["a"]]], {"a": "b"}, None, 1, [None]])
def test_urls_are_lists_of_lists_of_text(urls):
    assert refusal(tag.check_urls, urls) == (403, "Invalid url object")


def test_tuples_are_lists():
    assert tag.check_urls((("a", "b"), ["c"], ())) == [["a", "b"], ["c"], []]


def test_the_body_of_a_request_has_a_limit(monkeypatch):
    monkeypatch.setattr(tag, "MAX_BODY", 20)
    assert tag.check_urls([["a" * 17]]) == [["a" * 17]]
    assert refusal(tag.check_urls, [["a" * 9], ["b" * 9]]) == (403, "Invalid request.")


@pytest.mark.parametrize("name", ["", "a b", "a/b", "+deleted", "é", "a" * 512, "a\n", None, "a$1-2-3"])
def test_names_that_no_tag_has(name):
    assert refusal(tag.check_name, name) == (403, "Invalid tag")


def test_names_that_tags_have():
    for name in ("a", "A-z_0@:", "a" * 511):
        tag.check_name(name)
