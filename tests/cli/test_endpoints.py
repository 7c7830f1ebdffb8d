"""`promptmill models` and `promptmill providers`: whom a job can ask, and for what."""

from __future__ import annotations

from pathlib import Path

from tests.support.jobs import JobFolder
from tests.support.processes import unused_port
from tests.support.scripted import ScriptedEndpoint, error


def test_models_lists_what_the_endpoint_serves(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """`models` prints one id per line."""
    result = JobFolder(tmp_path, endpoint.url).call("models", "vllm", "--base-url", endpoint.origin)
    assert [received.path for received in endpoint.requests] == ["/v1/models"]
    assert (result.returncode, result.stdout, result.stderr) == (0, "test-model\n", "")


def test_models_of_an_endpoint_without_a_list(tmp_path: Path) -> None:
    """An endpoint that has no /models is no error: its models are believed."""
    with ScriptedEndpoint(lambda received: [error(404, {"detail": "Not Found"})]) as endpoint:
        result = JobFolder(tmp_path, endpoint.url).call("models", "vllm", "--base-url", endpoint.url)
    assert (result.returncode, result.stdout) == (0, "")
    assert "no list of models" in result.stderr


def test_models_of_nobody_names_the_url(tmp_path: Path) -> None:
    """Fault 13: where nobody listens the message says which address was asked, so that a wrong base URL is seen."""
    url = f"http://127.0.0.1:{unused_port()}"
    result = JobFolder(tmp_path, url).call("models", "vllm", "--base-url", url)
    assert (result.returncode, result.stdout) == (5, "")
    assert result.stderr.startswith(f"promptmill: error: {url}/v1/models: no connection could be made")
    refused = JobFolder(tmp_path, url).call("models", "vllm", "--base-url", "gpu-7:8000")
    said = "promptmill: error: --base-url: a base URL begins with http:// or https://, or is unix: and the absolute path of a socket\n"
    assert (refused.returncode, refused.stderr) == (2, said)


def test_providers_are_listed_and_explained(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """`providers` tells for each preset whether its key is set, never the key; `providers NAME` has its note and options."""
    job = JobFolder(tmp_path, endpoint.url)
    listed = job.call("providers", environ={"OPENAI_API_KEY": "sk-canary", "GROQ_API_KEY": ""})
    assert "sk-canary" not in listed.stdout
    rows = {line.split()[0]: line.split(maxsplit=1)[1] for line in listed.stdout.splitlines()}
    assert rows["openai"].split() == ["OPENAI_API_KEY", "set", "${OPENAI_BASE_URL:-https://api.openai.com/v1}"]
    assert rows["groq"].split()[:3] == ["GROQ_API_KEY", "not", "set"]
    explained = job.call("providers", "anyscale").stdout
    assert "2024-08-01" in explained
    assert "guided_json" in explained


def test_ones_own_providers_are_listed_and_explained(endpoint: ScriptedEndpoint, tmp_path: Path) -> None:
    """Providers of providers.toml stand beside the presets; a mistake in that file is told with its line."""
    job = JobFolder(tmp_path, endpoint.url)
    file = tmp_path / "config" / "promptmill" / "providers.toml"
    file.parent.mkdir(parents=True)
    file.write_text('[provider.mine]\npreset = "vllm"\nbase_url = ["${A}", "http://b"]\napi_key_env = "MINE_KEY"\n')
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "MINE_KEY": "sk-canary"}
    listed = job.call("providers", environ=environ).stdout
    assert listed.splitlines()[-1].split() == ["mine", "MINE_KEY", "set", "${A},", "http://b"]
    explained = job.call("providers", "mine", environ=environ)
    assert str(file) in explained.stdout
    assert "vllm" in explained.stdout
    assert "sk-canary" not in listed + explained.stdout
    assert "did you mean mine?" in job.call("providers", "mien", environ=environ).stderr
    file.write_text("[provider.mine]\nbase_ulr = 3\n")
    broken = job.call("providers", environ=environ)
    assert (broken.returncode, "providers.toml:2: provider.mine.base_ulr" in broken.stderr) == (2, True)
