"""Expert and partner without a network: scripted negotiators for verified scenarios."""

from sotopia_pi.episodes.scripted.players import ScriptedPlayer, expert_player, partner_player, scripted_player
from sotopia_pi.episodes.scripted.styles import EXPERTS, PARTNERS, STYLES, Style

__all__ = [
    "EXPERTS",
    "PARTNERS",
    "STYLES",
    "ScriptedPlayer",
    "Style",
    "expert_player",
    "partner_player",
    "scripted_player",
]
