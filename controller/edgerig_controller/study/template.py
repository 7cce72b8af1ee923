"""The commented study that `edgerig init` writes. It runs as it is, on the starter models."""

from __future__ import annotations

_TEMPLATE = """\
# A study: which models, methods and compressions are compared on which tasks, and how.
#   edgerig check FILE              reads it and names every problem
#   edgerig run FILE --dry-run      shows cells, trials and predicted memory
#   edgerig run FILE                runs it
# Every key is explained in docs/reference/study-file.md; `edgerig schema` prints its JSON Schema.
edgerig: 1                 # version of this file's schema
name: my-study             # letters, digits, dots, dashes
protocol: quick            # quick | standard | publishable: how long idles and measured windows are
devices: {labels: [local]} # this machine; {names: [orin-07]} for enrolled devices by name
seeds: [1, 2]              # every cell runs once with each seed
repeats: 1

tasks:
  # Synthetic, LaMP-shaped data with a planted truth: an instrument check, not a benchmark.
  - {name: lamp-2, source: synthetic, users: 40, items_per_user: 4}
  # Your own questions, one JSON object a line (docs/how-to/own-task.md):
  # - {name: tickets, source: jsonl, path: tickets.jsonl, kind: classification}

# Every list is a factor; all factors are crossed.
factors:
  model:                   # starter/NAME, org/name@revision of the hub, a folder, device:/path
    - starter/small
  method:
    - none                 # short for {kind: none}
    - {kind: rag, k: 4}
    - {kind: lora, r: 8, alpha: 16}
  compression: [none]
  history: [16]            # items of each user's history that a method may use; `all` for all

# Combinations to leave out, each with its reason:
# exclude:
#   - {model: starter/small, method.kind: lora, reason: why it is left out}

budgets:
  train: {steps: 60}       # samples, tokens, steps, duration_s: whichever comes first
  attempt: {duration_s: 600}  # a longer attempt ends as `timeout`; memory: 2GiB emulates a smaller box
inference: {prompt_tokens: 64, new_tokens: 32, batch: 1, requests: 20}

# What you expect, fixed before the first run. The margin of a ratio is in points of a hundred.
claims:
  - {id: rag-helps, better: {method.kind: rag}, than: {method.kind: none}, metric: accuracy, margin: 2.0}
"""


def template() -> str:
    """Return the text of a study file that passes `edgerig check`."""
    return _TEMPLATE
