"""The verdict table: what each server's real words mean (FAULTS.md, "Who says what")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from batch.policy.verdicts import Action, Verdict, judge
from batch.providers.replies import ReplyFormatError, read_reply
from batch.records import ErrorKind, Exchange, Fault, Reply
from tests.support.scripted import chat_body

DONE, RETRY, FAIL, STOP = Action.DONE, Action.RETRY, Action.FAIL, Action.STOP
NOW = 1_700_000_000.0


def seen(status: int | None, body: Any = b"", headers: Mapping[str, str] | None = None, fault: Fault | None = None) -> Exchange:
    """The exchange that the client makes of such a reply."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    reply: Reply | None = None
    if status is not None and fault is None:
        try:
            reply = read_reply("chat/completions", raw)
        except ReplyFormatError as error:
            fault = Fault(ErrorKind.PROTOCOL, error.code, str(error)) if status == 200 else None
    return Exchange(status, headers or {}, raw, reply, fault, 0.0, None, 1.0)


def error(message: str, code: Any = None, type_: str | None = None, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": type_, "param": None, "code": code, **more}}


OPENAI_CONTEXT = error(
    "This model's maximum context length is 128000 tokens. However, your messages resulted in 200007 tokens.",
    "context_length_exceeded",
    "invalid_request_error",
)
VLLM_CONTEXT = (
    "This model's maximum context length is 2048 tokens. However, you requested 3000 tokens. Please reduce the length of the messages."
)
LLAMA_CONTEXT = {
    "error": {
        "code": 400,
        "message": "the request exceeds the available context size, try increasing it",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": 5000,
        "n_ctx": 2048,
    }
}
GEMINI_KEY = [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT"}}]
TOGETHER_403 = error(
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097. Given: 5000", None, "invalid_request_error"
)

TABLE: list[tuple[str, int, Any, Action, str]] = [
    ("OpenAI", 429, error("You exceeded your current quota", "insufficient_quota", "insufficient_quota"), STOP, "quota"),
    ("OpenAI", 429, error("No credits", "credit_balance_exhausted"), STOP, "quota"),
    ("OpenAI", 429, error("Project limit", "project_spend_limit_exceeded"), STOP, "quota"),
    ("OpenAI", 429, error("Org limit", "organization_usage_limit_exceeded"), STOP, "quota"),
    ("OpenAI", 429, error("Rate limit reached for gpt-5-mini", "rate_limit_exceeded", "requests"), RETRY, "rate_limit"),
    ("OpenAI", 429, error("Slow down", "slow_down"), RETRY, "rate_limit"),
    ("OpenAI", 401, error("Incorrect API key provided: sk-xx", "invalid_api_key"), STOP, "authentication"),
    ("OpenAI", 403, error("Country not supported", "unsupported_country_region_territory"), FAIL, "permission"),
    ("OpenAI", 403, error("Project does not have access to model `o9`", "model_not_found"), STOP, "model_not_found"),
    ("OpenAI", 404, error("The model `o9` does not exist or you do not have access to it.", "model_not_found"), STOP, "model_not_found"),
    ("OpenAI", 400, OPENAI_CONTEXT, FAIL, "context_length"),
    ("OpenAI", 400, error("Invalid value: 'x'", "invalid_value", "invalid_request_error"), FAIL, "bad_request"),
    (
        "OpenAI",
        400,
        error("Unsupported parameter: 'max_tokens' is not supported with this model.", "unsupported_parameter"),
        FAIL,
        "bad_request",
    ),
    ("OpenAI", 500, error("The server had an error", None, "server_error"), RETRY, "server_error"),
    ("OpenAI", 503, error("The engine is currently overloaded", None, "server_error"), RETRY, "overloaded"),
    ("Azure", 400, error("The response was filtered", "content_filter", status=400), FAIL, "content_filter"),
    ("Azure", 404, error("The API deployment for this resource does not exist", "DeploymentNotFound"), STOP, "model_not_found"),
    ("Azure", 408, error("Operation timed out", "Timeout"), RETRY, "server_error"),
    ("Together", 403, TOGETHER_403, FAIL, "context_length"),
    ("Together", 402, error("Spend limit reached"), STOP, "quota"),
    ("Groq", 498, error("Flex tier capacity exceeded"), RETRY, "no_capacity"),
    ("OpenAI, flex", 429, error("Resource unavailable. Try again later.", code="resource_unavailable"), RETRY, "no_capacity"),
    ("Groq", 413, error("Request too large for model `x` on tokens per minute (TPM)", "rate_limit_exceeded", "tokens"), FAIL, "too_large"),
    ("Groq", 400, error("The model `x` has been decommissioned", "model_decommissioned"), STOP, "model_not_found"),
    ("OpenRouter", 402, error("Insufficient credits", 402), STOP, "quota"),
    ("OpenRouter", 403, error('x requires moderation. Your input was flagged for "hate"', 403), FAIL, "content_filter"),
    ("OpenRouter", 400, error("foo/bar is not a valid model ID", 400), STOP, "model_not_found"),
    ("OpenRouter", 404, error("No endpoints found that support image input", 404), FAIL, "not_found"),
    ("OpenRouter", 502, error("Provider returned error", 502), RETRY, "server_error"),
    (
        "vLLM, old",
        400,
        {"object": "error", "message": VLLM_CONTEXT, "type": "BadRequestError", "param": None, "code": 400},
        FAIL,
        "context_length",
    ),
    ("vLLM, new", 400, error(VLLM_CONTEXT, 400, "BadRequestError"), FAIL, "context_length"),
    (
        "vLLM, old",
        404,
        {"object": "error", "message": "The model `x` does not exist.", "type": "NotFoundError", "code": 404},
        STOP,
        "model_not_found",
    ),
    ("vLLM", 500, error("EngineCore encountered an issue.", 500, "InternalServerError"), RETRY, "server_error"),
    ("llama.cpp", 503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, RETRY, "loading"),
    ("llama.cpp", 400, LLAMA_CONTEXT, FAIL, "context_length"),
    ("Ollama", 503, error("server busy, please try again.  maximum pending requests exceeded", None, "api_error"), RETRY, "overloaded"),
    ("Ollama", 404, {"error": 'model "x" not found, try pulling it first'}, STOP, "model_not_found"),
    ("Ollama", 404, error("model 'x' not found", None, "not_found_error"), STOP, "model_not_found"),
    ("TGI", 422, {"error": "Input validation error: `top_p` must be > 0", "error_type": "validation"}, FAIL, "bad_request"),
    (
        "TGI",
        422,
        {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048", "error_type": "validation"},
        FAIL,
        "context_length",
    ),
    ("TGI", 424, {"error": "Request failed during generation", "error_type": "generation"}, RETRY, "server_error"),
    ("TGI", 429, {"error": "Model is overloaded", "error_type": "overloaded"}, RETRY, "rate_limit"),
    ("TGI", 500, {"error": "Incomplete generation", "error_type": "incomplete_generation"}, RETRY, "server_error"),
    ("Hugging Face", 503, {"error": "Model x/y is currently loading", "estimated_time": 20.0}, RETRY, "loading"),
    ("Ray Serve", 503, b"", RETRY, "overloaded"),
    ("Ray Serve", 429, b"Request dropped due to backpressure", RETRY, "rate_limit"),
    ("Bedrock", 429, {"__type": "ThrottlingException", "message": "Too many tokens, please wait"}, RETRY, "rate_limit"),
    ("Bedrock", 429, {"__type": "ThrottlingException", "message": "Too many tokens per day, please wait"}, STOP, "quota"),
    ("Bedrock", 429, {"__type": "x#ModelNotReadyException", "message": "Model is not ready for inference."}, RETRY, "loading"),
    ("Ray Serve", 404, b"Path '/x' not found. Please ping http://.../-/routes for the route table.", STOP, "not_found"),
    ("Anyscale, old", 404, {"detail": "Not Found"}, STOP, "not_found"),
    ("FastAPI", 422, {"detail": [{"loc": ["body", "messages"], "msg": "Field required"}]}, FAIL, "bad_request"),
    ("DeepSeek", 400, error("Model Not Exist", "invalid_request_error", "invalid_request_error"), STOP, "model_not_found"),
    ("DeepSeek", 402, error("Insufficient Balance", "invalid_request_error", "unknown_error"), STOP, "quota"),
    ("Mistral", 400, {"object": "error", "message": "Invalid model: x", "type": "invalid_model", "code": "1500"}, STOP, "model_not_found"),
    ("Fireworks", 404, error("Model not found, inaccessible, and/or not deployed", "NOT_FOUND"), STOP, "model_not_found"),
    (
        "Gemini",
        429,
        [{"error": {"code": 429, "message": "Resource has been exhausted", "status": "RESOURCE_EXHAUSTED"}}],
        RETRY,
        "rate_limit",
    ),
    ("Gemini", 400, GEMINI_KEY, STOP, "authentication"),
    ("LiteLLM", 400, {"error": {"message": "No connected db.", "type": "no_db_connection", "code": "400"}}, STOP, "authentication"),
    (
        "Gemini",
        404,
        [{"error": {"code": 404, "message": "models/x is not found for API version v1main", "status": "NOT_FOUND"}}],
        STOP,
        "model_not_found",
    ),
    ("Anthropic", 529, error("Overloaded", None, "overloaded_error"), RETRY, "overloaded"),
    ("Anthropic", 400, error("Your credit balance is too low to access the Anthropic API", None, "invalid_request_error"), STOP, "quota"),
    (
        "Azure API Management",
        403,
        {"statusCode": 403, "message": "Out of call volume quota. Quota will be replenished in 10:12:33."},
        RETRY,
        "quota",
    ),
    ("Azure API Management", 403, {"statusCode": 403, "message": "Out of call volume quota."}, STOP, "quota"),
    ("Alibaba", 429, error("Allocated quota exceeded, please increase your quota limit.", "insufficient_quota"), RETRY, "rate_limit"),
    ("Alibaba", 429, error("Requests rate limit exceeded, please try again later.", "limit_requests"), RETRY, "rate_limit"),
    ("Alibaba", 403, error("Free allocated quota exceeded.", "AllocationQuota.FreeTierOnly"), STOP, "quota"),
    ("Alibaba", 400, error("Access denied, please make sure your account is in good standing.", "Arrearage"), STOP, "quota"),
    ("Volcengine", 403, error("The request failed because your account has an overdue balance.", "AccountOverdueError"), STOP, "quota"),
    ("Volcengine", 404, error("x does not exist or you do not have access to it.", "ModelNotOpen"), STOP, "model_not_found"),
    ("Volcengine", 400, error("The input text includes risky content.", "InputTextRiskDetection"), FAIL, "content_filter"),
    ("Zhipu", 429, error("您的账户已欠费，请充值后重试", "1113"), STOP, "quota"),
    ("Zhipu", 429, error("您的账户已被锁定", "1112"), STOP, "permission"),
    ("Zhipu", 400, error("模型不存在，请检查模型代码", "1211"), STOP, "model_not_found"),
    ("Zhipu", 400, error("Prompt 超长", "1261"), FAIL, "context_length"),
    ("Kimi", 429, error("Your account is suspended, please check your plan", None, "exceeded_current_quota_error"), STOP, "quota"),
    ("Kimi", 400, error("Your request exceeded model token limit : 8192", None, "invalid_request_error"), FAIL, "context_length"),
    ("Qianfan", 400, error("Prompt tokens too long", "tokens_too_long"), FAIL, "context_length"),
    ("Novita", 403, {"code": 403, "reason": "NOT_ENOUGH_BALANCE", "message": "not enough balance"}, STOP, "quota"),
    ("MiniMax", 500, error("input new_sensitive (1026)", None, "api_error"), FAIL, "content_filter"),
    ("MiniMax", 429, error("insufficient balance (1008)", None, "insufficient_balance_error"), STOP, "quota"),
    ("one-api", 403, error("user quota is not enough", "insufficient_user_quota"), STOP, "quota"),
    (
        "Databricks",
        403,
        {"error_code": "PERMISSION_DENIED", "message": "The endpoint is disabled."},
        STOP,
        "permission",
    ),
    ("LiteLLM", 429, {"detail": "Max budget limit reached."}, STOP, "quota"),
    ("a Chinese gateway", 400, error("账户已欠费"), STOP, "quota"),
    ("a Chinese gateway", 429, error("余额不足, 请充值"), STOP, "quota"),
    ("a Chinese gateway", 403, error("用户额度已用尽"), STOP, "quota"),
    ("a row in Chinese", 400, error("body.content: not a string: '余额不足'"), FAIL, "bad_request"),
    ("any", 409, b"", RETRY, "server_error"),
    ("any", 425, b"", RETRY, "server_error"),
    ("any", 403, b"<html>Forbidden</html>", FAIL, "permission"),
    ("any", 405, b"", STOP, "not_found"),
    ("any", 413, b"", FAIL, "too_large"),
    ("any", 418, b"", FAIL, "bad_request"),
    ("any", 500, b"", RETRY, "server_error"),
    ("any", 504, b"<html>Gateway Time-out</html>", RETRY, "server_error"),
    ("any", 599, b"", RETRY, "server_error"),
    (
        "a row that is quoted",
        400,
        error("body.content: not a string: 'insufficient balance, model x not found, API key not valid'"),
        FAIL,
        "bad_request",
    ),
]


@pytest.mark.parametrize(("server", "status", "body", "action", "code"), TABLE)
def test_who_says_what(server: str, status: int, body: Any, action: Action, code: str) -> None:
    """Faults 3 to 7, 12: each server's own words get the verdict of FAULTS.md's table, and a message for people."""
    verdict = judge(seen(status, body), NOW)
    assert verdict.error is not None
    assert (verdict.action, verdict.error.code) == (action, code), server
    assert verdict.error.http_status == status
    assert verdict.error.kind is ErrorKind.API
    assert verdict.error.message


@pytest.mark.parametrize("status", [429, 503, 529])
def test_overload_shrinks(status: int) -> None:
    """Fault 1: an endpoint that says it is full has its concurrency cut."""
    assert judge(seen(status), NOW).reduce_concurrency


def test_loading_is_free() -> None:
    """Fault 12: a server that is loading costs no attempt, and its concurrency is left alone."""
    verdict = judge(seen(503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}), NOW)
    assert (verdict.charged, verdict.reduce_concurrency, verdict.may_be_billed_twice) == (False, False, False)


@pytest.mark.parametrize(
    ("headers", "action", "wait"),
    [({}, STOP, None), ({"retry-after": "30"}, RETRY, 30.0), ({"retry-after": "junk"}, STOP, None)],
)
def test_payment_required(headers: dict[str, str], action: Action, wait: float | None) -> None:
    """OpenRouter's 402 stops the run, unless it says when to come again."""
    verdict = judge(seen(402, error("Insufficient credits", 402), headers), NOW)
    assert (verdict.action, verdict.wait) == (action, wait)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "3600"}, 3600.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30.0),
        ({"retry-after": "NaN"}, None),
    ],
)
def test_the_servers_wait_is_handed_on(headers: dict[str, str], wait: float | None) -> None:
    """Faults 1 and 2: the wait of a 429 is given whole, uncapped, or not at all."""
    assert judge(seen(429, b"", headers), NOW).wait == wait


