"""What to write instead of names that other servers have: one clause for each. Knows names alone, no values."""

from __future__ import annotations

_BEAMS = "there is no beam search, so leave it out"
_FORMAT = "use guided_decoding_guide_type and guided_decoding_guide"
_LOGITS = "logits are not returned; return_log_probs gives the log-probability of each token"
_ONE_ANSWER = "a request has one answer, so send it several times, each with its own seed"
_STOP = "use stop_words, a list of texts"
_LIMIT = "use max_tokens"
_PICTURES = "use image_bytes_input, image_url_input or parts of messages, where the model reads pictures"
_PROMPT = "use text_input for plain text to continue, or messages for a chat"
_SOUND = "no sound is read, so leave it out"
_SPECIAL = "text_input is read as it is; skip_special_tokens says whether special tokens stand in text_output"
_THINK = "use enable_thinking, and max_thinking_tokens to bound it"
_TOOLS = "use tools of /v1/chat/completions, or describe them in a message"

HINTS: dict[str, str] = {
    **dict.fromkeys(("stop", "stop_sequences", "stop_strings", "stop_sequence", "stop_words_list"), _STOP),
    **dict.fromkeys(("eos_token_id", "stop_token_id"), "use end_id, one token id, or stop_token_ids"),
    **dict.fromkeys(("bad_words_list", "bad_words_ids"), "use bad_words, a list of texts, or bad_token_ids"),
    **dict.fromkeys(("embedding_bias", "embedding_bias_words", "embedding_bias_weights"), "use logit_bias"),
    **dict.fromkeys(("ignore_eos", "ignore_eos_token"), "use end_id -1, so that no token ends the answer"),
    "min_new_tokens": "use min_tokens",
    **dict.fromkeys(("random_seed", "manual_seed"), "use seed"),
    **dict.fromkeys(("max_new_tokens", "max_completion_tokens", "max_output_tokens", "max_length"), _LIMIT),
    **dict.fromkeys(("request_output_len", "output_len", "gen_length", "num_predict"), _LIMIT),
    **dict.fromkeys(("prompt", "inputs", "input", "query", "input_text"), _PROMPT),
    **dict.fromkeys(("prompt_token_ids", "input_tokens", "prompt_ids"), "use input_ids"),
    **dict.fromkeys(("conversation", "chat", "chat_history"), "use messages"),
    **dict.fromkeys(("system", "system_prompt"), "use messages, the first of them with the role system"),
    **dict.fromkeys(("n", "best_of", "num_return_sequences"), _ONE_ANSWER),
    **dict.fromkeys(("logprobs", "return_logprobs"), "use return_log_probs, true or false"),
    **dict.fromkeys(
        ("top_logprobs", "prompt_logprobs", "num_logprobs"),
        "use return_log_probs and top_log_probs, or return_prompt_log_probs",
    ),
    **dict.fromkeys(("return_context_logits", "return_generation_logits"), _LOGITS),
    **dict.fromkeys(("beam_width", "num_beams", "use_beam_search"), _BEAMS),
    **dict.fromkeys(("length_penalty", "early_stopping", "beam_search_diversity_rate"), _BEAMS),
    **dict.fromkeys(("response_format", "guided_json", "guided_regex", "guided_choice", "guided_grammar"), _FORMAT),
    **dict.fromkeys(("json_schema", "structured_outputs", "grammar", "guided_decoding_backend"), _FORMAT),
    **dict.fromkeys(("tools", "tool_choice", "functions", "function_call"), _TOOLS),
    **dict.fromkeys(("images", "image", "image_url"), _PICTURES),
    "audio": _SOUND,
    **dict.fromkeys(("add_special_tokens", "spaces_between_special_tokens"), _SPECIAL),
    **dict.fromkeys(("thinking", "reasoning", "chat_template_kwargs"), _THINK),
    "reasoning_effort": "use enable_thinking; effort, from 0 to 1, sets the knobs of diffusion",
    "stream_options": "return_num_input_tokens and return_num_output_tokens return what it asks for",
    "do_sample": "temperature above 0 samples, and temperature 0 takes the most likely token",
    "temp": "use temperature",
    "runtime_top_k": "use top_k",
    "runtime_top_p": "use top_p",
    "typical_p": "use top_p or min_p",
    "no_repeat_ngram_size": "use repetition_penalty, presence_penalty or frequency_penalty",
    "echo": "use exclude_input_in_output, false to have the prompt in front of the answer",
    "timeout": "use timeout_ms, in milliseconds",
    "model": "the URL names the model, or model_name over gRPC",
    "request_id": "use id",
    "pad_id": "nothing is padded, so leave it out",
    "add_generation_prompt": "it is always added, unless continue_final_message is true",
    **dict.fromkeys(("predicted_output", "predicted_outputs", "predicted_text"), "use prediction, a text"),
    **dict.fromkeys(("prompt_lookup_num_tokens", "prompt_lookup_max", "ngram"), "use prompt_lookup, true or false"),
    "steps": "use denoise_steps, for each block",
    "remasking": "use reveal",
    "confidence_threshold": "use threshold",
}
"""By name, in lower case; a clause that follows `… is not a field of this model, got …;`."""
