"""Which master a client speaks with, from arguments and the environment (reference 8.14).

Nothing is asked here: a url is built, no connection made.
"""

from __future__ import annotations

import os
import re

from discolocal.error import DiscoError
from discolocal.schemes.scheme_disco import default_port

_FORMS = "a master is given as http://host:8989, disco://host or host"


def master_url(master: str | None = None) -> str:
    """Return ``http://host:port`` of a master.

    Parameters: `master` ``http://host[:port]``, ``https://...``, ``disco://host[:port]``, ``host`` or ``host:port``;
    None: DISCO_MASTER of the environment. The port of the forms without ``http`` is DISCO_PORT, by default 8989.
    Raises DiscoError for another form, and when there is no master at all.
    """
    if master is None:
        master = os.environ.get("DISCO_MASTER", "")
        if not master:
            raise DiscoError(f"No master is given, and DISCO_MASTER is not set in the environment: {_FORMS}")
    if not isinstance(master, str):
        raise DiscoError(f"master={master!r}: {_FORMS}")
    scheme, found, netloc = master.partition("://")
    if not found:
        scheme, netloc = "disco", master
    netloc = netloc.removesuffix("/")
    if scheme == "local":
        raise DiscoError(f"master={master!r}: a local cluster has no url, use Job(master=LocalCluster())")
    if scheme not in ("http", "https", "disco"):
        raise DiscoError(f"master={master!r}: {_FORMS}")
    port = _port(netloc, master)
    if scheme == "disco":
        return f"http://{netloc}" if port else f"http://{netloc}:{default_port()}"
    return f"{scheme}://{netloc}"


def _port(netloc: str, master: str) -> int | None:
    """The port in ``host[:port]``. Raises DiscoError when there is no host, a bad port or more than these two."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(f"//{netloc}")
        port = parts.port
        good = bool(parts.hostname) and parts.netloc == netloc and port != 0 and not re.search(r"[@\s]|:$", netloc)
    except ValueError:
        good = False
    if not good:
        raise DiscoError(f"master={master!r}: {_FORMS}")
    return port


def proxy_url(proxy: str | None = None) -> str:
    """Return through whom master and nodes are asked, "" for nobody: `proxy`, or when None DISCO_PROXY.

    A proxy is a node or the master itself, in the same forms as a master (reference 5).
    """
    proxy = os.environ.get("DISCO_PROXY", "") if proxy is None else proxy
    return master_url(proxy) if proxy else ""
