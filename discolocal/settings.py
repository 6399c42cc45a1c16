"""Settings of a client, above all which master it speaks with (reference 8.14).

Nothing is asked here: a url is built, no connection made.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from discolocal.error import DiscoError
from discolocal.schemes.scheme_disco import default_port

__all__ = ["DiscoSettings", "local_master", "master_url", "proxy_url", "use_local_master"]

LOCAL = "local://"
"""The master's url that stands for the local cluster of this process."""

_LOCAL_MASTER = "discolocal.cluster.default"
"""The module that has it, by name: this layer knows that there may be one, not what it is."""

_FILES = ("~/.disco", "/etc/disco/settings.py")

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
        raise DiscoError(f"master={master!r}: a local cluster has no address")
    if scheme not in ("http", "https", "disco"):
        raise DiscoError(f"master={master!r}: {_FORMS}")
    port = _port(netloc, master)
    if scheme == "disco":
        return f"http://{netloc}" if port else f"http://{netloc}:{default_port()}"
    return f"{scheme}://{netloc}"


_everything_is_local: list[bool] = []


def use_local_master(always: bool) -> None:
    """With `always`, every url of a master stands for the local cluster of this process from now on."""
    _everything_is_local[:] = [True] if always else []


def local_master(master: object = None) -> Any:
    """Return the local cluster of this process if that is what `master` stands for, else None.

    Parameters: `master` a url, None for DISCO_MASTER of the environment. ``local://`` is this cluster, which is made
    when it is first asked for. Raises DiscoError for a longer url of this form, and on a node, where there are no
    clusters.
    """
    url = os.environ.get("DISCO_MASTER", "") if master is None else master
    if not isinstance(url, str):
        return None
    if not _everything_is_local:
        if not url.startswith(LOCAL):
            return None
        if url != LOCAL:
            raise DiscoError(
                f"master={url!r}: {LOCAL} alone is the local cluster of this process; any other is given as itself,"
                " Job(master=LocalCluster())"
            )
    try:
        home = import_module(_LOCAL_MASTER)
    except ModuleNotFoundError as error:
        raise DiscoError(f"master={url!r}: there is no local cluster here ({error})") from error
    return home.cluster()


class DiscoSettings(dict[str, Any]):
    """Disco's settings (reference 8.14).

    Parameters: `filename` a settings file, which is run as a Python program; None: what DISCO_SETTINGS_FILE names, else
    ``~/.disco`` or ``/etc/disco/settings.py`` if it is there. Keywords are settings.

    A value is that of the environment, else the keyword's, the file's or the default. Raises DiscoError
    for a file that cannot be read or run, and by an item for a directory of Disco's own, which nothing here has.
    """

    def __init__(self, filename: str | os.PathLike[str] | None = None, **settings: Any) -> None:
        super().__init__(_defaults())
        path = _settings_file() if filename is None else os.fspath(filename)
        if path:
            self.update(_run(path))
        self.update(settings)

    def __getitem__(self, key: str) -> Any:
        if key in os.environ:
            return os.environ[key]
        return super().__getitem__(key)

    def __missing__(self, key: str) -> Any:
        if key in ("DISCO_HOME", "DISCO_ROOT", "DISCO_DATA", "DDFS_DATA", "DISCO_LOG_DIR", "DISCO_PID_DIR"):
            raise DiscoError(f"{key} is not set: it is a directory of an installed Disco, of which there is none here")
        raise KeyError(key)

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a setting, `default` for an unknown one."""
        try:
            return self[key]
        except (KeyError, DiscoError):
            return default

    @property
    def env(self) -> dict[str, str]:
        """The environment of this process with these settings."""
        return {**os.environ, **{key: str(self[key]) for key in self}}


def _defaults() -> dict[str, Any]:
    from discolocal.worker.client import owner

    node = os.uname().nodename
    return {
        "DISCO_MASTER": f"http://{node}:8989",
        "DISCO_PORT": 8989,
        "DDFS_PUT_PORT": 8990,
        "DISCO_EVENTS": "",
        "DISCO_PROXY": "",
        "DISCO_JOB_OWNER": owner(),
        "DISCO_WORKER_MAX_MEM": "80%",
        "DISCO_SCHEDULER": "fair",
        "DISCO_TEST_HOST": node,
        "DISCO_TEST_PORT": 9444,
        "DDFS_TAG_MIN_REPLICAS": 1,
        "DDFS_TAG_REPLICAS": 1,
        "DDFS_BLOB_REPLICAS": 1,
    }


def _settings_file() -> str:
    """The path of the settings file, "" if there is none."""
    named = os.environ.get("DISCO_SETTINGS_FILE")
    if named:
        return named
    return next((path for path in map(os.path.expanduser, _FILES) if os.path.isfile(path)), "")


def _run(path: str) -> dict[str, Any]:
    """The settings that a file assigns: its names in capitals."""
    space: dict[str, Any] = {"__file__": path}
    try:
        with open(path, "rb") as file:
            exec(compile(file.read(), path, "exec"), space)
    except Exception as error:
        raise DiscoError(f"The settings file {path} cannot be used: {type(error).__name__}: {error}") from error
    return {name: value for name, value in space.items() if name.isupper()}


def from_settings(settings: object, master: Any, proxy: Any = None) -> tuple[Any, Any]:
    """The master and the proxy to use, where those not given come from `settings`, a DiscoSettings or other mapping."""
    if settings is None:
        return master, proxy
    if not isinstance(settings, Mapping) or not settings:
        raise DiscoError(f"settings={settings!r}: must be a DiscoSettings")
    return (
        settings["DISCO_MASTER"] if master is None else master,
        settings["DISCO_PROXY"] if proxy is None else proxy,
    )


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
