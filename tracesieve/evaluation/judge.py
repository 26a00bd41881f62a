"""How judges of MLflow reach their model: at an endpoint of the config, with patience of ours.

MLflow's own way to an OpenAI-compatible model needs neither ``openai`` nor ``litellm``, but it takes the
endpoint from the environment of the whole process (where the application under test looks, too), asks ten
times with up to half a minute between, and drops what kind of failure it was.  So the two functions of its
adapter that make the provider and send the request are replaced while an evaluation runs; both are private
there, hence the exact version of MLflow in ``pyproject.toml`` and the test that asks a real judge.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rules.units import SECOND_US
from sinks.credentials import secret
from sinks.http.client import NO_ACCESS, reason
from tracesieve.config.evaluation import EvaluationConfig, JudgeConfig
from tracesieve.errors import OutsideError
from tracesieve.evaluation.retrying import Sleep, is_busy, wait_s

_GIVE_UP_AFTER = 8  # calls in a row that stayed unanswered to the end: the judge is away, do not ask further


class JudgeError(OutsideError):
    """The model gave no answer, after all retries; the message says why."""


class JudgeLine:
    """Calls to the judging model; safe to share between threads.

    A 429, a 5xx, a timeout and a connection that fails are asked again, ``retries`` times, with back-off or
    as the model's ``Retry-After`` says.  Once some calls in a row got no answer at all, the rest fails at
    once.
    """

    def __init__(self, config: EvaluationConfig, sleep: Sleep = time.sleep) -> None:
        self._config = config.judge
        self._retries = config.retries
        self._sleep = sleep
        self._lock = threading.Lock()
        self._unanswered = 0
        self.requests = 0
        self.answers = 0
        self.last_failure = ""

    def send(
        self, endpoint: str, headers: dict[str, str], payload: dict[str, Any], num_retries: int
    ) -> dict[str, Any]:
        """Ask, in the place of MLflow's ``send_chat_request``; ``num_retries`` is MLflow's, and not used.

        Raises:
            JudgeError: there is no answer.
            ChatCompletionError: the request is refused (400): MLflow then leaves out what the model cannot
            do.
        """
        with self._lock:
            if self._unanswered >= _GIVE_UP_AFTER:
                raise JudgeError(self.last_failure)
        for attempt in range(self._retries + 1):
            answer, failure, wanted_s = self._once(endpoint, headers, payload)
            if answer is not None:
                with self._lock:
                    self._unanswered, self.answers = 0, self.answers + 1
                return answer
            if attempt < self._retries:
                self._sleep(wait_s(attempt, wanted_s))
        with self._lock:
            self._unanswered += 1
            self.last_failure = failure
        raise JudgeError(failure)

    def _once(
        self, endpoint: str, headers: dict[str, str], payload: dict[str, Any]
    ) -> tuple[dict[str, Any] | None, str, float | None]:
        """The answer, or why there is none and after how many seconds it may be asked again."""
        import requests
        from mlflow.genai.judges.adapters.utils import ChatCompletionError

        with self._lock:
            self.requests += 1
        try:
            answer = requests.post(
                endpoint,
                headers={"Content-Type": "application/json", **headers},
                json=payload,
                timeout=self._config.timeout / SECOND_US,
            )
        except requests.RequestException as error:
            return None, f"no answer ({reason(error)})", None
        status = answer.status_code
        if is_busy(status):
            return None, f"HTTP {status}", _retry_after_s(answer.headers.get("Retry-After"))
        if status == 400:
            message = answer.text[:1_000]
            raise ChatCompletionError(400, message, "context length" in message.lower())
        if status >= 300:
            with self._lock:
                self.last_failure = f"HTTP {status}"
                self._unanswered += status in (*NO_ACCESS, 404)  # for every question alike
            raise JudgeError(f"HTTP {status}")
        try:
            document = answer.json()
        except ValueError:
            return None, "its answer is no JSON", None
        return (document, "", None) if isinstance(document, dict) else (None, "its answer is no object", None)


@contextmanager
def asked_through(line: JudgeLine, config: JudgeConfig) -> Iterator[None]:
    """While it is open, MLflow's judges ask through ``line``, those of ``openai:/`` at the config's
    endpoint.
    """
    from mlflow.genai.judges.adapters import gateway_adapter

    of_mlflow = (gateway_adapter.send_chat_request, gateway_adapter._get_provider_instance)

    def provider(name: str, model: str, base_url: str | None = None) -> Any:
        if name != "openai" or config.endpoint is None:
            return of_mlflow[1](name, model, base_url=base_url)
        return _openai(config, model)

    gateway_adapter.send_chat_request, gateway_adapter._get_provider_instance = line.send, provider
    try:
        yield
    finally:
        gateway_adapter.send_chat_request, gateway_adapter._get_provider_instance = of_mlflow


def failure_behind(error: BaseException) -> JudgeError | None:
    """The failure of ours that MLflow has wrapped in errors of its own, or None."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, JudgeError):
        cause = cause.__cause__ or cause.__context__
    return cause


def _openai(config: JudgeConfig, model: str) -> Any:
    from mlflow.gateway.config import EndpointConfig, OpenAIConfig
    from mlflow.gateway.providers.openai import OpenAIProvider

    key = secret(config.api_key_env) or "none"  # an endpoint of one's own may ask for no key
    settings = OpenAIConfig(openai_api_key=key, openai_api_base=str(config.endpoint).rstrip("/"))
    described = {"provider": "openai", "name": model, "config": settings.model_dump()}
    return OpenAIProvider(EndpointConfig(name="openai", endpoint_type="llm/v1/chat", model=described))


def _retry_after_s(text: str | None) -> float | None:
    try:
        return max(float(text), 0.0) if text else None
    except ValueError:  # a date: the back-off will do
        return None
