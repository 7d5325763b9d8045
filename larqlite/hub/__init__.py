"""Trained networks on the Hugging Face Hub: pushed as packed files, pulled and checked.

Needs the package `huggingface_hub`: `pip install "larqlite[hub]"`. Tokens, mirrors (the
variable `HF_ENDPOINT`) and proxies are its own.
"""

from larqlite.hub._pull import Pulled, pull
from larqlite.hub._push import Pushed, push

__all__ = ["Pulled", "Pushed", "pull", "push"]
