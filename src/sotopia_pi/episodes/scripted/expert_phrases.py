"""The expert's sentences. Few per move and plain, so that a small model can learn them and a program can read them."""

from __future__ import annotations

from sotopia_pi.episodes.scripted.facts import Step
from sotopia_pi.episodes.scripted.negotiator import Move
from sotopia_pi.episodes.scripted.phrasebook import Phrasebook

_ENDINGS = {
    Move.CLOSE: ("Thanks, see you.", "Thank you, goodbye.", "Thanks, goodbye."),
    Move.GIVE_UP: ("I am sorry, no deal. Goodbye.", "No deal, then. Goodbye."),
}

EXPERT_PHRASES = Phrasebook(
    verb="take",
    small_talk=("Thank you for the offer.", "I see.", "We come closer."),
    price_seller={
        Move.OPEN: (
            "Hello. My price is {terms}.",
            "I ask {terms} for the {item}.",
        ),
        Move.COUNTER: (
            "I can come down to {terms}.",
            "My lower price: {terms}.",
        ),
        Move.HOLD: ("I stay at {terms}.", "My price is still {terms}."),
        Move.CLARIFY: ("I ask {terms}. What do you offer?", "My price is {terms}. What is your offer?"),
        Move.ABSURD: ("Let us be serious. I ask {terms}.", "That is far away. I ask {terms}."),
        Move.INSIST: ("We said {terms}. I stay at {terms}.",),
        Move.ACCEPT: ("Deal at {terms}.", "Yes, deal at {terms}."),
        Move.CONFIRM: ("Deal at {terms}. Thank you.", "Good, deal at {terms}."),
        **_ENDINGS,
    },
    price_buyer={
        Move.OPEN: (
            "Hello. I can pay {terms}.",
            "I offer {terms} for the {item}.",
        ),
        Move.COUNTER: (
            "I can go up to {terms}.",
            "My higher offer: {terms}.",
        ),
        Move.HOLD: ("I stay at {terms}.", "My offer is still {terms}."),
        Move.CLARIFY: ("I offer {terms}. What do you ask?", "My offer is {terms}. What is your price?"),
        Move.ABSURD: ("Let us be serious. I offer {terms}.", "That is far away. I offer {terms}."),
        Move.INSIST: ("We said {terms}. I stay at {terms}.",),
        Move.ACCEPT: ("Deal at {terms}.", "Yes, deal at {terms}."),
        Move.CONFIRM: ("Deal at {terms}. Thank you.", "Good, deal at {terms}."),
        **_ENDINGS,
    },
    division={
        Move.OPEN: ("Hello. {Terms}.", "My idea: {terms}."),
        Move.COUNTER: ("{Terms}.", "New idea: {terms}."),
        Move.HOLD: ("Still: {terms}.", "I stay with this: {terms}."),
        Move.CLARIFY: ("Again: {terms}.", "I propose: {terms}."),
        Move.ABSURD: ("Let us share. {Terms}.", "I need a share. {Terms}."),
        Move.INSIST: ("We said: {terms}.",),
        Move.ACCEPT: ("Deal, I agree.", "Yes, we have a deal."),
        Move.CONFIRM: ("Deal, I agree. Thank you.", "Good, we have a deal."),
        **_ENDINGS,
    },
    meeting={
        Move.OPEN: ("How about {terms}?", "I suggest {terms}.", "Hello. I propose {terms}."),
        Move.COUNTER: ("How about {terms}?", "I can offer {terms}.", "I propose {terms}."),
        Move.HOLD: ("I still propose {terms}.", "I stay with {terms}."),
        Move.CLARIFY: ("I propose {terms}. What do you propose?", "Let us choose. I propose {terms}."),
        Move.ABSURD: ("I propose {terms}.",),
        Move.INSIST: ("We said {terms}. I still propose {terms}.",),
        Move.ACCEPT: ("Deal, {terms}.", "Agreed, {terms}.", "Yes, {terms}. Deal."),
        Move.CONFIRM: ("Deal, {terms}. Thank you.", "Good, {terms}. Deal."),
        **_ENDINGS,
    },
    fact={
        Step.GREET: ("Hello.",),
        Step.REFUSE: ("I keep that to myself.", "I do not talk about that."),
        Step.TELL: ("{Own} is {answer}.",),
        Step.PROMISE: ("I will tell you in a moment.", "You first, then I tell you."),
        Step.ASK: ("What is {wanted}?", "Do you know {wanted}?", "Please tell me {wanted}."),
        Step.ASK_AGAIN: ("Please, what is {wanted}?", "I would still like to know {wanted}."),
        Step.PRY: ("Do you keep a secret?",),
        Step.THANK: ("Thank you.", "Thanks for your help."),
        Step.INVITE: ("Thank you. Do you want to know {own}?",),
        Step.BYE: ("Thanks, goodbye.", "Thank you, see you."),
        Step.GIVE_UP: ("Never mind. Goodbye.", "I must go now. Goodbye."),
    },
)
