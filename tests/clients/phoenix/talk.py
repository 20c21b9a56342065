"""Tell of one call of a model as an application does that Phoenix traces; only the endpoint and the key are ours."""

import sys

from phoenix.otel import register

provider = register(
    endpoint=sys.argv[1], api_key=sys.argv[2], protocol="http/protobuf", project_name="shop", verbose=False
)
with provider.get_tracer("talk").start_as_current_span("ask", openinference_span_kind="llm") as span:
    span.set_input("what was asked")
    span.set_output("what was said")
    span.set_attribute("llm.model_name", "gpt")
    span.set_attribute("llm.provider", "openai")
    span.set_attribute("llm.token_count.prompt", 3)
    span.set_attribute("llm.token_count.completion", 4)
    span.set_attribute("session.id", sys.argv[3])
print(provider.force_flush())
