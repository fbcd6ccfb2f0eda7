"""A client program as a value: what it speaks, where `--app` serves it, and what it has to be told."""

from __future__ import annotations

from msgspec import Struct

URL, KEY, MODEL = "<url>", "<key>", "<model>"
"""Placeholders in every text of a row. `<url>` is llmux's root, without a slash at the end and without /v1."""


class Address(Struct, frozen=True):
    """What a program is told: where llmux answers, with which client key, and which model to ask for.

    key    never empty: some programs do not start without one, and llmux takes any text where it has no client keys
    model  empty: the program's own choice
    """

    url: str
    key: str = "any-text"
    model: str = ""

    def fill(self, text: str) -> str:
        """The text with its placeholders replaced."""
        return text.replace(URL, self.url).replace(KEY, self.key).replace(MODEL, self.model)

    def has(self, text: str) -> bool:
        """Whether everything that the text asks for is known: a line about the model is left out without one."""
        return bool(self.model) or MODEL not in text


class Settings(Struct, frozen=True, kw_only=True):
    """A program's own settings file, and what is written into it.

    format   json (with comments), toml, or yaml (top-level keys only)
    home     the directory on POSIX systems, below the user's home
    windows  the directory on Windows, where it is another; `%NAME%` is taken from the environment
    moved    environment variable that names another directory, and what of `home` it stands for; on macOS it may not
             count
    names    file names, the first one that exists is taken, else the first
    values   (path of keys, text), both with placeholders
    beaten   environment variables that win over the file
    keyed    values written where llmux asks for a client key; they name `VARIABLE` where the program can read one, so
             that the key itself stays out of the file
    key_variable  where the program takes the key from when it starts; empty: the file holds it
    """

    format: str
    home: str
    names: tuple[str, ...]
    values: tuple[tuple[tuple[str, ...], str], ...]
    windows: str = ""
    moved: tuple[str, str] = ("", "")
    moved_on_mac: bool = True
    beaten: tuple[str, ...] = ()
    keyed: tuple[tuple[tuple[str, ...], str], ...] = ()
    key_variable: str = ""

    def written(self, address: Address, *, keyed: bool) -> tuple[tuple[tuple[str, ...], str], ...]:
        """What is written for this address, in order. keyed: llmux asks for a client key."""
        values = {path: text for path, text in self.values if address.has(text + "".join(path))}
        values |= dict(self.keyed) if keyed else {}
        return tuple((tuple(map(address.fill, path)), address.fill(text)) for path, text in values.items())


class Program(Struct, frozen=True, kw_only=True):
    """One client program.

    name         how it is called here; `aliases` are taken as well
    title        how it calls itself
    protocols    what it may be told to speak; all of them are served under `--app`
    port         where `--app` serves it
    agents       what its User-Agent begins with, in lower case
    executable   what `launch` runs; empty: it is a library or has no command
    install      how to get it, when it is not there
    environment  variables that point it at llmux
    inline       variable that takes the values of its settings file as JSON
    unset        variables that would win over them
    arguments    put before the user's own
    firm         more of them, for what is set in its own settings files and would win over the environment
    chosen       added to them when a model is named
    needs_model  it does not run without a model's name
    trust        variable that makes it trust one more certificate authority
    guesses      fields of its requests that it fills in without knowing, as dotted paths: they give way to a
                 backend's configuration
    settings     its settings file, where `setup` can write it
    example      lines that show its use from a program
    note         what else a user must know
    """

    name: str
    title: str
    protocols: tuple[str, ...]
    port: int = 8082
    aliases: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    executable: str = ""
    install: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    inline: str = ""
    unset: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    firm: tuple[str, ...] = ()
    chosen: tuple[str, ...] = ()
    needs_model: bool = False
    trust: str = "SSL_CERT_FILE"
    guesses: tuple[str, ...] = ()
    settings: Settings | None = None
    example: tuple[str, ...] = ()
    note: str = ""

    def variables(self, address: Address) -> dict[str, str]:
        """The environment variables that point it at this address."""
        return {name: address.fill(text) for name, text in self.environment if address.has(text)}

    def command(self, address: Address, more: tuple[str, ...] = (), *, firm: bool = False) -> list[str]:
        """The command line that runs it, `more` being the user's own arguments."""
        ours = (*self.arguments, *(self.firm if firm else ()), *(self.chosen if address.model else ()))
        return [self.executable, *map(address.fill, ours), *more]
