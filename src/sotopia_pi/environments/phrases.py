"""Sentences for a scripted player's moves: greetings, small talk, reasons, and the terms in words.

A template has alternatives in round brackets. Every list is shared out among the populations of players (a sentence
belongs to one), so that a policy is tested on sentences that it was not trained on. What an utterance is made of
depends on the move, on how well the two know each other, on what the speaker does for a living, and on chance.
Utterances of proposals name their terms and no others. A kind without phrases of its own (by its "part", see
`Environment.fills`) has those that fit any kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from sotopia_pi.environments.base import AnyEnvironment, Heard, Move, Offer, article

#: How many populations the sentences are shared out to.
VOICES = 4
#: As `Relationship.ACQUAINTANCE`: from here on there is small talk.
_ACQUAINTED = 2


@dataclass(frozen=True, slots=True)
class Speaker:
    """What is known of who speaks to whom; `partner` is the other's name where the speaker knows it."""

    occupation: str = ""
    partner: str = ""
    relationship: int = 0


def _lists(text: str) -> dict[str, tuple[str, ...]]:
    """Lists of templates from text: "name: template / template / …"."""
    parts = re.split(r"^(\w+): ", text, flags=re.MULTILINE)[1:]
    return {name: tuple(" ".join(of.split()).split(" / ")) for name, of in zip(parts[::2], parts[1::2], strict=True)}


