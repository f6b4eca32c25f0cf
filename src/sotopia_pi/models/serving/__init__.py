"""Serving a policy behind OpenAI's chat-completions protocol: with the local model, or by starting vLLM."""
