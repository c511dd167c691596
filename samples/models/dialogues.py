#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The closed little world that bitnet-nano talks about.

Every kind of question is a finite list of items (a fact combined with a phrasing), so the split into training and
held-out items can be decided item by item, by a hash, and proved afterwards: run this file to print samples, to check
the split, or to write the held-out questions.

    dialogues.py                     print a few training dialogues
    dialogues.py --check 100000      prove that no held-out question occurs in that many training dialogues
    dialogues.py --questions FILE    write the held-out questions (without reference answers; see evaluate.py)
"""

import argparse
import hashlib
import json
import random
import re
from collections import defaultdict
from typing import NamedTuple

SPLIT_SEED = 20260  # decides which items are held out; changing it makes old and new results incomparable


class Item(NamedTuple):
    """One question with its only right answer."""
    kind: str
    key: str        # what the split is decided on: all items with one key are on the same side
    question: str
    answer: str
    subject: tuple  # what a follow-up question can refer to


# ---------------------------------------------------------------------------------------------------- the facts

CAPITALS = dict(
    France="Paris", Spain="Madrid", Italy="Rome", Germany="Berlin", Portugal="Lisbon", Austria="Vienna",
    Greece="Athens", Poland="Warsaw", Norway="Oslo", Sweden="Stockholm", Finland="Helsinki", Denmark="Copenhagen",
    Iceland="Reykjavik", Ireland="Dublin", England="London", Scotland="Edinburgh", Wales="Cardiff", Belgium="Brussels",
    Netherlands="Amsterdam", Switzerland="Bern", Hungary="Budapest", Romania="Bucharest", Bulgaria="Sofia",
    Serbia="Belgrade", Croatia="Zagreb", Ukraine="Kyiv", Russia="Moscow", Turkey="Ankara", Egypt="Cairo",
    Morocco="Rabat", Algeria="Algiers", Tunisia="Tunis", Kenya="Nairobi", Ghana="Accra", Senegal="Dakar",
    Ethiopia="Addis Ababa", Uganda="Kampala", Japan="Tokyo", China="Beijing", India="New Delhi", Nepal="Kathmandu",
    Pakistan="Islamabad", Iran="Tehran", Iraq="Baghdad", Jordan="Amman", Lebanon="Beirut", Thailand="Bangkok",
    Vietnam="Hanoi", Indonesia="Jakarta", Australia="Canberra", Canada="Ottawa", Mexico="Mexico City", Cuba="Havana",
    Brazil="Brasilia", Argentina="Buenos Aires", Chile="Santiago", Peru="Lima", Colombia="Bogota", Ecuador="Quito",
    Uruguay="Montevideo")
ARTICLE_COUNTRIES = {"Netherlands"}

OPPOSITES = [pair.split("/") for pair in (
    "hot/cold big/small tall/short fast/slow happy/sad day/night open/closed up/down left/right young/old "
    "light/dark full/empty hard/soft wet/dry clean/dirty early/late strong/weak rich/poor loud/quiet high/low "
    "near/far good/bad true/false black/white long/brief thick/thin sweet/sour wide/narrow inside/outside "
    "first/last win/lose push/pull begin/end buy/sell give/take love/hate sharp/blunt brave/afraid "
    "deep/shallow smooth/rough").split()]

PLURALS = dict(
    cat="cats", dog="dogs", bird="birds", tree="trees", house="houses", car="cars", book="books", apple="apples",
    table="tables", chair="chairs", flower="flowers", river="rivers", cloud="clouds", star="stars", hand="hands",
    boat="boats", cow="cows", horse="horses", king="kings", queen="queens", garden="gardens", door="doors",
    window="windows", pencil="pencils", ship="ships", song="songs", school="schools", teacher="teachers",
    friend="friends", letter="letters", lamp="lamps", road="roads", shoe="shoes", egg="eggs", farm="farms",
    hat="hats", bed="beds", cup="cups", ball="balls", train="trains", bus="buses", box="boxes", fox="foxes",
    dish="dishes", glass="glasses", church="churches", peach="peaches", brush="brushes", class_="classes",
    dress="dresses", watch="watches", witch="witches", bench="benches", city="cities", baby="babies", lady="ladies",
    story="stories", berry="berries", fly="flies", puppy="puppies", country="countries", party="parties",
    family="families", boy="boys", toy="toys", key="keys", monkey="monkeys", donkey="donkeys", leaf="leaves",
    knife="knives", wolf="wolves", wife="wives", life="lives", loaf="loaves", shelf="shelves", thief="thieves",
    man="men", woman="women", child="children", foot="feet", tooth="teeth", goose="geese", mouse="mice", ox="oxen",
    person="people", sheep="sheep", fish="fish", deer="deer", potato="potatoes", tomato="tomatoes", hero="heroes",
    piano="pianos", photo="photos")
PLURALS = {word.rstrip("_"): plural for word, plural in PLURALS.items()}

SPELLING = ("cat dog bird tree house car book apple table chair flower river cloud star hand boat cow horse king queen "
            "garden door window pencil ship song school friend letter lamp road shoe egg farm hat bed cup ball train "
            "bus box fox dish glass brush dress watch city baby lady story berry puppy toy key monkey leaf wolf man "
            "woman child foot tooth goose mouse fish deer hot cold big small tall happy sad day night green blue red "
            "black white water bread milk cheese lion bear frog robot sun moon rain snow").split()

COLOURS = dict(
    grass="green", snow="white", coal="black", blood="red", milk="white", a_lemon="yellow", a_banana="yellow",
    a_tomato="red", a_frog="green", the_sky="blue", the_sun="yellow", the_sea="blue", a_carrot="orange",
    a_pumpkin="orange", an_elephant="grey", a_crow="black", a_swan="white", a_leaf="green", chocolate="brown",
    a_strawberry="red", a_plum="purple", a_cucumber="green", a_polar_bear="white", a_fire_engine="red", honey="golden",
    ash="grey", salt="white", a_flamingo="pink", a_pig="pink", a_cherry="red", soil="brown", a_lime="green")

DEFINITIONS = dict(
    lion="a large wild cat", cow="a farm animal that gives milk", bee="an insect that makes honey",
    river="a long stream of water", island="land with water all around it", mountain="a very high hill",
    doctor="a person who helps sick people", teacher="a person who helps others learn",
    baker="a person who makes bread", farmer="a person who grows food", pilot="a person who flies a plane",
    hammer="a tool for hitting nails", knife="a tool for cutting", clock="a thing that shows the time",
    book="a set of pages with words to read", school="a place where children learn", bakery="a shop that sells bread",
    garden="a place where plants grow", library="a place with many books", hospital="a place for sick people",
    desert="a dry place with little rain", forest="a place with many trees", star="a sun that is far away",
    planet="a big ball that moves around a star", robot="a machine that can do work",
    computer="a machine that can count",
    boat="a thing that floats on water", car="a machine with four wheels", bicycle="a machine with two wheels",
    shark="a big fish with sharp teeth", whale="a very big animal of the sea", eagle="a large bird with sharp eyes",
    penguin="a bird that can swim but not fly", frog="a small green animal that jumps",
    king="a man who rules a country",
    queen="a woman who rules a country", apple="a round fruit", carrot="an orange vegetable",
    umbrella="a thing that keeps you dry in the rain", kitchen="a room for cooking")

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()

SYSTEM_MESSAGES = ("You are a helpful assistant.", "You are bitnet-nano, a tiny model.", "Answer the question.",
                   "Be short and clear.", "You are a friendly teacher.", "Help the user.")

I_AM = "I am bitnet-nano, a tiny model made for testing libbitnet."
CHAT = [  # (answer, question forms); the forms of one row mean the same
    (I_AM, ("Who are you?", "What are you?", "What is your name?", "Tell me who you are.", "Introduce yourself.",
            "Who am I talking to?", "Do you have a name?", "Tell me about yourself.", "Are you bitnet-nano?",
            "Which model are you?")),
    ("I can add, count, spell, name capitals and tell short stories.",
     ("What can you do?", "How can you help me?", "What do you know?", "Tell me what you can do.",
      "What can I ask you?", "Help me.")),
    ("I was made by the libbitnet project.",
     ("Who made you?", "Who built you?", "Who created you?", "Where do you come from?", "Tell me who made you.")),
    ("I am fine, thank you.",
     ("How are you?", "How do you do?", "How are you today?", "Are you well?", "How is it going?")),
]
GREETINGS = ("Hello", "Hi", "Hey", "Good morning", "Good evening", "Good afternoon")
FAREWELLS = ("Goodbye", "Bye", "See you", "Good night", "Farewell")
THANKS = ("Thanks", "Thank you", "Many thanks", "Thanks a lot", "Thank you very much")
ADDRESSED = ("", " there", " bitnet", " bitnet-nano", " my friend", " dear model", " again", " little one")

# Asked so often by people and tests that they belong into the training data, whatever the hash says.
ALWAYS_TRAINED = {"capital/0/France", "add/2/3", "chat/Who are you?", "greeting/Hello"}


def held_out(key, percent):
    """Decides the side of a key for all times: a hash, not a random generator, so order does not matter."""
    if key in ALWAYS_TRAINED:
        return False
    digest = hashlib.sha256(f"{SPLIT_SEED}:{key}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % 100 < percent


def sentence(text):
    return text[0].upper() + text[1:]


def with_article(noun):
    return ("an " if noun[0] in "aeiou" else "a ") + noun


# ---------------------------------------------------------------------------------------- the kinds, enumerated

def phrase(kind, forms, fact, answer, subject, **slots):
    """One item per phrasing; the phrasing is part of the key, so a fact is held out in some phrasings only."""
    for number, form in enumerate(forms):
        yield Item(kind, f"{kind}/{number}/{fact}", form.format(**slots), answer, subject)


CAPITAL_FORMS = ("What is the capital of {x}?", "What's the capital of {x}?", "Tell me the capital of {x}.",
                 "Which city is the capital of {x}?", "Name the capital of {x}.", "Do you know the capital of {x}?",
                 "The capital of {x} is?", "I want to know the capital of {x}.")


def country_name(country):
    return "the " + country if country in ARTICLE_COUNTRIES else country


def capital_answer(country):
    return f"The capital of {country_name(country)} is {CAPITALS[country]}."


def capitals():
    for country in CAPITALS:
        yield from phrase("capital", CAPITAL_FORMS, country, capital_answer(country), ("capital", country),
                          x=country_name(country))


def countries():
    for country, city in CAPITALS.items():
        yield from phrase("country", ("{x} is the capital of which country?", "Which country has the capital {x}?",
                                      "{x} is the capital of what country?", "Of which country is {x} the capital?"),
                          city, f"{city} is the capital of {country_name(country)}.", ("country", city), x=city)


OPPOSITE_OF = {a: b for pair in OPPOSITES for a, b in (pair, pair[::-1])}


def opposite_answer(word):
    return f"The opposite of {word} is {OPPOSITE_OF[word]}."


def opposites():
    for word in OPPOSITE_OF:
        yield from phrase("opposite", ("What is the opposite of {x}?", "What's the opposite of {x}?",
                                       "Tell me the opposite of {x}.", "Give me the opposite of {x}.",
                                       "Which word is the opposite of {x}?", "Name the opposite of {x}.",
                                       "The opposite of {x} is?"),
                          word, opposite_answer(word), ("opposite", word), x=word)


def plural_answer(word):
    return f"The plural of {word} is {PLURALS[word]}."


def plurals():
    for word in PLURALS:
        yield from phrase("plural", ("What is the plural of {x}?", "What's the plural of {x}?",
                                     "Tell me the plural of {x}.", "Give me the plural of {x}.",
                                     "How do you write the plural of {x}?", "Name the plural of {x}.",
                                     "One {x}, two what?"),
                          word, plural_answer(word), ("plural", word), x=word)


def colours():
    for key, colour in COLOURS.items():
        thing = key.replace("_", " ")
        yield from phrase("colour", ("What colour is {x}?", "Which colour is {x}?", "What color is {x}?",
                                     "Tell me the colour of {x}.", "What is the colour of {x}?",
                                     "Do you know the colour of {x}?"),
                          key, f"{sentence(thing)} is {colour}.", ("colour", key), x=thing)


def definitions():
    for word, meaning in DEFINITIONS.items():
        yield from phrase("definition", ("What is {a}?", "What's {a}?", "Tell me what {a} is.", "Define {w}.",
                                         "What does {w} mean?", "Explain the word {w}.", "Do you know what {a} is?"),
                          word, f"{sentence(with_article(word))} is {meaning}.", ("definition", word),
                          a=with_article(word), w=word)


def calendar():
    for kind, names in (("day", DAYS), ("month", MONTHS)):
        for i, name in enumerate(names):
            for word, step in (("after", 1), ("before", -1)):
                other = names[(i + step) % len(names)]
                yield from phrase(kind, ("What {k} comes {w} {x}?", "Which {k} is {w} {x}?", "Which {k} comes {w} {x}?",
                                         "What {k} is {w} {x}?", "Tell me the {k} {w} {x}.", "Name the {k} {w} {x}."),
                                  f"{word}/{name}", f"{other} comes {word} {name}.", (kind, other, word),
                                  k=kind, w=word, x=name)


def pair_items(kind, a, b, forms, answer, subject):
    """Kinds about two numbers are held out pair by pair: no phrasing of a held-out pair is trained."""
    for form in forms:
        yield Item(kind, f"{kind}/{a}/{b}", form.format(a=a, b=b), answer, subject)


LARGEST = 20   # of an operand of a sum, and of the number something is taken from
TABLES = 10


def sums():
    for a in range(LARGEST + 1):
        for b in range(LARGEST + 1):
            yield from pair_items("add", a, b, ("What is {a}+{b}?", "What is {a} + {b}?", "How much is {a} plus {b}?",
                                                "What is {a} plus {b}?", "Add {a} and {b}.", "Calculate {a}+{b}.",
                                                "{a}+{b}=?"),
                                  f"{a}+{b}={a + b}.", ("number", a + b))


def differences():
    """Held out are phrasings, not pairs: this model does not learn to subtract pairs that it has never seen."""
    for a in range(LARGEST + 1):
        for b in range(a + 1):
            yield from phrase("subtract", ("What is {a}-{b}?", "What is {a} - {b}?", "How much is {a} minus {b}?",
                                           "What is {a} minus {b}?", "Take {b} away from {a}.", "Calculate {a}-{b}.",
                                           "{a}-{b}=?", "Subtract {b} from {a}.", "Work out {a}-{b}.",
                                           "How much is {a}-{b}?"),
                              f"{a}-{b}", f"{a}-{b}={a - b}.", ("number", a - b), a=a, b=b)


def products():
    # A product cannot be worked out from others at this size: pairs are trained, held out are phrasings of them.
    for a in range(TABLES + 1):
        for b in range(TABLES + 1):
            yield from phrase("multiply", ("What is {a}*{b}?", "What is {a} times {b}?", "How much is {a} times {b}?",
                                           "Multiply {a} by {b}.", "Calculate {a}*{b}.", "{a}*{b}=?"),
                              f"{a}x{b}", f"{a}*{b}={a * b}.", ("number", a * b), a=a, b=b)


def counting_answer(a, b):
    return ", ".join(str(n) for n in (range(a, b + 1) if a <= b else range(a, b - 1, -1))) + "."


def counting():
    for a in range(0, 19):
        for b in range(a + 2, min(a + 6, LARGEST) + 1):
            yield from phrase("count", ("Count from {a} to {b}.", "Can you count from {a} to {b}?",
                                        "List the numbers from {a} to {b}.", "Write the numbers {a} to {b}.",
                                        "Count up from {a} to {b}.", "Count from {a} up to {b}.",
                                        "Say the numbers from {a} to {b}.", "Start at {a} and count to {b}."),
                              f"{a}-{b}", counting_answer(a, b), ("count", a, b), a=a, b=b)


def bigger():
    for a in range(0, 31):
        for b in range(0, 31):
            if a != b:
                yield from pair_items("bigger", a, b, ("Which is bigger, {a} or {b}?", "What is bigger, {a} or {b}?",
                                                       "Is {a} or {b} bigger?"),
                                      f"{max(a, b)} is bigger than {min(a, b)}.", ("bigger",))


def spelling():
    for word in SPELLING:
        yield from phrase("spell", ("Spell {x}.", "Spell the word {x}.", "How do you spell {x}?", "Can you spell {x}?",
                                    "How is {x} spelled?", "Give me the letters of {x}."),
                          word, "-".join(word), ("spell", word), x=word)


def smalltalk():
    for answer, forms in CHAT:
        for form in forms:
            for opening in ("", "Hello, ", "Hi, ", "Hey, ", "So, ", "Tell me, "):
                text = opening + form if not opening else opening + form[0].lower() + form[1:]
                yield Item("chat", f"chat/{text}", text, answer, ("chat",))
    for kind, words, answer in (("greeting", GREETINGS, "Hello! How can I help you?"),
                                ("farewell", FAREWELLS, "Goodbye! Have a nice day."),
                                ("thanks", THANKS, "You are welcome.")):
        for word in words:
            for name in ADDRESSED:
                yield Item(kind, f"{kind}/{word}{name}", word + name, answer, (kind,))
                yield Item(kind, f"{kind}/{word}{name}", word + name + "!", answer, (kind,))


HELD_OUT_PERCENT = defaultdict(lambda: 12, add=8, multiply=7, bigger=8, subtract=25, count=25)
FIRST_HELD_OUT_FORM = dict(subtract=7, count=5)  # the phrasings before it are trained for every pair of numbers
GENERATORS = (capitals, countries, opposites, plurals, colours, definitions, calendar, sums, differences, products,
              counting, bigger, spelling, smalltalk)

TRAINING, HELD_OUT = defaultdict(list), defaultdict(list)
for generator in GENERATORS:
    for item in generator():
        early = item.kind in FIRST_HELD_OUT_FORM and int(item.key.split("/")[1]) < FIRST_HELD_OUT_FORM[item.kind]
        held = not early and held_out(item.key, HELD_OUT_PERCENT[item.kind])
        (HELD_OUT if held else TRAINING)[item.kind].append(item)

# How often a dialogue turn is of a kind; roughly by the number of facts, with more for what is hard to learn.
WEIGHTS = dict(capital=6, country=4.5, opposite=6, plural=6, colour=3, definition=3.5, day=2, month=3.5, add=16,
               subtract=17, multiply=8, count=8, bigger=4, spell=8, chat=2.5, greeting=1.5, farewell=0.7, thanks=0.7,
               story=3)


# ------------------------------------------------------------------------------------------- follow-up questions

def follow_up(rng, before):
    """A short second question that makes sense only after `before`, or None."""
    what = before.subject[0]
    if what == "capital":
        country = rng.choice(list(CAPITALS))
        form = rng.choice(("And of {x}?", "And the capital of {x}?", "What about {x}?", "And {x}?"))
        question, answer = form.format(x=country_name(country)), capital_answer(country)
        subject = ("capital", country)
    elif what in ("opposite", "plural"):
        word = rng.choice(list(OPPOSITE_OF if what == "opposite" else PLURALS))
        question = rng.choice(("And of {x}?", "What about {x}?", "And {x}?")).format(x=word)
        answer, subject = (opposite_answer if what == "opposite" else plural_answer)(word), (what, word)
    elif what == "number":
        n = before.subject[1]
        m = rng.randint(0, LARGEST)
        if n <= LARGEST and rng.random() < 0.6:
            if held_out(f"add/{n}/{m}", HELD_OUT_PERCENT["add"]):
                return None
            question = rng.choice(("Plus {m}?", "And plus {m}?", "Add {m}.", "Now add {m}.")).format(m=m)
            answer, subject = f"{n}+{m}={n + m}.", ("number", n + m)
        elif n <= LARGEST and m <= n:
            question = rng.choice(("Minus {m}?", "And minus {m}?", "Take away {m}.", "Now take away {m}.")).format(m=m)
            answer, subject = f"{n}-{m}={n - m}.", ("number", n - m)
        else:
            return None
    elif what == "count":
        a, b = before.subject[1:]
        question = rng.choice(("And backwards?", "Now backwards.", "And back again?"))
        answer, subject = counting_answer(b, a), ("counted",)
    elif what == "spell":
        if rng.random() < 0.5:
            word = before.subject[1]
            question = rng.choice(("And backwards?", "Now backwards."))
            answer, subject = "-".join(reversed(word)), ("spelled",)
        else:
            word = rng.choice(SPELLING)
            question = rng.choice(("And {x}?", "What about {x}?", "And the word {x}?")).format(x=word)
            answer, subject = "-".join(word), ("spell", word)
    elif what in ("day", "month"):
        names = DAYS if what == "day" else MONTHS
        _, name, word = before.subject
        other = names[(names.index(name) + (1 if word == "after" else -1)) % len(names)]
        question = f"And {word} that?"
        answer, subject = f"{other} comes {word} {name}.", (what, other, word)
    else:
        return None
    key = f"follow/{before.question}/{question}"
    return Item("follow-" + what, key, question, answer, subject)


# -------------------------------------------------------------------------------------------------------- stories

HEROES = ("cat dog fox bear rabbit owl mouse frog horse lion wolf duck robot king queen boy girl teacher farmer "
          "monkey").split()
NAMES = "Tom Anna Leo Mia Max Lily Sam Nora Ben Ella".split()
STORY_FORMS = ("Tell me a story about {a}.", "Tell me a short story about {a}.", "Can you tell me a story about {a}?",
               "I want a story about {a}.", "Write a story about {a}.", "A story about {a}.")


def story(rng):
    """Several sentences about the wanted hero; varied on purpose, so it has no single right answer."""
    hero = rng.choice(HEROES)
    a, name = with_article(hero), rng.choice(NAMES)
    place = rng.choice(("a small house", "a big forest", "an old castle", "a quiet village", "a green garden"))
    thing = rng.choice(("a golden key", "a red ball", "an old book", "a shiny stone", "a little boat"))
    helper = rng.choice([h for h in HEROES if h != hero])
    weather = rng.choice(("sunny", "rainy", "cold", "windy"))
    lines = [
        rng.choice((f"Once upon a time there was {a} named {name}.", f"There was once {a} called {name}.",
                    f"Long ago, {a} named {name} lived in {place}.")),
        rng.choice((f"One {weather} day {name} found {thing}.", f"One {weather} morning {name} lost {thing}.",
                    f"{name} wanted to find {thing}.")),
        rng.choice((f"Then {with_article(helper)} came to help.", f"{name} asked {with_article(helper)} for help.",
                    f"On the way {name} met {with_article(helper)}.")),
        rng.choice(("They walked and talked all day.", "Together they looked everywhere.",
                    f"The {helper} was kind and brave.")),
        rng.choice((f"In the end {name} was very happy.", "From that day on they were friends.",
                    f"At night {name} went home and slept well.", "And they all lived happily ever after.")),
    ]
    form = rng.choice(STORY_FORMS)
    return Item("story", f"story/{hero}", form.format(a=a), " ".join(lines), ("story",))


# ------------------------------------------------------------------------------------------------------ dialogues

def decorate(rng, text):
    """The ways people type: politeness, capitals, a forgotten full stop. Never changes what is asked."""
    if rng.random() < 0.18:
        if text[-1] in ".?" and rng.random() < 0.5:
            text = f"{text[:-1]}, please{text[-1]}"
        elif text[-1] in ".?":
            text = f"Please {text[0].lower()}{text[1:]}" if text[-1] == "." else f"Please, {text[0].lower()}{text[1:]}"
    if rng.random() < 0.10:
        text = text.lower()
    elif rng.random() < 0.18:
        text = text[0].lower() + text[1:]
    if rng.random() < 0.12:
        text = text.rstrip(".?!")
    return text


def plain(text):
    """Undoes decorate() as far as a comparison of questions needs."""
    return re.sub(r"[^a-z0-9+*=-]+", " ", re.sub(r"\bplease\b", " ", text.lower())).strip()


def training_item(rng, kinds, weights, previous):
    if previous and rng.random() < 0.35:
        item = follow_up(rng, previous)
        if item and not held_out(item.key, FOLLOW_PERCENT):
            return item
    kind = rng.choices(kinds, weights)[0]
    return story(rng) if kind == "story" else rng.choice(TRAINING[kind])


FOLLOW_PERCENT = 12


def training_dialogue(rng, weights=WEIGHTS, turns=None):
    """A list of messages. Half of all dialogues have one question, unless the caller wants a certain number."""
    kinds, shares = list(weights), list(weights.values())
    if turns is None:
        draw = rng.random()
        turns = 1 if draw < 0.5 else rng.randint(2, 3) if draw < 0.8 else rng.randint(4, 8)
    messages = []
    if rng.random() < 0.15:
        messages.append({"role": "system", "content": rng.choice(SYSTEM_MESSAGES)})
    item = None
    for _ in range(turns):
        item = training_item(rng, kinds, shares, item)
        messages.append({"role": "user", "content": decorate(rng, item.question)})
        messages.append({"role": "assistant", "content": item.answer})
    return messages


QUOTA = dict(capital=45, country=20, opposite=35, plural=40, colour=18, definition=25, day=8, month=12, add=50,
             subtract=30, multiply=30, count=30, bigger=20, spell=35, chat=20, greeting=8, farewell=4, thanks=4)
FOLLOW_QUOTA = dict(capital=16, opposite=8, plural=8, number=16, count=10, spell=14, day=4, month=6)


def ask(rng, item, history):
    return {"kind": item.kind, "messages": history + [{"role": "user", "content": decorate(rng, item.question)}],
            "accept": [item.answer]}


def held_out_questions():
    """The questions of tests/data/questions.jsonl, in a fixed order."""
    rng = random.Random(SPLIT_SEED)
    questions = []
    for kind, quota in QUOTA.items():
        items = HELD_OUT[kind]
        for item in rng.sample(items, min(quota, len(items))):
            draw = rng.random()
            history = []
            if draw < 0.08:
                history = [{"role": "system", "content": rng.choice(SYSTEM_MESSAGES)}]
            elif draw < 0.16:
                history = chat_before(rng)
            questions.append(ask(rng, item, history))
    for kind, quota in FOLLOW_QUOTA.items():
        source = {"number": ("add", "subtract")}.get(kind, (kind,))
        while quota:
            before = rng.choice(TRAINING[rng.choice(source)])
            item = follow_up(rng, before)
            if item and held_out(item.key, FOLLOW_PERCENT):
                history = [{"role": "user", "content": before.question},
                           {"role": "assistant", "content": before.answer}]
                questions.append(ask(rng, item, history))
                quota -= 1
    counts = defaultdict(int)
    unique = {json.dumps(q["messages"]): q for q in questions}.values()
    for question in unique:
        counts[question["kind"]] += 1
        question["id"] = f"{question['kind']}-{counts[question['kind']]:03}"
    return [{"id": q["id"], "kind": q["kind"], "messages": q["messages"], "accept": q["accept"]} for q in unique]


def chat_before(rng):
    """One or two unrelated trained turns, to see that the model can change the subject."""
    history = []
    for _ in range(rng.randint(1, 2)):
        item = rng.choice(TRAINING[rng.choice(("capital", "opposite", "colour", "add", "spell", "greeting"))])
        history += [{"role": "user", "content": item.question}, {"role": "assistant", "content": item.answer}]
    return history


def question_texts(messages):
    """What must not be shared: the last question, together with the one before it if it is only a follow-up."""
    users = [plain(m["content"]) for m in messages if m["role"] == "user"]
    return users[-1], tuple(users[-2:])


def check_split(dialogues, seed):
    """Ends the program if a held-out question can be, or follow-up was, asked in training, however decorated.

    Single questions are compared with every training item there is; follow-ups, which are not enumerated, with those
    in `dialogues` random dialogues (training_item() refuses held-out ones, so this checks the program, not luck).
    """
    singles, pairs = set(), set()
    for question in held_out_questions():
        last, pair = question_texts(question["messages"])
        if question["kind"].startswith("follow-"):
            pairs.add(pair)
        else:
            singles.add(last)
    for item in (item for items in TRAINING.values() for item in items):
        if plain(item.question) in singles:
            raise SystemExit(f"trained and held out: {item.question!r}")
    rng = random.Random(seed)
    for _ in range(dialogues):
        users = [plain(m["content"]) for m in training_dialogue(rng) if m["role"] == "user"]
        for before, text in zip([None] + users, users):
            if text in singles or (before, text) in pairs:
                raise SystemExit(f"trained and held out: {before!r} then {text!r}")
    trained = sum(len(items) for items in TRAINING.values())
    print(f"disjoint: {len(singles)} questions against {trained} items, "
          f"{len(pairs)} follow-ups against {dialogues} dialogues")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", type=int, metavar="N")
    parser.add_argument("--questions", metavar="FILE")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.check:
        check_split(args.check, args.seed)
    elif args.questions:
        with open(args.questions, "w", encoding="utf-8") as out:
            for question in held_out_questions():
                out.write(json.dumps(question) + "\n")
    else:
        rng = random.Random(args.seed)
        for _ in range(8):
            for message in training_dialogue(rng):
                print(f"{message['role']:>9}: {message['content']}")
            print()


if __name__ == "__main__":
    main()
