"""What each domain of the held-out prompts asks for, in words for the card."""

from __future__ import annotations

ABOUT = {
    "addition": "column addition of numbers up to four digits",
    "subtraction": "column subtraction of numbers up to four digits",
    "multiplication": "multiplication of three digits by one",
    "units": "unit conversion",
    "shopping": "shopping totals",
    "dates": "dates a few days later, in the years 2000 to 2039 (weak across the end of February)",
    "sequence": "counting up",
    "times_table": "times tables",
    "sort_numbers": "sorting numbers",
    "sort_words": "sorting words",
    "reverse_list": "reversing a list",
    "count": "counting a word in a list",
    "repeat": "repeating a sentence",
    "to_json": "JSON from a sentence",
    "from_json": "a sentence from JSON",
    "table": "looking a value up in a small table",
    "story": "short stories from given words",
    "letter": "e-mails",
    "function": "small Python functions",
    "talk": "greetings and who it is",
    "chain_sum": "sums and differences of several numbers",
    "legs": "counting the legs of animals",
    "durations": "the time between two hours of a day",
}


def about(domain: str) -> str:
    """Return the words for a domain; its own name where there are none."""
    return ABOUT.get(domain, domain.replace("_", " "))
