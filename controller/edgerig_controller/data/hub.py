"""Fetches model repositories of the Hugging Face hub, with one clear sentence for each way that can fail.

HF_TOKEN, HF_HOME, HF_HUB_OFFLINE and HF_ENDPOINT are read by huggingface_hub
itself. Only the controller comes here: devices get files, never the token.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from pathlib import Path
from typing import Any

from edgerig.errors import DataError
from edgerig_controller.data.models import INDEX, SIDE_FILES

_PATTERNS = [*SIDE_FILES, INDEX, "model*.safetensors"]
_TRUE = {"1", "true", "yes", "on"}


def fetch(repo: str, revision: str, offline: bool) -> tuple[Path, str]:
    """Bring a repository's config, tokenizer and safetensors files into the hub's cache.

    Args:
        repo: `org/name`.
        revision: branch, tag or commit; '' for the main branch.
        offline: use only what the cache holds.

    Returns:
        The folder of the files and the commit that they are of.

    Raises:
        DataError: absent, gated, not in the cache while offline, no
            safetensors, or no connection.
    """
    offline = offline or os.environ.get("HF_HUB_OFFLINE", "").lower() in _TRUE
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError as error:
        raise DataError(
            f"`{repo}` is on the hub, and huggingface_hub is not installed",
            hint="python -m pip install 'edgerig[controller]'",
        ) from error
    try:
        commit = None if offline else _commit(huggingface_hub.HfApi(), repo, revision)
        folder = huggingface_hub.snapshot_download(
            repo,
            revision=commit or revision or None,
            allow_patterns=_PATTERNS,
            local_files_only=offline,
        )
    except errors.GatedRepoError as error:
        raise DataError(
            f"`{repo}` is gated: its owner must let you in",
            hint=f"accept its terms at https://huggingface.co/{repo}, then set HF_TOKEN and run again",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise DataError(f"`{repo}` has no revision `{revision}`", hint=_page(repo)) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise DataError(
            f"there is no model `{repo}` on the hub, or it is private",
            hint=f"check the name at https://huggingface.co/{repo}; for a private one set HF_TOKEN",
        ) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise _not_here(repo, revision, offline) from error
    except (errors.HfHubHTTPError, *_connection_errors()) as error:
        first = str(error).strip().splitlines()
        raise DataError(
            f"the hub did not give `{repo}`: {first[0] if first else type(error).__name__}",
            hint="check the connection, or set HF_HUB_OFFLINE=1 to use what was downloaded before",
        ) from error
    return Path(folder), Path(folder).name


def _commit(api: Any, repo: str, revision: str) -> str:
    """Asks the hub for the commit, and refuses a repository without safetensors before any download."""
    info = api.model_info(repo, revision=revision or None)
    names = [sibling.rfilename for sibling in info.siblings or ()]
    if not any(name.endswith(".safetensors") for name in names):
        raise DataError(
            f"`{repo}` holds no safetensors; pickles can run code and are refused",
            hint="convert it once with `save_pretrained(..., safe_serialization=True)` and name that folder",
        )
    return str(info.sha)


def _not_here(repo: str, revision: str, offline: bool) -> DataError:
    at = f" at `{revision}`" if revision else ""
    if offline:
        return DataError(
            f"`{repo}`{at} is not in the cache, and HF_HUB_OFFLINE forbids to fetch it",
            hint=f"run once without HF_HUB_OFFLINE, or: hf download {repo}",
        )
    return DataError(
        f"`{repo}`{at} is not in the cache, and the hub cannot be reached",
        hint="check the connection, or name a folder or starter/NAME",
    )


def _page(repo: str) -> str:
    return f"see https://huggingface.co/{repo}/tree/main for its branches and commits"


def _connection_errors() -> tuple[type[Exception], ...]:
    """Names what the HTTP library of the installed huggingface_hub raises: requests' errors are OSErrors."""
    found: list[type[Exception]] = [OSError]
    for library in ("httpx", "httpx2"):
        with contextlib.suppress(ImportError):
            found.append(importlib.import_module(library).HTTPError)
    return tuple(found)
