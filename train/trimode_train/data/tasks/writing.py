"""Tasks with templates: short stories, letters, Python functions and small talk. The prompt decides every word."""

from __future__ import annotations

from random import Random

from .base import Example, Task
from .vocabulary import CITIES, FIRST_NAMES, OBJECTS, PLACES, WEEKDAYS, WORDS

_WEATHER = {
    "sunny": "The sun was warm and the sky was clear.",
    "rainy": "Rain fell on the roofs and the streets were empty.",
    "snowy": "Snow covered the ground and everything was quiet.",
    "windy": "The wind was strong and the leaves flew high.",
}
_ENDING = {
    "happy": "In the end everyone was glad, and they danced until the evening.",
    "sad": "In the end nobody came, and {name} walked home alone.",
    "funny": "In the end it was only a joke, and everybody laughed.",
}


def story(rng: Random) -> Example:
    """A story whose weather, place, thing and ending the prompt names."""
    name, place, thing = rng.choice(FIRST_NAMES), rng.choice(PLACES), rng.choice(OBJECTS)
    weather, ending = rng.choice(list(_WEATHER)), rng.choice(list(_ENDING))
    ask = rng.choice(
        (
            "Write a {e} story about {n}, a {t} and the {p} on a {w} day.",
            "Tell me a {e} story with {n} at the {p} on a {w} day. It has a {t} in it.",
        )
    )
    text = (
        f"It was a {weather} day at the {place}. {_WEATHER[weather]}\n"
        f"{name} was looking for something when an old {thing} appeared near the {place}. "
        f'"Whose {thing} is this?" asked {name}. Nobody knew. '
        f"So {name} took the {thing} and showed it to all the people of the {place}.\n"
        f"{_ENDING[ending].format(name=name)}"
    )
    return Example("story", ask.format(e=ending, n=name, t=thing, p=place, w=weather), text)


_REASONS = {
    "thank": ("Thank you", "thank you very much for the {t}. It was very kind of you, and I use it every day"),
    "invite": ("Invitation", "I would like to invite you to {c}. I will show you my new {t}"),
    "apologise": ("Sorry", "I am sorry that I lost your {t}. I will bring you a new one as soon as I can"),
}
_ASK_LETTER = {
    "thank": "to thank {a} for the {t}",
    "invite": "to invite {a} to {c} and show the new {t}",
    "apologise": "to apologise to {a} for the lost {t}",
}


def letter(rng: Random) -> Example:
    """A short e-mail of thanks, invitation or apology."""
    reason = rng.choice(list(_REASONS))
    to, sender = rng.sample(FIRST_NAMES, 2)
    facts = {"a": to, "t": rng.choice(OBJECTS), "c": rng.choice(CITIES)}
    day = rng.choice(WEEKDAYS)
    subject, body = _REASONS[reason]
    ask = rng.choice(("Write an e-mail from {s} {w}. Meet on {d}.", "Draft an e-mail from {s} {w}. They meet on {d}."))
    text = (
        f"Subject: {subject}\n\nDear {to},\n\n{body.format(**facts)}.\n\n"
        f"I hope to see you on {day}.\n\nBest wishes,\n{sender}"
    )
    return Example("letter", ask.format(s=sender, w=_ASK_LETTER[reason].format(**facts), d=day), text)


_FUNCTIONS = (
    ("adds {a} and {b}", '"""Return the sum of {a} and {b}."""\n    return {a} + {b}'),
    ("multiplies {a} by {b}", '"""Return the product of {a} and {b}."""\n    return {a} * {b}'),
    ("subtracts {b} from {a}", '"""Return {a} minus {b}."""\n    return {a} - {b}'),
    (
        "returns the larger of {a} and {b}",
        '"""Return the larger of {a} and {b}."""\n    if {a} > {b}:\n        return {a}\n    return {b}',
    ),
    (
        "counts the items of {a} above {b}",
        '"""Count the items of {a} above {b}."""\n    count = 0\n    for item in {a}:\n'
        "        if item > {b}:\n            count += 1\n    return count",
    ),
    (
        "sums the items of {a} below {b}",
        '"""Sum the items of {a} below {b}."""\n    total = 0\n    for item in {a}:\n'
        "        if item < {b}:\n            total += item\n    return total",
    ),
    (
        "divides {a} by {b} safely",
        '"""Return {a} divided by {b}, or None."""\n    if {b} == 0:\n        return None\n    return {a} / {b}',
    ),
)
_VERBS = ("get", "find", "make", "compute", "check", "read", "build", "update")
_PARAMETERS = (
    "values",
    "limit",
    "price",
    "tax",
    "width",
    "height",
    "items",
    "start",
    "total",
    "rate",
    "scores",
    "size",
    "left",
    "right",
    "numbers",
    "bound",
)


def function(rng: Random) -> Example:
    """A small Python function with a docstring."""
    wanted, body = rng.choice(_FUNCTIONS)
    a, b = rng.sample(_PARAMETERS, 2)
    name = f"{rng.choice(_VERBS)}_{rng.choice(WORDS)}"
    ask = rng.choice(
        (
            "Write a Python function {f} that {w}.",
            "Write {f}, a Python function that {w}.",
            "In Python, define {f}, which {w}.",
        )
    )
    code = f"```python\ndef {name}({a}, {b}):\n    {body.format(a=a, b=b)}\n```"
    return Example("function", ask.format(f=name, w=wanted.format(a=a, b=b)), code)


_ABOUT = "I am a very small language model. I can add, sort, count, write short stories and turn sentences into JSON."
_TALK = (
    (("Hello!", "Hi!", "Hello.", "Good morning!", "Hey there!"), "Hello! How can I help you?"),
    (("Who are you?", "What are you?", "What can you do?", "Tell me about yourself.", "Help!"), _ABOUT),
    (("Thank you!", "Thanks a lot!", "Thanks.", "Great, thanks!"), "You are welcome!"),
    (("Goodbye!", "Bye!", "See you later!"), "Goodbye! Have a nice day."),
)


def talk(rng: Random) -> Example:
    """Greetings, thanks and what the model is, sometimes with the speaker's name."""
    said, reply = rng.choice(_TALK)
    prompt = rng.choice(said)
    if rng.random() < 0.7:
        name = rng.choice(FIRST_NAMES)
        prompt = rng.choice(("{} I am {}.", "{} My name is {}.", "{} {} here.")).format(prompt, name)
        reply = f"Nice to meet you, {name}. {reply}"
    return Example("talk", prompt, reply)


TASKS = (
    Task("story", story, 0.8),
    Task("letter", letter, 0.8),
    Task("function", function),
    Task("talk", talk, 0.3),
)
