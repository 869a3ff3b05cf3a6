"""What is asked of a language model, and in which number formats."""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

from pydantic import Field, model_validator

from hwsim.config import Config, Share
from hwsim.workloads.ops import Dtype

__all__ = ["MAX_LENGTH", "PROJECTION_ROLES", "LlmScenario", "Numerics", "ProjectionRole"]

MAX_LENGTH: Final = 2**31
MAX_STEPS: Final = 2**17
"""As far as the longest published contexts; each step is built, so that more would never end."""

Length = Annotated[int, Field(ge=1, le=MAX_LENGTH)]
ProjectionRole = Literal[
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
    "fc1",
    "fc2",
    "lm_head",
]
PROJECTION_ROLES: Final[tuple[ProjectionRole, ...]] = get_args(ProjectionRole)
"""The kinds of projection of a language model, by which weights are told apart."""


class LlmScenario(Config):
    """A prompt and what follows it; a key that means nothing in its phase is refused.

    Parameters
    ----------
    phase : ``generate`` is the prefill and then the decode steps, ``prefill`` the prefill alone,
        ``decode_step`` a single decode step.
    prompt_tokens : length of the prompt of each sequence.
    output_tokens : number of decode steps; step ``i`` of 1, 2, ... attends ``prompt_tokens + i``.
    kv_length : positions attended in the decode step, the current token included; by default
        ``prompt_tokens + 1``.
    batch : sequences side by side, all of the same length.
    """

    phase: Literal["generate", "prefill", "decode_step"] = "generate"
    prompt_tokens: Length = 128
    output_tokens: int = Field(512, ge=1, le=MAX_STEPS)
    kv_length: Length | None = None
    batch: Length = 1

    @model_validator(mode="after")
    def _kv_length_is_of_a_decode_step(self) -> LlmScenario:
        if self.kv_length is not None and self.phase != "decode_step":
            raise ValueError(
                f"kv_length must be left out with phase = {self.phase}, got {self.kv_length}"
            )
        return self

    @model_validator(mode="after")
    def _output_tokens_are_generated(self) -> LlmScenario:
        if "output_tokens" in self.model_fields_set and self.phase != "generate":
            raise ValueError(
                f"output_tokens must be left out with phase = {self.phase}, "
                f"got {self.output_tokens}"
            )
        return self

    @model_validator(mode="after")
    def _prompt_agrees_with_kv_length(self) -> LlmScenario:
        implied = self.prompt_tokens + 1
        given = "prompt_tokens" in self.model_fields_set
        if self.kv_length not in (None, implied) and given:
            raise ValueError(
                f"prompt_tokens must be left out with kv_length = {self.kv_length}, "
                f"got {self.prompt_tokens}"
            )
        return self

    @property
    def attended(self) -> int:
        """Positions attended in the last step: the longest context of the scenario."""
        if self.phase == "prefill":
            return self.prompt_tokens
        if self.phase == "decode_step":
            return self.kv_length or self.prompt_tokens + 1
        return self.prompt_tokens + self.output_tokens

    @property
    def attended_key(self) -> str:
        """What ``attended`` is, in keys of the scenario."""
        keys = {
            "generate": "prompt_tokens + output_tokens",
            "prefill": "prompt_tokens",
            "decode_step": "kv_length",
        }
        return keys[self.phase]


class Numerics(Config):
    """Data types of a trace, and the share of the weights kept in each projection.

    The default is INT8 throughout and dense. How a machine stores and computes is its own matter;
    a system passes what it runs.
    """

    activations: Dtype = "int8"
    weights: Dtype = "int8"
    kv_cache: Dtype = "int8"
    density: dict[ProjectionRole, Share] = {}  # noqa: RUF012 - pydantic copies it for each instance
