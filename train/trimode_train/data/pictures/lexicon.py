"""The words that pictures show: two hundred common ones of three to six letters; one in ten is never in training."""

from __future__ import annotations

_TEXT = """
apple arm baby bag ball bear bed bee bell bird blue body bone book boot box boy brain bread brick bridge bright brown
butter button cake camp car card cat chain chair cheese circle city clean clock cloud coat corn cow crab cross cup
dark deep dog door dream dress drink eagle early earth east egg eight eye face farm fast father field fire fish five
flower fly foot forest four fox friend frog fruit game garden gate giant girl glass gold good grass green ground hand
happy hat heart hill horse house ice ink island jam key king knife lake lamp lemon light lion long map market milk
mirror money moon mother mouse mouth music nest night nine north nose old onion open orange park pen pencil pig plant
queen quick quiet rabbit rain red rice ring river road rock seed seven sheep ship shoe shop silver six sky smile snake
snow soap song spoon star stone stop storm street sugar summer sun sweet table tail taxi teeth ten three tiger time
toast tooth town toy train tree two van vase violin voice wall water wave week wheel white wind window wolf wood yard
year yellow zebra zero zoo
"""
_ALL = _TEXT.split()

HELD_OUT_WORDS = tuple(_ALL[4::10])
TRAINING_WORDS = tuple(word for word in _ALL if word not in HELD_OUT_WORDS)
