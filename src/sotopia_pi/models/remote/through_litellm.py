"""Providers that do not speak OpenAI's protocol, through the optional package litellm.

litellm only translates: it is asked once per attempt, and limits, retries, counting and stopping stay ours. It refuses
parameters that a provider does not have in place of dropping them unsaid, so that the report knows of them. Keys are in
the environment variables that litellm reads for the provider.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import orjson

from sotopia_pi.errors import ModelError
from sotopia_pi.models.remote.complaints import one_line
from sotopia_pi.models.remote.failures import Failed, Hopeless
from sotopia_pi.redaction import keep_secret

_SECRET = ("_KEY", "_TOKEN", "_SECRET")


class LitellmTransport:
    """Sends requests through litellm; has the methods of `transport.Transport`."""

    def __init__(self, timeout: float, reply_bytes: int) -> None:
        """ModelError when litellm is not installed."""
        os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it fetches one when it is imported
        try:
            import litellm
        except ImportError:
            raise ModelError(
                "litellm: models need the package litellm, which is not installed; run "
                "`pip install 'sotopia-pi[litellm]'`."
            ) from None
        litellm.telemetry = False
        litellm.suppress_debug_info = True
        litellm.drop_params = False
        self._litellm: Any = litellm
        self._timeout, self._most = timeout, reply_bytes
        self._opened = False
        for name, value in os.environ.items():
            if name.endswith(_SECRET):
                keep_secret(value)

    async def open(self) -> bool:
        """litellm keeps its own connections; True the first time."""
        first, self._opened = not self._opened, True
        return first

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], proxy: str | None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of the reply. Raises Failed or Hopeless."""
        try:
            reply = await self._litellm.acompletion(
                **orjson.loads(body), timeout=self._timeout, num_retries=0, max_retries=0
            )
        except self._litellm.exceptions.AuthenticationError as error:
            said = one_line(str(error))
            raise Hopeless(f"litellm: {said}; set the variable that litellm reads for this provider's key.") from None
        except self._litellm.exceptions.Timeout:
            raise Failed(f"litellm got no answer within {self._timeout:g} seconds") from None
        except self._litellm.exceptions.APIConnectionError as error:
            raise Failed(f"litellm got no connection ({one_line(str(error))})", alone=True) from None
        except self._litellm.exceptions.OpenAIError as error:
            status = int(getattr(error, "status_code", None) or 500)
            sent = getattr(getattr(error, "response", None), "headers", None) or {}
            fault = {"message": str(error), "code": str(getattr(error, "code", None) or "")}
            back = {name.title(): value for name, value in sent.items()} | {"Content-Type": "application/json"}
            return status, back, json.dumps({"error": fault}).encode()
        text = reply.model_dump_json()
        if len(text) > self._most:
            raise Failed(f"litellm received a reply of more than {self._most} bytes")
        return 200, {}, text.encode("utf-8", "replace")
