"""The errors of known servers, as data: codes and words at certain statuses, and what each means. One row for each dialect.

`source` is the page that documents the code or the words, or a report that quotes them as they were sent (checked in November 2026).
The words sharpen a decision that the evidence makes anyway (`blame.py`): an unknown wording is never worse than a slower answer.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from batch.policy.dialects import (
    AUTHENTICATION,
    CONTENT_FILTER,
    CONTEXT_LENGTH,
    DISABLED,
    LOADING,
    MISFIT,
    MODEL_NOT_FOUND,
    NO_CAPACITY,
    QUOTA,
    RATE_LIMIT,
    STOP,
    TOO_LARGE,
    Ruling,
)


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
_BUSY = frozenset({429})

OPENAI = "https://platform.openai.com/docs/guides/error-codes"
OPENAI_FLEX = "https://developers.openai.com/api/docs/guides/flex-processing"
OPENAI_SPEND = "https://help.openai.com/en/articles/6614457-troubleshooting-api-usage-and-spend-limits"
OPENROUTER = "https://openrouter.ai/docs/api-reference/errors"
GEMINI = "https://ai.google.dev/gemini-api/docs/troubleshooting"
AZURE = "https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter"
ALIBABA = "https://help.aliyun.com/en/model-studio/error-code"
VOLCENGINE = "https://www.volcengine.com/docs/82379/1299023"
ZHIPU = "https://docs.bigmodel.cn/cn/api/api-code"
MINIMAX = "https://platform.minimax.io/docs/api-reference/errorcode"
KIMI = "https://platform.kimi.com/docs/api/errors"
QIANFAN = "https://cloud.baidu.com/doc/qianfan-api/s/rmwbl43x7"
BEDROCK = "https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html"
NOVITA = "https://novita.ai/docs/api-reference/basic-error-code"
SILICONFLOW = "https://docs.siliconflow.cn/cn/faqs/error-code"
LLAMACPP = "https://github.com/ggml-org/llama.cpp/tree/master/tools/server"
VLLM = "https://github.com/vllm-project/vllm/tree/main/vllm/entrypoints/openai"

DIALECTS: tuple[Dialect, ...] = (
    # The model's answer is no JSON, or no call of a tool; it stands in failed_generation.
    _row(
        MISFIT,
        frozenset({400, 422}),
        "https://console.groq.com/docs/errors; as sent: https://github.com/sipeed/picoclaw/issues/748",
        names=r"json_validate_failed|tool_use_failed|output_parse_failed",
    ),
    # One request that no wait lets through; before the rate limits, whose status it has.
    _row(TOO_LARGE, frozenset({429, 413}), OPENAI, words=r"request too large|must be reduced in order to run successfully"),
    _row(
        TOO_LARGE,
        frozenset({400, 500}),
        LLAMACPP,
        words=r"input .{0,30}is too large to process|increase the physical batch size",
    ),
    # Capacity that is on its way; before the models that are not found, whose status it has.
    _row(
        LOADING,
        frozenset({404, 409, 423, 429, 500, 502, 503}),
        "https://docs.fireworks.ai/deployments/autoscaling (503 DEPLOYMENT_SCALING_UP while it scales from zero)",
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
    # A tier without capacity, under the status of the rate limits.
    _row(
        NO_CAPACITY,
        frozenset({429, 498}),
        f"{OPENAI_FLEX}; https://console.groq.com/docs/flex-processing (capacity_exceeded)",
        names=r"resource_?unavailable(_error)?|(flex_)?capacity_exceeded",
        words=r"^(429 )?resources? (is |are )?(currently |temporarily )?unavailable|\bflex\b.{0,40} (capacity|unavailable)",
    ),
    # Money.
    _row(QUOTA, _MONEY, ALIBABA, names=r"allocationquota\.free.*", words=r"free allocated quota exceeded"),
    # Tokens a minute, under the code that elsewhere says that the money is spent; before the money.
    _row(
        RATE_LIMIT,
        _BUSY,
        "https://help.aliyun.com/en/model-studio/rate-limit",
        names=r"throttling(\..*)?|limit_requests|limit_burst_rate",
        words=r"^(allocated quota exceeded|requests? rate (limit exceeded|increased too quickly)|you exceeded your current requests list)",
    ),
    # Bedrock's quota of a day, under the name of its limits of a minute.
    _row(QUOTA, _BUSY, "as sent: https://github.com/minorun365/agent-book/issues/29", words=r"too many tokens per day"),
    # Bedrock and API Gateway; the JSON protocols of AWS send it as 400. The names are those that botocore counts as throttling.
    _row(
        RATE_LIMIT,
        frozenset({400, 429, 503}),
        f"{BEDROCK}; botocore 1.44, botocore/retries/standard.py",
        names=r"(request)?throttl(ing|ed)(exception|error)|toomanyrequestsexception|requestlimitexceeded(exception)?"
        r"|provisionedthroughputexceededexception",
    ),
    _row(LOADING, _BUSY, f"{BEDROCK}; botocore 1.44, data/bedrock-runtime (429)", names=r"modelnotreadyexception"),
    _row(
        QUOTA,
        _MONEY,
        f"{OPENAI}; {OPENAI_SPEND}",
        names=r"insufficient_(quota|balance|credits|funds)|credit_balance_exhausted|.*spend_limit_(exceeded|reached)"
        r"|organization_usage_limit_exceeded|billing_(hard_limit_reached|not_active)",
        words=r"billing hard limit",
    ),
    _row(
        QUOTA,
        _MONEY,
        "https://github.com/anthropics/claude-code/issues/2127 and /4207",
        words=r"credit balance is too low|you have reached your specified (api|workspace api) usage limits",
    ),
    _row(
        QUOTA,
        _MONEY,
        OPENROUTER,
        words=r"insufficient (balance|credits|funds|quota)|key limit exceeded|rate limit exceeded: free-models-per-day",
    ),
    _row(
        QUOTA,
        _MONEY,
        "xAI: https://github.com/continuedev/continue/issues/10373 (429), https://github.com/Anantys-oss/koan/issues/2412 (403)",
        words=r"used all available credits|reached its monthly spending limit|purchase more credits|you have run out of credits",
    ),
    _row(
        QUOTA,
        _MONEY,
        "https://docs.litellm.ai/docs/proxy/users; https://github.com/BerriAI/litellm (proxy/hooks/max_budget_limiter.py)",
        names=r"budget_exceeded",
        words=r"budget (has been )?exceeded|max budget limit reached",
    ),
    _row(QUOTA, _MONEY, SILICONFLOW, words=r"account balance is (insufficient|not enough)|balance (is )?(insufficient|not enough|too low)"),
    _row(
        QUOTA,
        _MONEY,
        f"{MINIMAX}; as sent: https://github.com/MiniMax-AI/MiniMax-M2/issues/62, https://github.com/modelscope/modelscope/issues/1691",
        names=r"1008|insufficient_balance_error",
        words=r"insufficient balance",
    ),
    _row(
        QUOTA,
        _MONEY,
        ALIBABA,
        names=r"arrearage",
        words=r"access denied, please make sure your account is in good standing",
    ),
    _row(QUOTA, _MONEY, KIMI, names=r"exceeded_current_quota_error", words=r"your account is suspended"),
    _row(QUOTA, _MONEY, VOLCENGINE, names=r"accountoverdueerror", words=r"your account has an overdue balance"),
    _row(QUOTA, _MONEY, NOVITA, names=r"not_enough_balance|billing_balance_not_enough"),
    _row(QUOTA, _MONEY, ZHIPU, names=r"1113"),
    # In arrears; balance or quota used up: Zhipu's 1113 and the gateways one-api and new-api.
    _row(
        QUOTA,
        _MONEY,
        f"{ZHIPU}; https://github.com/songquanpeng/one-api/issues/1270, https://github.com/QuantumNous/new-api/issues/7448",
        names=r"insufficient_user_quota",
        words=r"user quota is not enough|欠费|(余额|额度|配额)(已)?(不足|用尽|耗尽|用完)",
    ),
    # The quota policy of a period of hours to months; its limit of requests a minute comes as 429.
    _row(
        QUOTA,
        _MONEY,
        "https://learn.microsoft.com/azure/api-management/quota-policy; as sent: https://github.com/MicrosoftDocs/azure-docs/issues/16282",
        words=r"out of (call volume|bandwidth) quota",
    ),
    # Keys and accounts.
    _row(
        AUTHENTICATION,
        frozenset({400, 403}),
        f"{GEMINI}; {NOVITA}",
        names=r"invalid_api_key|api_key_invalid",
        words=r"api key not valid|invalid api key|incorrect api key|api key (has )?expired",
    ),
    # Without a database a key that is not the master key cannot be looked up.
    _row(AUTHENTICATION, frozenset({400}), "https://docs.litellm.ai/docs/proxy/virtual_keys", names=r"no_db_connection"),
    _row(
        DISABLED,
        _CLIENT,
        "https://docs.anthropic.com/en/api/errors (an organization that was disabled gets a 400)",
        words=r"(this|your) (organization|account|workspace|project) (has been|is) (disabled|deactivated|suspended)",
    ),
    _row(DISABLED, _CLIENT | _BUSY, ZHIPU, names=r"111[012]|1121"),
    _row(
        DISABLED,
        frozenset({403, 429}),
        "https://kb.databricks.com/machine-learning/disable-or-restrict-access-to-the-foundation-model-apis",
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
    _row(CONTENT_FILTER, _CLIENT, "DeepSeek: https://github.com/lobehub/lobe-chat (as sent)", words=r"content exists risk"),
    _row(
        CONTENT_FILTER,
        _CLIENT,
        f"{ALIBABA} (400-DataInspectionFailed/data_inspection_failed)",
        names=r"data_?inspection_?failed",
        words=r"data_?inspection_?failed|inappropriate content",
    ),
    _row(
        CONTENT_FILTER,
        _CLIENT,
        "https://www.volcengine.com/docs/82379/1099476",
        names=r"sensitive_(content|words?_detected)|(input|output)?(text|image|video|audio)?(sensitivecontentdetected|riskdetection).*",
    ),
    _row(CONTENT_FILTER, _CLIENT, ZHIPU, names=r"1301", words=r"sensitive (content|information)"),
    _row(CONTENT_FILTER, _CLIENT | {500}, MINIMAX, names=r"102[67]", words=r"new_sensitive"),
    _row(CONTENT_FILTER, _CLIENT, KIMI, words=r"rejected because it was considered high risk"),
    _row(CONTENT_FILTER, _CLIENT, "https://docs.x.ai/docs/guides/errors (as sent)", words=r"violates? .{0,40}usage guidelines"),
    _row(
        CONTEXT_LENGTH,
        _CLIENT | {500},
        VLLM,
        names=r"context_length_exceeded|exceed_context_size_error|string_above_max_length",
        words=r"maximum (context|prompt) length|context (length|window|size)|too many tokens|prompt is too long|max_model_len"
        r"|`?inputs`? (tokens|must have less than)|input (is too long|token count .* exceeds)|exceeds? .*\bcontext\b",
    ),
    _row(CONTEXT_LENGTH, _CLIENT, KIMI, words=r"input token length too long|exceeded model token limit"),
    _row(CONTEXT_LENGTH, _CLIENT, QIANFAN, names=r"(tokens|characters)_too_long"),
    _row(CONTEXT_LENGTH, _CLIENT, ZHIPU, names=r"1261"),
    # The model.
    _row(
        MODEL_NOT_FOUND,
        _CLIENT,
        OPENAI,
        names=r"model_not_found|model_not_available|invalid_model|deploymentnotfound|unknown_model",
        words=r"model:? \S{1,200} (?:was |is |does |has been )?(?:not found|not exist|deprecated|decommissioned)"
        r"|model (?:does )?not (?:found|exist)|models/\S+ is not found|(?:invalid|unknown|no such) model\b|unable to access model",
    ),
    _row(MODEL_NOT_FOUND, _CLIENT, SILICONFLOW, names=r"20012"),
    _row(MODEL_NOT_FOUND, _CLIENT, VOLCENGINE, names=r"invalidendpoint(ormodel)?\.notfound|modelnotopen"),
    _row(MODEL_NOT_FOUND, _CLIENT, ZHIPU, names=r"1211"),
    _row(
        MODEL_NOT_FOUND,
        _CLIENT,
        "https://github.com/ollama/ollama/blob/main/server/routes.go",
        words=r"model ['\"]\S{1,200}['\"] not found",
    ),
    _row(MODEL_NOT_FOUND, _CLIENT, OPENROUTER, words=r"\S{1,200} is not a valid model"),
)

PER_DAY = re.compile(rb'"quotaId"\s*:\s*"[^"]{0,200}PerDay')
"""Gemini's QuotaFailure of a day's quota, beside a RetryInfo of seconds (https://ai.google.dev/gemini-api/docs/rate-limits)."""
