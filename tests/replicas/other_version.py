"""A double of `gateway`: a version with another format of cursors and of cached answers."""

import tests.patient_gateway  # noqa: F401  lets it wait for its Redis
from gateway.cli import main
from gateway.graph.pagination import cursor
from gateway.upstream.cache import cached_client as answers

cursor.POSITION = cursor.POSITION + 2
answers.FORMAT = answers.FORMAT + 1

if __name__ == "__main__":
    main()
