"""What changed from one header to the next, told as what it does to programs built against the first.

The rules are those of ABI_CHANGELOG.md. libabigail compares types that exported calls reach; here is all that it cannot
see: numbers of enum members and flags, macros, callbacks, the const of a handle (which is the thread rule), growth.
"""
from collections import namedtuple

# `name` is what changed (a call, type or flag), `what` a clause that names it and both sides, `effect` what programs
# built against the older header then do; for additions `what` is a noun and `effect` the name that the changelog lists.
Change = namedtuple("Change", "breaks name what effect")

BEHIND_THE_BUILD = {"BITNET_H", "BITNET_API", "BITNET_VERSION_MAJOR", "BITNET_VERSION_MINOR", "BITNET_VERSION_PATCH",
                    "BITNET_ABI_VERSION"}


def compare(old, new):
    """The changes from surface `old` to surface `new`."""
    yield from _functions(old, new)
    for name in sorted(old.structs.keys() | new.structs.keys()):
        yield from _struct(name, old.structs.get(name), new.structs.get(name))
    yield from _enums(old, new)
    yield from _numbers("flag", old.constants, new.constants)
    yield from _callbacks(old, new)
    yield from _macros(old, new)


def _break(name, what, effect):
    return Change(True, name, what, effect)


def _addition(name, what, listed=None):
    return Change(False, name, what, listed or name)


def _functions(old, new):
    for name in sorted(new.functions.keys() - old.functions.keys()):
        yield _addition(name, f"call {name}")
    for name, before in old.functions.items():
        after = new.functions.get(name)
        if after is None:
            yield _break(name, f"{name} is gone", "do not start if they call it")
            continue
        if after.result != before.result:
            yield _break(name, f"{name} returned {before.result} and returns {after.result}",
                         "read a result that is not there")
        if len(after.parameters) != len(before.parameters):
            yield _break(name, f"{name} had {len(before.parameters)} parameters and has {len(after.parameters)}",
                         "pass what it does not take")
            continue
        for place, (was, now) in enumerate(zip(before.parameters, after.parameters), 1):
            if was != now:
                yield _parameter(name, place, was, now)


def _parameter(name, place, was, now):
    what = f"parameter {place} of {name} was {was} and is {now}"
    if was == f"const {now}":
        handle = "may call it side by side with others, as the const of the handle allowed"
        return _break(name, what, handle if now.startswith("bitnet_") else "pass what must not be written")
    if now == f"const {was}":
        return _addition(name, f"const of parameter {place} of {name}")
    return _break(name, what, "pass something else")


def _struct(name, old, new):
    if old is None:
        yield _addition(name, f"type {name}")
    elif new is None:
        yield _break(name, f"{name} is gone", "no longer compile")
    elif old.size is None and new.size is not None:
        yield _break(name, f"{name} was opaque and shows its fields", "hold it for a handle, which has none")
    elif old.size is not None and new.size is None:
        yield _break(name, f"{name} had fields and is opaque", "no longer compile")
    elif old.size is not None:
        yield from _fields(name, old, new)


def _fields(name, old, new):
    sized = bool(old.fields) and old.fields[0].name == "size"
    after = {field.name: field for field in new.fields}
    places = {field.offset: field for field in new.fields}
    for field in old.fields:
        yield from _field(name, field, after.get(field.name), places.get(field.offset))
    reserved = [field.offset for field in old.fields if field.name.startswith("reserved")]
    known = {field.name for field in old.fields} | {places[place].name for place in reserved if place in places}
    for field in new.fields:
        if field.name not in known:
            yield _new_field(name, field, old, sized)
    if not sized and new.size != old.size:
        yield _break(name, f"{name} had {old.size} bytes and has {new.size}",
                     "lay out arrays of it in its old size")
    elif new.size < old.size:
        yield _break(name, f"{name} had {old.size} bytes and has {new.size}", "pass the old size")
    if new.alignment != old.alignment:
        yield _break(name, f"{name} was aligned to {old.alignment} bytes and is to {new.alignment}",
                     "place it elsewhere")


def _field(struct, old, new, in_its_place):
    name = f"{struct}.{old.name}"
    if new is None:
        taken = in_its_place and (in_its_place.size, in_its_place.type) == (old.size, old.type)
        if taken and old.name.startswith("reserved"):
            yield _addition(struct, f"field {struct}.{in_its_place.name}", in_its_place.name)
        elif taken:
            yield _break(struct, f"{name} is now called {in_its_place.name}", "no longer compile")
        else:
            yield _break(struct, f"{name} is gone", "use the place it had")
        return
    if new.offset != old.offset:
        yield _break(struct, f"{name} moved from offset {old.offset} to {new.offset}",
                     "use the wrong field")
    if new.size != old.size:
        yield _break(struct, f"{name} had {old.size} bytes and has {new.size}", "write and read the old size")
    elif new.type != old.type:
        yield _break(struct, f"{name} was {old.type} and is {new.type}", "write and read the old type")


def _new_field(struct, field, old, sized):
    name = f"{struct}.{field.name}"
    if not sized:
        return _break(struct, f"{name} is new in a struct without `size`",
                      "lay out arrays of it in its old size")
    if field.offset < old.size:
        return _break(struct, f"{name} is new at offset {field.offset}, inside the {old.size} bytes the struct had",
                      "have something else there: only the end is free")
    return _addition(struct, f"field {name}", field.name)


def _enums(old, new):
    for name in sorted(new.enums.keys() - old.enums.keys()):
        yield _addition(name, f"type {name}")
    for name, before in old.enums.items():
        after = new.enums.get(name)
        if after is None:
            yield _break(name, f"{name} is gone", "no longer compile")
            continue
        if after.type != before.type:
            yield _break(name, f"{name} was {before.type} underneath and is {after.type}",
                         "pass it in another size or sign")
        yield from _numbers(f"{name} member", before.members, after.members)


def _numbers(kind, old, new):
    for name in sorted(new.keys() - old.keys()):
        yield _addition(name, f"{kind} {name}")
    for name, number in old.items():
        if name not in new:
            yield _break(name, f"{name} ({number}) is gone", "still use the number")
        elif new[name] != number:
            yield _break(name, f"{name} was {number} and is {new[name]}", "still use the old number")


def _callbacks(old, new):
    for name in sorted(new.types.keys() - old.types.keys()):
        yield _addition(name, f"type {name}")
    for name, before in old.types.items():
        after = new.types.get(name)
        if after is None:
            yield _break(name, f"{name} is gone", "no longer compile")
        elif after != before:
            yield _break(name, f"{name} was {before} and is {after}", "have functions of the old kind")


def _macros(old, new):
    for name in sorted(new.macros.keys() - old.macros.keys() - BEHIND_THE_BUILD):
        if not name.endswith("_INIT"):
            yield _addition(name, f"macro {name}")
    for name, tokens in old.macros.items():
        if name in BEHIND_THE_BUILD:
            continue
        if name not in new.macros:
            yield _break(name, f"{name} is gone", "no longer compile")
        elif not name.endswith("_INIT") and new.macros[name] != tokens:
            yield _break(name, f"{name} was {' '.join(tokens)} and is {' '.join(new.macros[name])}",
                         "have the old one compiled in")
