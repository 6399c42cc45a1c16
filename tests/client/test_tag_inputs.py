"""Tags among the inputs of a job for a real master: it is asked what they hold, and the pack has blobs (1.5)."""

from __future__ import annotations

import json
from urllib.parse import unquote

import pytest

from discolocal import Disco, DiscoError, Job, result_iterator
from discolocal.schemes import scheme_tag
from discolocal.worker.classic.func import nop_reduce
from tests.client.recorded import Exchange, RecordedMaster, Recordings, Request, answer

NAME = "disco:results:TeeSave@703:3c368:d47db"


def asked(recordings: Recordings) -> Exchange:
    """The recorded request for a tag; it was recorded with quoted characters, which means the same."""
    exchange = recordings["results_tag"]
    path = unquote(exchange.request.path)
    return exchange._replace(request=exchange.request._replace(path=path))


@pytest.mark.parametrize("has_map", [True, False])
def test_a_pack_for_a_real_master_has_the_blobs_it_tells(
    master: RecordedMaster, recordings: Recordings, has_map: bool
) -> None:
    urls = json.loads(recordings.body("results_tag"))["urls"]
    job = Job(master=master.url, map=lambda line, params: []) if has_map else Job(master=master.url, reduce=nop_reduce)
    master.expect(asked(recordings), asked(recordings))
    assert job.pack(input=[f"tag://{NAME}", "raw://x"]).jobdict["input"] == [*urls, "raw://x"]
    assert Job(reduce=nop_reduce)._pack({"input": [f"tag://{NAME}"]}, False, Disco(master.url)).jobdict["input"] == urls


def test_results_of_a_real_master_are_read_by_their_tag(master: RecordedMaster, recordings: Recordings) -> None:
    ((url,),) = json.loads(recordings.body("results_tag"))["urls"]
    master.expect(asked(recordings))
    master.files = {url.partition("localhost")[2]: b"a\nb\n"}
    assert list(result_iterator(f"tag://{NAME}", reader=None, ddfs=master.url)) == ["a\n", "b\n"]


def test_a_tag_that_a_master_does_not_have(master: RecordedMaster) -> None:
    master.expect(
        Exchange(Request("GET", "/ddfs/tag/data:x"), answer(404, b"Tag not found.", "text/plain")),
        Exchange(Request("GET", "/ddfs/tags"), answer(200, b'["data:xy"]')),
    )
    with pytest.raises(DiscoError, match=r"There is no tag data:x \(Tag not found.*similar names are data:xy"):
        Job(master=master.url, reduce=nop_reduce).pack(input=["tag://data:x"])


def test_a_client_can_be_given_in_every_form(master: RecordedMaster) -> None:
    disco = Disco(master.url)
    for form in (master.url, disco, disco.ddfs):
        assert scheme_tag.client(form).master == master.url
