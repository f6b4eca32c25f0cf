"""Names that annotators go by: two words and a number, made by us, so that nobody's own name is asked or stored."""

from __future__ import annotations

import secrets

_HOW = """
amber brisk calm clear copper crisp early fair gentle golden green hazel honest jolly keen kind late light
lively loyal lucky mellow merry mild modest neat noble patient plain polite proud quick quiet ready round
rustic sandy silver simple steady still sunny swift tidy warm wide wise witty young
"""
_WHAT = """
alder ash badger beech birch bramble brook canoe cedar clover comet cove crane daisy dune elm falcon fern
finch fir fox garden harbor hare hazel heron hill island ivy kite lake lantern lark linden maple marten meadow
mill oak otter owl pebble pine pond poplar raven reed robin rowan sparrow spring stone stork swan thistle
tulip valley walnut willow wren
"""
#: Letters and digits that cannot be mistaken for one another when a code is copied by hand.
PLAIN = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"


def pseudonym() -> str:
    """A random name such as quiet-heron-42."""
    return f"{secrets.choice(_HOW.split())}-{secrets.choice(_WHAT.split())}-{10 + secrets.randbelow(990)}"


def completion_code() -> str:
    """A random code of eight letters and digits."""
    return "".join(secrets.choice(PLAIN) for _ in range(8))
