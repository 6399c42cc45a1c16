"""`DDFS`: tags and blobs as the user sees them (reference 7.4), whoever keeps them.

DDFS -> names, tokens, sources, tags inside tags -> a TagService (see `discolocal.tagservice`)
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from discolocal.chunks import CHUNK_SIZE, MAX_RECORD_SIZE
from discolocal.error import CommError, DataError
from discolocal.tags import InvalidTag, Names, Tags, Urls, canonizetag, canonizetags, istag, relativizetag, tagname
from discolocal.util import flatten, iterify
from discolocal.wire import names
from discolocal.worker import oob
from discolocal.worker.serving import short_repr

if TYPE_CHECKING:
    from discolocal.tagservice import Blob

__all__ = ["DDFS", "InvalidTag", "canonizetag", "canonizetags", "istag", "relativizetag", "tagname"]


class DDFS(Tags):
    """The tags and blobs of a cluster (reference 7).

    Parameters: `master` who keeps them: the url of a master as `Disco` takes it, None for DISCO_MASTER of the
    environment; ``local://`` for the local cluster of this process, ``local://`` and its directory for that of a
    cluster on this machine, which need not run; or a `Disco` or `LocalCluster`. `proxy` and `settings` as for `Disco`.

    A `tag` is given as its name or as a url (``tag://name``, ``tag://host:port/name``, ``tag://token@host/name``); one
    with a host is asked for there. A `token` that is not given is that of the url, else DDFS_READ_TOKEN of the
    environment for reading, DDFS_WRITE_TOKEN for writing.

    Methods raise CommError with the status and the words of a master (`code` 401 for a wrong token, 404 for a tag
    that is not there), without a code when nobody answers, InvalidTag for what is no tag.
    """

    # Names

    @staticmethod
    def safe_name(name: str) -> str:
        """`name` with every character that a blob or tag may not have in its name as ``_`` (reference 7.1)."""
        return names.safe_name(name)

    @staticmethod
    def blob_name(url: str) -> str:
        """The name of the blob behind a url, without its time (reference 7.1)."""
        return names.blob_name(url)

    @staticmethod
    def job_blob(jobname: str, filename: str) -> str:
        """The name of a blob that `save` stores."""
        return f"disco:blob:{jobname}:{os.path.basename(filename)}"

    @staticmethod
    def job_oob(jobname: str) -> str:
        """The name of the tag of a job's out-of-band results (reference 7.5)."""
        return oob.tag(jobname)

    @staticmethod
    def job_tag(jobname: str) -> str:
        """The name of the tag that `save` makes; that of ``save_results`` is ``disco:results:<jobname>``."""
        return f"disco:job:results:{jobname}"

    # Blobs

    def push(
        self,
        tag: Any,
        files: Iterable[Any],
        replicas: int | None = None,
        forceon: Sequence[str] = (),
        retries: int | None = None,
        delayed: bool = False,
        update: bool = False,
        token: str | None = None,
    ) -> tuple[Names, Urls]:
        """Store files as blobs and put them into a tag, all at once when all are stored (reference 7.4).

        Parameters: `files` paths, (path, name)s or (file object, name)s: a file object is read from where it stands to
        its end, piece by piece; the name of a blob is by default the safe form of the file's. `replicas` of each blob,
        None for as many as the master makes by default; `forceon` hosts that must have one. A host that fails is
        left out and the blob stored anew, at most `retries` times (None: while there are hosts). `delayed`, `update`:
        see `tag`.

        Returns (urls of the tag itself, lists of replicas). Raises DataError for a file that cannot be read. The tag is
        not changed when anything fails; blobs that a real master has by then are left to its garbage collection.
        """
        from discolocal import pushing

        service, _name, _token = self._at(tag, token, writes=True)
        items = _several(files, "files")
        if isinstance(items, (list, tuple)):
            for item in items:
                pushing.aim(item)
        with pushing.all_or_none(service) as blobs:
            for item in items:
                source, name = pushing.aim(item)
                with pushing.opened(source) as file:
                    blobs.append(pushing.push(service, file, name, replicas, forceon, retries))
        return self._tagged(tag, blobs, token, delayed, update), blobs

    def chunk(
        self,
        tag: Any,
        urls: Iterable[Any],
        replicas: int | None = None,
        forceon: Sequence[str] = (),
        retries: int | None = None,
        delayed: bool = False,
        update: bool = False,
        token: str | None = None,
        chunk_size: int = CHUNK_SIZE,
        max_record_size: int = MAX_RECORD_SIZE,
        **kwargs: Any,
    ) -> tuple[Names, Urls]:
        """Read records from urls, store them as blobs of records and put these into a tag (reference 7.4).

        Jobs and `result_iterator` read the tag with `chain_reader`. Parameters: `urls` urls, paths, tags or lists of
        replicas; `chunk_size` bytes after which the next blob begins, `max_record_size` bytes of a pickled record;
        `kwargs` those of `result_iterator`: `reader` (default: none, so lines), `input_stream`, `params`, `notifier`.
        The others are those of `push`. A blob is called after its url, with a number: ``<safe base name>-<n>``.

        Returns and raises as `push`, ValueError for a record that is too large.
        """
        from discolocal import pushing
        from discolocal.chunks import check_sizes, chunks

        service, _name, _token = self._at(tag, token, writes=True)
        check_sizes(chunk_size, max_record_size)
        with pushing.all_or_none(service) as blobs:
            for name, records in self._sources(_several(urls, "urls"), kwargs):
                with closing(records):  # its file, too, when storing fails
                    for number, file in enumerate(chunks(records, chunk_size, max_record_size)):
                        blob = names.safe_name(f"{name}-{number}")
                        blobs.append(pushing.push(service, file, blob, replicas, forceon, retries))
        return self._tagged(tag, blobs, token, delayed, update), blobs

    def _tagged(self, tag: Any, blobs: Urls, token: str | None, delayed: bool, update: bool) -> Names:
        """Tag blobs that were stored for this; when that is refused they are discarded."""
        try:
            return self.tag(tag, blobs, token, delayed, update)
        except CommError as error:
            if error.code in (401, 403, 404):  # after any other error the tag may have them
                self._at(tag, token, writes=True)[0].discard(flatten(blobs))
            raise

    def _sources(self, urls: Iterable[Any], kwargs: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """(name, records) of each url to chunk; a local file that is not there is noticed before any is read."""
        from discolocal.reading import result_iterator
        from discolocal.schemes import scheme_of

        options = {"reader": None, "ddfs": self, **{key: value for key, value in kwargs.items() if value is not None}}
        all_urls = [[os.fspath(one) for one in iterify(url)] for url in urls]
        result_iterator([], **options)  # what is no parameter of it is refused now
        for url in (one[0] for one in all_urls if len(one) == 1 and scheme_of(one[0]) in ("", "file")):
            _check_file(url)
        for given in filter(None, all_urls):
            yield os.path.basename(given[0]), result_iterator([given], **options)

    def pull(
        self, tag: Any, blobfilter: Callable[[str], Any] = lambda name: True, token: str | None = None
    ) -> Iterator[Blob]:
        """Yield the blobs of a tag and of the tags in it as open files, with `url` and `len` (reference 7.4).

        Parameters: `blobfilter` tells by its name whether a blob is wanted. Of its replicas one that works is opened.
        Raises CommError that names the blob and all that was tried when there is none.
        """
        for replicas in self.blobs(tag, ignore_missing=False, token=token):
            if replicas and blobfilter(self.blob_name(replicas[0])):
                yield self._open(replicas)

    def _open(self, replicas: Sequence[str]) -> Blob:
        failures: list[DataError] = []
        for url in random.sample(replicas, len(replicas)):
            try:
                return self._blob(url)
            except DataError as error:
                failures.append(error)
        if len(failures) == 1:
            raise failures[0]
        told = "; ".join(f"{error.url}: {error.msg}" for error in failures)
        name = self.blob_name(replicas[0])
        raise CommError(
            f"None of the {len(replicas)} replicas of the blob {name} can be read: {told}",
            replicas[0],
            failures[-1].code,
        ) from failures[-1]

    def _blob(self, url: str) -> Blob:
        from discolocal.tagservice import Blob

        file = self.service.open(url)
        return file if isinstance(file, Blob) else Blob(file, url)

    def save(self, jobname: str, paths: Iterable[str], retries: int | None = None) -> str:
        """Push files as the results of a job and return the name of their tag, ``disco:job:results:<jobname>``.

        This is what workers of Disco 0.4 did; today the master saves the results of a job with ``save_results``.
        """
        tag = self.job_tag(jobname)
        files = [(path, self.job_blob(jobname, path)) for path in paths]
        self.push(tag, files, retries=retries, delayed=True, update=True)
        return tag

    @staticmethod
    def tarblobs(
        tarball: str, compress: bool = True, include: str | None = None, exclude: str | None = None
    ) -> Iterator[tuple[str, Any, int]]:
        """Yield (name, file object, size) of the files in a tar archive; see `discolocal.pushing.tarblobs`."""
        from discolocal import pushing

        return pushing.tarblobs(tarball, compress, include, exclude)


def _several(items: Any, what: str) -> Iterable[Any]:
    if isinstance(items, (str, bytes, os.PathLike)) or not hasattr(items, "__iter__"):
        raise TypeError(f"{what}={short_repr(items)}: must be a list of {what}")
    found: Iterable[Any] = items
    return found


def _check_file(url: str) -> None:
    from discolocal.schemes.scheme_file import local_file

    if not os.path.exists(local_file(url)):
        raise DataError("No such file, so nothing was stored", url)
