"""The generated world: what people write to a service desk or a clinic, as a probabilistic grammar.

A *topic* is a pair (thing, issue), e.g. ("parcel", "late"). A message about it is

    [opener] clause(issue) with a noun(thing) [detail] [closer]

and only the noun and the clause depend on the topic. Nouns and clauses are shared between topics with different
weights, so that some messages are truly ambiguous; because the grammar is known, how often is computed exactly
(`stackelberg_lib.data.pocketdesk.bayes_accuracy`). The same world writes the text that Pocket was trained on.
"""

from __future__ import annotations

import numpy as np

# Things people write about -> nouns with weights. A noun that stands under two things cannot tell them apart.
NOUNS = {
    "parcel": {"parcel": 4, "package": 3, "delivery": 2, "order": 2},
    "refund": {"refund": 4, "money back": 2, "reimbursement": 1, "payment": 1},
    "invoice": {"invoice": 4, "bill": 3, "statement": 1},
    "voucher": {"voucher": 4, "gift code": 2, "discount code": 2},
    "card": {"bank card": 3, "debit card": 3, "card": 3, "plastic": 1},
    "transfer": {"transfer": 4, "bank transfer": 2, "standing order": 1, "payment": 2},
    "account": {"account": 4, "login": 2, "profile": 2, "password": 1},
    "loan": {"loan": 4, "credit": 2, "instalment": 1},
    "phone": {"phone contract": 3, "mobile plan": 3, "plan": 1, "sim card": 2, "card": 1},
    "router": {"router": 4, "modem": 2, "internet box": 2, "wifi": 2},
    "ticket": {"train ticket": 3, "ticket": 3, "seat": 1, "booking": 1},
    "room": {"hotel room": 3, "room": 2, "reservation": 2, "booking": 2},
    "appointment": {"appointment": 4, "visit": 2, "slot with the doctor": 2, "booking": 1},
    "prescription": {"prescription": 4, "medicine": 3, "tablets": 2, "inhaler": 1},
    "result": {"test result": 3, "blood test": 3, "lab report": 2, "report": 1},
    "referral": {"referral": 4, "letter to the specialist": 2, "doctor's letter": 2},
    "note": {"sick note": 4, "certificate for work": 2, "doctor's letter": 1},
    "vaccine": {"vaccination": 3, "flu jab": 2, "vaccine": 3, "booster": 1},
}

# What can be the matter -> clauses with weights; {n} is the noun, {day} a day. Shared clauses make issues confusable.
CLAUSES = {
    "late": {"my {n} has not come yet": 3, "i am still waiting for my {n}": 3, "the {n} was due {day}": 2,
             "when will i finally get my {n}": 2, "there is no sign of my {n}": 2,
             "what is happening with my {n}": 1},
    "lost": {"i have lost my {n}": 3, "my {n} has gone missing": 3, "i cannot find my {n} anywhere": 2,
             "somebody took my {n}": 1, "there is no sign of my {n}": 1},
    "wrong": {"there is a mistake in my {n}": 3, "my {n} is not what i asked for": 2, "the name on my {n} is wrong": 2,
              "you sent me the wrong {n}": 2, "my {n} does not look right": 2},
    "cancel": {"please cancel my {n}": 3, "i no longer need the {n}": 3, "i want to get rid of my {n}": 2,
               "how can i stop the {n}": 2, "can you take the {n} off my file": 1},
    "change": {"can i change my {n}": 3, "could we move my {n} , {day} would suit me": 3,
               "is it possible to switch my {n}": 2, "please update my {n}": 2, "i need a different {n}": 2},
    "broken": {"my {n} does not work": 3, "my {n} was refused": 2, "i get an error with my {n}": 2,
               "i cannot use my {n}": 2, "my {n} does not look right": 1},
    "price": {"how much does the {n} cost": 3, "why is my {n} so expensive": 3, "what do i have to pay for the {n}": 2,
              "the price of my {n} went up": 2, "you charged too much for my {n}": 2},
    "twice": {"i got my {n} twice": 3, "there are two of my {n}": 2, "you charged me two times for the {n}": 2,
              "my {n} shows up double": 2},
    "new": {"i would like a new {n}": 3, "how do i get a {n}": 3, "can you arrange a {n} for me": 2,
            "i need a {n} by {day}": 2, "i need a different {n}": 1},
    "copy": {"please send me a copy of my {n}": 3, "can you print my {n} again": 2, "i need my {n} on paper": 2,
             "where can i see my {n} online": 2, "can i have the details of my {n}": 1},
    "proof": {"do you have a receipt for my {n}": 2, "can you confirm my {n}": 3, "is my {n} all set": 2,
              "what is happening with my {n}": 1, "can i have the details of my {n}": 1},
}

