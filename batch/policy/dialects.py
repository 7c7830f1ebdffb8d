"""The errors of known servers, as data: statuses, codes and words, and what each means. One row for each dialect, with its source.

The words sharpen a decision that the evidence makes anyway (`blame.py`): an unknown wording is never worse than a slower answer.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple


class Action(Enum):
    """What to do with the task, or with the run."""

    DONE = "done"
    RETRY = "retry"
    FAIL = "fail"
    STOP = "stop"


class Ruling(NamedTuple):
    """What an error means; the fields are those of `verdicts.Verdict`."""

    action: Action
    code: str
    charged: bool = True
    reduce_concurrency: bool = False
    may_be_billed_twice: bool = False
    unusable: bool = False


RETRY, FAIL, STOP = Action.RETRY, Action.FAIL, Action.STOP

BAD_REQUEST = Ruling(FAIL, "bad_request")
SERVER_ERROR = Ruling(RETRY, "server_error")
MAYBE_ANSWERED = Ruling(RETRY, "server_error", may_be_billed_twice=True)
NEVER_ARRIVED = Ruling(RETRY, "server_error", charged=False)
OVERLOADED = Ruling(RETRY, "overloaded", reduce_concurrency=True)
RATE_LIMIT = Ruling(RETRY, "rate_limit", charged=False, reduce_concurrency=True)  # it says nothing of the row; its wait bounds the retries
LOADING = Ruling(RETRY, "loading", charged=False)
QUOTA = Ruling(STOP, "quota")
QUOTA_FOR_NOW = Ruling(RETRY, "quota")
AUTHENTICATION = Ruling(STOP, "authentication")
DISABLED = Ruling(STOP, "permission")
PERMISSION = Ruling(FAIL, "permission")
MODEL_NOT_FOUND = Ruling(STOP, "model_not_found")
NOT_FOUND = Ruling(FAIL, "not_found")
NO_SUCH_PATH = Ruling(STOP, "not_found")
CONTEXT_LENGTH = Ruling(FAIL, "context_length")
CONTENT_FILTER = Ruling(FAIL, "content_filter")
TOO_LARGE = Ruling(FAIL, "too_large")
MISFIT = Ruling(RETRY, "answer_not_json", may_be_billed_twice=True, unusable=True)

STATUSES: dict[int, Ruling] = {
    401: AUTHENTICATION,
    402: QUOTA,
    403: PERMISSION,
    404: NOT_FOUND,
    405: NO_SUCH_PATH,
    408: MAYBE_ANSWERED,
    409: SERVER_ERROR,
    413: TOO_LARGE,
    421: SERVER_ERROR,  # RFC 9110, 15.5.20: another connection may reach the right server
    423: SERVER_ERROR,
    424: SERVER_ERROR,  # TGI: the generation failed
    425: SERVER_ERROR,
    429: RATE_LIMIT,
    460: MAYBE_ANSWERED,  # AWS load balancer: it lost the connection to us
    498: OVERLOADED,  # Groq: the flex tier is out of capacity
    499: MAYBE_ANSWERED,  # nginx and Google: the client, which may be a proxy on the way, closed the request
    502: MAYBE_ANSWERED,
    503: OVERLOADED,
    504: MAYBE_ANSWERED,
    520: MAYBE_ANSWERED,  # 520 to 524: Cloudflare, on its way to the endpoint
    521: NEVER_ARRIVED,
    522: NEVER_ARRIVED,
    523: NEVER_ARRIVED,
    524: MAYBE_ANSWERED,
    529: OVERLOADED,  # Anthropic
}

STATUS_OF_NAME: dict[str, int] = {
    "api_error": 500,
    "authentication_error": 401,
    "authenticationerror": 401,
    "badrequesterror": 400,
    "bad_request": 400,
    "image_too_large": 400,
    "internal_server_error": 500,
    "internalservererror": 500,
    "invalid_api_key": 401,
    "invalid_argument": 400,
    "invalid_image": 400,
    "invalid_prompt": 400,
    "invalid_request_error": 400,
    "not_found_error": 404,
    "notfounderror": 404,
    "overloaded_error": 529,
    "permission_denied": 403,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "ratelimiterror": 429,
    "resource_exhausted": 429,
    "server_error": 500,
    "service_unavailable": 503,
    "serviceunavailableerror": 503,
    "timeout": 408,
    "unavailable": 503,
    "unavailable_error": 503,
}
"""Codes and types that stand in an error inside a 200, where no status says what they mean."""


class Dialect(NamedTuple):
    """An error that is recognised by its name (code or type) or by its words, at these statuses. `names` and `words` are patterns."""

    ruling: Ruling
    statuses: frozenset[int]
    source: str
    names: str | None = None
    words: str | None = None


# Servers quote rows in their messages: words that stop a run are looked for at a message's beginning and before any quote only.
_BEFORE_QUOTES = r"^[^'\"{\[]{0,80}?"


def _row(ruling: Ruling, statuses: frozenset[int], source: str, *, names: str | None = None, words: str | None = None) -> Dialect:
    begin = _BEFORE_QUOTES if ruling.action is STOP else ""
    # `re` compiles them when they are first needed, and keeps them: all at once they would take 4 ms of each start.
    return Dialect(ruling, statuses, source, names, None if words is None else f"{begin}(?:{words})")


_CLIENT = frozenset({400, 403, 404, 413, 422})
_MONEY = _CLIENT | {402, 429, 500}

OPENAI = "https://platform.openai.com/docs/guides/error-codes"
ANTHROPIC = "https://docs.anthropic.com/en/api/errors"
OPENROUTER = "https://openrouter.ai/docs/api-reference/errors"
GEMINI = "https://ai.google.dev/gemini-api/docs/troubleshooting"
AZURE = "https://learn.microsoft.com/azure/ai-foundry/openai/quotas-limits"
LLAMACPP = "https://github.com/ggml-org/llama.cpp/tree/master/tools/server"
VLLM = "https://github.com/vllm-project/vllm/tree/main/vllm/entrypoints/openai"

DIALECTS: tuple[Dialect, ...] = (
    # The model's answer is no JSON, or no call of a tool; it stands in failed_generation.
    _row(
        MISFIT,
        frozenset({400, 422}),
        "https://console.groq.com/docs/errors",
        names=r"json_validate_failed|tool_use_failed|output_parse_failed",
    ),
    # One request that no wait lets through; before the rate limits, whose status it has.
    _row(TOO_LARGE, frozenset({429, 413}), OPENAI, words=r"request too large|must be reduced in order to run successfully"),
    _row(
        TOO_LARGE, frozenset({400, 500}), LLAMACPP, words=r"input \(\d+ tokens\) is too large to process|increase the physical batch size"
    ),
    # Capacity that is on its way; before the models that are not found, whose status it has.
    _row(
        LOADING,
        frozenset({404, 409, 423, 429, 500, 502, 503}),
        "https://docs.fireworks.ai/guides/ondemand-deployments (scaling from zero)",
        names=r"deployment_scaling_up|scaling_up|model_loading",
        words=r"scal(ing|ed) (up|from zero|to zero)|scaling up from|(is|are) (being )?(provisioned|started|warming up)|cold start",
    ),
    _row(
        LOADING,
        frozenset({423, 500, 502, 503}),
        LLAMACPP,
        words=r"loading model|(model|currently|still) .{0,200}loading|is loading|: loading",
    ),
    _row(LOADING, frozenset({400, 404}), "https://lmstudio.ai/docs/app/api/endpoints/openai", words=r"^no models? (is |are )?loaded"),
    # Money.
    _row(
        QUOTA,
        _MONEY,
        OPENAI,
        names=r"insufficient_(quota|balance|credits|funds)|credit_balance_exhausted|.*spend_limit_exceeded"
        r"|organization_usage_limit_exceeded|billing_(hard_limit_reached|not_active)",
        words=r"billing hard limit|you have run out of credits",
    ),
    _row(QUOTA, _MONEY, ANTHROPIC, words=r"credit balance is too low|you have reached your specified (api|workspace api) usage limits"),
    _row(
        QUOTA,
        _MONEY,
        OPENROUTER,
        words=r"insufficient (balance|credits|funds|quota)|key limit exceeded|rate limit exceeded: free-models-per-day",
    ),
    _row(
        QUOTA,
        _MONEY,
        "https://docs.x.ai/docs/key-information/debugging",
        words=r"used all available credits|reached its monthly spending limit|purchase more credits",
    ),
    _row(
        QUOTA,
        _MONEY,
        "https://docs.litellm.ai/docs/proxy/users",
        names=r"budget_exceeded",
        words=r"budget has been exceeded|exceededbudget",
    ),
    _row(
        QUOTA,
        _MONEY,
        "https://docs.siliconflow.com/en/faqs/error-code",
        names=r"30001",
        words=r"account balance is (insufficient|not enough)|balance (is )?(insufficient|not enough|too low)",
    ),
    _row(QUOTA, _MONEY, "https://platform.minimax.io/docs/api-reference/errorcode", names=r"1008", words=r"insufficient balance"),
    _row(
        QUOTA,
        _MONEY,
        "https://www.alibabacloud.com/help/en/model-studio/error-code",
        names=r"arrearage|accountoverdueerror|exceeded_current_quota_error",
        words=r"access denied, please make sure your account is in good standing|account is (overdue|in arrears|suspended)",
    ),
    _row(
        QUOTA,
        _MONEY,
        "https://www.volcengine.com/docs/82379/1299023 (and other Chinese gateways: in arrears, balance or quota insufficient)",
        words=r"欠费|(余额|额度|配额)(已)?(不足|用尽|耗尽|用完)",
    ),
    # The quota policy of a period of hours to months; its limit of requests a minute comes as 429.
    _row(QUOTA, _MONEY, "https://learn.microsoft.com/azure/api-management/quota-policy", words=r"out of (call volume|bandwidth) quota"),
    # Keys and accounts.
    _row(
        AUTHENTICATION,
        frozenset({400, 403}),
        GEMINI,
        names=r"invalid_api_key|api_key_invalid",
        words=r"api key not valid|invalid api key|incorrect api key|api key (has )?expired",
    ),
    # Without a database a key that is not the master key cannot be looked up.
    _row(AUTHENTICATION, frozenset({400}), "https://docs.litellm.ai/docs/proxy/virtual_keys", names=r"no_db_connection"),
    _row(
        DISABLED,
        _CLIENT,
        ANTHROPIC,
        words=r"(this|your) (organization|account|workspace|project) (has been|is) (disabled|deactivated|suspended)",
    ),
    _row(
        DISABLED,
        frozenset({403, 429}),
        "https://docs.databricks.com/aws/en/ai-gateway (rate limit 0)",
        words=r"(permission_denied: )?the endpoint is disabled",
    ),
    # The row.
    _row(
        CONTENT_FILTER,
        _CLIENT,
        AZURE,
        names=r"(output_)?content_filter.*|content_policy_violation|responsibleaipolicyviolation|moderation.*|guardrail.*|prohibited_content",
        words=r"responsibleaipolicyviolation|content management policy|content policy|flagged|requires moderation",
    ),
    _row(
        CONTENT_FILTER,
        _CLIENT,
        "https://api-docs.deepseek.com/quick_start/error_codes",
        words=r"content exists risk",
    ),
    _row(
        CONTENT_FILTER,
        _CLIENT,
        "https://www.alibabacloud.com/help/en/model-studio/error-code",
        names=r"data_?inspection_?failed",
        words=r"data_?inspection_?failed|inappropriate content",
    ),
    _row(
        CONTENT_FILTER,
        _CLIENT,
        "https://www.volcengine.com/docs/82379/1299023; one-api; Zhipu 1301; MiniMax 1026, 1027; xAI",
        names=r"sensitive_(content|words?_detected)|(input|output)?(text|image)?sensitivecontentdetected.*|1301|102[67]",
        words=r"sensitive (content|information)|new_sensitive|violates? .{0,40}usage guidelines",
    ),
    _row(
        CONTEXT_LENGTH,
        _CLIENT | {500},
        VLLM,
        names=r"context_length_exceeded|exceed_context_size_error|string_above_max_length",
        words=r"maximum (context|prompt) length|context (length|window|size)|too many tokens|prompt is too long|max_model_len"
        r"|`?inputs`? (tokens|must have less than)|input (is too long|token count .* exceeds)|exceeds? .*\bcontext\b",
    ),
    # The model.
    _row(
        MODEL_NOT_FOUND,
        _CLIENT,
        OPENAI,
        names=r"model_not_found|model_not_available|invalid_model|deploymentnotfound|unknown_model|20012",
        words=r"model:? \S{1,200} (?:was |is |does |has been )?(?:not found|not exist|deprecated|decommissioned)"
        r"|model (?:does )?not (?:found|exist)|models/\S+ is not found|(?:invalid|unknown|no such) model\b|unable to access model",
    ),
    _row(MODEL_NOT_FOUND, _CLIENT, "https://ollama.com (server/routes.go)", words=r"model ['\"]\S{1,200}['\"] not found"),
    _row(MODEL_NOT_FOUND, _CLIENT, OPENROUTER, words=r"\S{1,200} is not a valid model"),
)

PER_DAY = re.compile(rb'"quotaId"\s*:\s*"[^"]{0,200}PerDay')
"""Gemini's QuotaFailure of a day's quota, beside a RetryInfo of seconds (https://ai.google.dev/gemini-api/docs/rate-limits)."""