@pytest.mark.parametrize(
    ("status", "told", "action"),
    [(400, "true", RETRY), (500, "false", FAIL), (429, "false", FAIL), (500, "true", RETRY), (401, "true", STOP), (400, "maybe", FAIL)],
)
def test_x_should_retry_is_obeyed(status: int, told: str, action: Action) -> None:
    """A server that says whether to retry is believed, but what stops a run stops it."""
    assert judge(seen(status, b"", {"x-should-retry": told}), NOW).action is action


@pytest.mark.parametrize(
    ("inner", "action", "code"),
    [
        ({"code": 429, "message": "slow down"}, RETRY, "rate_limit"),
        ({"code": 502, "message": "bad upstream"}, RETRY, "server_error"),
        ({"code": 402, "message": "no credits"}, STOP, "quota"),
        ({"code": 403, "message": "flagged by moderation"}, FAIL, "content_filter"),
        ({"code": 400, "message": "wrong"}, FAIL, "bad_request"),
        ({"code": "rate_limit_exceeded", "message": "slow"}, RETRY, "rate_limit"),
        ({"code": "context_length_exceeded", "message": "long"}, FAIL, "context_length"),
        ({"code": "insufficient_quota", "message": "broke"}, STOP, "quota"),
        ({"type": "server_error", "message": "oops"}, RETRY, "server_error"),
        ({"type": "BadRequestError", "message": "wrong"}, FAIL, "bad_request"),
        ({"message": "something"}, RETRY, "error_in_body"),
    ],
)
def test_error_inside_a_200(inner: dict[str, Any], action: Action, code: str) -> None:
    """Fault 8: an error in a 200 counts by its inner code; a retry may be billed twice, and says so."""
    verdict = judge(seen(200, {"error": inner}), NOW)
    assert verdict.error is not None
    assert (verdict.action, verdict.error.code, verdict.error.http_status) == (action, code, 200)
    # What was refused before a token came cannot have been billed.
    assert verdict.may_be_billed_twice is (action is RETRY and code not in {"rate_limit", "overloaded", "loading", "quota"})


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter"])
def test_done(reason: str) -> None:
    """Promise 5: an answer with a terminal finish_reason is done, also one cut or filtered, which is labelled later."""
    assert judge(seen(200, chat_body("x", finish_reason=reason)), NOW) == Verdict(DONE)