#: Templates of the moves, of what stands around them, of each part's reasons ("why_seller"), and proposals of a part
#: that says them otherwise ("propose_friend").
TEMPLATES = _lists("""
greeting: (Hello|Hi|Hello there). / (Good day|Good morning|Hi there)(.|, I hope you are well.) / (Greetings|Good
    afternoon|Good to be here). / (Welcome|Hey|Evening)(.|, shall we?) / (Hello|Hi), (nice to meet you|thanks for your
    time). / (Good of you to come|So, here we are|Let us begin). / (Thank you for coming|Thanks for having me|A very
    good day). / (Right|Well), (let us get to it|to business).
named: (Hello|Hi|Hello there), {partner}. / (Good day|Good morning|Ah), {partner}. / {partner}, (nice to meet you|good
    to see you). / (Welcome|Hey|Evening), {partner}. / {partner}, (thanks for your time|thank you for calling). / (Glad
    you came|Here we are), {partner}. / (Thank you for coming|A very good day), {partner}. / (So|Right|Well),
    {partner}, (to business|let us talk).
small_talk: (How was your|I hope you had a good) week(?| at work?) / (What|Such) (weather|a wind) we have. / (I
    heard|They say) you have been (busy|away). / (You look well|You look rested|New coat?) / (How is|What about) (the
    family|your mother|your sister)? / (Long time no see|It has been a while|We should meet more). / (Did you sleep
    well|Are you feeling better|Have you eaten)? / (The coffee|The tea) is on me (today|this time). / I (was just
    thinking of|was talking about) you (only |)yesterday. / My (week|day) was (long|a mess|rather good). / You were
    missed (at the party|on Sunday|last time). / (Say hello|Greetings) to everybody at home.
trade: (As|Being) {a_job}, I (count carefully|plan ahead|like plain words). / You know how (it is|tight things are) for
    {a_job}. / (I am|I work as) {a_job}, (so I look twice|with bills to pay). / (Ask anybody|Believe me): {a_job} has
    to be careful. / (For|To) {a_job} (that matters|this makes a difference). / My (days|years) as {a_job} taught me
    (patience|to share). / (After all I am|I am only) {a_job}. / (With my hours|With my pay) as {a_job} (it is not
    easy|I have to be strict).
reaction: (I see|Hm, I see|Hm). / (Let me|I have to) think. / (Thank you|Thanks) for (the offer|that). / (Not yet|Not
    quite), I fear. / (I understand|I hear) you. / (We are|That is) getting closer. / That is (a start|not it yet). /
    (Fair enough|Well, well|Almost). / You make it (hard|not easy) for me. / (All right|Now), listen. / (That is|You
    are) (kind|friendly). / Let us keep (talking|at it).
thanks: (Thank you|Thanks)(.| very much.) / (It was|This was) a pleasure. / I (am glad|am so glad). / (That was
    easy|Well done). / Thanks for your (patience|time). / I look forward to it. / (You are kind|Great|Lovely). / (See
    you|Until) soon.
open: I (would|could) (suggest|propose) {terms}. / (How|What) about {terms}? / My (idea|wish) would be {terms}. / (To
    begin with|For a start), {terms}(.|, if I may.) / (Let me|I will) start with {terms}. / I (had|have) {terms} in
    mind. / What do you (say to|think of) {terms}? / (Could|Can) you (agree to|accept) {terms}? / I (am thinking|was
    thinking) of {terms}. / (Shall we|Why not) say {terms}? / I was hoping for {terms}. / (Would|Is) {terms} (all
    right|possible)?
counter: I (could|can|might) (agree to|live with) {terms}. / (Then how|And how|So how) about {terms}? / (Let me|I will)
    come closer: {terms}. / (Perhaps|Maybe|Possibly) {terms}? / I (can|could) offer {terms}(| now). / What about
    {terms} (instead|then)? / Would {terms} suit you (better|more)? / Let us (say|try|take) {terms}. / For you I
    (would|could) go to {terms}. / I move to {terms}(.|, all right?) / My (next|new) offer is {terms}. /
    (Fine|Well|Good), then {terms}. / (Here is|I have) another thought: {terms}. / I (would|could) take {terms}. /
    (What if|Suppose) we (take|agree on) {terms}? / (So be it|Now it is|Then I say) {terms}.
hold: I (stay|remain) with {terms}. / I (still say|keep saying) {terms}. / My offer (stands|is the same): {terms}. / It
    (remains|is still) {terms} for me. / I would like to keep to {terms}(.|, please.) / (For now|Still) I hold to
    {terms}. / (Once more|Again): {terms}. / I cannot (do|go) (better than|beyond) {terms} yet. / Please think
    (about|over) {terms}(| again). / I have to (repeat|insist on) {terms}. / As I said, {terms}. / I am not moving from
    {terms} (today|now).
accept: (Agreed|Yes), {terms}. / (Deal|You have a deal)(.|: {terms}.) / (That|It) works for me(.|, {terms}.) / (All
    right|Very well), {terms} it is. / (Good, I accept|I accept|Yes, I take it)(.|: {terms}.) / (Done|Settled)(.|,
    {terms}.) / I am (happy|fine) with {terms}. / (Fine by me|Perfect, I agree)(.|: {terms}.) / (Then|So) it is
    settled(.|: {terms}.) / (Yes, gladly|With pleasure)(.|, {terms}.) / {terms} is (fine|good) (with|for) me. / (We
    have an agreement|Let us shake on it)(.|: {terms}.)
leave: I am sorry, this (does not lead anywhere|is no use). (Goodbye|Bye). / Then (we leave it|let us leave it).
    (Goodbye|Bye). / No hard feelings, but no. (Bye|Goodbye). / I do not think we (will|can) agree. (Take
    care|Farewell). / I had hoped for (more|better). (Goodbye|Take care). / Let us (stop|end it) here. (Bye|Farewell).
    / That is too far apart for me. (Farewell|Bye). / I would rather have nothing. (Goodbye|Bye).
why_seller: The {item} has (hardly|rarely|barely) been used. / I (took good care of|always looked after) the {item}. /
    (Somebody else|My neighbour|A friend) asked about the {item}(| too). / (Look|See), the {item} is as good as new. /
    There is (not a scratch|no fault) on the {item}. / I got the {item} from my (aunt|father) and (am fond of|love) it.
    / I (cleaned|checked|repaired) the {item} (myself|last week). / You will not (find|see) such a {item} (soon|again).
    / The {item} (served us well|made us happy) for (years|a long time). / (A new|Such a) {item} costs (far|much) more.
    / The {item} comes with (everything|all papers). / I (only sell|part with) the {item} because (we move|I need
    room).
why_buyer: I would use the {item} (every week|daily|with my children). / The {item} (needs some work|is not perfect|has
    seen life). / I have (seen|found) (another|a cheaper) {item} (in town|nearby). / (Look|See), the {item} shows its
    age. / I (have to|would have to) (carry|bring) the {item} home myself. / My (niece|son|wife) wants a {item}. / I
    (saved|put money aside) for (this|such a) {item}. / I (like|love) the {item}, but money is (short|tight). / I can
    (fetch|take) the {item} (today|right now)(| and pay cash). / My old {item} (broke|gave up) (last month|in May). /
    The {item} would (fit|look good) in my (flat|house). / For a (used|second-hand) {item} that is (fair|enough).
why_divider: I (really|badly) need the {item}s. / The {item}s (mean a lot|are dear) to me. / (My children|My
    guests|Those at home) love {item}s. / (You|Surely you) can use (the rest|what is left). / I (promised|owe)
    (somebody|my sister) the {item}s. / At (home|work) we have no {item}s. / (Each of us|Everybody) should get what (it
    likes|matters most). / I (care|ask) most (about|for) the {item}s. / I would make good use of the {item}s. / For the
    {item}s I (gladly|happily) give up other things. / Then we would both be (glad|better off|happy). / I have (a
    plan|a place|a buyer) for the {item}s.
why_time: I have to (fit it around|think of) my work. / That is when I am free to {item}. / My week is (rather|very)
    full. / Then there is (time|light) enough to {item}. / (Otherwise|On other days) I (look after my mother|have to
    work). / The (bus|train) would (suit it|be right). / I (want|like) to {item} while I am (fresh|rested). / My
    (neighbour|brother) needs me the rest of the week. / It is (quiet|calm) then. / I have (a class|guests) on
    (the|most) other days. / Then I need not (hurry|rush). / I would (love|like) to {item} (with you|together) then.
why_place: It is (close to|near) (my home|where I live). / We can {item} there (in peace|undisturbed). / I know (the
    people|everybody) there. / The (bus|tram) stops right (in front|there). / It is (warm|dry|bright) there. / I have
    (always|long) wanted to see it. / They (are kind to|like) people who {item}. / I can walk there from (work|home). /
    It is easy to (find|reach). / My bad (knee|back) hates long ways. / There is room (enough|for us) to {item}. / It
    (would be|is) a good place to {item}.
why_employer: We are a (small|young|quiet) firm. / We need {a_item} (on the spot|with us|who is around). / I have to
    (justify|explain) every cost. / The team works best (together|side by side). / You would (like|enjoy) it here. /
    Our last {item} left (at short notice|in a hurry). / We train everybody (well|for free). / The owners (gave|left)
    me little room. / {A_item} (meets|helps) many people here. / There is room to (grow|learn) with us. / I would
    (like|love) to have you. / (Others|Good people) have applied(| too).
why_applicant: I bring (years of practice|fine references). / I have a small child (at home|to care for). / I would be
    a (loyal|careful) {item}. / My present post (pays|treats me) well. / The way to work is (long|hard). / I learn
    (fast|gladly) and like people. / Good {item}s are (rare|hard to find). / I have to give notice (first|yet). / My
    rent (went up|is high). / I can do (much|some) of it from my desk. / I want to be fair to my old (team|boss). /
    Being {a_item} is what I (love|do best).
why_asker: (People|All) at {item} work for nothing. / What do you (care|worry) about most at {item}? / It would
    (mean|do) a lot (to|for) {item}. / (Everybody|The whole town) knows {item}. / (Is there|Do you see) something at
    {item} that touches you? / Every (bit|dollar) helps. / Without help {item} cannot (go on|last). / (Your gift|It)
    would be (seen|noticed) by all. / Tell me what you would like to see done. / I have (helped|served) {item} for
    years. / (Which part|What) is close to your heart? / We have (nearly|almost) reached our aim.
why_giver: I like {item}, but I (must keep house|have little). / I want to see what (becomes|comes) of it. / My means
    are (small|limited). / I gave to others (already|this year). / I only give for what I (believe in|know). / I grew
    up (close to|with) {item}. / I want my money to (do some good|count). / Not everything at {item} is dear to me. / I
    would (rather|sooner) start small. / It should go where it is needed. / I have to think of my own (people|bills). /
    My late (husband|wife|uncle) loved {item}.
why_friend: It is a (small|strange) world. / I am sure we (know|have met) somebody in common. / Tell me (more|a little)
    about your friends. / We met (years ago|at a wedding|on a train). / I hope it is the same person. / Names (alone
    |)can mislead. / Does that sound (like yours|right)? / I see that person (now and then|often). / What does yours
    do? / It would be fun to find out. / Perhaps it is somebody else. / I thought of that one (first|at once).
propose_friend: (Do you|Might you) know {terms}? / (Is|Could it be that) {terms} (is |)a friend of yours? / I know
    {terms}(, and you?|, do you?) / (Could|Might) it be {terms}? / (What|How) about {terms}? / Have you (ever|once) met
    {terms}? / I (was|am) thinking of {terms}. / (Maybe|Perhaps) it is {terms}. / Does {terms} (ring a bell|sound
    familiar)? / Are you (friends with|close to) {terms}? / (Is|So is) it {terms}(?|, then?) / (Then perhaps|Let me
    name|And) {terms}?
""")
_CHOICE = re.compile(r"\(([^()]*)\)")


