"""Social bias of judges and of policies: the same with somebody else in it, rated or played again."""

from sotopia_pi.auditing.bias.judges import JudgeAsked, run_bias
from sotopia_pi.auditing.bias.policies import PolicyAsked, run_bias_play

__all__ = ["JudgeAsked", "PolicyAsked", "run_bias", "run_bias_play"]
