"""Counts the fields of a message in protobuf's form before its library reads it, which holds up everything meanwhile.

A message of 8 MiB may hold four million empty texts, and take the library a third of a second. A text of that size is
one field, and passed over at once. Source: https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor

from ...errors import Described, RequestError

MOST_FIELDS = 8192
"""Of a message, with those of the messages in it. A request has some hundred; an item of a list is a field, unless the
list is of numbers, which protobuf packs into one."""
LEAST_BYTES = 2  # of a field: its key and its value
VARINT, EIGHT_BYTES, SIZED, FOUR_BYTES = 0, 1, 2, 5
"""Wire types. 3 and 4 are those of groups, which no message of KServe's has."""
LONGEST_VARINT = 10  # bytes


def check_fields(kind: Descriptor, message: bytes) -> None:
    """Refuse a message of this kind that holds too many fields.

    Raises:
        RequestError: it does, or it is none of this kind.
    """
    if len(message) <= LEAST_BYTES * MOST_FIELDS:
        return  # it has no room for more
    try:
        few = _holds_few(kind, message)
    except (ValueError, IndexError) as exc:
        raise not_of(kind, message) from exc
    if not few:
        text = Described("more, those of its parts among them")
        raise RequestError("the message", f"may hold at most {MOST_FIELDS} fields", text, error_type="too_large")


def not_of(kind: Descriptor, message: bytes) -> RequestError:
    """Return the error of bytes that are no message of this kind."""
    limit, shown = f"must be a {kind.name} of KServe's protocol", Described(f"{len(message)} other bytes")
    return RequestError("the message", limit, shown, error_type="wrong_type")


def _holds_few(kind: Descriptor, message: bytes) -> bool:
    left, unread = MOST_FIELDS, [(kind, 0, len(message))]
    while unread:
        kind, at, end = unread.pop()
        while at < end:
            left -= 1
            if left < 0:
                return False
            key, at = _varint(message, at)
            wire_type = key & 7
            if wire_type == SIZED:
                size, at = _varint(message, at)
                field = kind.fields_by_number.get(key >> 3)
                if field is not None and field.message_type is not None:
                    unread.append((field.message_type, at, at + size))
                at += size
            elif wire_type == VARINT:
                _, at = _varint(message, at)
            elif wire_type in (EIGHT_BYTES, FOUR_BYTES):
                at += 8 if wire_type == EIGHT_BYTES else 4
            else:
                raise ValueError("a group")
        if at > end:
            raise ValueError("a field is longer than what holds it")
    return True


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Return the number at a place, and the place behind it."""
    value = 0
    for shift in range(0, 7 * LONGEST_VARINT, 7):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number is too long")