@pytest.mark.parametrize("body", [b"<html>hi</html>", b"", b'{"choices":null}', chat_body("", finish_reason=None)])
def test_garbage_inside_a_200(body: bytes) -> None:
    """Fault 9: what is no answer is retried as a protocol error."""
    verdict = judge(seen(200, body), NOW)
    assert (verdict.action, verdict.charged, verdict.may_be_billed_twice) == (RETRY, True, True)
    assert verdict.error is not None
    assert verdict.error.kind is ErrorKind.PROTOCOL


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_stop(status: int) -> None:
    """Fault 27: a redirect is refused with where it points to, since every row would meet it."""
    verdict = judge(seen(status, b"", {"location": "https://elsewhere.example/v1"}), NOW)
    assert verdict.error is not None
    assert (verdict.action, verdict.error.code) == (STOP, "redirect")
    assert "https://elsewhere.example/v1" in verdict.error.message


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (304, b"", "HTTP 304 (Not Modified), which is no answer and names no other place"),
        (999, b"{}", "HTTP 999 (unknown status) without a text"),
        (500, b" [] ", "HTTP 500 (Internal Server Error) without a text"),
        (500, b"{oops}", "{oops}"),
    ],
)
def test_a_refusal_without_words_is_told_by_its_status(status: int, body: bytes, says: str) -> None:
    """Fault 61: where a reply says nothing, or only braces, people read its status."""
    verdict = judge(seen(status, body), NOW)
    assert verdict.error is not None
    assert verdict.error.message.startswith(says)