def say(
    env: AnyEnvironment, side: Any, offer: Offer[Any], heard: Heard[Any], speaker: Speaker, voice: int, rng: Random
) -> str:
    """One utterance for a move. `voice` names the population whose sentences are used, 0 to VOICES - 1."""
    terms = env.words(side, offer.terms) if offer.terms is not None else ""
    fills = {**env.fills(side), "terms": terms, "partner": speaker.partner, "a_job": article(speaker.occupation)}
    fills["a_item"] = article(fills.get("item", ""))
    fills["A_item"] = _capital(fills["a_item"])

    def one(*names: str) -> str:
        """A sentence from the first of these lists that there is."""
        templates = next(TEMPLATES[name] for name in names if name in TEMPLATES)[voice % VOICES :: VOICES]
        return _CHOICE.sub(lambda found: rng.choice(found[1].split("|")), rng.choice(templates)).format(**fills)

    proposes = offer.move in (Move.OPEN, Move.COUNTER, Move.HOLD)
    part = fills["part"]
    core = _capital(one(f"propose_{part}", offer.move) if proposes else one(offer.move))
    parts = [core]
    if offer.move is Move.ACCEPT and rng.random() < 0.4:
        parts.append(one("thanks"))
    elif proposes:
        parts = _around(core, offer.move, speaker, part, one, rng)
    words = " ".join(parts)
    return core if offer.terms is not None and env.contradicted(side, offer.terms, words, heard) else words


def _around(core: str, move: Move, speaker: Speaker, part: str, one: Callable[..., str], rng: Random) -> list[str]:
    """A proposal with what is said before and after it."""
    apt = bool(speaker.occupation) and f"propose_{part}" not in TEMPLATES
    trade = apt and (f"why_{part}" not in TEMPLATES or rng.random() < 0.3)
    why = [one("trade") if trade else one(f"why_{part}", "reaction")] if rng.random() < 0.3 else []
    parts = [*why, core] if rng.random() < 0.5 else [core, *why]
    if move is not Move.OPEN:
        return [one("reaction"), *parts] if rng.random() < 0.25 else parts
    before = [one("named" if speaker.partner and rng.random() < 0.7 else "greeting")]
    if speaker.relationship >= _ACQUAINTED and rng.random() < 0.7:
        before.append(one("small_talk"))
    return [*before, *parts]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
