"""Everything that is wrong with a configuration, gathered so that one run reports it all."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from llmux.config.lines import Lines, Place
from llmux.config.schema import Warning_
from llmux.errors import Kind, LlmuxError


class Fault(Struct, frozen=True):
    """One thing that is wrong. path: where in the document; absence: it is only that a value from outside (an
    environment variable, a file) is missing, which does not matter where the value is not used; keyless: the provider
    that has no key for that reason."""

    line: int
    path: Place
    where: str
    text: str
    absence: bool = False
    keyless: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


class ConfigErrors(LlmuxError):
    """The configuration cannot be used. `faults` holds every reason; `detail` is all of them, a line each."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__(Kind.config, "\n".join(map(str, self.faults)))


class Report:
    """Gathers errors and warnings while a configuration is read.

    interpolated  paths of strings that were built from `${…}`: their values are not shown, and "8082" may be a number
    absent        paths whose value is of no use: reported once, then treated as not given
    literals      paths of secrets that stand in the document itself
    """

    def __init__(self, source: str, lines: Lines) -> None:
        self._source = source
        self._lines = lines
        self._errors: list[Fault] = []
        self._warnings: list[Fault] = []
        self.interpolated: set[Place] = set()
        self.absent: set[Place] = set()
        self.literals: set[Place] = set()

    def error(self, path: Place, text: str, *, absence: bool = False, keyless: str = "") -> None:
        """Adds an error: what is wrong, then what would be right."""
        self._errors.append(self._fault(path, text, absence=absence, keyless=keyless))

    def warn(self, path: Place, text: str) -> None:
        """Adds a warning."""
        self._warnings.append(self._fault(path, text))

    def excuse(self, prefix: Place, reason: str) -> None:
        """Turns missing values below `prefix` into warnings, because nothing that is enabled needs them."""
        kept: list[Fault] = []
        for fault in self._errors:
            if fault.absence and fault.path[: len(prefix)] == prefix:
                self._warnings.append(Fault(fault.line, fault.path, fault.where, f"{fault.text} ({reason})"))
            else:
                kept.append(fault)
        self._errors = kept

    def keyless(self) -> frozenset[str]:
        """The providers that are said to have no key."""
        return frozenset(fault.keyless for fault in self._errors if fault.keyless)

    def forgive(self, providers: frozenset[str]) -> None:
        """Takes back that these providers have no key."""
        self._errors = [fault for fault in self._errors if fault.keyless not in providers]

    def raise_errors(self) -> None:
        """Raises ConfigErrors when there is any error, in the order of the file."""
        if self._errors:
            raise ConfigErrors(sorted(self._errors, key=lambda fault: fault.line))

    def warnings(self) -> tuple[Warning_, ...]:
        """The warnings so far, in the order of the file."""
        return tuple(
            Warning_(fault.where, fault.text) for fault in sorted(self._warnings, key=lambda fault: fault.line)
        )

    def _fault(self, path: Place, text: str, *, absence: bool = False, keyless: str = "") -> Fault:
        line = self._lines.find(path)
        place = f"{self._source}:{line}" if line else self._source
        key = ".".join(part for part in path if isinstance(part, str))
        return Fault(line, path, f"{place}: {key}" if key else place, text, absence, keyless)
