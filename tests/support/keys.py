"""What a terminal sends for a key, by the key's name."""

KEYS = {
    "enter": "\r",
    "tab": "\t",
    "shift+tab": "\x1b[Z",
    "esc": "\x1b",
    "backspace": "\x7f",
    "space": " ",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "home": "\x1b[H",
    "end": "\x1b[F",
    "pgup": "\x1b[5~",
    "pgdn": "\x1b[6~",
    "delete": "\x1b[3~",
    "f1": "\x1bOP",
}


def sequence(key: str) -> str:
    """The bytes, as text."""
    if key in KEYS:
        return KEYS[key]
    if key.startswith("ctrl+") and len(key) == 6:
        return chr(ord(key[-1].upper()) ^ 0x40)
    if key.startswith("alt+"):
        return "\x1b" + sequence(key.removeprefix("alt+"))
    if len(key) == 1:
        return key
    raise ValueError(f"no key named {key!r}")
