"""Documents that are short to write and long to walk."""


def doubling(depth: int, kind: str, selection: str, name: str = "Doubling") -> str:
    """Make a query of `depth` fragments, each of which spreads the next one twice.

    Whoever follows each spread comes past the `selection` two to the power of `depth` times.
    """
    spreads = (
        f"fragment F{each} on {kind} {{ ...F{each + 1} ...F{each + 1} }}" for each in range(depth)
    )
    last = f"fragment F{depth} on {kind} {{ {selection} }}"
    return "\n".join([f"query {name} {{ ...F0 }}", *spreads, last])
