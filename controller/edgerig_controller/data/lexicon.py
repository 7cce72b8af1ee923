"""The closed vocabulary of the synthetic tasks.

Small on purpose: with few and short words the starter models' tokenizer spends
one token on most of them, and a context of 256 tokens holds four examples.
Knows nothing of how words are combined.
"""

from __future__ import annotations

# Each topic has two names that no text links; a question that uses the other
# name than the history cannot be answered by looking for equal words.
TOPICS: tuple[tuple[str, str], ...] = (
    ("robots", "droids"),
    ("ghosts", "spirits"),
    ("pirates", "sailors"),
    ("dragons", "wyverns"),
    ("wars", "battles"),
    ("trains", "railways"),
    ("kings", "queens"),
    ("spies", "agents"),
    ("storms", "floods"),
    ("horses", "ponies"),
    ("planets", "moons"),
    ("diamonds", "jewels"),
    ("dancers", "singers"),
    ("wolves", "foxes"),
    ("castles", "towers"),
    ("doctors", "nurses"),
    ("letters", "poems"),
    ("islands", "beaches"),
    ("trials", "judges"),
    ("gardens", "forests"),
)
LABELS: tuple[str, ...] = (
    "sci-fi",
    "comedy",
    "action",
    "dystopia",
    "classic",
    "psychology",
    "fantasy",
    "romance",
    "violence",
    "based on a book",
    "twist ending",
    "dark comedy",
    "thought-provoking",
    "social commentary",
    "true story",
)
ADJECTIVES = (
    "old",
    "young",
    "brave",
    "tired",
    "quiet",
    "rich",
    "poor",
    "lost",
    "proud",
    "strange",
    "calm",
    "blind",
    "lonely",
    "clever",
)
PERSONS = (
    "baker",
    "girl",
    "boy",
    "farmer",
    "teacher",
    "painter",
    "soldier",
    "widow",
    "monk",
    "clerk",
    "hunter",
    "driver",
    "actor",
    "guard",
    "thief",
    "priest",
)
VERBS = (
    "meets",
    "finds",
    "hunts",
    "loves",
    "fears",
    "saves",
    "hides",
    "draws",
    "follows",
    "sells",
    "paints",
    "steals",
    "builds",
    "watches",
)
PLACES = (
    "town",
    "desert",
    "valley",
    "harbor",
    "city",
    "village",
    "school",
    "market",
    "prison",
    "hotel",
    "station",
    "temple",
)
THINGS = ("lamp", "chair", "phone", "kettle", "jacket", "tent", "camera", "bike", "radio", "clock")
PARTS = ("handle", "cover", "button", "switch", "color", "weight", "sound", "price", "box", "cable")
# Words that a review's score follows from, in pairs as the topics are.
QUALITIES: tuple[tuple[str, str], ...] = (
    ("awful", "dreadful"),
    ("broken", "cracked"),
    ("weak", "flimsy"),
    ("dull", "boring"),
    ("plain", "simple"),
    ("decent", "usable"),
    ("solid", "sturdy"),
    ("nice", "pleasant"),
    ("great", "superb"),
    ("perfect", "flawless"),
)
METHODS = ("graphs", "trees", "kernels", "rules", "tables", "samples", "maps", "codes", "filters", "grids")
EPITHETS = ("crisis", "boom", "puzzle", "return", "secret", "mystery", "record", "revolt", "fever", "dream")
OPENERS = ("breaking", "exclusive", "today", "update", "report", "look", "finally", "rumor")
CLOSERS = ("wow", "sigh", "haha", "yay", "hmm", "cool", "ouch", "phew", "amen", "cheers")
