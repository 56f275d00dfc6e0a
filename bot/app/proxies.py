"""Through which proxy an address is reached: the environment's HTTPS_PROXY, HTTP_PROXY and NO_PROXY.

`urllib.request` knows the variables' rules, and a Mac's system settings. Two are added: this machine is
always reached directly, and NO_PROXY may name networks (`10.0.0.0/8`).
"""

from __future__ import annotations

import ipaddress
import os
import urllib.request
from typing import Any
from urllib.parse import urlsplit

_SCHEMES = {"ws": "http", "wss": "https"}  # a socket takes the proxy of its handshake
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


def proxy_for(url: str) -> str | None:
    """The proxy's address for `url`; None where it is reached directly."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    place = f"{host}:{parts.port}" if parts.port and ":" not in host else host
    proxies = urllib.request.getproxies()
    proxy = proxies.get(_SCHEMES.get(parts.scheme, parts.scheme))
    exempt = proxies.get("no", "")
    if not proxy or _is_here(host) or urllib.request.proxy_bypass(place) or _is_in_network(host, exempt):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def open_url(request: urllib.request.Request, seconds: float) -> Any:
    """`urlopen` through the proxy of the request's address, if any. Blocking; raises what `urlopen` does."""
    proxy = proxy_for(request.full_url)
    handler = urllib.request.ProxyHandler({request.type: proxy} if proxy else {})
    return urllib.request.build_opener(handler).open(request, timeout=seconds)


def exempt_this_machine() -> None:
    """Let NO_PROXY name this machine, for libraries and child processes that read it themselves."""
    proxies = urllib.request.getproxies_environment()
    exempt = proxies.pop("no", "")
    if proxies and exempt != "*":
        names = dict.fromkeys((*filter(None, exempt.split(",")), *_THIS_MACHINE))
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(names)


def _is_here(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_in_network(host: str, exempt: str) -> bool:
    for name in exempt.split(","):
        try:
            if "/" in name and ipaddress.ip_address(host) in ipaddress.ip_network(name.strip(), strict=False):
                return True
        except ValueError:  # a name, or no network
            continue
    return False
