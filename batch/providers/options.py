"""Request parameters that only some servers take, each with one line of help. Sources: the pages of vLLM, SGLang and llama.cpp's server."""

from __future__ import annotations

TOP_K = {"top_k": "Only the k likeliest tokens are sampled."}
MIN_P = {"min_p": "Only tokens with at least this share of the likeliest one's probability are sampled."}
REPETITION = {"repetition_penalty": "Above 1 makes repeating tokens less likely."}
TEMPLATE = {"chat_template_kwargs": "Values for the model's chat template, such as {enable_thinking = false}."}

VLLM = {
    **TOP_K,
    **MIN_P,
    **REPETITION,
    **TEMPLATE,
    "min_tokens": "The fewest tokens before the answer may end.",
    "length_penalty": "Penalty on length in beam search.",
    "ignore_eos": "Whether to continue after the end-of-sequence token.",
    "stop_token_ids": "Token ids at which the answer ends.",
    "include_stop_str_in_output": "Whether the stop text is part of the answer.",
    "skip_special_tokens": "Whether special tokens are removed from the answer.",
    "spaces_between_special_tokens": "Whether special tokens are set apart by spaces.",
    "bad_words": "Words that must not come.",
    "allowed_token_ids": "The only token ids that may come.",
    "truncate_prompt_tokens": "Keeps only this many last tokens of the prompt.",
    "prompt_logprobs": "How many candidates to give for each token of the prompt.",
    "add_generation_prompt": "Whether the template opens the assistant's turn.",
    "continue_final_message": "Whether the last message is continued instead of answered.",
    "add_special_tokens": "Whether special tokens are added to the templated prompt.",
    "chat_template": "A chat template (Jinja2) instead of the model's own.",
    "mm_processor_kwargs": "Settings of the image or audio processor.",
    "priority": "Smaller numbers are served first, when the server schedules by priority.",
    "structured_outputs": "Constrains the answer (vLLM 0.11 and later): {json = …}, {regex = …}, {choice = …}, {grammar = …}.",
    "guided_json": "Constrains the answer to a JSON schema (vLLM before 0.12).",
    "guided_regex": "Constrains the answer to a regular expression (vLLM before 0.12).",
    "guided_choice": "Constrains the answer to one of these texts (vLLM before 0.12).",
    "guided_grammar": "Constrains the answer to a grammar (vLLM before 0.12).",
}

SGLANG = {
    **TOP_K,
    **MIN_P,
    **REPETITION,
    **TEMPLATE,
    "min_tokens": "The fewest tokens before the answer may end.",
    "regex": "Constrains the answer to a regular expression.",
    "ebnf": "Constrains the answer to an EBNF grammar.",
    "stop_token_ids": "Token ids at which the answer ends.",
    "ignore_eos": "Whether to continue after the end-of-sequence token.",
    "no_stop_trim": "Whether the stop text is part of the answer.",
    "skip_special_tokens": "Whether special tokens are removed from the answer.",
    "continue_final_message": "Whether the last message is continued instead of answered.",
    "separate_reasoning": "Whether reasoning comes apart from the answer.",
    "lora_path": "The LoRA adapter to use.",
}

LLAMA_CPP = {
    **TOP_K,
    **MIN_P,
    **TEMPLATE,
    "typical_p": "Locally typical sampling; 1 is off.",
    "repeat_penalty": "Above 1 makes repeating tokens less likely.",
    "repeat_last_n": "How many last tokens repeat_penalty looks at.",
    "mirostat": "Mirostat sampling: 0 off, 1, or 2.",
    "mirostat_tau": "Target entropy of Mirostat.",
    "mirostat_eta": "Learning rate of Mirostat.",
    "dynatemp_range": "Range of dynamic temperature; 0 is off.",
    "dynatemp_exponent": "Exponent of dynamic temperature.",
    "samplers": "The order of the samplers.",
    "grammar": "Constrains the answer to a GBNF grammar.",
    "json_schema": "Constrains the answer to a JSON schema.",
    "cache_prompt": "Whether a slot reuses the prompt that it holds already.",
    "id_slot": "The slot to use; -1 takes a free one.",
    "n_probs": "How many candidates to give for each token.",
    "ignore_eos": "Whether to continue after the end-of-sequence token.",
    "reasoning_format": 'How reasoning is given: "none", "deepseek" or "auto".',
    "timings_per_token": "Whether timings come with each chunk.",
}
