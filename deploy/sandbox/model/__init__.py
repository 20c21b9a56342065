"""The model: OpenAI's chat completions over HTTP, answered by rules. The answer depends on the messages alone."""
