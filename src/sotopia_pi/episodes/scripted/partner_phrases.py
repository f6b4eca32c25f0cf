"""The partner's sentences, none of them the expert's, so that a policy is tested on words it was not trained on."""

from __future__ import annotations

from sotopia_pi.episodes.scripted.facts import Step
from sotopia_pi.episodes.scripted.negotiator import Move
from sotopia_pi.episodes.scripted.phrasebook import Phrasebook

_ENDINGS = {
    Move.CLOSE: ("Great, bye for now.", "Good, have a nice day.", "Thanks a lot, bye."),
    Move.GIVE_UP: ("Sorry, no deal today. Bye.", "Then there is no deal. Bye."),
}

PARTNER_PHRASES = Phrasebook(
    verb="get",
    small_talk=("I like how we talk.", "Let me see.", "Hm, I understand you."),
    price_seller={
        Move.OPEN: (
            "Good day. I sell the {item} for {terms}.",
            "The {item} is in good shape. I want {terms}.",
            "Hi there. You can have the {item} for {terms}.",
            "Hi. I am asking {terms} for this {item}.",
        ),
        Move.COUNTER: (
            "For you I make it {terms}.",
            "I could lower it to {terms}.",
            "Let us say {terms}.",
            "What about {terms}?",
        ),
        Move.HOLD: ("I will stay with {terms}.", "I want {terms} for it.", "The price remains {terms}."),
        Move.CLARIFY: ("So what would you pay? I want {terms}.", "Tell me your price. Mine is {terms}."),
        Move.ABSURD: ("You must be joking. I want {terms}.",),
        Move.INSIST: ("But we had {terms}. I stay with {terms}.",),
        Move.ACCEPT: ("All right, {terms} it is. Deal.", "You have a deal at {terms}.", "Sold for {terms}."),
        Move.CONFIRM: ("Then it is a deal at {terms}.", "Done, {terms}."),
        **_ENDINGS,
    },
    price_buyer={
        Move.OPEN: (
            "Good day. I would give you {terms} for the {item}.",
            "I like the {item}. I can give {terms}.",
            "Hi there. Would you sell the {item} for {terms}?",
            "Hi. My offer for this {item} is {terms}.",
        ),
        Move.COUNTER: (
            "I could give you {terms}.",
            "I raise my offer to {terms}.",
            "Let us say {terms}.",
            "What about {terms}?",
        ),
        Move.HOLD: ("I will stay with {terms}.", "I would pay {terms} for it.", "My offer remains {terms}."),
        Move.CLARIFY: ("So what do you want for it? I would pay {terms}.", "Tell me your price. My offer is {terms}."),
        Move.ABSURD: ("You must be joking. I would pay {terms}.",),
        Move.INSIST: ("But we had {terms}. I stay with {terms}.",),
        Move.ACCEPT: ("All right, {terms} it is. Deal.", "You have a deal at {terms}.", "Done, I buy it for {terms}."),
        Move.CONFIRM: ("Then it is a deal at {terms}.", "Done, {terms}."),
        **_ENDINGS,
    },
    division={
        Move.OPEN: ("What about this: {terms}?", "I would say {terms}.", "Let us do it like this: {terms}."),
        Move.COUNTER: ("Maybe better: {terms}.", "Then I say {terms}.", "What about this: {terms}?"),
        Move.HOLD: ("I keep my offer: {terms}.", "Once more: {terms}."),
        Move.CLARIFY: ("Let us divide. {Terms}.", "My offer: {terms}."),
        Move.ABSURD: ("That leaves me nothing. {Terms}.",),
        Move.INSIST: ("But we had this: {terms}.",),
        Move.ACCEPT: ("It is a deal. {Terms}.", "I agree. {Terms}."),
        Move.CONFIRM: ("So it is a deal: {terms}.", "Done. {Terms}."),
        **_ENDINGS,
    },
    meeting={
        Move.OPEN: ("What about {terms}?", "I would say {terms}.", "{terms} would be good."),
        Move.COUNTER: ("What about {terms}?", "Then I say {terms}.", "Would {terms} suit you?"),
        Move.HOLD: ("My choice is still {terms}.", "I would really like {terms}."),
        Move.CLARIFY: ("So what suits you? I say {terms}.", "Name one, please. My choice is {terms}."),
        Move.ABSURD: ("My choice is {terms}.",),
        Move.INSIST: ("But we had {terms}. My choice is still {terms}.",),
        Move.ACCEPT: ("All right, {terms} it is. Deal.", "{terms} works for me."),
        Move.CONFIRM: ("Then it is a deal: {terms}.", "Done, {terms}."),
        **_ENDINGS,
    },
    fact={
        Step.GREET: ("Good day.", "Hi there."),
        Step.REFUSE: ("Sorry, that stays with me.", "I would rather not speak of that."),
        Step.TELL: ("As far as I know, {own} is {answer}.", "I can tell you: {own} is {answer}."),
        Step.PROMISE: ("Wait a little, then I tell you.", "Maybe later."),
        Step.ASK: ("I want to find out {wanted}.", "Could you tell me {wanted}?", "I am curious: what is {wanted}?"),
        Step.ASK_AGAIN: ("So, can you tell me {wanted}?", "I ask again: what is {wanted}?"),
        Step.PRY: ("And what is your secret?", "Is there a secret you keep?"),
        Step.THANK: ("That helps a lot.", "Very kind of you."),
        Step.INVITE: ("That helps. Shall I tell you {own}?",),
        Step.BYE: ("Great, bye for now.", "Good, have a nice day."),
        Step.GIVE_UP: ("This leads nowhere. Bye.", "I have to leave. Bye."),
    },
)
