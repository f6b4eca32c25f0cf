"""The stance of a turn, apart from its terms: acceptance, refusal, withdrawal, conditions, questions.

The cues are ordinary phrases; where a phrase is doubted, denied or asked, it does not count as acceptance.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sotopia_pi.episodes.reading.words import Clause

NEGATION = re.compile(r"\b(?:not|never|cannot|no|nor|neither|hardly|nothing|without|don't)\b|n't\b")

#: Negations that do not negate.
IDIOMS = re.compile(
    r"\bno (?:problem|worries|doubt|rush|hurry|issue|trouble|objections?|conflicts?)\b|\bwhy (?:not|don't (?:we|you|"
    r"i))\b|\bnot (?:bad|only)\b|"
    r"\b(?:can't|cannot|couldn't) (?:say no(?: to)?|argue with|complain|agree more|go wrong|wait|refuse|beat)\b|"
    r"\bdeal or no deal\b|"
    r"\b(?:can't|couldn't|won't|wouldn't|don't|isn't) (?:you|we)\b(?=.*\?)|\bdon't (?:mind|worry|forget)\b|"
    r"\bwouldn't mind\b|"
    r"\bnothing against\b|\bwhether or not\b|\bif not\b"
)

_STRONG = re.compile(
    r"^(?:(?:ok|okay|alright|all right|fine|great|perfect|yes|yeah|well|then|so|good|sure|sounds good|it's a|"
    r"it is a|absolutely|and|very well) ?)*"
    r"(?:deal|sold|agreed|done|accepted|done deal|it's a deal|settled)\b(?! (?:breaker|with (?:it|this|that|the)|of|"
    r"for (?:less|more)|depends))"
    r"|\b(?:it's|it is|we have|we've got|you've got|you have|you got|that's|that is|got|then it's|is|call it|"
    r"sounds like) (?:yourself )?"
    r"(?:(?:a|an|our) (?:done )?)?(?:deal|agreement)$"
    r"|\b(?:it's|it is|we have|we've got|you've got|you have|you got|call it) (?:yourself )?an? (?:deal|agreement)\b"
    r"|\b(?:deal|agreed|sold)$"
    r"|\bi (?:gladly |happily |hereby |do |will |'ll |can |shall )?(?:accept|agree to)\b|\bi'll (?:gladly |"
    r"happily )?(?:accept|agree to)\b|\bhappy to accept\b|\bwe (?:accept|agree)\b"
    r"|\bi(?:'d| would)(?: gladly| happily)? accept (?:that|it|this|your)\b|\bi can (?:accept|agree)\b"
    r"|\b(?:i'll|i will|we'll|let me|i'd|i would|i can) (?:gladly |happily )?(?:take|buy|have|grab) (?:it|them|that|"
    r"this|the (?:offer|deal)|your (?:offer|deal))\b"
    r"|\bi(?:'ll| will) take (?:the|your) <|\bi(?:'ll| will) take you up on\b|\bi(?:'ll| will) (?:pay|take|meet|"
    r"match) (?:your|that) (?:\w+ )?(?:price|offer|number|figure)\b"
    r"|\byou(?:'ve)? (?:have )?got it\b|\b(?:it's|it is|is|are|they're) (?:all )?yours\b|\bconsider it (?:sold|"
    r"done)\b"
    r"|\b(?:that|it|this|which|>|plan|price|offer|proposal|division|split|time|place) (?:also |still |really |"
    r"totally |perfectly )?(?:works|will work|'ll work|would work|suits me|is (?:fine|good|great|perfect|okay|ok|"
    r"acceptable|alright))\b(?! out)"
    r"|\bthat'll work\b|\bthat(?:'s| is) (?:fine|okay|ok|good|great|perfect|acceptable|alright|all right) (?:with|"
    r"by|for) (?:me|us)\b"
    r"|\bworks (?:perfectly |well |great |fine |just fine |best )?for (?:me|us)\b|^works\b|\bsuits me\b|\b(?:fine|"
    r"okay|ok|good|great) (?:by|with|for) (?:me|us)\b"
    r"|\bi(?:'m| am) (?:fine|happy|okay|ok|good|on board|satisfied|comfortable) with\b|\b(?:i|we) can (?:work|live|"
    r"go) with (?:that|it|this)\b|\bcould live with (?:that|it|this)\b"
    r"|\b(?:i|we) (?:can|could) do (?:that|it)\b|\blet's do (?:it|that|this)\b|\blet's go with (?:that|it|your|"
    r"yours)\b|\bshake (?:hands )?on (?:it|that|this)\b|\blet's (?:proceed|finali[sz]e|seal|close the deal|"
    r"go ahead)\b|\b(?:i'm|i am) open to (?:that|it|this)\b|\byou're on\b|\bcount me in\b"
    r"|\b(?:>|that|time|day) it is\b|\bsee you (?:there|then)\b|\bi'll be there\b"
)
_WEAK = re.compile(
    r"^(?:(?:well|oh|then|and|um|hm+|so) )*(?:ok|okay|k|sure|sure thing|yes|yes please|yeah|yep|yup|fine|alright|"
    r"all right|great|perfect|absolutely|certainly|"
    r"of course|good|excellent|wonderful|fantastic|very well|fair enough|(?:that |it )?sounds (?:good|great|fair|"
    r"reasonable|fine|perfect)|that's (?:fair|fine|good|great|perfect|reasonable|okay|ok)|"
    r"fair|i guess(?: so)?|i suppose(?: so)?|cool|awesome|lovely|no problem|definitely|why not|gladly|with pleasure|"
    r"you win|i agree|i'm in|i would|i will|i can|i am|i do|we do|(?:it|that) (?:would|does|is|will|works?)|exactly|"
    r"right|(?:i guess |i suppose )that(?:'s| is) (?:okay|ok|fine|fair|alright)|"
    r"that's a good (?:deal|price)|that's a deal|that'll do|if you insist|can't argue with that|can't say no to that)"
    r"(?: (?:then|by me|with me|to me|enough|man|friend|i guess|i suppose|of course))*$"
)
_LEAVES_OPEN = re.compile(r"\b(?:anyway|elsewhere|another time|for (?:your|the) (?:time|offer)|good luck|ask my)\b")
_FILLER = re.compile(r"^(?:hm+|well|oh|um+|uh|ah|hey|hi|hello|wow)$")
_IDLE = re.compile(
    r"\b(?:see you|bring|pick (?:it|them|this)? ?up|come (?:by|over|and|to|get)|stop by|cash|venmo|paypal|transfer|"
    r"tomorrow|tonight|thanks?|thank you|cheers|bye|goodbye|"
    r"take care|have a|nice doing|pleasure|appreciate|when (?:can|should|do|would|could)|where (?:can|should|do|"
    r"shall)|deliver|address|wrap|load|enjoy|text you|call you|look(?:ing)? forward|glad|happy)\b"
)
_HEDGE = re.compile(
    r"\b(?:maybe|perhaps|might|possibly|think about|think it over|think on|consider|considering|not sure|unsure|"
    r"let me think|sleep on|tempt(?:ed|ing)|doubt|wish|kill me|need to (?:ask|check|think|see|talk)|ask my|almost|"
    r"nearly|close to|getting closer|"
    r"closer to|before (?:we|i)|let(?:'s| us) (?:make|find|reach|try|see)|"
    r"(?:something|anything|a price) (?:that|which) |want(?: to| a)|would like a|hope|hoping|until|"
    r"hesitant|hesitantly|depends|get back to you|used to|thought|could have|would have|looking for|yet)\b"
)
_REFUSE = re.compile(
    r"\bno deal\b|\bno (?:thanks|thank you|way|chance)\b|\bnot (?:interested|enough|acceptable|going to (?:work|"
    r"happen)|a deal|agreed)\b|^(?:no|nope|nah|sorry no|no sorry|oh no|no no)$|"
    r"\btoo (?:much|high|low|steep|expensive|little|cheap|rich|far|early|late|pricey)\b|\b(?:can't|cannot|couldn't|"
    r"won't|wouldn't|will not|don't|not|never|unable to|not able to) (?:\w+ )?(?:do|accept|take|go|pay|afford|agree|"
    r"work|let|sell|give|meet|settle|make|happen|part|lower|raise|budge)\b|"
    r"\b(?:doesn't|does not|don't) (?:really |quite |actually )?(?:work|suit|fit)\b|\bi(?:'ll| will)? (?:have to |"
    r"must )?(?:pass|decline|refuse|reject)\b|\bi'm out\b|\bafraid not\b|\bout of (?:my )?(?:budget|range|"
    r"the question)\b|"
    r"\b(?:above|over|beyond) my (?:budget|limit)\b|\bneed more than\b|\blowball|\binsult|\bimpossible\b|"
    r"\bunacceptable\b|\bshakes? (?:\w+ )?head\b|\bforget (?:it|that)\b|\bunfair\b|\bisn't fair\b"
)
_WITHDRAW = re.compile(
    r"\b(?:i(?:'ll)?|i have to|i must|i want to|let me|i'd like to|going to|i will|i need to) take (?:that |it |"
    r"this |my (?:offer|word|words|acceptance|agreement) |the offer |>? ?)back\b|\btake back\b|"
    r"\bforget (?:about )?(?:the|my|that|what i|i said|>)|"
    r"\bchanged my mind\b|\bchanging my mind\b|\boff the table\b|\bwithdraw(?:n|ing|s)?\b|\bno longer (?:available|"
    r"stands?|on the table|offer(?:ing)?|willing)\b|\bscratch that\b|\bi misspoke\b|\bdeal(?: is|'s) off\b|"
    r"\bback(?:ing)? out\b|\bi(?:'ve| have)? reconsidered\b|\bon second thoughts?\b|\bhaving second thoughts\b|"
    r"\bcall(?:ing)? (?:it|this|the deal) off\b|\bmy mistake\b|\b(?:cancel|call off) (?:the|our|this) (?:deal|sale|"
    r"agreement)\b|\boffer (?:is|has) (?:gone|expired|over)\b"
)
_NOT_WITHDRAWN = re.compile(
    r"\b(?:won't|not|never|haven't|don't|didn't|hasn't|can't|cannot|if|unless|before|until) (?:\w+ ){0,2}(?:take|"
    r"forget|changed|change|withdraw|back|off)"
)
_ENDS = re.compile(
    r"\bno deal\b|\bdeal(?: is|'s) off\b|\bchanged my mind\b|\bi'm out\b|\bnot (?:a deal|agreed)\b|\b(?:never|"
    r"didn't|did not|haven't|have not) (?:actually )?agree|\bcan't do (?:it|this|that)\b|\bcannot do (?:it|this|"
    r"that)\b|\bnot interested\b|\bno longer (?:interested|want)\b"
)
_ASSENT = re.compile(
    r"\b(?:final|best|firm|last) (?:offer|price)\b|\btake it or leave it\b|\bdeal$|\bwhat do you (?:say|think)\b|"
    r"\b(?:does|would|will) (?:that|it|this) (?:work|do|be|suit)\b|\bhow does that sound\b|\bsound (?:good|fair|ok)|"
    r"\bis that (?:ok|okay|fair|alright|good)\b|\bcan we agree\b|\bare you in\b|\binterested\b|\bdo we have\b|"
    r"\bwill you (?:take|accept)\b|\bdo you (?:accept|agree)\b|\bright$|\bok$|\bokay$|\bagreed$|\bwhat about\b|"
    r"\bhow about\b"
)
_REQUEST = re.compile(
    r"^but (?:only|can|could|would|will|you|i (?:need|want|also|do|would|get)|i'd|please|not)\b|"
    r"^but .*\b(?:throw in|include|add)\b"
)
_UNDO = re.compile(r"^(?:(?:no|oh|but|hm+) )*(?:wait|actually|hold on|sorry|no)\b")
_LATER_CONDITION = re.compile(
    r"^(?:but |and |only |though |that is |just )*(?:only )?(?:if|as long as|provided|on one condition|"
    r"under one condition|assuming)\b"
)
_NOD = re.compile(
    r"\b(?:nods?|nodding|shakes? (?:\w+ ){0,3}hands?|shakes? (?:\w+ )?on it|thumbs[ -]up|hands? over|high[ -]fives?|"
    r"seals? the deal|accepts?|agrees|fist[ -]bump)\b"
)
_UNSURE_NOD = re.compile(
    r"\b(?:thoughtful|slowly|consider|think|understand|sympath|politely|listen|encourag|shakes? (?:\w+ )?head|pause|"
    r"hesita|but|not|refus|declin)"
)


@dataclass(frozen=True, slots=True)
class Cues:
    """The stance of one turn, apart from any terms. `accept_at` is the clause of the last acceptance, else -1."""

    accept_at: int = -1
    weak: bool = False
    conditional: bool = False
    refuses: bool = False
    withdraw_at: int = -1
    ends: bool = False
    asks_assent: bool = False
    asks_else: bool = False
    opens_weakly: bool = False


def read_cues(parts: tuple[Clause, ...], deed: bool = False) -> Cues:
    """Stance of a turn from its clauses; `deed` says that the words describe an act and are not spoken."""
    accept_at = refuse_at = withdraw_at = -1
    conditional = ends = False
    for index, clause in enumerate(parts):
        text = IDIOMS.sub(" ", clause.text + ("?" if clause.question else "")).rstrip("? ")
        if _WITHDRAW.search(text) and not _NOT_WITHDRAWN.search(text) and not clause.question:
            withdraw_at = index
        elif _accepts(text, clause, deed):
            accept_at, conditional = index, clause.conditional
        elif _REFUSE.search(text) and not (
            clause.question and clause.text.startswith(("would", "do you", "is it too"))
        ):
            refuse_at = index
        ends = ends or (bool(_ENDS.search(text)) and not clause.question)
        if accept_at >= 0 and accept_at < index and _turns_conditional(text, clause, parts[accept_at]):
            conditional = True
    if refuse_at > accept_at:
        # "Deal. No refunds, I can't take it back" does not undo the deal; "deal... no, too much" does.
        apart = accept_at >= 0 and parts[accept_at].sentence != parts[refuse_at].sentence
        undone = any(_UNDO.match(part.text) for part in parts[accept_at + 1 : refuse_at + 1])
        accept_at = accept_at if apart and not ends and not undone else -1
    refuses = refuse_at >= 0 and accept_at < 0
    last = parts[-1] if parts else None
    assent = any(_ASSENT.search(clause.text) for clause in parts)
    return Cues(
        accept_at=accept_at,
        weak=accept_at < 0 and not refuses and withdraw_at < 0 and _agrees_weakly(parts),
        conditional=conditional,
        refuses=refuses,
        withdraw_at=withdraw_at,
        ends=ends,
        asks_assent=assent,
        opens_weakly=bool(parts) and not parts[0].question and bool(_WEAK.match(parts[0].text)),
        asks_else=last is not None and last.question and "<" not in last.text and not _ASSENT.search(last.text),
    )


def _accepts(text: str, clause: Clause, deed: bool) -> bool:
    if clause.question or _HEDGE.search(text) or NEGATION.search(text):
        return False
    if deed and _NOD.search(text):
        return not _UNSURE_NOD.search(text)
    return bool(_STRONG.search(text))


def _turns_conditional(text: str, clause: Clause, accepted: Clause) -> bool:
    if clause.sentence == accepted.sentence:
        return bool(_REQUEST.search(text)) and "<" not in text
    return clause.sentence == accepted.sentence + 1 and bool(_LATER_CONDITION.search(text))


def _agrees_weakly(parts: tuple[Clause, ...]) -> bool:
    """Whether the turn is "okay", "yes, great" and the like, followed by nothing but arrangements and thanks."""
    while parts and _FILLER.match(parts[0].text):
        parts = parts[1:]
    if not parts or parts[0].question or not _WEAK.match(parts[0].text):
        return False
    if any(_LEAVES_OPEN.search(part.text) for part in parts):
        return False
    return all(
        _WEAK.match(part.text)
        or (_IDLE.search(part.text) and not _HEDGE.search(part.text))
        or len(part.text.split()) == 1
        for part in parts[1:]
    )
