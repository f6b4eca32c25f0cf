"""Plays the cases with the package sotopia; runs in that package's own virtual environment, so imports nothing of ours.

python peer_driver.py CASES.json URL CONCURRENCY RESULT.json      (set HOME to an empty folder: results go below it)
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

os.environ["SOTOPIA_STORAGE_BACKEND"] = "local"
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["CUSTOM_API_KEY"] = "none"


def main(cases: list[dict[str, Any]], url: str, concurrency: int, out: Path) -> None:
    """Writes seconds, CPU seconds, and how many episodes were played and stored; ends the process."""
    from sotopia.agents import LLMAgent
    from sotopia.database import AgentProfile, EnvironmentProfile, EpisodeLog, SotopiaDimensions
    from sotopia.envs import ParallelSotopiaEnv
    from sotopia.envs.evaluators import EpisodeLLMEvaluator, EvaluationForAgents, RuleBasedTerminatedEvaluator
    from sotopia.server import arun_one_episode

    for name in ("sotopia", "sotopia.generation", "evaluators", "LiteLLM", "httpx"):
        logging.getLogger(name).setLevel(logging.ERROR)  # its log of every reply is not what is compared
    model = f"custom/mock@{url}"
    prepared = []
    for index, case in enumerate(cases):
        profile = EnvironmentProfile(
            pk=f"env{index}",
            scenario=case["scenario"],
            agent_goals=case["goals"],
            relationship=case["relationship"],
        )
        env = ParallelSotopiaEnv(
            env_profile=profile,
            model_name=model,
            action_order="round-robin",
            evaluators=[RuleBasedTerminatedEvaluator(max_turn_number=20, max_stale_turn=2)],
            terminal_evaluators=[EpisodeLLMEvaluator(model, EvaluationForAgents[SotopiaDimensions])],
        )
        agents = [
            LLMAgent(agent_profile=AgentProfile(pk=f"agent{index}.{role}", **person), model_name=model)
            for role, person in enumerate(case["characters"])
        ]
        prepared.append((env, agents))

    async def play() -> None:
        began, cpu = time.monotonic(), _cpu()
        free = asyncio.Semaphore(concurrency)

        async def one(env: Any, agents: Any) -> None:
            async with free:
                await arun_one_episode(env, agents, tag="benchmark", push_to_db=True)

        await asyncio.gather(*(one(env, agents) for env, agents in prepared))
        seconds, used = time.monotonic() - began, _cpu() - cpu
        result = {"seconds": seconds, "cpu": used, "episodes": len(EpisodeLog.all())}
        out.write_text(json.dumps(result), encoding="utf-8")
        os._exit(0)  # its model library keeps tasks that do not end with the event loop

    asyncio.run(play())


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    given, at, most, written = sys.argv[1:5]
    main(json.loads(Path(given).read_text(encoding="utf-8")), at, int(most), Path(written))
