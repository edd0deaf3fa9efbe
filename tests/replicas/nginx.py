"""nginx with the configuration of this repository, deploy/nginx.conf."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.listeners import reserved_port
from tests.processes import clean_environment, process
from tests.programs import needs

CONFIG = Path(__file__).parents[2] / "deploy/nginx.conf"
LISTEN = "listen 8000;"
SERVERS = "    server gateway-a:8000;\n    server gateway-b:8000;\n"
AT_ITS_DEFAULTS = f"""
upstream gateways {{
{SERVERS}}}
server {{
    {LISTEN}
    location / {{
        proxy_pass http://gateways;
    }}
}}
"""

READY = re.compile(r"start worker process \d+")

MAIN = """
daemon off;
pid {folder}/pid;
error_log stderr notice;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


@contextmanager
def nginx(ports: Sequence[int], *, at_its_defaults: bool = False) -> Iterator[str]:
    """Run nginx before gateways on these local ports; yield its URL."""
    site = AT_ITS_DEFAULTS if at_its_defaults else CONFIG.read_text(encoding="utf-8")
    with TemporaryDirectory() as name, reserved_port() as port:
        folder = Path(name)
        folder.chmod(0o755)  # if root starts it, its workers are another user's
        (folder / "site.conf").write_text(_localize(site, port, ports), encoding="utf-8")
        (folder / "nginx.conf").write_text(MAIN.format(folder=folder), encoding="utf-8")
        command = [needs("nginx"), "-e", "stderr", "-c", str(folder / "nginx.conf")]
        with process(command, clean_environment(), ready=READY):
            yield f"http://127.0.0.1:{port}"


def _localize(site: str, port: int, ports: Sequence[int]) -> str:
    assert LISTEN in site
    assert SERVERS in site
    servers = "".join(f"    server 127.0.0.1:{each};\n" for each in ports)
    return site.replace(LISTEN, f"listen 127.0.0.1:{port};").replace(SERVERS, servers)
