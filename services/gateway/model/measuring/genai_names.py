"""What a call of a model is named in spans: ours, and those of other applications. The one place for these names.

Ours are those of https://github.com/open-telemetry/semantic-conventions-genai of version 0.1.0, "client inference",
which still move. Others are read as well, each name after the ones that count before it:

- OpenTelemetry's before that: semantic conventions 1.27 to 1.36 (`gen_ai.system`, `gen_ai.usage.prompt_tokens`);
- OpenLLMetry's (traceloop-sdk 0.x): `llm.request.type`, `llm.usage.*`, `traceloop.association.properties.*`;
- OpenInference's (semantic conventions 0.1.x): `openinference.span.kind`, `llm.model_name`, `llm.token_count.*`.
"""

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
CONVERSATION = "gen_ai.conversation.id"
FIRST_CHUNK_S = "gen_ai.response.time_to_first_chunk"
RESPONSE_ID = "gen_ai.response.id"
FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
ERROR_TYPE = "error.type"

CHAT = "chat"
CALLS = frozenset(
    (CHAT, "text_completion", "generate_content", "embeddings")
)  # operations that are one call of a model
OPENLLMETRY_CALL, OPENLLMETRY_CALLS = "llm.request.type", frozenset(("chat", "completion", "embedding"))
OPENLLMETRY_STEP = "traceloop.span.kind"  # workflow, task, agent or tool: of what is around the calls
OPENINFERENCE_KIND, OPENINFERENCE_CALLS = "openinference.span.kind", frozenset(("LLM", "EMBEDDING"))
FIRST_TOKEN_EVENT = "First Token Stream Event"  # noqa: S105 - OpenInference's

MODELS = (REQUEST_MODEL, "llm.model_name", "embedding.model_name", "llm.request.model", "gen_ai.response.model")
PROVIDERS = (PROVIDER, "gen_ai.system", "llm.provider", "llm.system", "llm.vendor")
ASSOCIATED = "traceloop.association.properties."
SESSIONS = (CONVERSATION, "session.id", f"{ASSOCIATED}session_id", f"{ASSOCIATED}conversation_id")
SESSION_TAGS = ("tripthread.session_tag", f"{ASSOCIATED}session_tag")  # ours: no convention has such a thing
EXPERIMENTS = ("tripthread.experiment_name", f"{ASSOCIATED}experiment_name")
HELPERS = ("gen_ai.agent.name",)
INPUTS = (INPUT_TOKENS, "gen_ai.usage.prompt_tokens", "llm.token_count.prompt", "llm.usage.prompt_tokens")
OUTPUTS = (OUTPUT_TOKENS, "gen_ai.usage.completion_tokens", "llm.token_count.completion", "llm.usage.completion_tokens")
FIRST_CHUNKS_S = (FIRST_CHUNK_S, "gen_ai.server.time_to_first_token")
STREAMS = (REQUEST_STREAM, "llm.is_streaming", "gen_ai.is_streaming")
FINISHED = (FINISH_REASONS, "gen_ai.response.finish_reason", "llm.response.finish_reason", "llm.finish_reason")
COST_USD = "llm.cost.total"  # OpenInference's

# What is kept of a span besides; nothing in which something that was said may stand.
KEPT = (
    *(OPERATION, "gen_ai.response.model", RESPONSE_ID, "gen_ai.request.temperature", "gen_ai.request.top_p"),
    *("gen_ai.request.max_tokens", "gen_ai.request.seed", "gen_ai.request.reasoning.level", "gen_ai.output.type"),
    *("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_creation.input_tokens"),
    *("gen_ai.usage.reasoning.output_tokens", "gen_ai.token.type", "gen_ai.agent.id", "gen_ai.workflow.name"),
    *("llm.token_count.total", "llm.token_count.prompt_details.cache_read", "llm.usage.total_tokens"),
    *(OPENLLMETRY_CALL, OPENINFERENCE_KIND, "server.address", "server.port", "service.name", "service.version"),
    *("deployment.environment.name", "telemetry.sdk.language", "openinference.project.name"),
)