# What the desk answers; {n} is the thing's plain name. Only pretraining text has answers.
REPLIES = {
    "late": ("sorry that you still wait for your {n} , we check where it is .",
             "the {n} is delayed , it will come soon ."),
    "lost": ("a missing {n} is bad luck , we block the old one and send another .",
             "we will look for your lost {n} ."),
    "wrong": ("we will correct your {n} .", "sorry for the mistake in your {n} , we put it right ."),
    "cancel": ("your {n} is cancelled .", "we have stopped the {n} as you wish ."),
    "change": ("no problem , we change your {n} .", "we can move the {n} , here are the options ."),
    "broken": ("let us find out why your {n} does not work .", "we will repair the {n} , please try again later ."),
    "price": ("here is what the {n} costs .", "we explain the price of your {n} in a letter ."),
    "twice": ("you should have one {n} only , we remove the second .", "sorry for the double {n} ."),
    "new": ("we will set up a new {n} for you .", "to get a {n} please fill in this form ."),
    "copy": ("a copy of your {n} is on its way .", "you can print the {n} again from our page ."),
    "proof": ("yes , your {n} is confirmed .", "we can prove that the {n} is in order ."),
}

OPENERS = {"": 8, "hello , ": 3, "hi there , ": 3, "good morning , ": 2, "excuse me , ": 1, "sorry to bother you , ": 1,
           "dear team , ": 1, "quick question , ": 1}
CLOSERS = {"": 8, " thank you": 3, " many thanks": 2, " please help": 2, " please call me back": 1, " it is urgent": 1,
           " best wishes": 1}
# {m} is the noun of any other thing: a distractor that says nothing about the topic.
DETAILS = {"": 10, " i called {day} and nobody could help .": 2, " this is the second time i ask .": 2,
           " my {m} was fine .": 2, " it is not about my {m} .": 2, " i already talked to you about my {m} {day} .": 2,
           " i am away from {day} .": 1}
DAYS = ["yesterday", "today", "on monday", "on tuesday", "on wednesday", "on thursday", "on friday", "last week",
        "this weekend"]

THINGS, ISSUES = tuple(NOUNS), tuple(CLAUSES)
ALL_NOUNS = tuple(sorted({n for nouns in NOUNS.values() for n in nouns}))


def pick(rng: np.random.Generator, weights: dict[str, float]) -> str:
    """Draw one key of `weights` with probability proportional to its weight."""
    w = np.fromiter(weights.values(), float)
    return list(weights)[int(np.searchsorted(np.cumsum(w), rng.random() * w.sum(), side="right"))]


def core(noun: str, clause: str, day: str) -> str:
    """The part of a message that carries its topic: the clause with noun and day filled in."""
    return clause.format(n=noun, day=day)


def reply(rng: np.random.Generator, thing: str, issue: str) -> str:
    """Write the desk's answer to a message about a topic."""
    return REPLIES[issue][rng.integers(len(REPLIES[issue]))].format(n=thing)


def message(rng: np.random.Generator, thing: str, issue: str) -> tuple[str, str, str]:
    """Write one message about a topic.

    Returns (text, noun, clause): the text and the two draws that depend on the topic, all that its posterior needs.
    """
    def day() -> str:
        return DAYS[rng.integers(len(DAYS))]

    noun, clause = pick(rng, NOUNS[thing]), pick(rng, CLAUSES[issue])
    detail = pick(rng, DETAILS).format(m=ALL_NOUNS[rng.integers(len(ALL_NOUNS))], day=day())
    text = pick(rng, OPENERS) + core(noun, clause, day()) + " ." + detail + pick(rng, CLOSERS)
    return text, noun, clause