@pytest.mark.parametrize(
    ("code", "sent", "action", "charged", "may_be_billed_twice"),
    [
        ("connect", False, RETRY, False, False),
        ("resolve", False, RETRY, False, False),
        ("timeout_connect", False, RETRY, False, False),
        ("proxy", False, RETRY, False, False),
        ("tls", False, STOP, False, False),
        ("reset", True, RETRY, True, True),
        ("timeout_first_byte", True, RETRY, True, True),
        ("held", True, RETRY, False, True),
        ("timeout_idle", True, RETRY, True, True),
        ("timeout_attempt", True, RETRY, True, True),
    ],
)
def test_network_faults(code: str, sent: bool, action: Action, charged: bool, may_be_billed_twice: bool) -> None:
    """Faults 13 to 18, 31, 33: what never left costs no attempt; what may have been answered is counted as a possible double."""
    verdict = judge(seen(None, fault=Fault(ErrorKind.NETWORK, code, "text", sent)), NOW)
    assert (verdict.action, verdict.may_be_billed_twice) == (action, may_be_billed_twice)
    assert verdict.charged is charged or action is STOP
    assert verdict.error is not None
    assert verdict.error.code == code


def test_the_status_counts_before_the_fault() -> None:
    """Status first: a 401 whose body is cut short is still a 401; a 200 cut short is a fault."""
    cut = Fault(ErrorKind.PROTOCOL, "truncated_body", "cut")
    assert judge(seen(401, b"", fault=cut), NOW).action is STOP
    assert judge(seen(200, b"", fault=cut), NOW).action is RETRY


def test_too_big_is_not_tried_again() -> None:
    """Fault 28: an answer beyond the cap fails its row; more attempts would only fetch it again."""
    assert judge(seen(200, b"", fault=Fault(ErrorKind.PROTOCOL, "too_big", "big")), NOW).action is FAIL
