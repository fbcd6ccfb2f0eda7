"""The one log line of a request."""

from __future__ import annotations

import logging

from llmux.clients.agents import program_of
from llmux.gateway.administration import POLLED
from llmux.gateway.call import Call, Sink
from llmux.gateway.journey import told
from llmux.gateway.observe import log, tells


def report(call: Call, sink: Sink, seconds: float) -> None:
    """Tells the log what became of a request. seconds: from its head to the end of its answer."""
    journey, error = call.journey, call.error
    level = logging.INFO if error is None or error.source == "client" else logging.WARNING
    if error is None and call.method in ("GET", "HEAD") and call.path in POLLED:
        level = logging.DEBUG
    if not tells(level):
        return
    fields: dict[str, object] = {
        "request": f"req_{call.id}",
        "peer": call.peer,
        "client": call.client.name if call.client else None,
        "program": call.house.config.program or program_of(call.headers),
        "protocol": call.protocol.name,
        "path": call.path,
        "status": sink.status,
        "seconds": round(seconds, 4),
        "gone": call.gone or None,
    }
    if call.endpoint:
        fields |= {"endpoint": call.endpoint, "taken": call.taken, "sent": sink.sent}
        del fields["protocol"]
    if journey is not None:
        needs, asked = journey.decision.needs, journey.asked_backends
        fields |= {
            "model": needs.model,
            "stream": needs.stream,
            "backend": journey.backend.name if journey.backend else None,
            "attempts": journey.attempts,
            "estimate": needs.tokens.point,
            "skipped": {
                skip.backend: skip.reason.value for skip in journey.choice.skipped if skip.backend not in asked
            },
        }
        if journey.first is not None:
            fields["first"] = round(journey.first, 4)
        if journey.usage is not None:
            fields |= {"input": journey.usage.input, "output": journey.usage.output}
        if journey.losses:
            fields["dropped"] = [loss.field for loss in journey.losses]
    if error is not None:
        fields |= {"error": error.kind.value, **told(error, details=call.house.config.log.request_details)}
    if call.house.config.log.request_details and not (call.endpoint or call.private):
        fields["body"] = call.data.decode("utf-8", "replace")
    log().log(level, "request", **fields)
