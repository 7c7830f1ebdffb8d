"""Who runs: promptmill, the floors under it, and its peers, each as a command for a load."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tests.benchmarks.inputs import job

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ENVIRONMENTS = ROOT / ".venv-bench"
QUIET = {
    "DO_NOT_TRACK": "1",
    "TELEMETRY_ENABLED": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "LANGSMITH_TRACING": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "CURATOR_DISABLE_RICH_DISPLAY": "1",
}


@dataclass(frozen=True, slots=True)
class Load:
    """Rows to be sent to one endpoint: `connections` at a time, results in `folder`."""

    url: str
    rows: Path
    connections: int
    folder: Path
    streamed: bool = False
    seconds: int = 3


@dataclass(frozen=True, slots=True)
class Contender:
    """One that takes part. `kept` names the file below the load's folder that holds a line per answer; None: it keeps nothing.

    `environment` is a folder of .venv-bench with `requirements`, or None for promptmill's own. `steady` contenders run in every
    round, the others in the first only. `fixed` ones send the rows they are given; wrk sends what it can for some seconds.
    `python` is the oldest version of Python that it takes.
    """

    name: str
    title: str
    command: Callable[[Load], list[str]]
    kept: str | None = None
    environment: str | None = None
    requirements: tuple[str, ...] = ()
    steady: bool = True
    fixed: bool = True
    python: tuple[int, int] = (3, 11)


def child_environment(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The environment of every contender: no telemetry, no proxies, compiled modules kept as on a user's machine, caches in `folder`."""
    dropped = {"PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONPATH", "VIRTUAL_ENV"}
    kept = {name: value for name, value in environ.items() if name not in dropped and not name.lower().endswith("_proxy")}
    return {**kept, **QUIET, "HF_HOME": str(folder / "hf"), "XDG_CACHE_HOME": str(folder / "cache"), "NO_PROXY": "127.0.0.1"}


def promptmill(*words: str) -> list[str]:
    """A promptmill command, by the script that users have."""
    return [str(Path(sys.executable).parent / "promptmill"), *words]


def _promptmill(load: Load) -> list[str]:
    path = load.folder / "job.toml"
    path.write_text(job(load.rows, load.url, load.folder / "run", connections=load.connections, stream=load.streamed))
    return promptmill("run", str(path))


def _floor(script: str, *more: str) -> Callable[[Load], list[str]]:
    def command(load: Load) -> list[str]:
        sending = ["--url", load.url, "--rows", str(load.rows), "--connections", str(load.connections)]
        return [sys.executable, str(HERE / "floors" / script), *sending, *more]

    return command


def _wrk(load: Load) -> list[str]:
    script = str(HERE / "floors" / "post.lua")
    return ["wrk", "-t1", f"-c{load.connections}", f"-d{load.seconds}s", "--timeout", "30s", "-s", script, f"{load.url}/chat/completions"]


def _peer(environment: str, script: str, *more: str) -> Callable[[Load], list[str]]:
    def command(load: Load) -> list[str]:
        sending = ["--url", load.url, "--rows", str(load.rows), "--connections", str(load.connections)]
        keeping = ["--out", str(load.folder / "results.jsonl"), *(["--stream"] if load.streamed else [])]
        return [str(ENVIRONMENTS / environment / "bin" / "python"), str(HERE / "peers" / script), *sending, *keeping, *more]

    return command


def _of(name: str, title: str, environment: str, requirements: tuple[str, ...], script: str, *more: str, steady: bool = False) -> Contender:
    return Contender(name, title, _peer(environment, script, *more), "results.jsonl", environment, requirements, steady)


OURS = Contender("promptmill", "**promptmill**", _promptmill, "run/completions.jsonl")
FLOOR = Contender("engine", "bare loop on promptmill's engine (prebuilt requests)", _floor("engine_loop.py"))
FLOORS = (
    FLOOR,
    Contender("aiohttp", "bare aiohttp loop", _floor("aiohttp_loop.py")),
    Contender("wrk", "wrk (C, nothing parsed)", _wrk, steady=False, fixed=False),
)
_OPENAI = ("openai[aiohttp]",)
_COOKBOOK = ("aiohttp", "tiktoken", "litellm")  # litellm brings the encoding
PEERS = (
    _of("openai-aiohttp", "OpenAI SDK, aiohttp client, semaphore", "openai", _OPENAI, "openai_sdk.py", "--http", "aiohttp", steady=True),
    _of("openai", "OpenAI SDK, semaphore", "openai", _OPENAI, "openai_sdk.py", steady=True),
    _of("cookbook", "OpenAI cookbook's parallel processor, own rendering", "cookbook", _COOKBOOK, "cookbook.py", steady=True),
    _of("curator", "curator", "curator", ("bespokelabs-curator",), "curator_llm.py"),
    _of("lm-eval", "lm-eval, local-chat-completions", "lm_eval", ("lm-eval[api]",), "lm_eval_local.py"),
    _of("flexllm", "flexllm, chat_batch_iter", "flexllm", ("flexllm",), "flexllm_batch.py"),
    _of("async-batch-llm", "async-batch-llm, process_prompts", "async_batch_llm", ("async-batch-llm[openai]",), "async_batch_prompts.py"),
    _of(
        "baseten",
        "baseten-performance-client (Rust), answers in memory to the end",
        "baseten",
        ("baseten-performance-client",),
        "baseten_post.py",
        steady=True,
    ),
    replace(
        _of("inference-perf", "inference-perf, its own prompts", "inference_perf", ("inference-perf",), "inference_perf_run.py"),
        python=(3, 12),
    ),
    _of("langchain", "langchain-openai, abatch_as_completed", "langchain", ("langchain-openai",), "langchain_abatch.py"),
    _of("litellm", "litellm acompletion, semaphore", "litellm", ("litellm",), "litellm_acompletion.py"),
    _of("inspect", "inspect_ai", "inspect", ("inspect_ai", "openai"), "inspect_eval.py"),
)
# Its answers are lost where it is killed: no other peer that is compared with promptmill works so.
KEEPS_AT_THE_END = frozenset({"baseten"})
# Not a peer but a yardstick beside them: nobody publishes it, many write it.
LOOP = _of("loop", "hand-written aiohttp loop that appends its answers", "aiohttp", ("aiohttp",), "aiohttp_loop.py", steady=True)
ALL = {contender.name: contender for contender in (OURS, *FLOORS, LOOP, *PEERS)}


def run_environment(folder: Path) -> dict[str, str]:
    """`child_environment` of this process, the project's root importable for the floors."""
    return {**child_environment(os.environ, folder), "PYTHONPATH": str(ROOT)}
