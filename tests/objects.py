"""What objects hold."""

import gc
from collections.abc import Iterator
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

CODE = (type, FunctionType, BuiltinFunctionType, MethodType, ModuleType, partial)


def reachable(*roots: Any) -> Iterator[bytes]:
    """Yield all texts that these objects hold, at any depth."""
    seen: set[int] = set()
    pending = list(roots)
    while pending:
        each = pending.pop()
        if id(each) in seen or isinstance(each, CODE):
            continue
        seen.add(id(each))
        if isinstance(each, str):
            yield each.encode()
        elif isinstance(each, bytes):
            yield each
        pending += gc.get_referents(each)
