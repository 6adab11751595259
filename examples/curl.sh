#!/usr/bin/env bash
# Ask over HTTP with curl alone: one answer, each mode, a stream of server-sent events.
#
#     bash examples/curl.sh [--url HOST:PORT]
#
# The address is HTTP's, whose port is one below gRPC's: --url, else $TRIMODE_URL, else localhost:8000.
set -euo pipefail

url=${TRIMODE_URL:-localhost:8000}
[[ ${1:-} == --url ]] && url=${2:?--url needs HOST:PORT}
model=$url/v2/models/nemotron_diffusion
question='[{"role": "user", "content": "What is 23 + 2221?"}]'

if ! curl -sf "$url/v2/health/ready"; then
    echo "curl.sh: no server is ready for HTTP at $url; is \`make serve\` running, and is this HTTP's port, not gRPC's?" >&2
    exit 1
fi

echo '# One answer.'
curl -s "$model/generate" -d "{\"messages\": $question, \"max_tokens\": 128}"

# return_num_output_tokens and the like ask for more than the text.
for mode in autoregressive diffusion self_speculation auto; do
    printf '\n\n# The same question in mode %s.\n' "$mode"
    curl -s "$model/generate" -d "{\"messages\": $question, \"mode\": \"$mode\", \"return_num_output_tokens\": true}"
done

printf '\n\n# A stream: each event holds the next piece of the text.\n'
curl -sN "$model/generate_stream" -d "{\"messages\": $question, \"mode\": \"diffusion\", \"stream\": true}"

printf '\n# What the server refuses: status 400, and a message that names field, limit and value.\n'
curl -s -w '\n%{http_code}\n' "$model/generate" -d '{"text_input": "Once", "top_p": 1.5}'
